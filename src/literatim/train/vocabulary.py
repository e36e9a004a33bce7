"""The demo model's small vocabulary, laid out as Whisper's: text, specials, languages, timestamps."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from literatim.train import grammar

TEXT_TOKENS = 1300
WINDOW_SECONDS = 8
TIMESTAMPS = WINDOW_SECONDS * 50 + 1  # one each 20 ms, both ends
LANGUAGES = ("en", "nl")
SPECIALS = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{language}|>" for language in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)


@dataclass(frozen=True)
class Ids:
    """Token ids by role."""

    eot: int = TEXT_TOKENS
    sot: int = TEXT_TOKENS + 1
    translate: int = TEXT_TOKENS + 4
    transcribe: int = TEXT_TOKENS + 5
    startoflm: int = TEXT_TOKENS + 6
    startofprev: int = TEXT_TOKENS + 7
    no_speech: int = TEXT_TOKENS + 8
    no_timestamps: int = TEXT_TOKENS + 9
    timestamp_begin: int = TEXT_TOKENS + 10
    vocabulary: int = TEXT_TOKENS + 10 + TIMESTAMPS

    def language(self, code: str) -> int:
        """The id of a language token."""
        return TEXT_TOKENS + 2 + LANGUAGES.index(code)

    def timestamp(self, frame: float) -> int:
        """The id nearest to a mel frame of the window."""
        return self.timestamp_begin + min(TIMESTAMPS - 1, max(0, round(frame / 2)))


IDS = Ids()


def build() -> Tokenizer:
    """Byte-level BPE trained on both grammars; deterministic."""
    rng = random.Random(7)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [" " + grammar.trained(language, rng)[0] for _ in range(40_000) for language in LANGUAGES]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=TEXT_TOKENS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load(path: Path) -> Tokenizer:
    """The tokenizer saved at `path`, made first when it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        build().save(str(path))
    return Tokenizer.from_file(str(path))
