"""A draft beside the model on the device: whether its proposals change a token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from literatim.verify.golden import Golden
from literatim.verify.subject import CPU, WhisperSubject
from literatim.verify.tokens import Judge, compare, first_difference
from literatim.verify.types import Drafted

PROPOSALS = 4  # in every round: rounds of several queries are what is verified, whether they pay or not


def drafted(
    subject: WhisperSubject, name: str, folder: Path, golden: Golden, judges: Sequence[Judge], special: dict[int, str]
) -> Drafted:
    """The clips said twice on the subject's device: by the model alone, and with the draft in `folder`.

    `judges` weigh tokens by the reference's logits, which hold as far as the model alone says what the reference says;
    on a CPU there are no ties, since rounding is the same there with a draft and without. Raises ModelFormatError or
    OptionError where the draft cannot serve the model.
    """
    alone, both = subject.work(golden.clips), subject.beside(name, folder, PROPOSALS).work(golden.clips)
    found = []
    for clip, reference, mine, theirs, judge in zip(golden.clips, golden.said, alone, both, judges, strict=True):
        at = first_difference(mine.tokens, theirs.tokens)
        weighed = subject.device != CPU and at is not None and mine.tokens[:at] == reference.tokens[:at]
        found.append(
            compare(
                clip.name,
                mine.tokens,
                theirs.tokens,
                end=subject.tokenizer.eot,
                decode=subject.tokenizer.decode,
                special=special,
                judge=judge if weighed else None,
                truth=clip.words,
            )
        )
    proposed, accepted = (sum(getattr(said, what) for said in both) for what in ("proposed", "accepted"))
    return Drafted(name, proposed, accepted, tuple(found))
