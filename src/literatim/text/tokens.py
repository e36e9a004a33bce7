"""Which id is which: the special and timestamp tokens of a Whisper vocabulary.

An id is taken from the tokenizer's own token texts, else from generation_config.json, else from its position
(openai/whisper lays the tokens out as ... nospeech, notimestamps, 0.00, 0.02 ...). Two sources that disagree
mean files of two models in one folder, which is an error here: it would show only as wrong text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from literatim.errors import ModelFormatError
from literatim.text.languages import LANGUAGES

# Timestamps are as far apart as the encoder's positions, two mel frames (Radford et al. 2022,
# arXiv 2212.04356, section 2.3).
TIME_PRECISION = 0.02
WINDOW_POSITIONS = 1500
# GPT-2's vocabulary, which the English-only models use, ends here; the multilingual one has one entry more.
GPT2_SIZE = 50256

TIMESTAMP = re.compile(r"<\|\d+\.\d\d\|>")
TEXTS = {
    "eot": ("<|endoftext|>",),
    "sot": ("<|startoftranscript|>",),
    "translate": ("<|translate|>",),
    "transcribe": ("<|transcribe|>",),
    "startoflm": ("<|startoflm|>",),
    "startofprev": ("<|startofprev|>",),
    "no_speech": ("<|nospeech|>", "<|nocaptions|>"),
    "no_timestamps": ("<|notimestamps|>",),
}


@dataclass(frozen=True, eq=False)
class SpecialTokens:
    """Ids of a Whisper vocabulary; None where the vocabulary lacks the token.

    Timestamp ids are `timestamp_begin` (0 s) up to and without `timestamp_end`, `time_precision` seconds
    apart; the two are equal where there are none. Ids from `timestamp_end` on were added later and are no
    timestamps. `languages` maps codes to ids and is empty for English-only models.
    """

    eot: int
    sot: int
    translate: int | None
    transcribe: int | None
    startoflm: int | None
    startofprev: int | None
    no_speech: int | None
    no_timestamps: int | None
    timestamp_begin: int
    timestamp_end: int
    languages: dict[str, int]
    is_multilingual: bool
    vocab_size: int
    time_precision: float = TIME_PRECISION


def resolve(named: Mapping[str, int], generation_config: Mapping[str, Any], config: Mapping[str, Any]) -> SpecialTokens:
    """Work out the ids from the tokenizer's texts (`named`) and the two configurations.

    Raises ModelFormatError where a needed token is missing or two sources contradict each other.
    """
    tokens = _single_tokens(named, generation_config, config)
    vocab_size = _vocab_size(named, config, tokens["no_timestamps"])
    languages = _languages(named, generation_config)
    _check_range({**tokens, **languages}, vocab_size)
    begin, end = _timestamps(named, tokens["no_timestamps"], vocab_size, config)
    eot, sot = _needed("eot", tokens), _needed("sot", tokens)
    is_multilingual = _is_multilingual(generation_config, languages, eot)
    return SpecialTokens(
        eot=eot,
        sot=sot,
        **{name: id for name, id in tokens.items() if name not in {"eot", "sot"}},  # type: ignore[arg-type]
        timestamp_begin=begin,
        timestamp_end=end,
        languages=languages if is_multilingual else {},
        is_multilingual=is_multilingual,
        vocab_size=vocab_size,
    )


def _single_tokens(
    named: Mapping[str, int], generation_config: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, int | None]:
    """Id or None of every entry of TEXTS."""
    configured = {
        "eot": _eos(generation_config, named),
        "sot": generation_config.get("decoder_start_token_id"),
        "startofprev": generation_config.get("prev_sot_token_id"),
        "no_timestamps": generation_config.get("no_timestamps_token_id"),
        **{task: (generation_config.get("task_to_id") or {}).get(task) for task in ("translate", "transcribe")},
    }
    tokens = {name: _agreed(texts, named, configured.get(name)) for name, texts in TEXTS.items()}
    # config.json comes last and unchecked: old ones carry the defaults of another vocabulary.
    if tokens["eot"] is None:
        tokens["eot"] = config.get("eos_token_id")
    if tokens["sot"] is None:
        tokens["sot"] = config.get("decoder_start_token_id")
    if tokens["no_speech"] is None and tokens["no_timestamps"] is not None:
        before = tokens["no_timestamps"] - 1
        tokens["no_speech"] = before if before not in named.values() else None
    return tokens


def _eos(generation_config: Mapping[str, Any], named: Mapping[str, int]) -> int | None:
    """The end token of a generation_config, which may list several: then the one the tokenizer names."""
    eos = generation_config.get("eos_token_id")
    if not isinstance(eos, list):
        return eos
    known = named.get(TEXTS["eot"][0])
    return known if known in eos else next(iter(eos), None)


def _agreed(texts: tuple[str, ...], named: Mapping[str, int], configured: int | None) -> int | None:
    """The id by text, else the configured one; both must be the same where both are known."""
    found = {text: named[text] for text in texts if text in named}
    if configured is not None:
        found["generation_config.json"] = configured
    if len(set(found.values())) > 1:
        sources = ", ".join(f"{id} by {source}" for source, id in found.items())
        raise ModelFormatError(
            f"the token {texts[0]} has two ids: {sources}; "
            "tokenizer and generation_config.json must come from the same model"
        )
    return next(iter(found.values()), None)


def _check_range(tokens: Mapping[str, int | None], vocab_size: int) -> None:
    for name, id in tokens.items():
        if id is not None and not 0 <= id < vocab_size:
            raise ModelFormatError(
                f"the token for {name} has id {id}, but config.json says the model has {vocab_size} tokens; "
                "the tokenizer is of another model"
            )


def _needed(name: str, tokens: Mapping[str, int | None]) -> int:
    id = tokens[name]
    if id is None:
        raise ModelFormatError(f"the tokenizer has no {TEXTS[name][0]}, so it is not of a Whisper model")
    return id


def _vocab_size(named: Mapping[str, int], config: Mapping[str, Any], no_timestamps: int | None) -> int:
    """Rows of the model's embedding; without a config.json, what the tokenizer and all timestamps need."""
    if config.get("vocab_size") is not None:
        return int(config["vocab_size"])
    full = 0 if no_timestamps is None else no_timestamps + 1 + _window_count(config)
    return max(full, max(named.values(), default=-1) + 1)


def _window_count(config: Mapping[str, Any]) -> int:
    """Timestamps of one window, both of its ends included."""
    return int(config.get("max_source_positions") or WINDOW_POSITIONS) + 1


def _timestamps(
    named: Mapping[str, int], no_timestamps: int | None, vocab_size: int, config: Mapping[str, Any]
) -> tuple[int, int]:
    """First timestamp id and the id past the last."""
    first = named.get(_timestamp_text(0))
    if first is None:
        first = vocab_size if no_timestamps is None else no_timestamps + 1
    elif no_timestamps is not None and first != no_timestamps + 1:
        raise ModelFormatError(
            f"the token {_timestamp_text(0)} has id {first} but <|notimestamps|> has {no_timestamps}; "
            "the one must follow the other, so the tokenizer's files do not belong together"
        )
    count = max(0, min(_window_count(config), vocab_size - first))
    texts = {id: text for text, id in named.items()}
    if _timestamp_text(0) in named:
        run = 0
        while run < count and texts.get(first + run) == _timestamp_text(run):
            run += 1
        return first, first + run
    for id in range(first, first + count):
        if id in texts:
            raise ModelFormatError(
                f"the token {texts[id]} has id {id}, which is the model's {_timestamp_text(id - first)}; "
                "add words after the timestamps, not in their place"
            )
    return first, first + count


def _timestamp_text(index: int) -> str:
    return f"<|{index * TIME_PRECISION:.2f}|>"


def _languages(named: Mapping[str, int], generation_config: Mapping[str, Any]) -> dict[str, int]:
    """Ids by code, in the order of the ids."""
    configured: Mapping[str, int] = generation_config.get("lang_to_id") or {}
    texts = {f"<|{code}|>" for code in LANGUAGES} & set(named) | set(configured)
    found = {text[2:-2]: _agreed((text,), named, configured.get(text)) for text in texts}
    return dict(sorted(((code, id) for code, id in found.items() if id is not None), key=lambda item: item[1]))


def _is_multilingual(generation_config: Mapping[str, Any], languages: Mapping[str, int], eot: int) -> bool:
    """English-only vocabularies have language tokens too, but their models never saw one."""
    declared = generation_config.get("is_multilingual")
    if declared is None:
        return bool(languages) and eot != GPT2_SIZE
    if declared and not languages:
        raise ModelFormatError(
            "generation_config.json says is_multilingual, but neither the tokenizer nor lang_to_id names "
            "a language; copy the tokenizer from the model this one was made from"
        )
    return bool(declared)
