"""Which languages are asked for, and whether a model has them: checked before any recording is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from literatim.errors import OptionError
from literatim.models.config import WhisperConfig
from literatim.options import TranscribeOptions
from literatim.text.languages import normalise
from literatim.text.tokenizer import WhisperTokenizer

CUT = 4  # times as many layers in the encoder as in the decoder: turbo has 8, distil-large 16, all others 1


def checked(
    options: TranscribeOptions,
    tokenizer: WhisperTokenizer,
    config: WhisperConfig,
    generation_config: Mapping[str, Any],
) -> TranscribeOptions:
    """The options with codes for languages, and with the language that a fine-tuned model brings.

    Raises OptionError for a language or a task that the model has not, and for options that exclude each other.
    """
    among = several(options.languages)
    if options.language is not None:
        for name, given in (("languages", among), ("multilingual", options.multilingual)):
            if given:
                raise OptionError(f"with a language there is nothing to detect; leave out language, or {name}")
        options = replace(options, language=normalise(options.language))
    own = tokenizer.forced_language(generation_config).get("language")
    if options.language is None and own is not None and not among and not options.multilingual:
        options = replace(options, language=own)
    if options.multilingual and not tokenizer.is_multilingual:
        raise OptionError("this model knows English only, so multilingual has no meaning; use a multilingual model")
    if options.task == "translate" and config.encoder_layers >= CUT * config.decoder_layers:
        raise OptionError(
            f"this model has {config.decoder_layers} decoder layers beside {config.encoder_layers} of the encoder: "
            "models cut down like that (turbo, distil-whisper) learned to transcribe only; use medium or large-v3"
        )
    known = tuple(tokenizer.languages) or ("en",)
    for language in (options.language or known[0], *among):
        tokenizer.prompt(language, options.task, not options.without_timestamps)
    return replace(options, languages=",".join(among) or None)


def several(languages: str | None) -> tuple[str, ...]:
    """The codes of languages that are given as codes or names with commas between them."""
    names = [] if languages is None else [name for name in languages.split(",") if name.strip()]
    if languages is not None and not names:
        raise OptionError("languages names none; give codes with commas, as en,nl, or leave it out")
    return tuple(dict.fromkeys(normalise(name) for name in names))
