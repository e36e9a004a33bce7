"""One MedASR checkpoint, ready to work: sound in, log-probabilities of its steps out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from literatim import device as devices
from literatim.audio import lasr
from literatim.audio.mel import HOP_LENGTH, SAMPLE_RATE
from literatim.decode.ctc import Steps, likeliest
from literatim.models.linear import pack
from literatim.models.medasr import Medasr
from literatim.models.medasr_checkpoint import load_medasr
from literatim.native import library
from literatim.pipeline.lacking import explained
from literatim.text.medasr import MedasrTokenizer

WIDTH = 5 * SAMPLE_RATE  # samples that windows are filled up to a multiple of, on accelerators


class Listener:
    """A network with its tokenizer on one device. What a window gives does not depend on those beside it."""

    def __init__(self, model: Medasr, tokenizer: MedasrTokenizer, folder: Path | None = None) -> None:
        """`folder` is where an n-gram model is looked for that is named without one."""
        self.model, self.tokenizer, self.config, self.folder = model, tokenizer, model.config, folder
        self.device, self.dtype = model.encoder.norm.weight.device, model.encoder.norm.weight.dtype
        if devices.packs_linear(self.device, self.dtype):
            pack(model)
            if self.dtype == torch.float32 and (kernels := library.find()) is not None:
                model.use(kernels)

    @property
    def step_samples(self) -> int:
        """Samples from one step to the next: 640 in the released model."""
        return self.config.frames_per_step * HOP_LENGTH

    @property
    def reach(self) -> int:
        """Samples that a step is made of."""
        return lasr.samples(self.config.frames(1))

    def steps(self, samples: int) -> int:
        """Steps that so many samples give."""
        return self.config.steps(lasr.frames(samples))

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Everything that touches the network happens in here: no gradients, and errors of the device in words."""
        with torch.inference_mode(), explained(self.model, self.device):
            yield

    def hear(self, sounds: Sequence[Tensor], *, whole: bool = False) -> list[Steps]:
        """What is likeliest in each step of windows of samples (n,); none where one is too short for a step.

        `whole`: with the log-probabilities of all tokens.
        """
        counts = [self.steps(len(sound)) for sound in sounds]
        found = [Steps.joined([]) for _ in sounds]
        for some in self._alike([number for number, count in enumerate(counts) if count], sounds):
            own = [counts[number] for number in some]
            with self.at_work():
                logits = self.logits([sounds[number] for number in some])
                heard = likeliest(logits, own + [0] * (len(logits) - len(own)), whole=whole)
            for number, steps in zip(some, heard, strict=False):
                found[number] = steps
        return found

    def logits(self, sounds: Sequence[Tensor]) -> Tensor:
        """Logits (B, S, V) in float32 of windows of samples; those of a window's own steps come first in its row.

        Rows behind those of the windows only fill the batch up. On a CPU the windows must be of one length.
        """
        mels = [lasr.log_mel(sound, self.config.n_mels) for sound in sounds]
        return self.run(mels, lasr.frames(self._width(max(len(sound) for sound in sounds))))

    def run(self, mels: Sequence[Tensor], width: int) -> Tensor:
        """As `logits`, of frames (T, M), filled up to so many on an accelerator."""
        if self.device.type == "cpu":
            return torch.cat([self.model(mel[None].to(self.dtype)) for mel in mels])
        rows = [F.pad(mel, (0, 0, 0, width - len(mel))) for mel in mels]
        rows += [rows[-1]] * (devices.bucket(len(rows), self.device) - len(rows))
        counts = [self.config.steps(len(mel)) for mel in mels]
        counts += counts[-1:] * (len(rows) - len(counts))
        steps = torch.tensor(counts, dtype=torch.int32, device=self.device)
        logits: Tensor = self.model(torch.stack(rows).to(self.device, self.dtype), steps)
        return logits

    def _alike(self, numbers: list[int], sounds: Sequence[Tensor]) -> Iterator[list[int]]:
        """The windows that go through the network together.

        On a CPU each goes alone: one fills the cores, and its data their caches. Elsewhere those that are filled up to
        the same width, so that few shapes occur and a window's does not depend on its neighbours.
        """
        if self.device.type == "cpu":
            yield from ([number] for number in numbers)
            return
        groups: dict[int, list[int]] = {}
        for number in numbers:
            groups.setdefault(self._width(len(sounds[number])), []).append(number)
        yield from groups.values()

    def _width(self, samples: int) -> int:
        return -(-samples // WIDTH) * WIDTH


def load_listener(folder: Path, dtype: torch.dtype, device: torch.device) -> Listener:
    """A folder's network on `device`, in `dtype`, with its tokenizer.

    Raises ModelNotFound and ModelFormatError, which say what is wrong with the folder and what to do.
    """
    model = load_medasr(folder, dtype, device)
    return Listener(model, MedasrTokenizer.from_folder(folder, model.config.blank), folder)
