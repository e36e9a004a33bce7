"""`literatim bench`: word error rates and speed."""

from __future__ import annotations

import importlib.util
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim.cli.flags import chosen, flags
from literatim.errors import LiteratimError, OptionError
from literatim.options import HubOptions, LoadOptions

if TYPE_CHECKING:
    from literatim.bench.report import Table
    from literatim.bench.wer import Case

SHAPES = ("tiny", "base", "small", "demo")
PEERS = ("transformers", "faster-whisper", "openvino")
DTYPES = ("float32", "float16", "bfloat16", "int8")


class _Shape(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """One of SHAPES; `micro`, which exists for tests of the command, is not shown."""

    name = "|".join(SHAPES)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in {*SHAPES, "micro"}:
            self.fail(f"{value!r} is unknown; choose one of {', '.join(SHAPES)}", param, ctx)
        return str(value)


class _Names(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Names separated by commas, each one of a few."""

    name = "names"

    def __init__(self, known: tuple[str, ...], empty: str | None = None) -> None:
        self._known, self._empty = known, empty

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if value == self._empty:
            return ()
        names = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
        for name in names:
            if name not in self._known:
                self.fail(f"{name!r} is unknown; choose some of {', '.join(self._known)}", param, ctx)
        return names


class _Sizes(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Positive whole numbers separated by commas."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        parts = [part.strip() for part in value.split(",")]
        if not all(part.isdecimal() and int(part) for part in parts):
            self.fail(f"{value!r} is not a list of positive numbers such as 1,8", param, ctx)
        return tuple(dict.fromkeys(int(part) for part in parts))


_OUT = click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the report (JSON) there.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on standard output.")


@click.group()
def bench() -> None:
    """Measure word error rates and speed; tables go to standard error."""


@bench.command()
@click.argument("audio", nargs=-1, type=click.Path(path_type=Path))
@click.option("--model", help="Short name, Hugging Face id, folder or demo [default: demo for the bundled recordings].")
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Words of an AUDIO, in its order [default: NAME.txt, else NAME.json with the key text, beside it].",
)
@click.option(
    "--normalizer",
    type=click.Choice(("english", "basic", "none", "all")),
    default="all",
    show_default=True,
    help="What is done to both texts before they are compared.",
)
@click.option("--language", help="Language spoken, code or English name [default: detected].")
@_JSON
@_OUT
@flags(LoadOptions, HubOptions)
def wer(audio: tuple[Path, ...], model: str | None, **values: Any) -> None:
    """Word and character error rates on AUDIO files whose words are known, or on the bundled recordings.

    RTFx is seconds of sound by seconds of work, reading the file included. Exit code 1 if a file could not be read.
    """
    from literatim import hub
    from literatim.api import load
    from literatim.bench import report, wer
    from literatim.options import build

    if not audio and values["references"]:
        raise OptionError("--reference needs the AUDIO it belongs to")
    name = model or ("demo" if not audio else hub.default_model())
    where = chosen(HubOptions, values)
    folder = hub.resolve(name, build(HubOptions, where))
    mapping = wer.spelling(folder)
    rules = wer.normalizers(values["normalizer"], mapping)
    wer.count("", "")  # a missing package shows now, not after an hour of work
    cases, failed = _cases(audio, values["references"])
    recognizer = load(name, **where, **chosen(LoadOptions, values))
    options = {"language": values["language"]}
    wer.warm_up(recognizer, options)
    results = []
    for outcome in wer.run(recognizer, cases, rules, options):
        if isinstance(outcome, wer.Failure):
            _skipped(outcome.case.audio, outcome.error)
            failed += 1
        else:
            results.append(outcome)
    found = wer.summary(name, recognizer, results, {"normalizer": values["normalizer"], "spellings": len(mapping)})
    if results:
        _show(report.wer_table(found))
    _deliver(found, values["out"], values["as_json"])
    raise click.exceptions.Exit(1 if failed else 0)


def _cases(audio: tuple[Path, ...], references: tuple[Path, ...]) -> tuple[list[Case], int]:
    """Recordings with their references, and how many recordings have none."""
    from literatim import demo
    from literatim.bench.wer import Case, beside

    if not audio:
        found = [file for file in demo.recordings() if file.with_suffix(".json").is_file()]
        if not found:
            raise OptionError("this installation has no bundled recordings; name an AUDIO")
        return [Case(file, file.with_suffix(".json")) for file in found], 0
    if references:
        if len(references) != len(audio):
            raise OptionError(f"{len(audio)} AUDIO and {len(references)} --reference; give one for each, in order")
        return [Case(*pair) for pair in zip(audio, references, strict=True)], 0
    cases = []
    for file in audio:
        try:
            cases.append(Case(file, beside(file)))
        except LiteratimError as error:
            _skipped(file, error)
    return cases, len(audio) - len(cases)


@bench.command()
@click.option("--shape", type=_Shape(), default="tiny", show_default=True, help="Size of the model; demo: the bundled.")
@click.option("--batch", type=_Sizes(), default="1,8", show_default=True, help="Windows decoded together.")
@click.option(
    "--dtype", type=_Names(DTYPES), default="float32,bfloat16,int8", show_default=True, help="Of all runners."
)
@click.option("--peers", type=_Names(PEERS, "none"), default=",".join(PEERS), show_default=True, help="Or none.")
@click.option("--tokens", type=click.IntRange(1), default=100, show_default=True, help="New tokens of each window.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Rounds; medians are shown.")
@click.option("--seconds", type=click.FloatRange(0), help="Begin no new round after so long; one is always made.")
@click.option("--threads", type=click.IntRange(1), help="Threads of every runner [default: all cores].")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, npu, mps or xpu.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random weights and the sound.")
@_JSON
@_OUT
def speed(out: Path | None, as_json: bool, **values: Any) -> None:
    """Time a window beside the peers: same weights, sound, threads and number of tokens, by turns in one run.

    Weights are random in the shape of a released model, except for demo. With --out FILE.json a drawing FILE.svg is
    made beside it. Exit code 1 if transformers says other tokens than literatim in float32.
    """
    from literatim.bench import report
    from literatim.bench import speed as runner
    from literatim.bench.needs import quiet_transformers

    plan = runner.Plan(
        shape=values["shape"],
        batches=values["batch"],
        dtypes=values["dtype"],
        peers=values["peers"],
        **{name: values[name] for name in ("tokens", "repeats", "seconds", "threads", "device", "seed")},
    )
    # peers print; standard output is for the report alone
    with redirect_stdout(sys.stderr), quiet_transformers():
        found = runner.run(plan, lambda text: click.echo(text, err=True))
    _show(report.speed_table(found))
    _deliver(found, out, as_json)
    if out is not None:
        _draw(found, out.with_suffix(".svg"))
    failures = runner.differing(found)
    for sentence in failures:
        click.echo(sentence, err=True)
    raise click.exceptions.Exit(1 if failures else 0)


def _draw(found: dict[str, Any], path: Path) -> None:
    from literatim.bench import report

    if importlib.util.find_spec("matplotlib") is None:
        click.echo("no drawing was made: it needs matplotlib (pip install 'literatim[bench]')", err=True)
        return
    report.draw(found, path)
    click.echo(f"wrote {path}", err=True)


def _deliver(found: dict[str, Any], out: Path | None, as_json: bool) -> None:
    from literatim.bench import report

    if out is not None:
        report.save(found, out)
        click.echo(f"wrote {out}", err=True)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))


def _show(table: Table) -> None:
    """With rich on a terminal where it is installed, else plain: rich would wrap to 80 columns in a file."""
    if importlib.util.find_spec("rich") is None or not sys.stderr.isatty():
        click.echo(table.plain(), err=True)
        return
    from rich.console import Console
    from rich.table import Table as RichTable

    drawn = RichTable(title=table.title, title_justify="left")
    for at, name in enumerate(table.columns):
        drawn.add_column(name, justify="left" if at < table.texts else "right")
    for row in table.rows:
        drawn.add_row(*row)
    console = Console(file=sys.stderr, markup=False, highlight=False)
    console.print(drawn)
    for note in table.notes:
        console.print(note)


def _skipped(file: Path, error: LiteratimError) -> None:
    click.echo(f"Skipping {file}: {error}", err=True)
