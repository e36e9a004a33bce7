"""A run over recordings: what is left out, what is shown meanwhile, what is logged, and what is told at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim.cli.inputs import Item
from literatim.cli.output import Output
from literatim.cli.progress import Progress
from literatim.cli.run_log import RunLog
from literatim.cli.summary import Ended, Summary, columns_of
from literatim.errors import AudioError, OptionError
from literatim.options import RunOptions
from literatim.types import Segment

if TYPE_CHECKING:
    from literatim.api import Outcome, Recognizer
    from literatim.fleet import Fleet


@dataclass
class Run:
    """Recordings on their way to text. `begin` comes before the model is loaded, `go` after."""

    items: list[Item]
    output: Output
    options: RunOptions
    log: RunLog
    skipped: int = 0
    ended: list[Ended] = field(default_factory=list)

    @classmethod
    def begin(cls, items: list[Item], output: Output, options: RunOptions) -> Run:
        """What is to be done. Raises OptionError or LiteratimError for what could not be written."""
        if options.skip_existing and output.folder is None:
            raise OptionError("skip_existing looks for files that were written; give --output_dir or --output_format")
        output.prepare(items)
        left = [item for item in items if not (options.skip_existing and _written(output.files(item)))]
        run = cls(left, output, options, RunLog(options.log_file), skipped=len(items) - len(left))
        if run.skipped:
            click.echo(f"{run.skipped} of {len(items)} recordings are written already", err=True)
        return run

    def go(self, recognizer: Recognizer | Fleet, options: dict[str, Any], about: dict[str, Any]) -> int:
        """Transcribe them all; `about` is for the log. Returns how many failed.

        Raises OptionError for an output that this kind of model has not.
        """
        self.output = self.output.of(recognizer.model_type)
        self.log.write("begin", **about, recordings=len(self.items) + self.skipped, skipped=self.skipped)
        progress = Progress([item.bytes for item in self.items], sys.stderr)
        started: dict[int, float] = {}

        def begun(index: int) -> str:
            started[index] = time.monotonic()
            progress.begun(index)
            return self.items[index].path

        why = "interrupted"
        try:
            for outcome in self._outcomes(recognizer, begun, progress, options):
                with progress.hidden():
                    progress.ended(outcome.index)
                    self._take(outcome, time.monotonic() - started[outcome.index])
                if outcome.error is not None and not self.options.continue_on_error:
                    break
            why = ""
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise
        finally:
            progress.erase()
            self._close(progress.seconds, why)
        return sum(bool(item.error) for item in self.ended)

    def _outcomes(
        self, recognizer: Recognizer | Fleet, begun: Callable[[int], str], progress: Progress, options: dict[str, Any]
    ) -> Iterator[Outcome]:
        if self.output.streams:
            yield _streamed(recognizer, begun(0), progress, options, self.output)  # type: ignore[arg-type]  # one: no fleet
            return
        paths = (begun(index) for index in range(len(self.items)))
        yield from recognizer.transcribe_many(paths, progress_callback=progress.update, **options)

    def _take(self, outcome: Outcome, seconds: float) -> None:
        item, transcript, error = self.items[outcome.index], outcome.transcript, outcome.error
        figures: dict[str, Any] = {"file": item.path, "seconds": round(seconds, 3)}
        if transcript is None:
            self.ended.append(Ended(item.path, error=str(error)))
            click.echo(f"Skipping {item.path}: {self.ended[-1].reason}", err=True)
            self.log.write("failed", **figures, error=type(error).__name__, message=str(error))
            return
        self.output.show(item, transcript)
        self.ended.append(Ended(item.path, transcript.duration, transcript.language))
        self.log.write(
            "done",
            **figures,
            duration=transcript.duration,
            language=transcript.language,
            language_probability=transcript.language_probability,
            segments=len(transcript.segments),
            characters=len(transcript.text),
            warnings=list(transcript.warnings),
            wrote=[str(path) for path in self.output.files(item)],
        )

    def _close(self, seconds: float, why: str) -> None:
        asked = len(self.items) + self.skipped
        if self.output.titled and not self.output.as_json and (self.output.verbose or self.output.folder is not None):
            summary = Summary(asked, self.skipped, tuple(self.ended), seconds)
            for line in ("", *summary.lines(columns_of(sys.stderr))):
                click.echo(line, err=True)
        left = len(self.items) - len(self.ended)
        if left and self.output.folder is not None:
            click.echo("the same command with --skip_existing goes on from here", err=True)
        failed = sum(bool(item.error) for item in self.ended)
        figures = {"done": len(self.ended) - failed, "failed": failed, "skipped": self.skipped, "left": left}
        self.log.write("end", **figures, seconds=round(seconds, 3), stopped_by=why)
        self.log.close()


def _written(files: list[Path]) -> bool:
    return all(path.is_file() for path in files)


def _streamed(
    recognizer: Recognizer, path: str, progress: Progress, options: dict[str, Any], output: Output
) -> Outcome:
    """One recording, each segment printed as soon as it is ready."""
    from literatim.api import Outcome

    def show(segment: Segment) -> None:
        with progress.hidden():
            output.show_segment(segment)

    try:
        transcript = recognizer.transcribe(path, on_segment=show, progress_callback=progress.update, **options)
    except AudioError as error:
        return Outcome(0, None, error)
    return Outcome(0, transcript)
