"""Who speaks when: speech to windows, windows to vectors, vectors to speakers, and speakers to turns.

Nothing here knows a network of voices: what makes vectors of sound is a callable, so that a test passes a fake one.

Letters of shapes: N windows, E the size of a vector, K speakers, T steps of STEP samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from literatim.audio.chunks import Chunk, Cutter
from literatim.audio.decode import SAMPLE_RATE
from literatim.audio.silero import Silero
from literatim.audio.vad import Limits, Span
from literatim.options import VadOptions
from literatim.pipeline.cluster import Floats, Labels, Wanted, centroids, cluster, ordered, unit
from literatim.pipeline.turns import FRAME, STEP, Speaking, spoken
from literatim.types import Diarization, Turn

WINDOW, HOP = round(1.5 * SAMPLE_RATE), round(0.75 * SAMPLE_RATE)  # as WeSpeaker's recipe has them
LONGEST = 30 * SAMPLE_RATE  # of speech that is held at once
SURE = SAMPLE_RATE  # samples from which a window says who speaks; shorter ones join the groups of these
SPEECH = VadOptions(vad_min_speech_duration_ms=100, vad_min_silence_duration_ms=160, vad_speech_pad_ms=30)
ROUNDS = 3  # of giving each window to the nearest speaker

Embed = Callable[[Tensor, Sequence[Span]], Floats]
"""Samples (S,) and windows of them, by first sample and one past the last -> vectors (N, E)."""


@dataclass(frozen=True, eq=False)
class Heard:
    """What a recording's speech came to.

    `spans` are those of speech and `windows` parts of them, both in samples of the recording and in order; `vectors`
    (N, E) are the windows'; `loudness` has the mean power of each STEP samples of each span.
    """

    spans: tuple[Span, ...]
    windows: tuple[Span, ...]
    vectors: Floats
    loudness: tuple[NDArray[np.float32], ...]


def hear(blocks: Iterable[Tensor], network: Silero | None, embed: Embed) -> Heard:
    """Find speech in samples at 16 kHz that come in blocks (n,), and what voice each window of it has.

    Holds half a minute of speech, however long the recording is. Without a network all of it is speech.
    """
    limits = Limits.of(SPEECH, LONGEST)
    cutter = Cutter(network, limits, LONGEST)
    spans: list[Span] = []
    windows: list[Span] = []
    vectors: list[Floats] = []
    loudness: list[NDArray[np.float32]] = []
    for chunk in _chunks(blocks, cutter):
        inside: list[Span] = []
        first = 0
        for start, end in chunk.timeline.spans:
            own = windows_of(end - start)
            inside += [(first + one, first + other) for one, other in own]
            windows += [(start + one, start + other) for one, other in own]
            loudness.append(_powers(chunk.samples[first : first + end - start]))
            spans.append((start, end))
            first += end - start
        vectors.append(embed(chunk.samples, inside))
    found = np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float32)
    return Heard(tuple(spans), tuple(windows), found, tuple(loudness))


def _chunks(blocks: Iterable[Tensor], cutter: Cutter) -> Iterator[Chunk]:
    for block in blocks:
        yield from cutter.push(block)
    yield from cutter.finish()


def windows_of(length: int) -> list[Span]:
    """Windows of a span of so many samples: of WINDOW, each HOP after the one before, the last one at its end.

    A span shorter than a window is one.
    """
    if length <= WINDOW:
        return [(0, length)]
    starts = list(range(0, length - WINDOW, HOP))
    last = (length - WINDOW) // FRAME * FRAME
    if starts[-1] != last:
        starts.append(last)
    return [(start, start + WINDOW) for start in starts]


def _powers(samples: Tensor) -> NDArray[np.float32]:
    """Mean power of each STEP samples of (n,), the last perhaps of fewer."""
    short = -len(samples) % STEP
    steps = torch.nn.functional.pad(samples, (0, short)).view(-1, STEP)
    power = steps.square().sum(-1)
    counts = torch.full_like(power, STEP)
    counts[-1] -= short
    found: NDArray[np.float32] = (power / counts).numpy()
    return found


def diarize(heard: Heard, wanted: Wanted, duration: float, warnings: Sequence[str] = ()) -> Diarization:
    """Turns of a recording of `duration` seconds; a part of it in which nobody speaks is in none.

    Each moment of speech is one speaker's: where two talk at once, it is the one who is heard more.
    """
    if not heard.windows:
        return Diarization((), (), duration, (*warnings, "no speech was found"))
    units = unit(heard.vectors)
    labels = _labels(heard, units, wanted)
    middles = centroids(units, labels)
    turns = spoken(Speaking(heard.spans, heard.windows, heard.loudness, units @ middles.T))
    present = list(dict.fromkeys(turn.speaker for turn in turns))
    names = {speaker: f"SPEAKER_{at:02d}" for at, speaker in enumerate(present)}
    told = list(warnings)
    if len(present) < wanted.least:
        were = "1 speaker was" if len(present) == 1 else f"{len(present)} speakers were"
        told.append(f"{were} found where {wanted.least} were asked for")
    return Diarization(
        tuple(
            Turn(round(turn.start / SAMPLE_RATE, 3), round(turn.end / SAMPLE_RATE, 3), names[turn.speaker])
            for turn in turns
        ),
        tuple(names.values()),
        duration,
        tuple(told),
        tuple(tuple(map(float, middles[speaker])) for speaker in present),
    )


def _labels(heard: Heard, units: Floats, wanted: Wanted) -> Labels:
    """The speaker of each window: groups of those that are long enough to tell, the others with the nearest."""
    lengths = np.array([end - start for start, end in heard.windows])
    sure = lengths >= min(SURE, lengths.max())
    found = cluster(units[sure], wanted)
    for _ in range(ROUNDS):
        nearest = (units[sure] @ centroids(units[sure], found).T).argmax(1)
        if len(np.unique(nearest)) <= found.max() or (nearest == found).all():
            break
        found = nearest
    labels: Labels = (units @ centroids(units[sure], found).T).argmax(1)
    labels[sure] = found
    return ordered(labels)
