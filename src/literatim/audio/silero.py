"""Silero's voice detector (v6, 16 kHz) as a torch module: how likely each 32 ms of a recording hold speech.

The weights are those of the package `silero-vad` (MIT), found without importing it: its import sets torch's number of
threads for the whole process. They are read from its ONNX file, since its safetensors file holds those of an older
model (https://github.com/snakers4/silero-vad/issues/768). The network is a short-time Fourier transform as a
convolution, four convolutions that leave one step of each frame, and an LSTM from frame to frame.

Letters of shapes: B recordings, F frames.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from literatim.audio.onnx import initializers
from literatim.errors import DependencyError

FRAME = 512  # samples, 32 ms
CONTEXT = 64  # samples of the frame before that each frame begins with
N_FFT, HOP, WIDTH = 256, 128, 128
_WEIGHTS = "silero_vad/data/silero_vad_16k_op15.onnx"
_UPDATE = "update it with: pip install 'silero-vad>=6.2.3'"
_NAMES = {  # in that file
    "stft.weight": "stft.forward_basis_buffer",
    "out.weight": "decoder.decoder.2.weight",
    "out.bias": "decoder.decoder.2.bias",
    **{f"conv{at + 1}.{kind}": f"encoder.{at}.reparam_conv.{kind}" for at in range(4) for kind in ("weight", "bias")},
    **{f"lstm.{kind}_l0": f"decoder.rnn.{kind}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
}

State = tuple[Tensor, Tensor]


class Silero(nn.Module):
    """Frames to probabilities; the state is a value that the caller holds."""

    def __init__(self) -> None:
        super().__init__()
        bins = N_FFT // 2 + 1
        self.stft = nn.Conv1d(1, 2 * bins, N_FFT, HOP, bias=False)
        self.conv1 = nn.Conv1d(bins, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, WIDTH, 3, padding=1)
        self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.out = nn.Linear(WIDTH, 1)

    def forward(self, frames: Tensor, state: State) -> tuple[Tensor, State]:
        """(B, F, CONTEXT + FRAME) samples and both halves of the state (1, B, WIDTH) -> (B, F), and the next state.

        What is returned is on the CPU.
        """
        rows = F.pad(frames.flatten(0, 1)[:, None], (0, CONTEXT), mode="reflect")
        real, imaginary = self.stft(rows).chunk(2, 1)  # (B F, 129, 4) each
        x = (real.square() + imaginary.square()).sqrt()
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = conv(x).relu()
        heard, state = self.lstm(x[..., 0].view(*frames.shape[:2], WIDTH).cpu(), state)
        probabilities: Tensor = self.out(heard.relu())[..., 0].sigmoid()
        return probabilities, state

    def start(self, rows: int = 1) -> State:
        """The state before the first frame."""
        zeros = self.out.weight.new_zeros(1, rows, WIDTH)
        return zeros, zeros


def weights_path() -> Path:
    """Where the installed package keeps them; DependencyError where it is missing or too old."""
    try:
        path = Path(str(distribution("silero-vad").locate_file(_WEIGHTS)))
    except PackageNotFoundError as error:
        raise DependencyError("finding speech needs silero-vad; install it with: pip install silero-vad") from error
    if not path.is_file():
        raise DependencyError(f"the installed silero-vad has no 16 kHz weights; {_UPDATE}")
    return path


def load_silero(device: torch.device | str = "cpu") -> Silero:
    """The network with its weights, in float32.

    The convolutions, four fifths of the work, are on `device`, many frames at a time; the LSTM goes step by step, each
    too small for an accelerator, and some have none: it stays on the CPU.
    """
    path, network = weights_path(), Silero()
    try:
        there = initializers(path)
        found = {name: there[f"model.{theirs}"] for name, theirs in _NAMES.items()}
        found["out.weight"] = found["out.weight"][..., 0]  # a convolution over one step
        network.load_state_dict(found)
    except (ValueError, KeyError, RuntimeError) as error:
        raise DependencyError(f"{path} is not what literatim knows ({error}); {_UPDATE}") from error
    network.eval().requires_grad_(False).to(device)
    network.lstm.cpu()
    network.out.cpu()
    return network


@lru_cache(maxsize=1)
def detector() -> Silero:
    """The network on the CPU, loaded once: an hour of sound takes some seconds of one core there."""
    return load_silero()
