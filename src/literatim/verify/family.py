"""Which kind of subject a folder is, by its `config.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from literatim.models.folder import read_folder
from literatim.models.medasr_config import MODEL_TYPE
from literatim.verify.medasr import MedasrSubject
from literatim.verify.subject import WhisperSubject

Subject = WhisperSubject | MedasrSubject


def is_medasr(folder: Path) -> bool:
    """Whether the folder holds a MedASR."""
    return read_folder(folder).model_type == MODEL_TYPE


def load_subject(folder: Path, dtype: torch.dtype, device: torch.device, **options: Any) -> Subject:
    """The model of a folder in a dtype on a device; options as for `WhisperSubject`."""
    return (MedasrSubject if is_medasr(folder) else WhisperSubject)(folder, dtype, device, **options)
