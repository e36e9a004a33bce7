"""How long after a word's end its text is there, when a recording is played to the model as if it were live.

The clock is the recording's: sound comes in as it was spoken, in pieces of a tenth of a second, and hearing takes the
time that it takes on this machine; what has come in meanwhile is heard together. Nobody waits for the sound to play.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from literatim.api import Recognizer
from literatim.audio.decode import SAMPLE_RATE, decode
from literatim.bench.table import Table, percent
from literatim.bench.wer import beside, count
from literatim.errors import OptionError
from literatim.provenance.fingerprint import fingerprint
from literatim.types import LiveUpdate

PIECE = 0.1  # seconds


@dataclass(frozen=True)
class Spoken:
    """A word of a reference and when it began and ended, in seconds."""

    word: str
    start: float
    end: float


@dataclass
class Delays:
    """Seconds from the end of a word to its text: in any form, as two hearings agreed on, and final."""

    shown: list[float] = field(default_factory=list)
    agreed: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    heard: int = 0
    spoken: int = 0
    seconds: float = 0.0
    work: float = 0.0
    errors: dict[str, int] = field(default_factory=lambda: {"live": 0, "offline": 0})

    def to_dict(self) -> dict[str, Any]:
        """Medians, 95th percentiles and word error rates."""
        forms = {"shown": self.shown, "agreed": self.agreed, "final": self.final}
        return {
            "words": self.spoken,
            "words_heard_right": self.heard,
            "seconds": round(self.seconds, 3),
            "work_share": self.work / self.seconds,
            **{f"wer_{name}": found / self.spoken for name, found in self.errors.items()},
            **{
                name: {f"p{level}": float(np.percentile(values, level)) for level in (50, 95)}
                for name, values in forms.items()
                if values
            },
        }


def run(recognizer: Recognizer, files: Sequence[Path], steps: Sequence[float], tell: Callable[[str], None]) -> Any:
    """The report: for each step the delays over all words of all recordings, whose JSON must have word times."""
    found = []
    recordings = [(decode(path).samples[0], *spoken(beside(path)), path) for path in files]
    _warm_up(recognizer, recordings[0][0])
    for step in steps:
        delays = Delays()
        for samples, words, language, path in recordings:
            tell(f"{path.name}, heard every {step:g} s")
            _play(recognizer, samples, words, {"language": language, "live_step": step}, delays)
        found.append({"live_step": step, **delays.to_dict()})
    return {
        "kind": "literatim bench live",
        "model": recognizer.name,
        "assistant": recognizer.assistant,
        "files": [path.name for path in files],
        "piece": PIECE,
        "results": found,
        "environment": fingerprint(str(recognizer.device), [str(recognizer.dtype).removeprefix("torch.")], ()),
    }


def table(report: dict[str, Any]) -> Table:
    """A line for each step."""
    columns = ("heard every", "shown p50", "p95", "agreed p50", "p95", "final p50", "p95", "WER", "offline", "work")
    rows = []
    for found in report["results"]:
        times = [f"{found[form][f'p{level}']:.2f} s" for form in ("shown", "agreed", "final") for level in (50, 95)]
        rates = [percent(found["wer_live"]), percent(found["wer_offline"]), percent(found["work_share"])]
        rows.append((f"{found['live_step']:g} s", *times, *rates))
    notes = (
        "From the end of a word to its text on the screen, to what two hearings agree on, and to what is final.",
        "offline: word error rate of the whole recording, not live; work: time of hearing by time of sound.",
    )
    return Table(f"{report['model']}, live", columns, tuple(rows), notes)


def _warm_up(recognizer: Recognizer, samples: Any) -> None:
    live = recognizer.live()
    for _ in live.listen([samples[: 3 * SAMPLE_RATE]]):
        pass


def spoken(path: Path) -> tuple[list[Spoken], str]:
    """The words of a reference with their times, and its language. Raises OptionError."""
    try:
        content = json.loads(path.read_text("utf-8"))
        words = [word for segment in content["segments"] for word in segment["words"]]
        return [Spoken(str(word["word"]).strip(), float(word["start"]), float(word["end"])) for word in words], content[
            "language"
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise OptionError(f"{path} has no words with times; a JSON in openai/whisper's schema is needed") from error


def _play(recognizer: Recognizer, samples: Any, words: list[Spoken], options: dict[str, Any], into: Delays) -> None:
    shown: dict[str, list[float]] = {"shown": [], "agreed": [], "final": []}
    live = recognizer.live(**options)
    text, updates, work = "", [], 0.0
    for now, update, took in _clocked(live.feed, live.finish, samples):
        work += took
        text += "".join(segment.text for segment in update.segments)
        updates.append((now, text, update))
    final = text.split()
    for now, said, update in updates:
        settled = said.split()
        agreed = [*settled, *update.agreed.split()]
        for name, told in (("final", settled), ("agreed", agreed), ("shown", [*agreed, *update.partial.split()])):
            _note(shown[name], told, final, now)
    matched = list(matches([item.word for item in words], final))
    for name, into_list in (("shown", into.shown), ("agreed", into.agreed), ("final", into.final)):
        into_list += [shown[name][theirs] - words[ours].end for ours, theirs in matched]
    into.heard += len(matched)
    into.spoken += len(words)
    into.seconds += len(samples) / SAMPLE_RATE
    into.work += work
    truth = " ".join(plain(item.word) for item in words)
    offline = recognizer.transcribe(samples, language=options["language"]).text
    for name, heard in (("live", text), ("offline", offline)):
        into.errors[name] += count(truth, " ".join(map(plain, heard.split()))).errors


def _clocked(
    feed: Callable[[Any], Iterable[LiveUpdate]], finish: Callable[[], Iterable[LiveUpdate]], samples: Any
) -> Iterator[tuple[float, LiveUpdate, float]]:
    """Updates, each with the time of the recording's clock at which it was there, and how long it took."""
    now, given, piece = 0.0, 0, round(PIECE * SAMPLE_RATE)
    while given < len(samples):
        arrived = min(len(samples), int(now / PIECE + 1e-9) * piece)
        if arrived <= given:
            arrived = min(len(samples), given + piece)
            now = max(now, arrived / SAMPLE_RATE)
        start = time.perf_counter()
        for update in feed(samples[given:arrived]):
            took = time.perf_counter() - start
            now += took
            yield now, update, took
            start = time.perf_counter()
        given = arrived
    start = time.perf_counter()
    for update in finish():
        took = time.perf_counter() - start
        now += took
        yield now, update, took
        start = time.perf_counter()


def _note(times: list[float], told: list[str], final: list[str], now: float) -> None:
    """When each word of the final text stood in its place with all before it, for those that are new."""
    while len(times) < min(len(told), len(final)) and told[: len(times) + 1] == final[: len(times) + 1]:
        times.append(now)


def matches(words: list[str], final: list[str]) -> Iterator[tuple[int, int]]:
    """Places of the words that were heard right: in the reference and in the text."""
    matcher = SequenceMatcher(None, [plain(word) for word in words], [plain(word) for word in final], autojunk=False)
    for block in matcher.get_matching_blocks():
        yield from ((block.a + at, block.b + at) for at in range(block.size))


def plain(word: str) -> str:
    """In lower case, without punctuation around it."""
    return word.lower().strip(".,?!;:\"'()")
