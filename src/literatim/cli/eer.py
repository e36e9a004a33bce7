"""`literatim eer`: error rates of a network for voices on a list of trials."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim.cli.bench_common import JSON, OUT, deliver, show
from literatim.cli.embed import VOICES_HELP
from literatim.cli.flags import chosen, flags
from literatim.errors import LiteratimError, OptionError
from literatim.options import HubOptions
from literatim.speaker_options import SpeakerLoadOptions

if TYPE_CHECKING:
    from literatim.bench.table import Table
    from literatim.bench.trials import Trials
    from literatim.voices import SpeakerModel

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("trials", type=_PATH)
@click.option("--model", help=VOICES_HELP)
@click.option("--audio_dir", "--audio-dir", type=_PATH, help="Folder of the recordings [default: that of TRIALS].")
@click.option("--cohort", type=_PATH, help="For AS-Norm: a .npy of vectors, or a folder with a folder a speaker.")
@click.option(
    "--top", type=click.IntRange(2), default=300, show_default=True, help="Of the cohort, the nearest so many."
)
@click.option("--subtract_mean", "--subtract-mean", is_flag=True, help="Take the cohort's mean from all vectors first.")
@click.option(
    "--prior",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="For minDCF: how often a pair is of one speaker; both errors cost 1.",
)
@click.option("--batch_size", "--batch-size", type=click.IntRange(1), default=16, show_default=True, help="At a time.")
@click.option("--vectors", type=_PATH, help="Keep the vectors in this .npz; the next run takes those that are there.")
@click.option("--plot", type=_PATH, help="Draw the scores of both kinds of pairs, and the threshold (.svg, .png).")
@JSON
@OUT
@flags(SpeakerLoadOptions, HubOptions)
def eer(trials: Path, model: str | None, out: Path | None, as_json: bool, **values: Any) -> None:
    """Equal error rate and least detection cost of a network for voices on the pairs of TRIALS.

    A line of TRIALS is `1 a.wav b.wav` (VoxCeleb's; 0 for two speakers) or `a.wav b.wav target` (or nontarget). Lines
    with a score before the last word (`a.wav b.wav 0.71 target`) are summed up as they are, without a model. Trials
    with a recording that cannot be read are left out, and the exit code is then 1.
    """
    from literatim.bench.trials import read_trials, summary

    if values["subtract_mean"] and values["cohort"] is None:
        raise OptionError("--subtract_mean takes the cohort's mean; give --cohort as well")
    _drawable(values["plot"])
    found = read_trials(trials)
    failed, about = 0, dict[str, Any]()
    if found.scores is not None:
        given = [name for name in ("cohort", "vectors", "audio_dir") if values[name] is not None]
        if model is not None or given:
            raise OptionError(f"{trials} has scores already; leave --{(['model'] if model else given)[0]} out")
        scored, limit, normalised = found, values["threshold"], None
        scores = found.scores
    else:
        from literatim.cli.recognizer import load_voices

        voices = load_voices(model, {**chosen(SpeakerLoadOptions, values), **chosen(HubOptions, values)})
        scored, scores, normalised, size, failed = _scored(found, trials, voices, values)
        limit, about = voices.threshold, _about(voices, values, size)
    report = {
        "kind": "eer",
        "trials": {"file": trials.name, "pairs": len(scored.same), "same": int(scored.same.sum())},
        "left_out": {"recordings": failed, "pairs": len(found.same) - len(scored.same)},
        "scores": summary(scores, scored.same, values["prior"], limit),
        "as_norm": None if normalised is None else summary(normalised, scored.same, values["prior"]),
        **about,
    }
    show(_table(report))
    deliver(report, out, as_json)
    if values["plot"] is not None:
        _draw(report, scores if normalised is None else normalised, scored, values["plot"])
    raise click.exceptions.Exit(int(failed > 0))


def _scored(
    found: Trials, file: Path, voices: SpeakerModel, values: dict[str, Any]
) -> tuple[Trials, Any, Any, int, int]:
    """The trials that could be scored, their cosines, the same normalised (None without a cohort).

    Then the size of the cohort, and how many recordings could not be read.
    """
    from literatim.bench import trial_vectors
    from literatim.bench.trials import as_norm, cohort_statistics, cosines, unit
    from literatim.cli.inputs import SUFFIXES

    kept = trial_vectors.Kept.open(values["vectors"], voices.identity.sha256)
    cohort = values["cohort"]
    others = trial_vectors.cohort_files(cohort, SUFFIXES) if cohort is not None and cohort.suffix != ".npy" else {}
    statistics = None if cohort is None or others else trial_vectors.read_cohort(cohort, voices.dimension)
    folder = values["audio_dir"] or file.parent
    files = {name: folder / name for name in found.names}
    failed = _embed(kept, voices, files, values["batch_size"])
    vectors, there = kept.of(found.names, voices.dimension)
    scored = found.among(there)
    if not len(scored.same):
        raise OptionError(f"no trial of {file} could be scored; --audio_dir names the folder that its paths begin in")
    if others:
        beside = trial_vectors.Kept(voices.identity.sha256)
        failed += _embed(beside, voices, others, values["batch_size"])
        statistics = trial_vectors.by_speaker(beside, list(others))
    if statistics is None:
        return scored, cosines(vectors, scored.pairs), None, 0, failed
    mean = statistics.mean(0) if values["subtract_mean"] else 0.0
    moved = unit(vectors - mean)
    scores = cosines(moved, scored.pairs)
    spread = cohort_statistics(moved, statistics - mean, values["top"])
    return scored, scores, as_norm(scores, scored.pairs, spread), len(statistics), failed


def _embed(kept: Any, voices: SpeakerModel, files: dict[str, Path], batch_size: int) -> int:
    """Make what is missing, shown as it goes; how many recordings failed."""
    from literatim.cli.progress import Progress

    names = [name for name in files if name not in kept.found]
    number = {name: at for at, name in enumerate(names)}
    progress, failed = Progress([None] * len(names), sys.stderr), 0

    def told(name: str, error: LiteratimError | None) -> None:
        nonlocal failed
        progress.ended(number[name])
        if error is not None:
            failed += 1
            with progress.hidden():
                click.echo(f"Skipping {name}: {error}", err=True)

    kept.add(voices, files, batch_size, told)
    progress.erase()
    return failed


def _about(voices: SpeakerModel, values: dict[str, Any], cohort: int) -> dict[str, Any]:
    from literatim.provenance.fingerprint import fingerprint

    dtype = str(voices.dtype).removeprefix("torch.")
    beside = {"size": cohort, "top": min(cohort, values["top"]), "subtract_mean": values["subtract_mean"]}
    return {
        "model": {"name": voices.name, "frontend": voices.frontend, "device": str(voices.device), "dtype": dtype},
        "cohort": {"name": values["cohort"].name, **beside} if cohort else None,
        "environment": fingerprint(str(voices.device), [dtype], ("torch", "numpy"), voices.folder),
    }


def _table(report: dict[str, Any]) -> Table:
    from literatim.bench.table import Table, percent

    def row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
        shown = (percent(found["eer"]), *("" if found[key] is None else f"{found[key]:.4f}" for key in _NUMBERS))
        return (name, *shown)

    pairs, left, plain = report["trials"], report["left_out"], report["scores"]
    rows = [row("scores" if "model" not in report else "cosine", plain)]
    if report["as_norm"] is not None:
        beside = report["cohort"]
        rows.append(row(f"AS-Norm, {beside['top']} of {beside['size']}", report["as_norm"]))
    notes = [f"minDCF: {plain['prior']:g} of the pairs of one speaker, both errors cost 1"]
    if "at" in plain:
        at = plain["at"]
        rates = f"refused {percent(at['refused'])} of one speaker, taken {percent(at['taken'])} of two"
        notes.append(f"at the threshold {at['threshold']:.4f}: {rates}")
    if plain["eer"] is None:
        notes.append("no rates: they need pairs of one speaker and pairs of two")
    if left["pairs"]:
        notes.append(f"left out: {left['pairs']} pairs, with {left['recordings']} recordings that cannot be read")
    title = f"{pairs['file']}: {pairs['pairs']} pairs, {pairs['same']} of one speaker"
    return Table(title, ("", "EER", "at score", "minDCF"), tuple(rows), tuple(notes))


_NUMBERS = ("eer_threshold", "min_dcf")


def _drawable(plot: Path | None) -> None:
    """What stands in the way of a drawing is said before the work."""
    from literatim.needs import need

    if plot is None:
        return
    if plot.suffix not in {".svg", ".png", ".pdf"}:
        raise OptionError(f"--plot {plot}: drawings end in .svg, .png or .pdf")
    if not plot.parent.is_dir():
        raise OptionError(f"--plot {plot}: there is no folder {plot.parent}; make it first")
    need("matplotlib", "bench", "a drawing")


def _draw(report: dict[str, Any], scores: Any, scored: Trials, plot: Path) -> None:
    from literatim.bench.table import percent
    from literatim.bench.trials_draw import draw

    found = report["as_norm"] or report["scores"]
    name = report["model"]["name"] if "model" in report else report["trials"]["file"]
    title = f"{name}, {report['trials']['pairs']} pairs" + (
        "" if found["eer"] is None else f": equal error rate {percent(found['eer'])}"
    )
    draw(scores, scored.same, found["eer_threshold"], title, plot)
    click.echo(f"wrote {plot}", err=True)
