"""Measure a bundled Whisper on the frozen test sets, through transformers' `generate` in float32.

    python -m literatim.train.evaluate FOLDER --out FILE.json

Every window is decoded greedily on its own, without and with timestamps. Rates are shares, not per cent; times
are milliseconds. The same folder gives the same file.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import jiwer
import numpy as np
import torch
import transformers
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from literatim.train import sets, sounds
from literatim.train.vocabulary import IDS, LANGUAGES, WINDOW_SECONDS

NO_SPEECH_THRESHOLD = 0.6  # openai/whisper's default
NON_SPEECH_SEED = 20_261_120  # of no training sound: those are drawn from seed 5
NON_SPEECH_EACH = 12  # windows of each kind

Span = tuple[float, float, str]  # start and end in seconds, text


@dataclass(frozen=True)
class Window:
    """8 s of 16 kHz sound, who speaks, and the reference: its segments and its words."""

    samples: np.ndarray
    voice: str
    spans: tuple[Span, ...]
    words: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Heard:
    """What the model made of one window."""

    plain: str  # without timestamps
    timed: tuple[Span, ...]
    language: str
    no_speech: float


def windows(language: str, kind: str, limit: int | None) -> Iterator[Window]:
    """The windows of a frozen set; `voice` is the espeak-ng variant."""
    rows = (sets.FOLDER / f"{language}-{kind}.jsonl").read_text("utf-8").splitlines()
    for row, heard in islice(zip(rows, sets.render(language, kind), strict=True), limit):
        voice = json.loads(row)["lines"][0]["manner"]["voice"].partition("+")[2]
        yield Window(heard.samples, voice, heard.segments, heard.words)


def non_speech() -> Iterator[tuple[str, np.ndarray]]:
    """Windows in which nobody speaks, with the kind of each."""
    rng = np.random.default_rng(NON_SPEECH_SEED)
    for _ in range(NON_SPEECH_EACH):
        yield "silence", np.zeros(sets.LENGTH, np.float32)
        for kind in sounds.KINDS:
            level = np.float32(10 ** rng.uniform(-3.5, -1))
            yield kind.__name__, kind(rng, sets.LENGTH) * level


def in_batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """`items` in slices of `size`."""
    return (items[at : at + size] for at in range(0, len(items), size))


def spans_of(tokens: Sequence[int], text_of: Callable[[list[int]], str]) -> tuple[Span, ...]:
    """The segments in generated tokens; one that is never closed ends with the window.

    `text_of` turns text tokens into text.
    """
    spans: list[Span] = []
    begun: float | None = None
    text: list[int] = []
    for token in [*tokens, IDS.eot]:
        if token < IDS.eot:
            text.append(token)
        elif text and (token == IDS.eot or token >= IDS.timestamp_begin):
            end = (token - IDS.timestamp_begin) * 0.02 if token != IDS.eot else float(WINDOW_SECONDS)
            spans.append((begun or 0.0, end, text_of(text).strip()))
            begun, text = None, []
        elif token >= IDS.timestamp_begin:
            begun = (token - IDS.timestamp_begin) * 0.02
        if token == IDS.eot:
            break
    return tuple(spans)


class Model:
    """The model under test."""

    def __init__(self, folder: Path) -> None:
        self._processor = WhisperProcessor.from_pretrained(folder)
        self._model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    def encode(self, samples: Sequence[np.ndarray]) -> Any:
        """The encoder's output for full windows."""
        extract = self._processor.feature_extractor
        features = extract(list(samples), sampling_rate=sounds.RATE, return_tensors="pt").input_features
        return self._model.model.encoder(features)

    def first(self, audio: Any) -> torch.Tensor:
        """Probabilities of the token after <|startoftranscript|>: (B, V)."""
        start = torch.full((audio[0].shape[0], 1), IDS.sot)
        logits: torch.Tensor = self._model(decoder_input_ids=start, encoder_outputs=audio).logits
        return logits[:, 0].softmax(-1)

    def tokens(self, audio: Any, language: str, timestamps: bool) -> list[list[int]]:
        """Greedy tokens of each row, the forced ones left out."""
        made = self._model.generate(
            encoder_outputs=audio,
            language=language,
            task="transcribe",
            return_timestamps=timestamps,
            force_unique_generate_call=True,  # or it goes on after the last timestamp of the window
        )
        return [row[3 if timestamps else 4 :] for row in made.tolist()]

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones ignored."""
        decoded: str = self._processor.tokenizer.decode([token for token in tokens if token < IDS.eot])
        return decoded.strip()

    def hear(self, batch: Sequence[Window], language: str) -> list[Heard]:
        """Transcribe windows of one language."""
        audio = self.encode([window.samples for window in batch])
        first = self.first(audio)
        codes = first[:, [IDS.language(code) for code in LANGUAGES]].argmax(-1).tolist()
        plain, timed = (self.tokens(audio, language, timestamps) for timestamps in (False, True))
        return [
            Heard(self.text(a), spans_of(b, self.text), LANGUAGES[code], float(silence))
            for a, b, code, silence in zip(plain, timed, codes, first[:, IDS.no_speech], strict=True)
        ]


def bare(text: str) -> str:
    """Lower case, without punctuation."""
    return " ".join(re.sub(r"[^\w\s']", " ", text.lower()).split())


def error_rate(references: Sequence[str], texts: Sequence[str]) -> float:
    """Word error rate over all texts together."""
    return round(float(jiwer.wer(list(references), list(texts))), 5)


def pairs(reference: Sequence[Span], heard: Sequence[Span]) -> list[tuple[Span, Span]]:
    """Each reference segment with the heard one that overlaps it most; a heard one is used once."""
    free, found = list(heard), []
    for span in reference:
        overlaps = [min(span[1], other[1]) - max(span[0], other[0]) for other in free]
        if overlaps and max(overlaps) > 0:
            found.append((span, free.pop(overlaps.index(max(overlaps)))))
    return found


def _off(matched: Sequence[tuple[Span, Span]]) -> dict[str, float | None]:
    """Mean absolute error of starts and ends in milliseconds; None without any pair."""
    result: dict[str, float | None] = {}
    for name, side in (("start_ms", 0), ("end_ms", 1)):
        errors = [abs(float(a[side]) - float(b[side])) * 1000 for a, b in matched]
        result[name] = round(fmean(errors), 1) if errors else None
    return result


def times(references: Sequence[Sequence[Span]], heard: Sequence[Sequence[Span]]) -> dict[str, Any]:
    """How well segments were found: their count in a window, their starts and ends."""
    both = list(zip(references, heard, strict=True))
    right = [(a, b) for a, b in both if len(a) == len(b)]
    matched = [pair for a, b in both for pair in pairs(a, b)]
    in_order = [pair for a, b in right for pair in zip(a, b, strict=True)]
    return {
        "right_count": round(len(right) / len(both), 4),
        "where_count_right": _off(in_order),
        "all_matched": {"share": round(len(matched) / sum(map(len, references)), 4), **_off(matched)},
    }


def score(asked: Sequence[Window], heard: Sequence[Heard], language: str) -> dict[str, Any]:
    """All numbers of one set."""
    references = [" ".join(text for _, _, text in window.spans) for window in asked]
    plain = [item.plain for item in heard]
    timed = [" ".join(text for _, _, text in item.timed) for item in heard]
    bare_references, bare_plain = [bare(text) for text in references], [bare(text) for text in plain]
    voices = {
        voice: [index for index, window in enumerate(asked) if window.voice == voice]
        for voice in sorted({window.voice for window in asked})
    }
    return {
        "windows": len(asked),
        "words": sum(len(text.split()) for text in references),
        "wer": error_rate(bare_references, bare_plain),
        "wer_cased_punctuated": error_rate(references, plain),
        "wer_with_timestamps": error_rate(bare_references, [bare(text) for text in timed]),
        "segments": times([window.spans for window in asked], [item.timed for item in heard]),
        "wer_by_voice": {
            voice: error_rate([bare_references[i] for i in rows], [bare_plain[i] for i in rows])
            for voice, rows in voices.items()
        },
        "language_right": round(fmean(item.language == language for item in heard), 4),
        "taken_for_no_speech": round(fmean(item.no_speech > NO_SPEECH_THRESHOLD for item in heard), 4),
    }


def score_non_speech(model: Model) -> dict[str, Any]:
    """The share of windows without speech that is recognised as such, by kind and in all."""
    kinds, samples = zip(*non_speech(), strict=True)
    found: dict[str, list[bool]] = {}
    chances = torch.cat([model.first(model.encode(part))[:, IDS.no_speech] for part in in_batches(samples, 20)])
    for kind, chance in zip(kinds, chances.tolist(), strict=True):
        found.setdefault(kind, []).append(chance > NO_SPEECH_THRESHOLD)
    return {
        "windows": len(kinds),
        "threshold": NO_SPEECH_THRESHOLD,
        "found": round(fmean(hit for hits in found.values() for hit in hits), 4),
        "found_by_kind": {kind: round(fmean(hits), 4) for kind, hits in found.items()},
        "mean_probability": round(float(chances.mean()), 5),
    }


@torch.inference_mode()
def evaluate(folder: Path, limit: int | None, batch: int) -> dict[str, Any]:
    """Every frozen set (or its first `limit` windows) and the windows without speech."""
    model, results = Model(folder), dict[str, dict[str, Any]]()
    for language in LANGUAGES:
        for kind in sets.KINDS:
            asked = list(windows(language, kind, limit))
            heard = [item for part in in_batches(asked, batch) for item in model.hear(part, language)]
            results[f"{language}-{kind}"] = row = score(asked, heard, language)
            sys.stderr.write(f"{language}-{kind}: WER {row['wer']:.2%}, {row['wer_with_timestamps']:.2%} timed\n")
    rates = ("wer", "wer_cased_punctuated", "wer_with_timestamps")
    means = {
        language: {rate: round(fmean(results[f"{language}-{kind}"][rate] for kind in sets.KINDS), 5) for rate in rates}
        for language in LANGUAGES
    }
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "jiwer": version("jiwer")}
    return {"sets": results, "means": means, "non_speech": score_non_speech(model), "versions": versions}


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="windows of each set")
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    transformers.logging.set_verbosity_error()
    result = evaluate(given.folder, given.limit, given.batch)
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
