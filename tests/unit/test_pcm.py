"""Sound from a pipe in pieces of any length is what the file decoder makes of the whole."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from literatim.audio.decode import decode
from literatim.audio.pcm import PcmStream
from literatim.errors import AudioFormatError, OptionError


def wav(seconds: float, rate: int, channels: int, width: int) -> bytes:
    random = np.random.default_rng(rate + channels)
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(random.bytes(round(seconds * rate) * channels * width))
    return held.getvalue()


def fed(data: bytes, sizes: list[int], rate: float | None = None) -> np.ndarray:
    stream, parts, at = PcmStream(rate), [], 0
    while at < len(data):
        size = sizes[len(parts) % len(sizes)]
        parts.append(stream.feed(data[at : at + size]))
        at += size
    return np.concatenate([*parts, stream.finish()])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=5),
    st.sampled_from([8_000, 16_000, 44_100]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2, 3, 4]),
)
def test_wav_in_any_pieces(sizes: list[int], rate: int, channels: int, width: int) -> None:
    data = wav(0.3, rate, channels, width)
    (expected,) = decode(data).samples
    found = fed(data, sizes)
    assert found.dtype == np.float32
    assert len(found) == len(expected)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_lengths_that_a_pipe_cannot_know() -> None:
    data = wav(0.2, 16_000, 1, 2)
    for length in (0, 0xFFFFFFFF):
        streamed = data[:4] + struct.pack("<I", length) + data[8:40] + struct.pack("<I", length) + data[44:]
        np.testing.assert_array_equal(fed(streamed, [1000]), decode(data).samples[0])


def test_floats_and_further_chunks() -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, 3000).astype("<f4")
    form = struct.pack("<HHIIHHH", 0xFFFE, 1, 16_000, 64_000, 4, 32, 22) + struct.pack("<HIH", 32, 4, 3) + bytes(14)
    chunks = b"LIST" + struct.pack("<I", 3) + b"abc\0" + b"fmt " + struct.pack("<I", len(form)) + form
    data = b"RIFF\0\0\0\0WAVE" + chunks + b"data\0\0\0\0" + samples.tobytes()
    np.testing.assert_array_equal(fed(data, [7]), samples)


def test_bare_samples() -> None:
    samples = np.random.default_rng(2).integers(-32768, 32767, 4000).astype("<i2")
    np.testing.assert_array_equal(fed(samples.tobytes(), [333]), samples / np.float32(32768))
    assert len(fed(samples.tobytes(), [333], 8_000)) == pytest.approx(8000, abs=2)
    np.testing.assert_array_equal(fed(samples[:3].tobytes(), [1]), samples[:3] / np.float32(32768))  # below a header
    assert len(fed(samples.tobytes()[:-1], [50])) == 3999
    assert len(fed(b"", [1])) == 0


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"fLaC" + bytes(20), "FLAC"),
        (b"OggS" + bytes(20), "Ogg"),
        (b"ID3\x04" + bytes(20), "MP3"),
        (b"\x1aE\xdf\xa3" + bytes(20), "WebM"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "says nothing"),
        (b"RIFF\0\0\0\0WAVEfmt \4\0\0\0\1\0\1\0data\0\0\0\0", "too little"),
        (b"RIFF\0\0\0\0WAVE" + b"LIST\0\0\0\0" * 200_000, "within a megabyte"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\6\0\1\0" + bytes(12) + b"data\0\0\0\0", "format 6, 0 bits"),
    ],
)
def test_what_is_no_bare_sound(data: bytes, named: str) -> None:
    with pytest.raises(AudioFormatError, match=named) as refused:
        fed(data, [1 << 20])
    assert "ffmpeg -i" in str(refused.value)


def test_a_rate_that_is_none() -> None:
    with pytest.raises(OptionError, match="must lie between"):
        PcmStream(1)
    with pytest.raises(OptionError, match="leave the rate out"):
        fed(wav(0.1, 16_000, 1, 2), [1000], 8_000)
