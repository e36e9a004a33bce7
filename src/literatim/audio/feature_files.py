"""Features that were computed elsewhere, in files of NumPy's: log-mel frames of one recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from literatim.errors import AudioContentError, AudioFormatError, AudioNotFound


def read_features(path: str | Path, n_mels: int) -> Tensor:
    """Frames (T, n_mels) float32 of a `.npy` file that holds [T, n_mels], [1, T, n_mels] or [n_mels, T].

    An array of as many frames as bands is taken as [T, n_mels]. Raises AudioNotFound, AudioFormatError where it is no
    such array, and AudioContentError where it is empty or holds what is no number.
    """
    if not Path(path).is_file():
        raise AudioNotFound(f"there is no file {path}; give a .npy file with log-mel frames")
    try:
        content: Any = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise AudioFormatError(f"{path} is no .npy file of numbers ({error}); save it with numpy.save") from error
    if not isinstance(content, np.ndarray):
        raise AudioFormatError(f"{path} holds several arrays; save the frames of one recording with numpy.save")
    return frames_of(content, n_mels, str(path))


def frames_of(content: Any, n_mels: int, name: str) -> Tensor:
    """As `read_features`, of an array."""
    array = np.asarray(content)
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    if array.ndim != 2 or n_mels not in array.shape or array.dtype.kind not in "fiu":
        raise AudioFormatError(
            f"{name} holds {array.dtype} of shape {array.shape}; log-mel frames of one recording are numbers of shape "
            f"(T, {n_mels})"
        )
    if array.shape[1] != n_mels:
        array = array.T
    if not len(array):
        raise AudioContentError(f"{name} holds no frames; give those of a recording of 25 ms or more")
    frames = torch.from_numpy(np.array(array, dtype=np.float32))
    if not torch.isfinite(frames).all():
        raise AudioContentError(f"{name} holds infinite or undefined values; compute the frames again")
    return frames
