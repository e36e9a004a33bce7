"""Whisper's tokenizer: prompts, text to tokens and back, and the tokens that must not be emitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from literatim.errors import OptionError
from literatim.text.languages import LANGUAGES, normalise
from literatim.text.tokens import TIMESTAMP, SpecialTokens, resolve
from literatim.text.vocabulary import Vocabulary, load_vocabulary

# What openai/whisper never lets a model write (whisper/tokenizer.py): marks of annotations, not of speech.
MARKS = tuple('"#()*+/:;<=>@[\\]^_`{|}~「」『』')
# fmt: off
MARK_GROUPS = (
    "<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "((", "))", "(((", ")))", "[[", "]]",
    "{{", "}}", "♪♪", "♪♪♪",
)
# fmt: on
MUSIC = tuple("♩♪♫♬♭♮♯")
# All of MUSIC shares these two bytes of its three in UTF-8, and nothing that is spoken has them.
MUSIC_PREFIX = "♪".encode()[:2]


@dataclass(frozen=True, eq=False)
class WhisperTokenizer(SpecialTokens):
    """The tokenizer of one checkpoint; frozen, and safe to share between threads."""

    vocabulary: Vocabulary = field(kw_only=True, repr=False)
    config: Mapping[str, Any] = field(kw_only=True, repr=False)

    @classmethod
    def from_folder(
        cls, folder: Path, generation_config: Mapping[str, Any], config: Mapping[str, Any]
    ) -> WhisperTokenizer:
        """Read the tokenizer in `folder`; the configurations may be empty where the folder has none.

        Raises ModelFormatError where there is no Whisper tokenizer, or the files contradict each other.
        """
        vocabulary = load_vocabulary(folder)
        special = resolve(vocabulary.named, generation_config, config)
        facts = {item.name: getattr(special, item.name) for item in fields(special)}
        return cls(**facts, vocabulary=vocabulary, config=config)

    def encode(self, text: str) -> list[int]:
        """Text tokens only: a text that spells a special token is encoded letter by letter."""
        return self.vocabulary.encode(text)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of `tokens` without special and timestamp ones; bytes that are no UTF-8 become U+FFFD."""
        table = self._text_bytes
        return b"".join(table.get(token, b"") for token in tokens).decode("utf-8", errors="replace")

    def is_text(self, token: int) -> bool:
        """Whether `token` stands for a part of the text."""
        return token in self._text_bytes

    @cached_property
    def _text_bytes(self) -> dict[int, bytes]:
        """Bytes of every id that stands for text: the BPE tokens, and words that were added later."""
        words = {
            id: text.encode()
            for text, id in self.vocabulary.added.items()
            if id >= self.timestamp_end and text not in self.vocabulary.special and not TIMESTAMP.fullmatch(text)
        }
        base = {id: value for id, value in self.vocabulary.bytes_of.items() if id < self.eot}
        return base | words

    def prompt(self, language: str | None, task: str, timestamps: bool) -> tuple[int, ...]:
        """The tokens a transcript starts with, for a language given as code or name.

        `[sot, language, task]`, or `[sot]` for English-only models, and `notimestamps` where none are wanted.
        Raises OptionError for a language or task the model does not have.
        """
        start = [self.sot]
        if self.is_multilingual:
            start += [self._language_id(language), self._task_id(task)]
        elif task == "translate":
            raise OptionError("this model knows English only and cannot translate; use a multilingual model")
        elif language is not None and normalise(language) != "en":
            raise OptionError(f"this model knows English only, not {language}; use a multilingual model")
        if timestamps and self.timestamp_begin == self.timestamp_end:
            raise OptionError("this model has no timestamp tokens; ask for text without timestamps")
        if not timestamps and self.no_timestamps is not None:
            start.append(self.no_timestamps)
        return tuple(start)

    def _language_id(self, language: str | None) -> int:
        if language is None:
            if len(self.languages) == 1:
                return next(iter(self.languages.values()))
            raise OptionError("this model knows several languages; name one or have it detected first")
        code = language if language in self.languages else normalise(language)
        if code not in self.languages:
            some = [f"{known} ({LANGUAGES.get(known, known)})" for known in list(self.languages)[:8]]
            more = f" and {len(self.languages) - 8} more" if len(self.languages) > 8 else ""
            raise OptionError(f"this model does not know {language}; it knows {', '.join(some)}{more}")
        return self.languages[code]

    def _task_id(self, task: str) -> int:
        ids = {"transcribe": self.transcribe, "translate": self.translate}
        if task not in ids:
            raise OptionError(f"unknown task {task!r}; choose one of {', '.join(ids)}")
        id = ids[task]
        if id is None:
            raise OptionError(f"this model has no token for the task {task}; choose another task or model")
        return id

    def non_speech_tokens(self) -> tuple[int, ...]:
        """Ids of brackets, quotes, music notes and the like, in ascending order.

        A mark counts where it, or it after a space, is one token; a dash or an apostrophe only where it
        begins a word. A music note may take several tokens: then the first is taken if it holds the notes'
        common bytes (it always does in OpenAI's vocabularies, but in a small one it may be a mere space).
        """
        single = [self.encode(space + mark) for mark in MARKS + MARK_GROUPS + MUSIC for space in ("", " ")]
        single += [self.encode(" -"), self.encode(" '")]
        found = {tokens[0] for tokens in single if len(tokens) == 1}
        for note in MUSIC:
            for tokens in (self.encode(note), self.encode(" " + note)):
                if MUSIC_PREFIX in self._text_bytes.get(tokens[0], b""):
                    found.add(tokens[0])
        return tuple(sorted(found))

    def suppress_tokens(self, spec: str, generation_config: Mapping[str, Any]) -> tuple[int, ...]:
        """Ids never to emit, ascending.

        `spec` is a list of ids separated by commas, in which -1 stands for the checkpoint's own list, or for
        openai/whisper's where it has none; empty means none. The tokens that steer the model (sot and the
        like) are always among them, as in openai/whisper. Raises OptionError for anything else.
        """
        asked = self._parse(spec)
        chosen = asked - {-1}
        if -1 in asked:
            own = self._listed("suppress_tokens", generation_config)
            chosen |= set(self.non_speech_tokens() if own is None else own)
        steering = (self.transcribe, self.translate, self.startofprev, self.startoflm, self.no_speech)
        return tuple(sorted({self.sot, *chosen, *(id for id in steering if id is not None)}))

    def begin_suppress(self, generation_config: Mapping[str, Any]) -> tuple[int, ...]:
        """Ids never to begin with: the checkpoint's own, else a lone space and the end."""
        own = self._listed("begin_suppress_tokens", generation_config)
        return (self.encode(" ")[0], self.eot) if own is None else tuple(own)

    def forced_language(self, generation_config: Mapping[str, Any]) -> dict[str, str]:
        """Defaults for `language` and `task` that a fine-tuned checkpoint brings, where it brings any.

        They are written as `language` and `task`, or formerly as `forced_decoder_ids`, pairs of position and
        token. Those in config.json do not count: published multilingual ones force English there.
        """
        codes = {id: code for code, id in self.languages.items()}
        tasks = {self.transcribe: "transcribe", self.translate: "translate"}
        forced: dict[str, str] = {}
        for _, id in generation_config.get("forced_decoder_ids") or []:
            if id in codes:
                forced["language"] = codes[id]
            elif id is not None and id in tasks:
                forced["task"] = tasks[id]
        if self.is_multilingual and generation_config.get("language"):
            forced["language"] = normalise(generation_config["language"].strip("<|>"))
        if self.is_multilingual and generation_config.get("task"):
            forced["task"] = generation_config["task"]
        return forced if self.is_multilingual else {}

    def _parse(self, spec: str) -> set[int]:
        try:
            ids = {int(item) for item in spec.split(",") if item.strip()}
        except ValueError:
            raise OptionError(f"suppress_tokens is {spec!r}; give token ids separated by commas, or -1") from None
        wrong = sorted(id for id in ids if not -1 <= id < self.vocab_size)
        if wrong:
            raise OptionError(f"suppress_tokens names {wrong[0]}, but token ids go from 0 to {self.vocab_size - 1}")
        return ids

    def _listed(self, key: str, generation_config: Mapping[str, Any]) -> list[int] | None:
        """A list of ids in the configurations, or None; old checkpoints write empty strings for no list."""
        for source in (generation_config, self.config):
            value = source.get(key)
            if isinstance(value, list):
                ids = [id for id in value if isinstance(id, int) and 0 <= id < self.vocab_size]
                if ids or not value:
                    return ids
        return None
