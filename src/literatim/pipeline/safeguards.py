"""Whether a window's text can be true: openai/whisper's tests for silence, doubt and repetition."""

from __future__ import annotations

import zlib

from literatim.decode.rows import Decoded
from literatim.options import TranscribeOptions


def is_silent(result: Decoded, options: TranscribeOptions) -> bool:
    """Likely no speech, and the text is not sure of itself either."""
    if options.no_speech_threshold is None or result.no_speech_prob <= options.no_speech_threshold:
        return False
    return options.logprob_threshold is None or result.avg_logprob <= options.logprob_threshold


def needs_fallback(result: Decoded, ratio: float, options: TranscribeOptions) -> bool:
    """Whether to decode again at the next temperature: `ratio` is the text's compression ratio.

    A window that is likely silent, and not sure of its text, is not tried again: it will be passed over.
    """
    least = options.logprob_threshold
    unsure = least is not None and result.avg_logprob < least
    silence = options.no_speech_threshold
    if unsure and silence is not None and result.no_speech_prob > silence:
        return False
    most = options.compression_ratio_threshold
    return unsure or (most is not None and ratio > most)


def compression_ratio(text: str) -> float:
    """Bytes of the text by bytes of its zlib compression; above 2.4 it repeats itself."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))
