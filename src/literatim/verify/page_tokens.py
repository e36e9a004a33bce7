"""Tokens side by side on the page: those that differ are marked, with what tells a tie from a fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from html import escape

from literatim.verify.types import Drafted, EndToEnd, TokenFigures


def tokens(runs: Sequence[EndToEnd | Drafted]) -> Iterator[str]:
    """For each reference: the clips whose tokens differ, then the others, folded up."""
    for run in runs:
        if not run.tokens:
            continue
        apart = [item for item in run.tokens if item.first_difference is not None]
        alike = [item for item in run.tokens if item.first_difference is None]
        yield f"<h2>Tokens, against {escape(run.against)}</h2>"
        if isinstance(run, Drafted):
            yield f"<p>{run.accepted} of {run.proposed} proposed tokens were right.</p>"
        for item in apart:
            yield _apart(item)
        count = f"{len(alike)} of {len(run.tokens)} clips are the same, token by token"
        yield f"<details{'' if apart else ' open'}><summary>{count}</summary>"
        for item in alike:
            yield f'<div class="clip"><p class="who">{escape(item.clip)}, {len(item.reference)} tokens</p>'
            yield f"<p>{escape(item.reference_text)}</p></div>"
        yield "</details>"


def _apart(item: TokenFigures) -> str:
    mine, theirs = _marked(item.reference, item.device, item.pieces)
    kind = "tie" if item.tie else "fail"
    return (
        f'<div class="clip {kind}"><p class="who">{escape(item.clip)}: {escape(_why(item))}</p>'
        f'<p><span class="who">reference</span> {mine}</p><p><span class="who">device</span> {theirs}</p></div>'
    )


def _why(item: TokenFigures) -> str:
    """What is known of the first difference, in words."""
    where = f"they part at token {item.first_difference}"
    if item.margin is None:
        return f"{where}, where the rules forbid the device's token or no logits were kept: no tie"
    noise = "not known" if item.noise is None else f"{item.noise:.2g}"
    verdict = "a tie, either is right" if item.tie else "no tie"
    ahead = f"ahead by {item.margin:.2g}" if item.margin >= 0 else f"{-item.margin:.2g} behind, so that a rule decided"
    return f"{where}; the reference's is {ahead}, rounding moves a logit by up to {noise}: {verdict}"


def _marked(reference: Sequence[int], device: Sequence[int], pieces: Mapping[int, str]) -> tuple[str, str]:
    """Both texts with the tokens that are not in the other one marked."""
    sides: tuple[list[str], list[str]] = ([], [])
    matcher = SequenceMatcher(None, reference, device, autojunk=False)
    for what, first, last, begin, end in matcher.get_opcodes():
        for side, ids in zip(sides, (reference[first:last], device[begin:end]), strict=True):
            text = escape("".join(pieces.get(token) or f"<{token}>" for token in ids))
            side.append(text if what == "equal" or not text else f"<mark>{text}</mark>")
    return "".join(sides[0]), "".join(sides[1])
