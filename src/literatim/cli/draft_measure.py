"""`literatim draft measure`: how well a draft foretells a model, and what it is worth here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim import device as devices
from literatim.cli.bench_common import JSON, OUT, deliver, show, skipped
from literatim.cli.flags import chosen, flags
from literatim.cli.recognizer import load
from literatim.errors import AudioError, AudioNotFound
from literatim.options import HubOptions

if TYPE_CHECKING:
    from torch import Tensor

    from literatim.bench.table import Table


@click.command()
@click.argument("audio", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", required=True, help="The model that decides: short name, Hugging Face id, folder or demo.")
@click.option("--assistant", required=True, help="The draft: a name or a folder.")
@click.option("--language", help="Of the recordings [default: found in each].")
@click.option("--without-timestamps", is_flag=True, help="Decode text only.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, npu, mps or xpu, with an index.")
@click.option("--dtype", default="auto", show_default=True, help="Numbers of the weights of both.")
@JSON
@OUT
@flags(HubOptions)
def measure(audio: tuple[Path, ...], out: Path | None, as_json: bool, **values: Any) -> None:
    """How much of what a model says in recordings a draft foretells.

    AUDIO are recordings, or folders of them. "foretold" is the share of the model's own tokens that are the draft's
    likeliest, those before being given; "accepted" is the share of proposals that are right, those before them in their
    round being right. The speed-up is that of one recording at a time here, from the times of rounds that were run.
    """
    devices.import_torch()
    from literatim.declare import build
    from literatim.options import TranscribeOptions
    from literatim.train import acceptance

    how = {"device": values["device"], "device_index": None, "dtype": values["dtype"]}
    recognizer = load(values["model"], {**how, "assistant": values["assistant"], **chosen(HubOptions, values)})
    said = {"language": values["language"], "without_timestamps": values["without_timestamps"]}
    files = _Files(audio)
    options = build(TranscribeOptions, {**said, "batch_size": 1})
    clips, seconds = acceptance.measure(recognizer._engine, files.samples(), options)
    if not clips:
        raise AudioNotFound("none of the recordings could be read")
    whole = acceptance.together(clips)
    report = {
        "model": values["model"],
        "assistant": values["assistant"],
        "shares_encoder": recognizer.assistant_remark,
        "device": str(recognizer.device),
        "dtype": str(recognizer.dtype).removeprefix("torch."),
        "threads": devices.threads(),
        "clips": [
            {"file": str(file), **acceptance.figures(clip)} for file, clip in zip(files.read, clips, strict=True)
        ],
        "all": acceptance.figures(whole),
        "round_ms": {str(count): round(1000 * time, 3) for count, time in seconds.items()},
        "speed_up": acceptance.speed_ups(whole, seconds),
    }
    for table in _tables(report):
        show(table)
    deliver(report, out, as_json)
    raise click.exceptions.Exit(1 if files.failed else 0)


class _Files:
    """The recordings of the command line: those read so far, and how many could not be."""

    def __init__(self, given: tuple[Path, ...]) -> None:
        inside = [
            sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path] for path in given
        ]
        self._paths = [file for files in inside for file in files]
        self.read: list[Path] = []
        self.failed = 0

    def samples(self) -> Iterator[Tensor]:
        """Each as (S,), all its channels mixed."""
        import torch

        from literatim.audio.decode import decode

        for path in self._paths:
            try:
                found = decode(path)
            except AudioError as error:
                skipped(path, error)
                self.failed += 1
                continue
            self.read.append(path)
            yield torch.from_numpy(found.samples[0])


def _tables(report: dict[str, Any]) -> list[Table]:
    from literatim.bench.table import Table, percent

    def row(name: str, item: dict[str, Any]) -> tuple[str, ...]:
        counts = str(item["windows"]), str(item["tokens"])
        return (name, *counts, percent(item["foretold"]), percent(item["acceptance"]))

    clips = [row(Path(item["file"]).name, item) for item in report["clips"]]
    title = f"{report['assistant']} beside {report['model']}"
    accepted = Table(
        title, ("recording", "windows", "tokens", "foretold", "accepted"), (*clips, row("all", report["all"]))
    )
    given = report["all"]["tokens_per_round"]
    rounds = [
        (count, f"{tokens:.2f}", *(f"{found[count]:.2f}" if count in found else "" for found in _timed(report)))
        for count, tokens in {"0": 1.0, **given}.items()
    ]
    where = f"one recording at a time, {report['device']}, {report['dtype']}, {report['threads']} threads"
    speed = Table(where, ("proposals", "tokens a round", "round, ms", "speed-up"), tuple(rounds), texts=0)
    return [accepted, speed]


def _timed(report: dict[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    return report["round_ms"], {"0": 1.0, **report["speed_up"]}
