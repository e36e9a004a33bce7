"""MedASR as what is verified: one pass over clips of different lengths, filled up to one width.

Its tokens are those of the steps, blanks included; they are collapsed where text is made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from literatim.audio import lasr
from literatim.audio.mel import SAMPLE_RATE
from literatim.decode.ctc import Steps, collapse, likeliest
from literatim.models.medasr import Medasr
from literatim.models.medasr_checkpoint import load_medasr
from literatim.pipeline.listener import WIDTH, Listener
from literatim.text.medasr import MedasrTokenizer
from literatim.verify.sites import ENCODED, HEAD, INPUT, PARTS, SitesByParameter
from literatim.verify.subject import CPU, Clip, Mark, Said, Watchable, nobody
from literatim.verify.watch import Pretend

SECONDS = (5.0, 3.4, 4.3)  # of the clips, by turns: all are filled up to WIDTH, so that masks have work to do
ROTATION, SHUT_OUT, CHOSEN = "encoder.rotation", "encoder.mask", "head.choice"
NO_END = -1  # no token ends a text
_COMPARISONS = frozenset({"lt", "gt", "le", "ge", "__invert__", "bitwise_not", "logical_not"})


class MedasrSites(SitesByParameter):
    """The module whose parameter is used, or what the program does after it."""

    def __init__(self, model: Medasr) -> None:
        super().__init__(model, INPUT)

    def between(self, op: str) -> str:
        """Of what has no parameter."""
        if op == "argmax" or self._at == CHOSEN:
            self._at = CHOSEN
            return CHOSEN
        if self._at in {INPUT, ENCODED, HEAD}:
            return self._at
        if op in _COMPARISONS and self._at == "encoder.subsampler.dense_1":
            return SHUT_OUT
        if self._at == "encoder.subsampler.dense_1":
            return ROTATION
        if self._at.startswith("encoder.subsampler"):
            return f"{self._at}.{op}"
        return f"{self._at.rpartition('.')[0]}.{PARTS.get(op, op)}"


class MedasrSubject(Watchable):
    """A MedASR with the listener that runs it."""

    end = NO_END
    timestamps = False

    def __init__(
        self, folder: Path, dtype: torch.dtype, device: torch.device, *, wide: bool = False, own_way: bool = False
    ) -> None:
        """As `WhisperSubject`."""
        self.folder, self.device, self.dtype, self.wide = folder, device, dtype, wide
        model = load_medasr(folder, dtype, device)
        if device == CPU and not own_way:
            model.to(torch.float64 if wide else dtype)
        self.model: Medasr = model
        self.config = model.config
        self.tokenizer = MedasrTokenizer.from_folder(folder, model.config.blank)
        with Pretend() if device == CPU and not own_way else nullcontext():
            self.listener = Listener(model, self.tokenizer)

    @property
    def special(self) -> dict[int, str]:
        """Names of the tokens that stand for no text."""
        names = ((at, self.tokenizer.codec.id_to_token(at)) for at in range(self.config.vocab_size))
        return {at: name or f"<{at}>" for at, name in names if not self.tokenizer.spelled(at)}

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of steps."""
        steps = Steps(np.array(tokens, np.int64), np.zeros(len(tokens), np.float32))
        return self.tokenizer.decode(token.id for token in collapse(steps, self.config.blank))

    def work(self, clips: list[Clip], mark: Mark = nobody, steps: int | None = None) -> list[Said]:  # noqa: ARG002
        """Hear all clips as one batch, as transcription does; there are no steps to stop after."""
        mark("encoder", tuple(range(len(clips))))
        listener, mels = self.listener, [clip.features.T for clip in clips]  # (T, M)
        counts = [self.config.steps(len(mel)) for mel in mels]
        with listener.at_work():
            if listener.device == CPU:  # each alone
                alone = zip(mels, counts, strict=True)
                return [self._said(likeliest(listener.run([mel], len(mel)), [count])[0]) for mel, count in alone]
            logits = listener.run(mels, lasr.frames(WIDTH))
            own = counts + [0] * (len(logits) - len(clips))
            rows = [[at] * count + [-1] * (logits.shape[1] - count) for at, count in enumerate(own)]
            mark("choice", tuple(owner for row in rows for owner in row))
            return [self._said(item) for item in likeliest(logits, own)[: len(clips)]]

    def _said(self, steps: Steps) -> Said:
        tokens = tuple(steps.ids.tolist())
        return Said(tokens, self.decode(tokens))

    def sites(self) -> MedasrSites:
        """Names of the places, for one run."""
        return MedasrSites(self.model)


def features(samples: Tensor, at: int, n_mels: int) -> Tensor:
    """The clip of number `at` from samples (S,): features (M, T) of the seconds that are its turn."""
    count = round(SECONDS[at % len(SECONDS)] * SAMPLE_RATE)
    return lasr.log_mel(torch.nn.functional.pad(samples[:count], (0, max(0, count - len(samples)))), n_mels).T
