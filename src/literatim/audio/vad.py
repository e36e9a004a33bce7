"""Where a recording holds speech: probabilities of short frames to spans of samples, as the samples come in.

Spans begin and end with hysteresis, minimum lengths and padding as silero-vad's `get_speech_timestamps` has them. A
span that grows too long is cut at its quietest point, and both sides are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from literatim.audio.gather import SAMPLE_RATE
from literatim.audio.silero import CONTEXT, FRAME, Silero
from literatim.options import VadOptions

BLOCK = 128  # frames that the network is given at once: a recording's own, whatever lies beside it
SMOOTHED = 5  # frames over which a place to cut must be quiet, 160 ms
ALIKE = 0.1  # places whose probabilities differ by less are chosen among by loudness

Span = tuple[int, int]
"""First sample, and one past the last."""


class Detector:
    """Probabilities of one recording that comes in pieces of any length; the cuts between these change nothing."""

    def __init__(self, network: Silero) -> None:
        self._network, self._state = network, network.start()
        self._waiting = torch.zeros(CONTEXT)  # the end of the frame before, then samples that fill no block yet

    def push(self, samples: Tensor) -> Tensor:
        """Take (n,) samples at 16 kHz; (F,) float32 on the CPU of the blocks that they complete."""
        self._waiting = torch.cat([self._waiting, samples])
        block, found = BLOCK * FRAME, []
        while len(self._waiting) >= CONTEXT + block:
            found.append(self._listen(self._waiting[: CONTEXT + block]))
            self._waiting = self._waiting[block:]
        return torch.cat(found) if found else torch.zeros(0)

    def finish(self) -> Tensor:
        """The probabilities of what is left; silence follows it up to a whole frame."""
        left = len(self._waiting) - CONTEXT
        if not left:
            return torch.zeros(0)
        return self._listen(torch.nn.functional.pad(self._waiting, (0, -left % FRAME)))

    def _listen(self, samples: Tensor) -> Tensor:
        frames = samples.unfold(0, CONTEXT + FRAME, FRAME)[None]  # (1, F, CONTEXT + FRAME)
        device = self._network.stft.weight.device
        with torch.inference_mode():
            probabilities, self._state = self._network(frames.to(device), self._state)
        found: Tensor = probabilities[0]
        return found


@dataclass(frozen=True)
class Limits:
    """`VadOptions` in samples; `longest` is what a span may have with its padding on both sides, None: no limit."""

    threshold: float
    leave: float  # below it speech ends
    speech: float
    silence: float
    pad: int
    longest: int | None = None

    @classmethod
    def of(cls, options: VadOptions, longest: int | None = None) -> Limits:
        """`longest` samples at most, and no more than the options say."""
        leave = options.vad_neg_threshold
        if leave is None:
            leave = max(options.vad_threshold - 0.15, 0.01)
        per_ms = SAMPLE_RATE // 1000
        pad = round(options.vad_speech_pad_ms * per_ms)
        if options.vad_max_speech_duration_s is not None:
            longest = min(longest or 2**62, round(options.vad_max_speech_duration_s * SAMPLE_RATE))
        if longest is not None:
            pad = min(pad, longest // 4 // FRAME * FRAME)  # a short window must hold more than padding
        least = options.vad_min_speech_duration_ms * per_ms, options.vad_min_silence_duration_ms * per_ms
        return cls(options.vad_threshold, leave, *least, pad, longest)


class Spotter:
    """Spans of one recording, from the probability and the loudness of each frame; each span once it is certain."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._at = 0  # first sample of the frame that comes next
        self._start: int | None = None  # of speech under way
        self._quiet: int | None = None  # since when it may have ended
        self._cut = False  # whether the speech under way goes on from a cut
        self._before: deque[list[int]] = deque()  # spans whose ends may still grow by padding
        self._frames: list[tuple[float, float]] = []  # of the speech under way
        room = None if limits.longest is None else limits.longest - 2 * limits.pad
        self._most = None if room is None else max(room // FRAME, 2)  # frames of speech without padding

    @property
    def needed(self) -> int:
        """The first sample that a span to come may hold."""
        start = self._at if self._start is None else self._start
        first = self._before[0][0] if self._before else start - self._limits.pad
        return max(0, min(first, start - self._limits.pad))

    def push(self, probability: float, loudness: float) -> list[Span]:
        """One frame more; the spans that nothing can change any more."""
        limits, at = self._limits, self._at
        if probability >= limits.threshold:
            self._quiet = None
            self._start = at if self._start is None else self._start
        if self._start is not None:
            self._frames.append((probability, loudness))
            if probability < limits.leave:
                self._quiet = at if self._quiet is None else self._quiet
                if at - self._quiet >= limits.silence:
                    self._end(self._quiet)
            if self._start is not None and self._most is not None and len(self._frames) >= self._most:
                self._cut_in_two()
        self._at += FRAME
        return list(self._certain())

    def finish(self, total: int) -> list[Span]:
        """The spans that were left, of a recording of `total` samples."""
        if self._start is not None:
            self._end(total)
        if self._before:
            self._before[-1][1] = min(total, self._before[-1][1] + self._limits.pad)
        spans = [(start, end) for start, end in self._before]
        self._before.clear()
        return spans

    def _end(self, end: int) -> None:
        """Speech under way ended there; it counts where it was long enough."""
        assert self._start is not None
        if end - self._start > (0 if self._cut else self._limits.speech):
            self._add(self._start, end)
        self._start, self._quiet, self._cut, self._frames = None, None, False, []

    def _add(self, start: int, end: int) -> None:
        pad = self._limits.pad
        if not self._before:
            self._before.append([max(0, start - pad), end])
            return
        gap = start - self._before[-1][1]
        self._before[-1][1] += gap // 2 if gap < 2 * pad else pad
        self._before.append([max(0, start - (gap // 2 if gap < 2 * pad else pad)), end])

    def _cut_in_two(self) -> None:
        """At the quietest point of the later half."""
        assert self._start is not None
        first = len(self._frames) // 2
        at = first + quietest(np.array(self._frames[first:]))
        cut, rest = self._start + at * FRAME, self._frames[at:]
        self._add(self._start, cut)
        self._start, self._cut, self._frames = cut, True, rest
        if self._quiet is not None:
            self._quiet = max(self._quiet, cut)

    def _certain(self) -> Iterator[Span]:
        """Of spans that wait, all but the last; and that one once no speech can come near its padding."""
        while len(self._before) > 1:
            start, end = self._before.popleft()
            yield start, end
        pad = self._limits.pad
        if self._before:
            start, end = self._before[0]
            near = self._at if self._start is None else self._start
            if near >= end + 2 * pad:
                self._before.clear()
                yield start, end + pad


def quietest(frames: np.ndarray) -> int:
    """The place among frames (F, 2) of probability and loudness where a cut hurts least.

    The middle of SMOOTHED frames that are least likely to be speech; of those that are alike, the quietest.
    """
    width = min(SMOOTHED, len(frames))
    windows = np.lib.stride_tricks.sliding_window_view(frames, width, axis=0).mean(-1)  # (F - width + 1, 2)
    speech, loudness = windows[:, 0], windows[:, 1]
    alike = speech <= speech.min() + ALIKE
    return int(np.where(alike, loudness, np.inf).argmin()) + width // 2


def loudness(samples: Tensor) -> Tensor:
    """Mean power of each whole frame of (n,): (n // FRAME,)."""
    return samples[: len(samples) // FRAME * FRAME].view(-1, FRAME).square().mean(-1)


class Speech:
    """The spans of speech of one recording that comes in pieces; without a network all of it is speech."""

    def __init__(self, network: Silero | None, limits: Limits) -> None:
        self._detector = None if network is None else Detector(network)
        self._spotter = Spotter(limits)
        self._waiting = torch.zeros(0)  # samples whose frames have no probability yet
        self.total = 0  # samples so far

    @property
    def needed(self) -> int:
        """The first sample that a span to come may hold."""
        return self._spotter.needed

    def push(self, samples: Tensor) -> list[Span]:
        """Take (n,) samples; the spans that are certain now."""
        self.total += len(samples)
        self._waiting = torch.cat([self._waiting, samples])
        whole = len(self._waiting) // FRAME
        return self._spot(torch.ones(whole) if self._detector is None else self._detector.push(samples))

    def finish(self) -> list[Span]:
        """The spans that are left."""
        self._waiting = torch.nn.functional.pad(self._waiting, (0, -len(self._waiting) % FRAME))
        left = torch.ones(len(self._waiting) // FRAME) if self._detector is None else self._detector.finish()
        return [*self._spot(left), *self._spotter.finish(self.total)]

    def _spot(self, probabilities: Tensor) -> list[Span]:
        done = len(probabilities) * FRAME
        part, self._waiting = self._waiting[:done], self._waiting[done:]
        frames = zip(probabilities.tolist(), loudness(part).tolist(), strict=True)
        return [span for probability, power in frames for span in self._spotter.push(probability, power)]
