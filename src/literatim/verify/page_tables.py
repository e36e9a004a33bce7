"""Tables of the page, and the one of all published figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from literatim.verify.end_to_end import TRANSFORMERS
from literatim.verify.tokens import without_regression
from literatim.verify.types import EndToEnd

_TENSOR = {
    "cosine": "cosine",
    "largest absolute error": "max_abs",
    "mean absolute error": "mean_abs",
    "RMSE": "rmse",
    "relative RMS": "relative_rms",
    "largest relative error, all values": "max_relative",
    "mean relative error, all values": "mean_relative",
    "largest relative error, values not small": "max_relative_bounded",
    "mean relative error, values not small": "mean_relative_bounded",
    "worst row, relative RMS": "worst_row",
    "worst channel, relative RMS": "worst_channel",
    "values not finite": "not_finite",
}
_PROBABILITY = {
    "probability, least cosine": "probability_cosine",
    "probability, largest error": "probability_max_abs",
    "KL divergence, mean (nats)": "kl",
    "KL divergence, largest (nats)": "kl_max",
    "same likeliest token, share of positions": "greedy",
    "top-5 tokens in common": "top5",
    "largest shift of all logits alike": "shift",
}
_VECTORS = {
    "vectors": "samples",
    "vectors not finite": "not_finite",
    "relative error, mean": "relative",
    "relative error, largest": "relative_max",
    "cosine, mean": "cosine",
    "cosine, least": "cosine_min",
    "largest absolute error, mean": "max_abs",
    "largest absolute error, largest": "max_abs_max",
    "pairs": "scores_pairs",
    "change of a pair's score, mean": "scores_mean_change",
    "change of a pair's score, largest": "scores_max_change",
    "equal error rate": "scores_eer",
    "equal error rate of the reference": "scores_eer_truth",
}
_FLOOR = "the same dtype there, with the rounding that is granted to the device"
_NOTE = (
    "Relative errors of all values are as published reports have them: values near zero blow them up, hence those of "
    "values that are not small. Without each position's mean logit: a shift of all logits alike changes no probability."
)
_SHARES = {"probability_max_abs", "greedy", "top5", "max_relative", "mean_relative"}
_SHARES |= {"max_relative_bounded", "mean_relative_bounded"}
_SHARES |= {"relative", "relative_max", "scores_eer", "scores_eer_truth"}


def figures(runs: Sequence[EndToEnd]) -> Iterator[str]:
    """For each reference the device's figures, and those of the CPU in the same dtype beside them."""
    for run in runs:
        yield f"<h2>The whole way, against {escape(run.against)}</h2>"
        if run.vectors:
            yield from _vectors(run)
            continue
        noise = run.floor.get("logits", {})
        sides = {
            "encoder": (run.encoder, run.floor.get("encoder", {})),
            "logits": (run.logits.get("raw", {}), noise.get("raw", {})),
            "logits, mean removed": (run.logits.get("centred", {}), noise.get("centred", {})),
        }
        shown = {name: pair for name, pair in sides.items() if pair[0]}
        columns = [column for name in shown for column in (name, "CPU")]
        yield from table(("", *columns), _tensors(list(shown.values())), texts=1)
        yield from table(("", "device", "CPU"), _rows(run), texts=1)
        floor = "transformers in the same dtype" if run.against == TRANSFORMERS else _FLOOR
        yield f'<p class="note">{run.positions} positions; CPU: {floor}. {_NOTE}</p>'


def _vectors(run: EndToEnd) -> Iterator[str]:
    floor = run.floor.get("vectors", {})
    shown = [(name, key) for name, key in _VECTORS.items() if key in run.vectors]
    rows = (row((name, _figure(key, run.vectors[key]), _figure(key, floor.get(key))), 1) for name, key in shown)
    yield from table(("", "device", "CPU"), rows, texts=1)
    yield '<p class="note">CPU: the same dtype there. Relative error: |difference| / |vector|.</p>'


def table(columns: Sequence[str], rows: Iterable[str], texts: int) -> Iterator[str]:
    """A table of rows that `row` made; the first `texts` columns hold text."""
    head = "".join(f'<th scope="col"{_kind(at, texts)}>{escape(name)}</th>' for at, name in enumerate(columns))
    yield f'<div class="wide">\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>'
    yield from rows
    yield "</tbody>\n</table>\n</div>"


def row(values: Sequence[str], texts: int, kind: str = "") -> str:
    """A row of a table; `kind` is its class."""
    cells = "".join(f"<td{_kind(at, texts)}>{escape(value)}</td>" for at, value in enumerate(values))
    return f'<tr class="{kind}">{cells}</tr>' if kind else f"<tr>{cells}</tr>"


def _kind(at: int, texts: int) -> str:
    return ' class="t"' if at < texts else ""


def _tensors(sides: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Iterator[str]:
    for name, key in _TENSOR.items():
        yield row((name, *(_figure(key, found.get(key)) for pair in sides for found in pair)), 1)


def _rows(run: EndToEnd) -> Iterator[str]:
    floor = run.floor.get("logits", {})
    for name, key in _PROBABILITY.items():
        if key in run.logits:
            yield row((name, _figure(key, run.logits[key]), _figure(key, floor.get(key))), 1)
    if run.tokens:
        yield row(("clips with the same tokens, ties granted", _figure("greedy", run.greedy_match), ""), 1)
        yield row(("clips with the same text", f"{_equal(run)} of {len(run.tokens)}", ""), 1)
        yield row(("word error rate against the reference's text", _mean([x.wer for x in run.tokens]), ""), 1)
        known = [item.truth_wer for item in run.tokens if item.truth_wer is not None]
        if known:
            rates = (_mean([device for device, _ in known]), _mean([reference for _, reference in known]))
            yield row(("word error rate against what was said, and the reference's", *rates), 1)
            yield row(("clips without regression", _figure("greedy", without_regression(run.tokens)), ""), 1)


def _figure(key: str, value: Any) -> str:
    """With as many digits as tell something: a cosine by what it lacks to 1."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    if key.startswith("cosine") or key.endswith("cosine"):
        return "1" if value >= 1 else f"1 − {1 - value:.1e}" if value > 0.999 else f"{value:.5f}"
    if key in _SHARES:
        return f"{100 * value:.4g} %" if value >= 1e-4 or value == 0 else f"{100 * value:.1e} %"
    return "0" if value == 0 else f"{value:.3e}"


def _equal(run: EndToEnd) -> int:
    return sum(item.device_text == item.reference_text for item in run.tokens)


def _mean(rates: Sequence[float | None]) -> str:
    known = [rate for rate in rates if rate is not None]
    return f"{100 * sum(known) / len(known):.2f} %" if known else "–"
