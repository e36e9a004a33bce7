"""Greedy tokens of the device beside the reference's: where they part, and whether that is a tie or a fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from literatim.verify.types import TokenFigures

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Judge:
    """Weighs two tokens at one position: by the fp64 logits and by how much the expected rounding moves them.

    `truth` and `floor` are logits (K, V) of the reference in fp64 and of the same dtype on the CPU, at the positions
    that choose the tokens 0 to K - 1; in `truth` what the rules forbid is -inf. `widened` is how many times the floor's
    noise the device may make, where a coarser grade than the dtype's own is expected of it.
    """

    truth: Tensor
    floor: Tensor
    widened: float = 1.0

    def margin(self, at: int, reference: int, device: int) -> float | None:
        """How far the device's token is below the reference's; None where the rules forbid it, or it is beyond K."""
        if at >= len(self.truth):
            return None
        gap = float(self.truth[at, reference].double() - self.truth[at, device].double())
        return gap if abs(gap) < float("inf") else None

    def noise(self, at: int) -> float | None:
        """The largest change of an allowed logit at this position, without what is common to all."""
        if at >= len(self.truth):
            return None
        allowed = self.truth[at].isfinite() & self.floor[at].isfinite()
        change = (self.floor[at].double() - self.truth[at].double())[allowed]
        return self.widened * float((change - change.mean()).abs().max()) if len(change) else None


def compare(
    clip: str,
    reference: Sequence[int],
    device: Sequence[int],
    *,
    end: int,
    decode: Decode,
    special: Mapping[int, str] | None = None,
    judge: Judge | None = None,
    truth: str | None = None,
) -> TokenFigures:
    """One clip's tokens, without prompt; `end` stands for what follows the shorter, `truth` is what was said.

    `decode` makes text of tokens; `special` names those that are no text.

    They part in a tie where the margin is at most twice the noise: each of two logits may move by so much. Without a
    judge, or where the device's token is forbidden, it is no tie; nor where logits to which no rules were applied have
    the device's token far above the reference's, since it was a rule that decided then.
    """
    at = first_difference(reference, device)
    margin = noise = None
    if at is not None and judge is not None:
        margin = judge.margin(at, *(ids[at] if at < len(ids) else end for ids in (reference, device)))
        noise = judge.noise(at)
    texts, names = (decode(reference).strip(), decode(device).strip()), special or {}
    return TokenFigures(
        clip=clip,
        reference=tuple(reference),
        device=tuple(device),
        reference_text=texts[0],
        device_text=texts[1],
        first_difference=at,
        margin=margin,
        noise=noise,
        tie=margin is not None and noise is not None and abs(margin) <= 2 * noise,
        wer=word_error_rate(*texts),
        truth=truth,
        truth_wer=_both(truth, texts),
        pieces={token: decode([token]) or names.get(token, "") for token in (*reference, *device)},
    )


def first_difference(reference: Sequence[int], device: Sequence[int]) -> int | None:
    """The first index at which they differ, which may be the length of the shorter; None where they are equal."""
    for at, (mine, theirs) in enumerate(zip(reference, device, strict=False)):
        if mine != theirs:
            return at
    return None if len(reference) == len(device) else min(len(reference), len(device))


def word_error_rate(reference: str, heard: str) -> float | None:
    """Words replaced, left out or put in, by words of the reference; texts are compared as they are.

    None where the reference has no word and something was heard.
    """
    words, said = reference.split(), heard.split()
    if not words:
        return None if said else 0.0
    return edits(words, said) / len(words)


def edits(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Levenshtein's distance: the fewest replacements, deletions and insertions."""
    row = list(range(len(heard) + 1))
    for count, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], count
        for at, other in enumerate(heard, 1):
            diagonal, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, diagonal + (word != other))
    return row[-1]


def without_regression(clips: Sequence[TokenFigures]) -> float | None:
    """The share of clips whose words are known in which the device makes no more errors than the reference."""
    known = [clip.truth_wer for clip in clips if clip.truth_wer is not None]
    return sum(device <= reference for device, reference in known) / len(known) if known else None


def _both(truth: str | None, texts: tuple[str, str]) -> tuple[float, float] | None:
    """Word error rates of the device and of the reference against what was said."""
    if truth is None:
        return None
    reference, device = (word_error_rate(truth, text) for text in texts)
    return None if reference is None or device is None else (device, reference)
