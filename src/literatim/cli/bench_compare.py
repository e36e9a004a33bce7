"""`literatim bench compare`: two reports beside each other."""

from __future__ import annotations

from pathlib import Path

import click

from literatim.cli.bench_common import JSON, OUT, deliver, show


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--fail-above",
    "--fail_above",
    type=click.FloatRange(0, min_open=True),
    help="Exit code 1 where the interval of B/A (time, or errors) lies wholly above this.",
)
@click.option("--worst", type=click.IntRange(0), default=10, show_default=True, help="Recordings shown that changed.")
@JSON
@OUT
def compare(a: Path, b: Path, fail_above: float | None, worst: int, out: Path | None, as_json: bool) -> None:
    """Compare two reports of `bench speed --out`, or two of `bench wer --out`: what B does beside A.

    Rows of speed are matched by runner, setting, dtype, batch and tokens, recordings by their id. What was made
    differently (machine, software, settings, model) is said. Exit code 2 where nothing can be compared.
    """
    from literatim.bench import compare_speed, compare_wer
    from literatim.bench.compare import read_report, same_kind

    first, second = read_report(a), read_report(b)
    if same_kind(first, second) == "speed":
        found = compare_speed.compare_speed(first, second, limit=fail_above)
        tables = [compare_speed.speed_table(found)]
    else:
        found = compare_wer.compare_wer(first, second, worst=worst, limit=fail_above)
        tables = compare_wer.wer_tables(found)
    for table in tables:
        show(table)
    for sentence in found["above"]:
        click.echo(sentence, err=True)
    deliver(found, out, as_json)
    raise click.exceptions.Exit(1 if found["above"] else 0)
