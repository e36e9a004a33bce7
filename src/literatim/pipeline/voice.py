"""One speaker network, ready to work: sound in, vectors of voices out.

A vector does not depend on the recordings beside it: on a CPU rows of a batch are of one length, elsewhere they are
filled up to few widths, and what fills them up is masked. A long recording goes through the network in pieces with as
many frames around each as a step hears: the network's memory stays flat, and the vector is that of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from literatim import device as devices
from literatim.audio import librosa_mel
from literatim.audio.fbank import centred, fbank
from literatim.audio.lasr import frames as whole_frames
from literatim.audio.mel import HOP_LENGTH, SAMPLE_RATE
from literatim.errors import AudioContentError, OptionError
from literatim.models.speaker import SpeakerNet, lengthened
from literatim.models.speaker_checkpoint import load_speaker_net
from literatim.models.speaker_config import HALVINGS
from literatim.pipeline.lacking import explained

FRONT_ENDS: dict[str, Callable[[Tensor, int], Tensor]] = {"kaldi": fbank, "librosa": librosa_mel.log_mel}
# Frames that rows are filled up to, on accelerators: a third of a row is empty at most, from a second on.
WIDTHS = (50, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3200)
AT_ONCE = 6400  # frames of a batch, all rows together: some 60 MB a map in ResNet34
PIECE = WIDTHS[-1]  # frames of a recording that are heard at once where it has more
RUN = 60 * SAMPLE_RATE  # samples of overlapping windows that frames are made of at once

Vectors = NDArray[np.float32]
Window = tuple[int, int]
"""First sample, and one past the last."""


class VoiceEncoder:
    """A network on one device, with its front end."""

    def __init__(self, model: SpeakerNet, frontend: str = "kaldi") -> None:
        if frontend not in FRONT_ENDS:
            raise OptionError(f"frontend is {frontend!r}; choose one of {', '.join(FRONT_ENDS)}")
        self.model, self.frontend, self.config = model, frontend, model.config
        self.device, self.dtype = model.embedding.weight.device, model.embedding.weight.dtype
        if devices.packs_linear(self.device, self.dtype):
            model.pack()

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self.config.embedding_dim

    def frames(self, samples: Tensor) -> Tensor:
        """Samples (S,) at 16 kHz -> (T, M) float32, not centred; AudioContentError where they give no frame."""
        _check_length(len(samples))
        return FRONT_ENDS[self.frontend](samples, self.config.n_mels)

    def embed(self, sounds: Sequence[NDArray[np.float32] | Tensor], batch_size: int = 16) -> Vectors:
        """Vectors (N, E) of sounds (S,) at 16 kHz, as they leave the network: not of unit length."""
        return self.embed_frames((self.frames(torch.as_tensor(sound)) for sound in sounds), batch_size)

    def embed_windows(self, samples: Tensor, windows: Sequence[Window], batch_size: int = 16) -> Vectors:
        """As `embed` of `samples[start:stop]` for each window; what overlapping ones share is transformed once.

        Windows come by their start. With librosa's front end, whose frames hear beyond a window, each stands alone.
        """
        if self.frontend != "kaldi":
            return self.embed([samples[start:stop] for start, stop in windows], batch_size)
        return self.embed_frames(self._cut(samples, windows), batch_size)

    def embed_frames(self, features: Iterable[Tensor], batch_size: int = 16) -> Vectors:
        """Vectors (N, E) of frames (T, M); their means over time are subtracted here."""
        found: dict[int, Tensor] = {}
        waiting: dict[int, list[tuple[int, Tensor]]] = {}  # by the width that rows of a batch have
        for number, frames in enumerate(features):
            if len(frames) > PIECE:
                found[number] = self._long(centred(frames))
                continue
            row = lengthened(centred(frames))
            width = self._width(len(row))
            some = waiting.setdefault(width, [])
            some.append((number, row))
            if len(some) >= min(batch_size, max(1, AT_ONCE // width)):
                found |= self._batch(waiting.pop(width), width)
        for width, some in waiting.items():
            found |= self._batch(some, width)
        rows = [found[number].numpy() for number in range(len(found))]
        return np.stack(rows) if rows else np.zeros((0, self.dimension), np.float32)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Everything that touches the network happens in here: no gradients, and errors of the device in words."""
        with torch.inference_mode(), explained(self.model, self.device):
            yield

    def _cut(self, samples: Tensor, windows: Sequence[Window]) -> Iterator[Tensor]:
        """The frames of each window."""
        for run in _runs(windows):
            base = run[0][0]
            frames = self.frames(samples[base : max(stop for _, stop in run)])
            for start, stop in run:
                _check_length(stop - start)
                first = (start - base) // HOP_LENGTH
                yield frames[first : first + whole_frames(stop - start)]

    def _long(self, frames: Tensor) -> Tensor:
        """The vector (E,) of many centred frames (T, M), by means and variances of pieces that are put together."""
        reach, total, mean, squares = self.config.reach, 0, torch.zeros(()), torch.zeros(())
        for start in range(0, len(frames), PIECE):
            stop = min(len(frames), start + PIECE)
            first, last = max(0, start - reach), min(len(frames), stop + reach)
            own = self._maps(frames[first:last])[..., (start - first) >> HALVINGS :][
                ..., : -(-(stop - start) >> HALVINGS)
            ]
            count, here = own.shape[-1], own.mean(-1)
            apart, all_steps = here - mean, total + count
            squares = squares + own.var(-1, correction=0) * count + apart.square() * (total * count / all_steps)
            mean, total = mean + apart * (count / all_steps), all_steps
        with self.at_work():
            variance = squares / (total - 1)
            vector: Tensor = self.model.project(mean.float().to(self.device), variance.float().to(self.device))
        return vector[0].cpu()

    def _maps(self, frames: Tensor) -> Tensor:
        """What the last stage makes of one piece (T, M), float64 (1, C, M / 8, T / 8) on the CPU."""
        lengths = None
        if self.device.type != "cpu":
            lengths = torch.tensor([len(frames)], dtype=torch.int32, device=self.device)
            frames = F.pad(frames, (0, 0, 0, PIECE + 2 * self.config.reach - len(frames)))
        with self.at_work():
            maps: Tensor = self.model.maps(frames[None].to(self.device), lengths)[0].cpu().double()
        return maps

    def _width(self, frames: int) -> int:
        return frames if self.device.type == "cpu" else next(width for width in WIDTHS if width >= frames)

    def _batch(self, some: list[tuple[int, Tensor]], width: int) -> dict[int, Tensor]:
        rows = [F.pad(frames, (0, 0, 0, width - len(frames))) for _, frames in some]
        lengths = None
        if self.device.type != "cpu":
            rows += rows[-1:] * (devices.bucket(len(rows), self.device) - len(rows))
            counts = [len(frames) for _, frames in some]
            counts += counts[-1:] * (len(rows) - len(counts))
            lengths = torch.tensor(counts, dtype=torch.int32, device=self.device)
        with self.at_work():
            vectors = self.model(torch.stack(rows).to(self.device), lengths).cpu()
        return {number: vector for (number, _), vector in zip(some, vectors, strict=False)}


def load_encoder(folder: Path, dtype: torch.dtype, device: torch.device, frontend: str = "kaldi") -> VoiceEncoder:
    """A folder's network on `device`, in `dtype`.

    Raises ModelNotFound and ModelFormatError, which say what is wrong with the folder and what to do.
    """
    return VoiceEncoder(load_speaker_net(folder, dtype, device), frontend)


def _check_length(samples: int) -> None:
    if not whole_frames(samples):
        raise AudioContentError(
            f"{samples / SAMPLE_RATE * 1000:.0f} ms of sound are too short for a voice: 25 ms are the least, and some "
            "seconds are needed to tell voices apart"
        )


def _runs(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """Windows whose frames are made at once: those that overlap, a whole number of hops apart, a minute at most."""
    run: list[Window] = []
    for window in windows:
        start, stop = window
        if run:
            base, end = run[0][0], max(stop for _, stop in run)
            if not base <= start < end or (start - base) % HOP_LENGTH or stop - base > RUN:
                yield run
                run = []
        run.append(window)
    if run:
        yield run
