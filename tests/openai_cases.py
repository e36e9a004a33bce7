"""One random network in our recognizer and in openai/whisper's own loop, and their segments side by side."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from literatim.api import Recognizer, load
from literatim.decode.noise import Noise
from literatim.types import Segment
from reference.openai_whisper import openai_model, openai_transcribe, same_noise
from tokenizer_builders import standard_tokenizer
from whisper_builders import dump, random_whisper_folder

RATE = 16_000
# openai/whisper counts language tokens as text where it measures how a text repeats itself: none may be said here
SPOKEN = ",".join(map(str, [-1, *range(50259, 50358)]))
TIME = 1e-3  # seconds; ours are rounded to a millisecond


def sound(seconds: float, seed: int) -> Tensor:
    """Noise whose loudness and colour change twice a second; its end is silent, see below."""
    random = torch.Generator().manual_seed(seed)
    steps = round(2 * seconds) + 1
    loudness = (0.3 * torch.rand(steps, generator=random)).repeat_interleave(RATE // 2)
    pitch = (100 + 3000 * torch.rand(steps, generator=random)).repeat_interleave(RATE // 2)
    noise = torch.randn(len(loudness), generator=random)
    samples = (loudness * (0.3 * noise + (2 * torch.pi * pitch.cumsum(0) / RATE).sin()))[: round(seconds * RATE)]
    samples[-400:] = 0  # transformers mirrors the end of a recording, openai/whisper puts silence there
    return samples


def transcribe(recognizer: Recognizer, samples: Tensor, **options: Any) -> tuple[Segment, ...]:
    kept = {"no_speech_threshold": None, "temperature": 0.0, "cut_loops": False, **options}
    return recognizer.transcribe(samples.numpy(), language="en", **kept).segments


OPENAI_SHAPES: dict[str, dict[str, Any]] = {
    "narrow": {"d_model": 48, "encoder_attention_heads": 3, "decoder_attention_heads": 3},
    "other depths": {
        **{"d_model": 40, "encoder_attention_heads": 2, "decoder_attention_heads": 4},
        **{"encoder_layers": 3, "decoder_layers": 1},
    },
    "128 mels": {"d_model": 32, "encoder_attention_heads": 4, "decoder_attention_heads": 1, "num_mel_bins": 128},
}
# of beams and their options: the end is likely all the time, so that which texts have ended decides
ENDS_SOON = "narrow, ends soon"


class OpenaiPairs(dict[str, tuple[Recognizer, Any]]):
    """A network of each of the shapes, in our recognizer and in openai/whisper; made when asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def __missing__(self, name: str) -> tuple[Recognizer, Any]:
        self[name] = _pair(self._root, name)
        return self[name]


def _pair(root: Path, name: str) -> tuple[Recognizer, Any]:
    gain, name = (24.0, "narrow") if name == ENDS_SOON else (2.0, name)
    shape, seed = OPENAI_SHAPES[name], 60 + list(OPENAI_SHAPES).index(name)
    width = shape["d_model"]
    sizes = {"encoder_layers": 2, "decoder_layers": 2, "max_target_positions": 96, **shape}
    hidden = {"encoder_ffn_dim": 4 * width, "decoder_ffn_dim": 4 * width}
    folder = random_whisper_folder(root / f"{name} {gain}", seed, tiny_shape=True, end_gain=gain, **sizes, **hidden)
    dump(folder / "generation_config.json", standard_tokenizer(folder))
    return load(folder, device="cpu"), openai_model(folder)


def both_ways(
    pair: tuple[Recognizer, Any], samples: Tensor, seed: int = 0, **options: Any
) -> tuple[tuple[Segment, ...], list[dict[str, Any]]]:
    """Our segments and openai/whisper's, sampled with the same noise where they are sampled."""
    kept = {"no_speech_threshold": None, "logprob_threshold": None, "suppress_tokens": SPOKEN, **options}
    kept = {"compression_ratio_threshold": None, **kept}
    recording = hashlib.blake2b(samples.numpy().tobytes(), digest_size=16).digest()
    with same_noise(lambda seek, heat, sample: Noise(seed, recording, seek, heat, sample)):
        theirs = openai_transcribe(pair[1], samples, language="en", **kept)
    return transcribe(pair[0], samples, seed=seed, **kept), theirs


def check(ours: tuple[Segment, ...], theirs: list[dict[str, Any]], duration: float) -> None:
    assert [segment.tokens for segment in ours] == [tuple(segment["tokens"]) for segment in theirs]
    assert [segment.text for segment in ours] == [segment["text"] for segment in theirs]
    assert [segment.temperature for segment in ours] == [segment["temperature"] for segment in theirs]
    assert [segment.seek for segment in ours] == [segment["seek"] for segment in theirs]
    # times beyond the recording, which openai/whisper lets pass, are put at its end
    for name in ("start", "end"):
        found = [min(getattr(segment, name), duration) for segment in ours]
        assert found == pytest.approx([min(segment[name], duration) for segment in theirs], abs=TIME)
    for name, tolerance in (("avg_logprob", 1e-4), ("no_speech_prob", 1e-5), ("compression_ratio", 1e-9)):
        expected = [segment[name] for segment in theirs]
        assert [getattr(segment, name) for segment in ours] == pytest.approx(expected, abs=tolerance)
