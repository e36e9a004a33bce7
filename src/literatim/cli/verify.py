"""`literatim verify`: whether a device computes what it should for a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim import device as devices
from literatim.cli.flags import chosen, flags
from literatim.options import HubOptions, VerifyOptions

if TYPE_CHECKING:
    from literatim.verify.types import Report


@click.command()
@click.argument("model", required=False)
@click.option("--audio", multiple=True, help="Recording, of which the first window counts; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for report.json and report.html.")
@click.option("--baseline", type=click.Path(path_type=Path, exists=True), help="Report of an earlier run to compare.")
@click.option("--self-test", "--self_test", is_flag=True, help="Plant faults on a fake device; count those found.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on standard output.")
@flags(VerifyOptions, HubOptions)
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    model: str | None,
    audio: tuple[str, ...],
    out: Path | None,
    baseline: Path | None,
    self_test: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Prove a device right for MODEL, or show the first operation that is wrong.

    Another process makes the reference, in float64 and in the same dtype on the CPU. The device then runs the same
    windows twice: left to itself, and with the reference's inputs at every operation, so that each one's own error
    shows. Exit code 0: as it should be, with or without warnings; 1: it is not, or is worse than the baseline; 2: it
    could not be run.
    """
    devices.import_torch()
    if self_test:
        ctx.exit(_self_test(model, out, as_json))
    from literatim.verify import report as reports
    from literatim.verify import run
    from literatim.verify.baseline import belongs, compare

    how = {**chosen(VerifyOptions, values), **chosen(HubOptions, values)}
    before = None if baseline is None else reports.load(baseline)
    if run.only_reference(model, audio=audio, **how):
        click.echo(f"wrote the reference to {how['save_golden']}; --golden reads it on the device's host", err=True)
        return
    if before is not None:
        belongs(before, *run.subject_of(model, **how))
    report = run.verify(model, audio=audio, **how)
    _show(report, err=as_json)
    moved = None if before is None else compare(before, report)
    for sentence in () if moved is None else moved.sentences:
        click.echo(f"  {sentence}", err=as_json)
    if out is not None:
        reports.save(report, out, () if moved is None else moved.sentences)
        click.echo(f"wrote {out}", err=True)
    if as_json:
        click.echo(json.dumps(reports.to_dict(report), allow_nan=False))
    ctx.exit(report.verdict.exit_code or int(moved is not None and bool(moved.worse)))


def _self_test(model: str | None, out: Path | None, as_json: bool) -> int:
    """The exit code of the self-test, on the bundled model unless another one is named."""
    from literatim.verify.planted import selftest

    found = selftest.run(model or "demo", out, progress=lambda text: click.echo(text, err=True))
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
    return 0 if found["passed"] else 1


def _show(report: Report, err: bool) -> None:
    """The verdict and what it rests on; on standard error where JSON goes to standard output."""
    found, say = report.verdict, partial(click.echo, err=err)
    for line in _lines(report):
        say(line)
    for suspect in found.suspects:
        say(f"  suspect: {suspect.module} ({suspect.op}): {suspect.evidence}")
    said = {suspect.evidence for suspect in found.suspects}
    for reason in found.reasons:
        if not any(evidence in reason for evidence in said):
            say(f"  {reason}")
    say(f"{report.model} on {report.device}, {report.dtype}: {found.status}")


def _lines(report: Report) -> Iterator[str]:
    worst = max(report.modules, key=lambda item: item.ratio)
    calls = sum(item.calls for item in report.modules)
    yield f"{len(report.modules)} places, {calls} operations"
    yield f"the worst is {worst.name}: {worst.ratio:.2g} times the CPU's error"
    for item in report.end_to_end:
        if item.vectors:
            yield f"against {item.against}: {_vectors(item.vectors)}"
            continue
        same = sum(token.same for token in item.tokens)
        cosine, largest = item.logits["raw"]["cosine"], item.logits["raw"]["max_abs"]
        figures = f"logits cosine {cosine:.8f}, largest difference {largest:.2g}"
        yield f"against {item.against}: {figures}; the same tokens in {same} of {len(item.tokens)} clips"
    for run in report.drafted:
        same = sum(token.same for token in run.tokens)
        took = f"{run.accepted} of {run.proposed} proposals right"
        yield f"against {run.against}: {took}; the same tokens in {same} of {len(run.tokens)} clips"


def _vectors(found: Mapping[str, Any]) -> str:
    """What became of a network's vectors, in a line."""
    if "cosine_min" not in found:
        return f"none of {found['samples']} vectors is finite"
    told = f"{found['samples']} vectors, least cosine {found['cosine_min']:.8f}"
    told += f", largest relative error {100 * found['relative_max']:.2g} %"
    if found.get("scores_eer") is None:
        return told
    change = f"scores of {found['scores_pairs']} pairs change by {found['scores_max_change']:.2g} at most"
    return f"{told}; {change}, the equal error rate by {100 * (found['scores_eer'] - found['scores_eer_truth']):.2g} %"
