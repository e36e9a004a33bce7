"""Training windows, composed on the fly in the mel domain, with their target tokens."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.utils.data import DataLoader, IterableDataset

from literatim.train import sounds
from literatim.train.corpus import N_MELS, Corpus, Spoken, log_power
from literatim.train.vocabulary import IDS

IGNORED = -100  # label of a position without loss
MOST_TOKENS = 158


@dataclass(frozen=True)
class Phase:
    """One stage of the curriculum."""

    minutes: float
    frames: int  # of a window
    batch: int
    utterances: int  # most of a window
    free: float  # share of random word sequences and splices
    augmented: bool = True
    whole: bool = False  # full-size windows: prompts, cut utterances, silence-only windows


@dataclass(frozen=True)
class Placed:
    """An utterance in a window: frames of its beginning, end and words."""

    start: int
    end: int
    words: tuple[str, ...]
    word_starts: tuple[float, ...]

    @property
    def text(self) -> str:
        """The words as written."""
        return " ".join(self.words)


@dataclass
class Window:
    """A window being built: log10 mel power (frames, 80) and what is said where."""

    power: np.ndarray
    language: str
    segments: list[Placed] = field(default_factory=list)
    phonemes: list[str] = field(default_factory=list)
    cut: Placed | None = None  # the words inside, of an utterance that goes on
    exact_phonemes: bool = True


Target = tuple[int, tuple[float, float] | None]
"""A token, and the frames in which its word is spoken where it is text."""


def stretch(power: np.ndarray, factor: float) -> np.ndarray:
    """Resample along time: `factor` above 1 is faster speech."""
    places = np.clip(np.arange(int(len(power) / factor)) * factor, 0, len(power) - 1.001)
    low = places.astype(int)
    weight = (places - low).astype(np.float32)[:, None]
    stretched: np.ndarray = power[low] * (1 - weight) + power[low + 1] * weight
    return stretched


def bend(rng: np.random.Generator, deviation: float, knots: int = 6, bands: int = N_MELS) -> np.ndarray:
    """A smooth random curve over the mel bands (80,), piecewise linear, of this standard deviation at its knots."""
    heights = rng.normal(0, deviation, knots)
    return np.interp(np.arange(bands), np.linspace(0, bands - 1, knots), heights)


def shift_formants(power: np.ndarray, factor: float, offsets: np.ndarray) -> np.ndarray:
    """Resample along mel bands, as another vocal tract would: by a factor, and by offsets (80,) in bands."""
    bands = power.shape[1]
    places = np.clip(np.arange(bands) * factor + offsets, 0, bands - 1.001)
    low = places.astype(int)
    weight = (places - low).astype(np.float32)
    shifted: np.ndarray = power[:, low] * (1 - weight) + power[:, low + 1] * weight
    return shifted


class Composer:
    """Draws utterances and turns them into windows."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, phonemes: list[str], seed: int, english: float) -> None:
        self._corpus, self._tokenizer, self._english = corpus, tokenizer, english
        self._rng, self._numbers = random.Random(seed), np.random.default_rng(seed)
        self._phonemes = {symbol: index for index, symbol in enumerate(phonemes)}
        self._encoded: dict[str, list[int]] = {}
        bank = np.random.default_rng(5)
        kinds = [sounds.noise] * 40 + [sounds.hum] * 6 + [sounds.tones] * 10 + [sounds.coughs] * 8
        self._sounds = [10 ** log_power(kind(bank, 9 * sounds.RATE)) for kind in kinds]

    def _draw(self, language: str, phase: Phase, room: int) -> tuple[Spoken, np.ndarray, float]:
        """An utterance, if possible one of at most `room` frames."""
        rng = self._rng
        for _ in range(30):
            spoken = self._corpus[rng.choice(self._corpus.indices[language, rng.random() < phase.free])]
            if len(spoken.power) <= room:
                break
        power, tempo = spoken.power.astype(np.float32), 1.0
        if phase.augmented:
            tempo = rng.uniform(0.88, 1.15)
            offsets = bend(self._numbers, 0.8)
            power = shift_formants(stretch(power, tempo), rng.uniform(0.92, 1.09), offsets)
            power += bend(self._numbers, 0.2).astype(np.float32)  # log10: 2 dB, as voices and microphones differ
        return spoken, power + rng.uniform(-0.3, 0.3), tempo

    def _speech(self, phase: Phase) -> Window:
        rng = self._rng
        language = "en" if rng.random() < self._english else "nl"
        window = Window(np.full((phase.frames, N_MELS), -10.0, np.float32), language)
        wanted = phase.utterances if rng.random() < 0.5 else rng.randint(1, phase.utterances)
        at = rng.choice([0, rng.randint(0, 20), rng.randint(0, 80)])
        for _ in range(6):
            if len(window.segments) == wanted or window.cut:
                break
            room = phase.frames if phase.whole else int((phase.frames - 2) * 0.9)
            spoken, power, tempo = self._draw(language, phase, room)
            if not window.segments and len(power) + at > phase.frames - 2:
                at = 0
            if at + len(power) <= phase.frames - 2:
                window.power[at : at + len(power)] = power
                window.segments.append(place(spoken, at, len(power), tempo))
                window.phonemes.append(spoken.phonemes)
                at += len(power) + rng.randint(8, 60)
            elif phase.whole and at < phase.frames - 60 and at + len(power) > phase.frames and rng.random() < 0.35:
                self._cut(window, place(spoken, at, len(power), tempo), power)
        return window

    def _cut(self, window: Window, placed: Placed, power: np.ndarray) -> None:
        """Place an utterance that goes on after the window's end; its target is the words that fit."""
        room = len(window.power) - placed.start
        window.power[placed.start :] = power[:room]
        ends = (*placed.word_starts[1:], float(placed.end))
        inside = sum(end <= len(window.power) - 5 for end in ends)
        window.cut = Placed(placed.start, placed.end, placed.words[:inside], placed.word_starts[: inside + 1])
        window.exact_phonemes = False

    def _add_sound(self, power: np.ndarray, variance: float) -> np.ndarray:
        sound = self._sounds[self._rng.randrange(len(self._sounds))]
        start = self._rng.randint(0, len(sound) - len(power))
        mixed: np.ndarray = np.log10(10**power + sound[start : start + len(power)] * variance + 1e-10)
        return mixed

    def window(self, phase: Phase) -> tuple[np.ndarray, Window]:
        """Features (frames, 80) as the model reads them, and what they hold."""
        rng = self._rng
        if phase.whole and rng.random() < 0.06:
            window = Window(np.full((phase.frames, N_MELS), -10.0, np.float32), rng.choice(["en", "nl"]))
        else:
            window = self._speech(phase)
        power = window.power
        silent = not window.segments and not window.cut
        if silent and rng.random() < 0.85:
            power = self._add_sound(power, 10 ** rng.uniform(-7, -2))
        elif phase.augmented and rng.random() < 0.6:  # a peak of 0.5 is a variance of about 0.006
            power = self._add_sound(power, 0.006 * 10 ** (-rng.uniform(3, 40) / 10))
        if phase.augmented:
            power = np.maximum(power + rng.uniform(-1.6, 0.4), -10)
        features = self._normalised(power, window, phase)
        return features.astype(np.float32), window

    def _normalised(self, power: np.ndarray, window: Window, phase: Phase) -> np.ndarray:
        """Whisper's range; some windows end before the recording's loudest moment, some with its end."""
        rng = self._rng
        peak = float(power.max()) + (rng.uniform(0, 0.6) if phase.whole and rng.random() < 0.3 else 0)
        features: np.ndarray = (np.maximum(power, peak - 8) + 4) / 4
        if phase.augmented and rng.random() < 0.25:
            band, low = rng.randint(0, 10), rng.randint(0, N_MELS - 10)
            span, start = rng.randint(0, 12), rng.randint(0, phase.frames - 12)
            features[:, low : low + band] = features.mean()
            features[start : start + span] = features.mean()
        if phase.whole and not window.cut and rng.random() < 0.35:
            last = max((placed.end for placed in window.segments), default=0)
            features[rng.randint(min(last + 2, phase.frames - 1), phase.frames) :] = 0.0
        return features

    def _encode(self, text: str) -> list[int]:
        if text not in self._encoded:
            self._encoded[text] = self._tokenizer.encode(" " + text).ids if text else []
        return self._encoded[text]

    def _spoken_tokens(self, placed: Placed) -> list[Target]:
        """The tokens of an utterance with the frames of their words."""
        edges = [*placed.word_starts, float(placed.end)]
        spans = list(itertools.pairwise(edges))
        out: list[Target] = []
        for word, span in zip(placed.words, spans, strict=False):
            out += [(token, span) for token in self._encode(word)]
        return out

    def target(self, window: Window, phase: Phase) -> tuple[list[int], list[Target]]:
        """Decoder input, and what each position should say (`IGNORED` where nothing is asked)."""
        timestamps = self._rng.random() < 0.5
        silent = not window.segments and not window.cut
        start = [IDS.sot, IDS.language(window.language), IDS.transcribe]
        body: list[Target] = [] if timestamps else [(IDS.no_timestamps, None)]
        if silent and timestamps:
            body.append((IDS.timestamp(0), None))
        for placed in window.segments:
            spoken = self._spoken_tokens(placed)
            first, last = (IDS.timestamp(placed.start), None), (IDS.timestamp(placed.end), None)
            body += [first, *spoken, last] if timestamps else spoken
        if window.cut:
            spoken = [] if timestamps and window.segments else self._spoken_tokens(window.cut)
            body += [(IDS.timestamp(window.cut.start), None), *spoken] if timestamps else spoken
        first_label = IDS.no_speech if silent else IDS.language(window.language)
        nothing: Target = (IGNORED, None)
        labels = [(first_label, None), nothing, *body, (IDS.eot, None)]
        if not timestamps:
            labels[2] = nothing  # the caller forces <|notimestamps|>
        prompt = self._prompt(window.language, timestamps) if phase.whole and self._rng.random() < 0.35 else []
        return [*prompt, *start, *(token for token, _ in body)], [*([nothing] * len(prompt)), *labels]

    def _prompt(self, language: str, timestamps: bool) -> list[int]:
        """What was said in windows before this one, as the transcriber gives it to the decoder: with its timestamps."""
        ids: list[int] = []
        at = 0
        for _ in range(self._rng.randint(1, 4)):
            spoken = self._corpus[self._rng.choice(self._corpus.indices[language, False])]
            begin = at + self._rng.randint(0, 80)
            at = begin + len(spoken.power)
            text = self._encode(spoken.text)
            ids += [IDS.timestamp(begin % 800), *text, IDS.timestamp(at % 800)] if timestamps else text
        return [IDS.startofprev, *ids[-self._rng.randint(20, 78) :]]

    def batch(self, phase: Phase) -> dict[str, torch.Tensor]:
        """A batch: `mel` (B, 80, F), `tokens` and `labels` (B, N), `spans` (B, N, 2) frames, -1 without,
        `phonemes` (sum of lengths), `phoneme_lengths` (B,).
        """
        features: list[np.ndarray] = []
        tokens, labels, spans, phonemes = [], [], [], []
        while len(features) < phase.batch:
            mel, window = self.window(phase)
            inputs, targets = self.target(window, phase)
            symbols = [self._phonemes[s] for s in " ".join(window.phonemes)] if window.exact_phonemes else []
            if len(inputs) > MOST_TOKENS or len(symbols) > phase.frames // 2 - 20:
                continue
            features.append(mel.T)
            tokens.append(torch.tensor(inputs))
            labels.append(torch.tensor([token for token, _ in targets]))
            spans.append(torch.tensor([span or (-1.0, -1.0) for _, span in targets]))
            phonemes.append(symbols)
        pad = torch.nn.utils.rnn.pad_sequence
        return {
            "mel": torch.from_numpy(np.stack(features)),
            "tokens": pad(tokens, batch_first=True, padding_value=IDS.eot),
            "labels": pad(labels, batch_first=True, padding_value=IGNORED),
            "spans": pad(spans, batch_first=True, padding_value=-1.0),
            "phonemes": torch.tensor([symbol for row in phonemes for symbol in row], dtype=torch.long),
            "phoneme_lengths": torch.tensor([len(row) for row in phonemes]),
        }


def place(spoken: Spoken, at: int, frames: int, tempo: float) -> Placed:
    """Where an utterance and its words lie when it starts at frame `at` and was stretched to `frames`."""
    starts = tuple(at + start * 100 / tempo for start in spoken.word_starts)
    return Placed(at, at + frames, tuple(spoken.text.split()), starts)


Batch = dict[str, torch.Tensor]


class _Endless(IterableDataset):  # type: ignore[type-arg]
    def __init__(self, draw: Callable[[], Batch]) -> None:
        self._draw = draw

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield self._draw()


def endless(draw: Callable[[], Batch], ahead: int) -> Iterable[Batch]:
    """What `draw` gives again and again, drawn in a process of its own, at most `ahead` before they are asked for."""
    return DataLoader(_Endless(draw), batch_size=None, num_workers=1, prefetch_factor=ahead)
