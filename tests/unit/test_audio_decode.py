"""Every container, sample format, rate, source and channel choice gives the samples that were put in."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from audio_builders import AMPLITUDE, TONE, encode, tone, wav
from literatim.audio.decode import SAMPLE_RATE, Recording, decode
from literatim.errors import AudioContentError, AudioFormatError, AudioLimitError, OptionError
from literatim.options import AudioOptions

CONTAINERS = [
    ("wav", "pcm_s16le", 44_100, {}),
    ("w64", "pcm_s16le", 44_100, {}),
    ("flac", "flac", 44_100, {}),
    ("mp3", "libmp3lame", 44_100, {}),
    ("ipod", "aac", 44_100, {}),
    ("mp4", "alac", 44_100, {}),
    ("ogg", "libopus", 48_000, {}),
    ("ogg", "flac", 44_100, {}),
    ("ogg", "vorbis", 44_100, {"strict": "experimental"}),
    ("webm", "libopus", 48_000, {}),
    ("matroska", "flac", 44_100, {}),
    ("adts", "aac", 44_100, {}),
    ("aiff", "pcm_s16be", 44_100, {}),
    ("caf", "pcm_s16le", 44_100, {}),
]


def assert_tone(samples: np.ndarray, frequency: float = TONE) -> None:
    """Right frequency within 1 Hz and right level within 6 % in the middle of `samples` (S,) at 16 kHz.

    LAME lowers the level by 5 % on its own, to leave room for its rounding.
    """
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(np.argmax(spectrum) * SAMPLE_RATE / len(middle) - frequency) <= 1.0
    assert np.sqrt(np.mean(np.square(middle))) == pytest.approx(AMPLITUDE / np.sqrt(2), rel=0.06)


def digest(recording: Recording) -> str:
    return hashlib.sha256(b"".join(part.tobytes() for part in recording.samples)).hexdigest()


@pytest.mark.parametrize(("container", "codec", "rate", "codec_options"), CONTAINERS)
def test_a_tone_comes_back_from_every_container(container, codec, rate, codec_options):
    data = encode(tone(rate, 2.0, channels=2), rate, container, codec, codec_options=codec_options)
    recording = decode(data)
    assert recording.duration == pytest.approx(2.0, abs=0.1)
    assert recording.duration == len(recording.samples[0]) / 16_000
    assert recording.channels == (None,)
    assert recording.warnings == ()
    assert recording.samples[0].dtype == np.float32
    assert recording.samples[0].flags.c_contiguous
    assert_tone(recording.samples[0])


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_resampling_keeps_frequency_level_and_duration(rate):
    recording = decode(encode(tone(rate, 2.0), rate, "wav", "pcm_s16le"))
    assert recording.duration == pytest.approx(2.0, abs=1e-3)
    assert_tone(recording.samples[0])


def test_resampling_removes_what_16_khz_cannot_hold():
    silent = decode(encode(tone(48_000, 1.0, frequency=10_000), 48_000, "wav", "pcm_s16le")).samples[0]
    assert np.abs(silent[1600:-1600]).max() < 1e-3


NUMBERS = np.random.default_rng(7).integers(-(2**31), 2**31, size=(2, 4000))  # (2, S)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_integers_of_every_width_are_divided_by_their_full_scale(bits):
    values = NUMBERS >> (32 - bits)
    if bits == 8:
        raw = (values.T + 128).astype(np.uint8).tobytes()
    elif bits == 24:
        raw = values.T.astype("<i4").copy().view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    else:
        raw = values.T.astype(f"<i{bits // 8}").tobytes()
    recording = decode(wav(raw, channels=2, bits=bits), options=AudioOptions(channels="split"))
    expected = (values / 2.0 ** (bits - 1)).astype(np.float32)
    np.testing.assert_array_equal(np.stack(recording.samples), expected)


@pytest.mark.parametrize("bits", [32, 64])
def test_float_wav_is_taken_as_it_is(bits):
    values = NUMBERS[0] / 2.0**31
    recording = decode(wav(values.astype(f"<f{bits // 8}").tobytes(), bits=bits, tag=3))
    np.testing.assert_array_equal(recording.samples[0], values.astype(np.float32))


@pytest.fixture(scope="module")
def stereo() -> np.ndarray:
    """Two unlike channels (2, S) of 16-bit integers."""
    return NUMBERS >> 16


def test_channels_are_mixed_split_and_picked(stereo):
    data = wav(stereo.T.astype("<i2").tobytes(), channels=2)
    left, right = stereo / 32_768.0
    mixed = decode(data)
    np.testing.assert_array_equal(mixed.samples[0], ((left + right) / 2).astype(np.float32))
    split = decode(data, options=AudioOptions(channels="split"))
    assert split.channels == (0, 1)
    np.testing.assert_array_equal(split.samples, np.stack([left, right]).astype(np.float32))
    picked = decode(data, options=AudioOptions(channels="1"))
    assert picked.channels == (1,)
    np.testing.assert_array_equal(picked.samples[0], right.astype(np.float32))


def test_planar_channels_keep_their_order():
    samples = np.concatenate([tone(48_000, 1.0, frequency=300), tone(48_000, 1.0, frequency=900)])
    data = encode(samples, 48_000, "ogg", "libopus")
    first, second = decode(data, options=AudioOptions(channels="split")).samples
    assert_tone(first, 300)
    assert_tone(second, 900)


@pytest.mark.parametrize(("layout", "count"), [("7.1", 8), ("hexadecagonal", 16)])
def test_more_planes_than_ffmpeg_has_pointers_for(layout, count):
    pitches = [300 + 100 * channel for channel in range(count)]
    samples = np.concatenate([tone(48_000, 0.5, frequency=pitch) for pitch in pitches])
    family = {"mapping_family": "255"}
    data = encode(samples, 48_000, "matroska", "libopus", layout=layout, codec_options=family)
    recording = decode(data, options=AudioOptions(channels="split"))
    assert len(recording.samples) == count
    for channel, pitch in zip(recording.samples, pitches, strict=True):
        assert_tone(channel, pitch)


def test_a_channel_that_is_not_there_names_those_that_are():
    with pytest.raises(OptionError, match=r"no channel 2; it has 2 channels, 0 to 1"):
        decode(wav(bytes(8000), channels=2), options=AudioOptions(channels="2"))
    with pytest.raises(OptionError, match="one channel, 0"):
        decode(wav(bytes(8000)), options=AudioOptions(channels="1"))


@pytest.mark.parametrize("choice", ["left", "-1", "", "1.5", "²"])
def test_a_channel_choice_that_means_nothing_is_refused(choice):
    with pytest.raises(OptionError, match="give mix, split"):
        decode(wav(bytes(8000)), options=AudioOptions(channels=choice))


def test_channels_that_cancel_are_reported():
    wave = tone(16_000, 1.0)[0]
    opposed = np.stack([wave, -wave])
    warning = "the channels cancel each other out; try --channels split"
    assert decode(opposed).warnings == (warning,)
    assert decode(encode(opposed, 16_000, "flac", "flac")).warnings == (warning,)
    assert decode(opposed, options=AudioOptions(channels="split")).warnings == ()
    assert decode(np.zeros((2, 16_000), np.float32)).warnings == ()  # silence is not cancellation
    assert decode(np.stack([wave, 0 * wave])).warnings == ()


def test_every_source_gives_the_same_bits(tmp_path):
    data = encode(tone(44_100, 1.0, channels=2), 44_100, "ipod", "aac")
    path = tmp_path / "tone.m4a"
    path.write_bytes(data)
    expected = digest(decode(data))
    assert digest(decode(path)) == expected
    assert digest(decode(str(path))) == expected
    assert digest(decode(bytearray(data))) == expected
    assert digest(decode(io.BytesIO(data))) == expected
    with path.open("rb") as file:
        assert digest(decode(file)) == expected
        assert not file.closed
    late = io.BytesIO(b"before" + data)
    late.seek(6)
    assert digest(decode(late)) == expected


def test_standard_input_through_a_pipe_and_from_a_file(tmp_path):
    data = encode(tone(44_100, 1.0), 44_100, "ipod", "aac")
    path = tmp_path / "tone.m4a"
    path.write_bytes(data)
    code = (
        "import hashlib; from literatim.audio.decode import decode; r = decode('-');"
        "print(r.name, hashlib.sha256(r.samples[0].tobytes()).hexdigest())"
    )
    piped = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert piped.stdout.decode().split() == ["standard", "input", digest(decode(data))]
    with path.open("rb") as file:
        read = subprocess.run([sys.executable, "-c", code], stdin=file, capture_output=True, check=True)
    assert read.stdout == piped.stdout
    assert piped.stderr == read.stderr == b""


def test_an_m4a_with_its_table_at_the_end_works_through_a_pipe():
    data = encode(tone(16_000, 1.0), 16_000, "ipod", "aac")
    assert data.index(b"mdat") < data.index(b"moov")
    assert len(data) < 60_000  # fits a pipe's buffer, so that no second thread has to write
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(data)
    with os.fdopen(reader, "rb") as file:
        assert not file.seekable()
        assert digest(decode(file)) == digest(decode(data))


def test_recordings_are_named_after_their_source(tmp_path):
    path = tmp_path / "a\x1b[31mtalk.wav"
    path.write_bytes(wav(bytes(8000)))
    assert decode(path).name == "a?[31mtalk.wav"
    assert decode(path.read_bytes()).name == "bytes"
    assert decode(np.zeros(8000, np.float32)).name == "array"


def test_arrays_of_every_type_and_shape(stereo):
    floats = (stereo / 32_768.0).astype(np.float32)
    split = AudioOptions(channels="split")
    arrays = [
        floats,
        floats.T,
        floats.astype(np.float64),
        stereo.astype(np.int16),
        stereo.astype(">i2").T,
        (stereo << 16).astype(np.int32),
        torch.from_numpy(floats),
        torch.from_numpy(floats).requires_grad_(),
    ]
    for array in arrays:
        np.testing.assert_array_equal(decode(array, options=split).samples, floats)
    one = decode(floats[0], options=split)
    np.testing.assert_array_equal(one.samples, floats[:1])
    assert one.channels == (0,)
    eight_bit = ((stereo[0] >> 8) + 128).astype(np.uint8)
    np.testing.assert_array_equal(decode(eight_bit).samples[0], ((stereo[0] >> 8) / 128).astype(np.float32))


def test_an_array_is_resampled_as_its_file_is():
    samples = tone(44_100, 2.0)
    recording = decode(samples, sampling_rate=44_100)
    assert recording.duration == pytest.approx(2.0, abs=1e-3)
    assert_tone(recording.samples[0])
    from_file = decode(wav(samples.T.astype("<f4").tobytes(), rate=44_100, bits=32, tag=3)).samples[0]
    np.testing.assert_allclose(recording.samples[0], from_file, atol=1e-6)  # blocks of other lengths


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((2, 3, 4), np.float32), AudioFormatError),
        (np.zeros(8000, bool), AudioFormatError),
        (np.zeros(8000, complex), AudioFormatError),
        (np.zeros(8000, object), AudioFormatError),
        (torch.zeros(8000, dtype=torch.bfloat16), AudioFormatError),
        (np.float32(1), AudioFormatError),
        (np.zeros(0, np.float32), AudioContentError),
        (np.zeros((2, 0), np.float32), AudioContentError),
        (np.zeros(1000, np.float32), AudioContentError),
        (np.full(8000, np.nan, np.float32), AudioContentError),
        (np.full(8000, 1e300), AudioContentError),
        (np.full(8000, 12_000.0), AudioContentError),
        (np.zeros((17, 8000), np.float32), AudioLimitError),
    ],
)
def test_arrays_that_are_no_recordings(array, error):
    with pytest.raises(error, match="array"):
        decode(array)


@pytest.mark.parametrize("rate", [True, "16000", float("nan"), float("inf")])
def test_a_sampling_rate_must_be_a_number(rate):
    with pytest.raises(OptionError, match="sampling_rate must be a number"):
        decode(np.zeros(8000, np.float32), sampling_rate=rate)


@pytest.mark.parametrize("rate", [1, 3999, 384_001, 655_350, -16_000])
def test_an_array_keeps_to_the_limits_of_rate(rate):
    with pytest.raises(AudioLimitError, match="sampling rate"):
        decode(np.zeros(8000, np.float32), sampling_rate=rate)


def test_a_sampling_rate_for_a_file_is_refused():
    with pytest.raises(OptionError, match="a file carries its own"):
        decode(wav(bytes(8000)), sampling_rate=16_000)


def test_parts_of_other_rates_and_channels_are_joined_when_mixed():
    """Podcasts get their advertisements so: MP3 of another make, appended as bytes."""
    plain = {"write_xing": "0", "id3v2_version": "0"}
    first = encode(tone(22_050, 1.0), 22_050, "mp3", "libmp3lame", options=plain)
    second = encode(tone(44_100, 1.0, channels=2), 44_100, "mp3", "libmp3lame", options=plain)
    recording = decode(first + second)
    assert recording.duration == pytest.approx(2.0, abs=0.15)  # each part has its encoder's padding
    half = len(recording.samples[0]) // 2
    assert_tone(recording.samples[0][:half])
    assert_tone(recording.samples[0][half:])
    with pytest.raises(AudioFormatError, match="number of channels changes from 1 to 2"):
        decode(first + second, options=AudioOptions(channels="split"))


def test_decoding_prints_nothing(capfd):
    decode(encode(tone(44_100, 0.5), 44_100, "mp3", "libmp3lame")[:-100])
    with pytest.raises(AudioFormatError):
        decode(b"no audio at all " * 100)
    assert capfd.readouterr() == ("", "")
