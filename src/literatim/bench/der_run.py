"""Diarization error rates of a network for voices on recordings whose turns are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from literatim.bench.der import Errors, errors
from literatim.bench.table import Table, percent
from literatim.bench.turns_known import Known
from literatim.errors import AudioError
from literatim.provenance.fingerprint import fingerprint
from literatim.provenance.model_hash import model_hash
from literatim.types import Diarization

if TYPE_CHECKING:
    from literatim.voices import SpeakerModel

COLLARS = (0.0, 0.25)  # seconds beside each edge of the reference that are not scored
_COLUMNS = (
    "recording",
    "length",
    "speakers",
    "found",
    "DER",
    "missed",
    "false alarm",
    "confusion",
    "collar 0.25",
    "RTFx",
)


def run(
    voices: SpeakerModel,
    recordings: Sequence[Known],
    options: Mapping[str, Any],
    known_number: bool,
    tell: Callable[[Known, AudioError | None], None],
) -> tuple[dict[str, Any], dict[str, Diarization]]:
    """The report, and the turns of each recording by its name; one that cannot be read is told and left out.

    With `known_number` each recording is told how many people speak in it.
    """
    files, found, totals = [], {}, {collar: Errors() for collar in COLLARS}
    for known in recordings:
        count = len({turn.speaker for turn in known.turns})
        own = {**options, "num_speakers": count} if known_number and count else dict(options)
        start = perf_counter()
        try:
            turns = voices.diarize(known.audio, **own)
        except AudioError as error:
            tell(known, error)
            continue
        seconds = perf_counter() - start
        tell(known, None)
        found[known.name] = turns
        regions = known.regions or [(0.0, turns.duration)]
        counted = {collar: errors(known.turns, turns.turns, collar, regions) for collar in COLLARS}
        totals = {collar: totals[collar] + counted[collar] for collar in COLLARS}
        files.append(
            {
                "id": known.name,
                "duration": turns.duration,
                "speakers": count,
                "found": len(turns.speakers),
                "seconds": round(seconds, 3),
                **_figures(counted),
            }
        )
    report = {
        "kind": "literatim bench der",
        "model": voices.name,
        "sha256": model_hash(voices.folder)["sha256"],
        "settings": {**options, "known_number": known_number, "overlap": "scored"},
        "files": files,
        "total": {"recordings": len(files), **_figures(totals)},
        "environment": fingerprint(str(voices.device), [str(voices.dtype).removeprefix("torch.")], ()),
    }
    return report, found


def _figures(counted: Mapping[float, Errors]) -> dict[str, Any]:
    return {f"collar_{collar:g}": figures.to_dict() for collar, figures in counted.items()}


def table(report: Mapping[str, Any]) -> Table:
    """A line for each recording, the worst first, and one for all of them."""
    files = sorted(report["files"], key=lambda entry: -(entry["collar_0"]["der"] or 0.0))
    rows = [_row(entry["id"], entry) for entry in files]
    total = report["total"]
    every = {
        **total,
        "duration": sum(entry["duration"] for entry in files),
        "seconds": sum(entry["seconds"] for entry in files),
    }
    rows.append(_row(f"all {total['recordings']}", every))
    notes = (
        "DER: (missed + false alarm + confusion) / time of the reference's speakers, overlap scored (NIST's md-eval).",
        "collar 0.25: without 0.25 s to both sides of each edge of the reference.",
        "RTFx: seconds of sound by seconds of work, reading the file included.",
    )
    return Table(f"Diarization errors, {report['model']}", _COLUMNS, tuple(rows), notes)


def _row(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    figures = entry["collar_0"]
    parts = (
        percent(figures[kind] / figures["scored"] if figures["scored"] else None)
        for kind in ("missed", "false_alarm", "confusion")
    )
    return (
        name,
        f"{entry['duration']:.1f} s",
        str(entry.get("speakers", "")),
        str(entry.get("found", "")),
        percent(figures["der"]),
        *parts,
        percent(entry["collar_0.25"]["der"]),
        f"{entry['duration'] / entry['seconds']:.1f}" if entry["seconds"] else "",
    )
