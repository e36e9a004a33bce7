"""Which options of a transcription mean something to MedASR; the others are refused, each with its reason."""

from __future__ import annotations

from dataclasses import fields, replace

from literatim.errors import OptionError
from literatim.options import LoadOptions, TranscribeOptions, VadOptions
from literatim.text.languages import normalise

_DECODER = "MedASR says all tokens of a window at once: no text can be given to it, and none is sampled or followed"
_ENGLISH = "MedASR knows English only: there is nothing to detect"
_CLOCK = "MedASR's windows are cut by the clock (chunk_length_s, stride_length_s), from the first sample to the last"
_WINDOW = "MedASR judges no window as a whole: what is not said is left blank step by step"
_TIMES = "MedASR's segments end where a sentence, a paragraph or a pause does, and always have times"
_PUNCTUATION = "MedASR's punctuation is spoken, and each mark of it is a word"
_DRAFT = "MedASR says all tokens of a window at once, so that there is nothing to propose"

_REASONS = {
    **dict.fromkeys(("languages", "multilingual"), _ENGLISH),
    "task": "MedASR writes what is said and translates nothing",
    **dict.fromkeys(("initial_prompt", "carry_initial_prompt", "prefix", "condition_on_previous_text"), _DECODER),
    **dict.fromkeys(("suppress_tokens", "max_new_tokens", "no_repeat_ngram_size"), _DECODER),
    **dict.fromkeys(("repetition_penalty", "temperature", "prompt_reset_on_temperature", "seed"), _DECODER),
    **dict.fromkeys(("best_of", "patience", "length_penalty"), _DECODER),
    **dict.fromkeys(("vad_filter", "clip_timestamps"), _CLOCK),
    **dict.fromkeys(("no_speech_threshold", "logprob_threshold", "compression_ratio_threshold"), _WINDOW),
    **dict.fromkeys(("cut_loops", "hallucination_silence_threshold"), _WINDOW),
    **dict.fromkeys(("without_timestamps", "max_initial_timestamp"), _TIMES),
    **dict.fromkeys(("prepend_punctuations", "append_punctuations"), _PUNCTUATION),
}
# Values that ask for nothing although they are not the default.
_OFF = {"vad_filter": False, "condition_on_previous_text": False, "temperature": 0.0}


def checked(text: TranscribeOptions, vad: VadOptions) -> TranscribeOptions:
    """The options with nothing left to be chosen. Raises OptionError for what has no meaning here."""
    if text.language is not None and normalise(text.language) != "en":
        raise OptionError(f"MedASR knows English only, not {text.language}")
    if text.strategy not in {"auto", "chunked"}:
        raise OptionError(f"{_CLOCK}; leave strategy {text.strategy} out")
    for item in fields(TranscribeOptions):
        if item.name in _REASONS and getattr(text, item.name) not in (item.default, _OFF.get(item.name, item.default)):
            raise OptionError(f"{_REASONS[item.name]}; leave {item.name} out")
    for item in fields(VadOptions):
        if getattr(vad, item.name) != item.default:
            raise OptionError(f"{_CLOCK}; leave {item.name} out")
    _check_search(text)
    return replace(text, strategy="chunked", language="en")


def _check_search(text: TranscribeOptions) -> None:
    given = {item.name for item in fields(text) if getattr(text, item.name) != item.default}
    for name in sorted(given & {"alpha", "beta"}):
        if text.language_model is None:
            raise OptionError(f"{name} weighs an n-gram model; give language_model as well")
    if "hotword_weight" in given and not text.hotwords:
        raise OptionError("hotword_weight is of hotwords; give them as well")


def check_load(how: LoadOptions) -> None:
    """Raises OptionError for what a model with a decoder alone can use."""
    if how.assistant not in {None, "auto", "none"}:
        raise OptionError(f"{_DRAFT}; leave assistant out")
    if how.num_assistant_tokens is not None:
        raise OptionError(f"{_DRAFT}; leave num_assistant_tokens out")
