"""Synthetic speech from espeak-ng's shared library, with the true times of its words.

Only training and the sample recordings need it (Debian package `libespeak-ng1`, GPL-3, called at run time and
not part of this repository).
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from literatim.errors import DependencyError

SYNCHRONOUS, UTF8, IPA = 2, 1, 2
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER
WORD_EVENT = 1
SILENCE_LEVEL = 0.004  # amplitude below which the ends of an utterance are trimmed


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


@dataclass(frozen=True)
class Manner:
    """How an utterance is said: words a minute, pitch and its range (0 to 100)."""

    voice: str
    rate: int
    pitch: int
    pitch_range: int


@dataclass(frozen=True)
class Utterance:
    """16 kHz float32 samples at a peak of 0.5, and each word's start in seconds from the first sample."""

    samples: np.ndarray
    word_starts: tuple[float, ...]


def _word_starts(text: str, events: list[tuple[int, int]], trimmed: float, length: float) -> tuple[float, ...]:
    """Start of each word in seconds; a word spoken as one with its neighbour ("on the") is interpolated."""
    count = len(text.split())
    known = {0: 0.0, count: length}
    for position, milliseconds in events:
        index = len(text[: position - 1].split()) if position > 1 else 0
        late = text[position - 1 : position].isspace()  # now and then an event comes for a space, when the word is over
        if 0 < index < count and not late:
            known[index] = min(length, max(0.0, milliseconds / 1000 - trimmed))
    return tuple(float(at) for at in np.interp(range(count), sorted(known), [known[key] for key in sorted(known)]))


class Espeak:
    """One synthesiser; the library keeps global state, so use one per process."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libespeak-ng.so.1")
        except OSError as error:
            raise DependencyError("espeak-ng is needed to make speech: apt-get install espeak-ng") from error
        self._rate: int = self._library.espeak_Initialize(SYNCHRONOUS, 500, None, 0)
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        folder = ctypes.c_char_p()
        self._library.espeak_Info(ctypes.byref(folder))
        self.data = Path((folder.value or b"").decode())  # espeak-ng's own: languages, voices
        self._pieces: list[bytes] = []
        self._words: list[tuple[int, int]] = []
        self._voice = ""
        prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))
        self._callback = prototype(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, wave: int | None, count: int, events: ctypes._Pointer[_Event]) -> int:
        if wave and count > 0:
            self._pieces.append(ctypes.string_at(wave, 2 * count))
        index = 0
        while events[index].type:
            if events[index].type == WORD_EVENT:
                self._words.append((events[index].text_position, events[index].audio_position))
            index += 1
        return 0

    def set_voice(self, voice: str) -> None:
        """Choose a voice such as `en-us+f2`, or an absolute path's file; ValueError when espeak-ng has none such."""
        choose = self._library.espeak_SetVoiceByFile if voice.startswith("/") else self._library.espeak_SetVoiceByName
        if voice != self._voice and choose(voice.encode()):
            raise ValueError(f"espeak-ng has no voice {voice}")
        self._voice = voice

    def say(self, text: str, manner: Manner) -> Utterance | None:
        """Speak `text`; None when nothing audible came out."""
        self.set_voice(manner.voice)
        for parameter, value in ((RATE, manner.rate), (PITCH, manner.pitch), (RANGE, manner.pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._pieces.clear()
        self._words.clear()
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, UTF8, None, None)
        self._library.espeak_Synchronize()
        wave = np.frombuffer(b"".join(self._pieces), np.int16).astype(np.float32) / 32768
        samples = resample_poly(wave, 320, 441).astype(np.float32) if self._rate == 22050 else wave
        loud = np.flatnonzero(np.abs(samples) > SILENCE_LEVEL)
        if len(loud) == 0:
            return None
        first, last = max(0, int(loud[0]) - 240), int(loud[-1]) + 400
        samples = samples[first:last]
        starts = _word_starts(text, self._words, first / 16000, len(samples) / 16000)
        return Utterance(samples / np.abs(samples).max() * 0.5, starts)

    def phonemes(self, text: str) -> str:
        """IPA of `text` in the current voice, words separated by spaces, without stress marks."""
        pointer = ctypes.c_char_p(text.encode())
        address = ctypes.cast(pointer, ctypes.c_void_p)
        clauses = []
        while address.value:
            spoken = self._library.espeak_TextToPhonemes(ctypes.byref(address), UTF8, IPA)
            clauses.append((spoken or b"").decode())
        bare = re.sub(r"\([^)]*\)", "", re.sub(r"[ˈˌ_\-|\n]", "", " ".join(clauses)))
        return re.sub(r" +", " ", bare).strip()
