"""Training windows of the medical model, composed on the fly from spoken lines, with the pieces that they say."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import LasrFeatureExtractor

from literatim.train import sounds
from literatim.train.compose import bend, shift_formants, stretch
from literatim.train.corpus import Corpus
from literatim.train.medical.corpus import N_MELS, frames_of

FLOOR = float(np.log(1e-5))  # MedASR's features are not below it
SPEECH_VARIANCE = 0.006  # of an utterance with a peak of 0.5
EMPTY = 0  # the lowest band lies between two bins of the spectrum: no sound is in it
STEP = 4  # mel frames of one step of the network


@dataclass(frozen=True)
class Phase:
    """One stage of the curriculum: windows of one of these lengths, `seconds` of sound a batch."""

    share: float  # of the run
    frames: tuple[int, ...]
    seconds: int
    augmented: bool = True


@dataclass
class Window:
    """Frames (F, 128) in natural log of power, and what they say."""

    frames: np.ndarray
    pieces: list[int]
    phonemes: list[int]


class Composer:
    """Draws lines of the corpus and turns them into windows."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, phonemes: list[str], seed: int) -> None:
        self._corpus, self._tokenizer = corpus, tokenizer
        self._rng, self._numbers = random.Random(seed), np.random.default_rng(seed)
        self._phonemes = {symbol: index for index, symbol in enumerate(phonemes)}
        bank, extract = np.random.default_rng(5), LasrFeatureExtractor()
        kinds = [sounds.noise] * 24 + [sounds.hum] * 4 + [sounds.tones] * 4 + [sounds.coughs] * 4
        self._sounds = [np.exp(frames_of(extract, kind(bank, 22 * sounds.RATE) * 0.1)) for kind in kinds]

    def _varied(self, frames: np.ndarray) -> np.ndarray:
        """As another voice, tempo, level and microphone would have it."""
        rng = self._rng
        offsets = bend(self._numbers, 1.2, bands=N_MELS)
        out = shift_formants(stretch(frames, rng.uniform(0.88, 1.15)), rng.uniform(0.92, 1.09), offsets)
        return out + bend(self._numbers, 0.45, bands=N_MELS).astype(np.float32)

    def _speech(self, phase: Phase, length: int) -> Window:
        rng = self._rng
        window = Window(np.full((length, N_MELS), FLOOR, np.float32), [], [])
        at, index = rng.choice([5, rng.randint(0, 40), rng.randint(0, 100)]), rng.randrange(len(self._corpus))
        apart, misses = rng.random() < 0.3, 0  # lines of other voices; neighbours in the corpus share one
        while misses < 8:
            index = rng.randrange(len(self._corpus)) if apart or misses else (index + 1) % len(self._corpus)
            spoken = self._corpus[index]
            if at + len(spoken.power) * 1.15 > length:
                misses += 1
                continue
            frames = spoken.power.astype(np.float32)
            frames = self._varied(frames) if phase.augmented else frames
            window.frames[at : at + len(frames)] = frames
            window.pieces += self._tokenizer.encode(spoken.text).ids
            window.phonemes += [self._phonemes[symbol] for symbol in spoken.phonemes if symbol != " "]
            at += len(frames) + rng.choice([rng.randint(3, 15), rng.randint(5, 60), rng.randint(5, 120)])
        return window

    def _mixed(self, frames: np.ndarray) -> np.ndarray:
        """With a sound behind it, from 5 to 45 dB below the speech."""
        sound = self._sounds[self._rng.randrange(len(self._sounds))]
        start = self._rng.randint(0, len(sound) - len(frames))
        level = 100 * SPEECH_VARIANCE * 10 ** (-self._rng.uniform(5, 45) / 10)
        mixed: np.ndarray = np.log(np.exp(frames) + level * sound[start : start + len(frames)])
        return mixed

    def _masked(self, frames: np.ndarray) -> None:
        """Blank a few bands and a few moments (Park et al., 2019)."""
        rng = self._rng
        for _ in range(2):
            low, start = rng.randint(0, N_MELS - 14), rng.randint(0, len(frames) - 16)
            frames[:, low : low + rng.randint(0, 14)] = FLOOR
            frames[start : start + rng.randint(0, 16)] = FLOOR

    def window(self, phase: Phase, length: int) -> Window:
        """A window of `length` frames as the model reads it."""
        window = self._speech(phase, length)
        if phase.augmented:
            if self._rng.random() < 0.6:
                window.frames = self._mixed(window.frames)
            window.frames = np.maximum(window.frames + self._rng.uniform(-3.5, 1.2), FLOOR)
            window.frames[:, EMPTY] = FLOOR
            if self._rng.random() < 0.5:
                self._masked(window.frames)
        return window

    def batch(self, phase: Phase) -> dict[str, torch.Tensor]:
        """`mel` (B, F, 128), `pieces` and `phonemes` of all rows one after the other, and their lengths (B,)."""
        length = self._rng.choice(phase.frames)
        rows: list[Window] = []
        while len(rows) < max(1, phase.seconds * 100 // length):
            window = self.window(phase, length)
            if window.pieces and max(len(window.pieces) * 1.5, len(window.phonemes)) < length / STEP - 4:
                rows.append(window)
        targets = {}
        for name in ("pieces", "phonemes"):
            lists = [getattr(row, name) for row in rows]
            targets[name] = torch.tensor([symbol for each in lists for symbol in each])
            targets[f"{name}_lengths"] = torch.tensor([len(each) for each in lists])
        return {"mel": torch.from_numpy(np.stack([row.frames for row in rows])), **targets}
