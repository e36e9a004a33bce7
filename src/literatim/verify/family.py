"""Which kind of subject a folder is, by its `config.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from literatim.models.medasr_config import is_medasr
from literatim.models.speaker_config import is_speaker
from literatim.verify.medasr import MedasrSubject
from literatim.verify.subject import WhisperSubject
from literatim.verify.voices import VoiceSubject

Speaks = WhisperSubject | MedasrSubject
Subject = Speaks | VoiceSubject


def load_subject(folder: Path, dtype: torch.dtype, device: torch.device, **options: Any) -> Subject:
    """The model of a folder in a dtype on a device; options as for `WhisperSubject`."""
    kind = MedasrSubject if is_medasr(folder) else VoiceSubject if is_speaker(folder) else WhisperSubject
    return kind(folder, dtype, device, **options)
