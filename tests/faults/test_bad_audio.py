"""Broken, cut, lying and hostile recordings: a typed error or what decodes, fast and in little memory."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_builders import encode, flac_silence, opus_silence, tone, video_only, wav
from literatim.audio import container
from literatim.audio.decode import decode
from literatim.errors import (
    AudioContentError,
    AudioError,
    AudioFormatError,
    AudioLimitError,
    AudioNotFound,
    LiteratimError,
    OptionError,
)
from literatim.options import AudioOptions

SECONDS = 2.0
HOURS_154 = 154 * 3600


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same two seconds in the containers that people cut off and damage."""
    fast = tmp_path_factory.mktemp("audio") / "fast.m4a"
    sound = tone(48_000, SECONDS, channels=2)
    return {
        "wav": encode(sound, 48_000, "wav", "pcm_s16le"),
        "flac": encode(sound, 48_000, "flac", "flac"),
        "mp3": encode(sound, 48_000, "mp3", "libmp3lame"),
        "ogg": encode(sound, 48_000, "ogg", "libopus"),
        "webm": encode(sound, 48_000, "webm", "libopus"),
        "m4a": encode(sound, 48_000, "ipod", "aac"),
        "m4a, table first": encode(sound, 48_000, "ipod", "aac", file=fast, options={"movflags": "faststart"}),
        "aiff": encode(sound, 48_000, "aiff", "pcm_s16be"),
        "caf": encode(sound, 48_000, "caf", "pcm_s16le"),
    }


KINDS = ["wav", "flac", "mp3", "ogg", "webm", "m4a", "m4a, table first", "aiff", "caf"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_file_gives_what_decodes_and_says_so(complete, kind):
    data = complete[kind]
    whole = decode(data)
    assert whole.warnings == ()
    lengths = []
    for percent in range(2, 100, 4):
        try:
            cut = decode(data[: len(data) * percent // 100])
        except (AudioFormatError, AudioContentError):
            continue  # the header is cut, or less than 0.1 s is left
        lengths.append(cut.duration)
        assert cut.duration <= whole.duration
        if cut.duration < whole.duration - 0.2:
            assert cut.warnings[-1].startswith("the file ends early: ")
        heard = int((cut.duration - 0.1) * 16_000)  # the resampler sees silence where the cut is
        np.testing.assert_allclose(cut.samples[0][:heard], whole.samples[0][:heard], atol=2e-3)
    assert lengths == sorted(lengths)
    # An M4A that ends before its table cannot be read at all; an Opus page holds a whole second.
    assert len(lengths) >= {"m4a": 0, "ogg": 10}.get(kind, 18)


def test_a_cut_m4a_says_what_may_be_wrong(complete):
    data = complete["m4a"]
    with pytest.raises(AudioFormatError, match="cut short"):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize("kind", ["flac", "m4a", "mp3", "webm", "ogg"])
def test_damage_in_the_middle_is_skipped_and_reported(complete, kind):
    data = bytearray(complete[kind])
    middle, length = len(data) // 2, len(data) // 5
    data[middle : middle + length] = b"\xaa" * length
    recording = decode(bytes(data))
    assert recording.duration < SECONDS - 0.1
    assert len(recording.warnings) == 1
    assert re.match(r"the file (is damaged|ends early): \d\.\d s", recording.warnings[0])


MEASURE = """
import json, sys, time, traceback
from literatim.audio.decode import decode
from literatim.options import AudioOptions

def peak():  # of this process alone: ru_maxrss starts from the parent's on Linux
    try:
        lines = open("/proc/self/status").read().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
    except OSError:
        import resource
        scale = 1024**2 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale

for line in sys.stdin:
    path, options = json.loads(line)
    before, start = peak(), time.process_time()
    try:
        recording = decode(path, options=AudioOptions(**options))
        outcome = [f"{recording.duration:.2f} s", *recording.warnings]
    except Exception as error:
        outcome = [type(error).__name__, str(error)]
    print(json.dumps([outcome, time.process_time() - start, peak() - before]))
"""

RATE_LIE = ["AudioLimitError", "its sampling rate is"]
TOO_LONG = ["AudioLimitError", "longer than"]
BOMBS = {
    "flac of 154 hours": (lambda: flac_silence(8000, HOURS_154), {}, TOO_LONG),
    "flac of 154 hours, length unknown": (lambda: flac_silence(8000, HOURS_154, stated=0), {}, TOO_LONG),
    "flac of 154 hours that says 1 s": (lambda: flac_silence(8000, HOURS_154, stated=8000), {}, TOO_LONG),
    "flac, a limit of 600 s": (
        lambda: flac_silence(8000, 20_000, stated=0),
        {"max_seconds": 600.0},
        TOO_LONG,
    ),
    "opus of 20 minutes": (lambda: opus_silence(1200), {"max_seconds": 600.0}, TOO_LONG),
    "wav at 1 Hz": (lambda: wav(bytes(8000), rate=1), {}, RATE_LIE),
    "wav at 655350 Hz": (lambda: wav(bytes(8000), rate=655_350), {}, RATE_LIE),
    "flac at 655350 Hz": (lambda: flac_silence(655_350, 2.0), {}, RATE_LIE),
    "wav, 4 GiB stated": (
        lambda: wav(bytes(32_000), claimed=0xFFFFFF00),
        {},
        ["1.00 s", "the file ends early"],
    ),
    "wav, 2 GiB stated": (
        lambda: wav(bytes(32_000), claimed=0x7FFFFF00),
        {},
        ["1.00 s", "the file ends early"],
    ),
    "wav from a pipe, length unknown": (lambda: wav(bytes(32_000), claimed=0xFFFFFFFF), {}, ["1.00 s"]),
    "wav of 40 channels": (lambda: wav(bytes(8000), channels=40), {}, ["AudioLimitError", "40 channels"]),
}


def test_files_that_lie_about_their_size_cost_neither_time_nor_memory(tmp_path):
    lines = []
    for index, (build, options, _) in enumerate(BOMBS.values()):
        path = tmp_path / f"bomb{index}"
        path.write_bytes(build())
        assert path.stat().st_size < 2_000_000
        lines.append(json.dumps([str(path), options]))
    run = subprocess.run(
        [sys.executable, "-c", MEASURE], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    results = [json.loads(line) for line in run.stdout.splitlines()]
    for (name, (_, _, expected)), (outcome, seconds, megabytes) in zip(BOMBS.items(), results, strict=True):
        assert len(outcome) == len(expected), (name, outcome)
        assert all(part in text for part, text in zip(expected, outcome, strict=True)), (name, outcome)
        assert seconds < 1.0, (name, seconds)
        assert megabytes < 300, (name, megabytes)


def test_seconds_are_counted_while_decoding_too(monkeypatch):
    monkeypatch.setattr(container.Reader, "_refuse_long", lambda self: None)
    with pytest.raises(AudioLimitError, match="longer than 60 s"):
        decode(flac_silence(16_000, 120, stated=0), options=AudioOptions(max_seconds=60.0))


def test_decoded_bytes_are_counted(complete):
    size = round(48_000 * SECONDS) * 2 * 2  # two channels of 16 bits
    assert decode(complete["wav"], options=AudioOptions(max_bytes=size)).duration == SECONDS
    with pytest.raises(AudioLimitError, match=f"more than {size - 1} bytes of decoded audio"):
        decode(complete["wav"], options=AudioOptions(max_bytes=size - 1))
    grown = wav(bytes(4000), rate=4000, bits=8)  # 4,000 bytes become 16,000 floats
    with pytest.raises(AudioLimitError, match="decoded audio"):
        decode(grown, options=AudioOptions(max_bytes=63_000))


def test_an_array_keeps_to_the_limits_of_length():
    with pytest.raises(AudioLimitError, match="longer than 1 s"):
        decode(np.zeros(16_001, np.float32), options=AudioOptions(max_seconds=1.0))


def test_an_endless_pipe_stops_at_the_limit():
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:
            return len(buffer)

    with pytest.raises(AudioLimitError, match="more than 5000000 bytes come in"):
        decode(Endless(), options=AudioOptions(max_bytes=5_000_000))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", AudioContentError, "empty"),
        (wav(b""), AudioContentError, "no samples"),
        (wav(bytes(2 * 1599)), AudioContentError, "at least 0.1 s"),
        (wav(np.full(4000, np.nan, "<f4").tobytes(), bits=32, tag=3), AudioContentError, "not numbers"),
        (wav(np.full(4000, -np.inf, "<f8").tobytes(), bits=64, tag=3), AudioContentError, "not numbers"),
        (wav(np.full(4000, 1e200, "<f8").tobytes(), bits=64, tag=3), AudioContentError, "not numbers"),
        (wav(np.full(4000, 30_000, "<f4").tobytes(), bits=32, tag=3), AudioContentError, "reach 30000"),
        (video_only(), AudioFormatError, "no audio"),
        (b"Dear patient,\nthe results are in.\n" * 50, AudioFormatError, "not readable as audio"),
        (bytes(100_000), AudioFormatError, "not readable as audio"),
        (np.random.default_rng(3).bytes(100_000), AudioFormatError, "not readable|nothing in it|no audio"),
    ],
    ids=["empty", "no samples", "short", "nan", "inf", "huge", "integers", "video", "text", "zeros", "noise"],
)
def test_what_is_no_recording_is_named(data, error, message):
    with pytest.raises(error, match=message) as caught:
        decode(data)
    assert str(caught.value).startswith("bytes: ")


def test_exactly_a_tenth_of_a_second_is_enough():
    assert decode(wav(bytes(2 * 1600))).duration == 0.1


def test_constant_and_clipped_sound_is_read_as_it_is():
    constant = np.full(4000, 16_384, "<i2").tobytes()
    np.testing.assert_array_equal(decode(wav(constant)).samples[0], np.full(4000, 0.5, np.float32))
    clipped = np.tile(np.array([32_767, -32_768], "<i2"), 2000)
    np.testing.assert_array_equal(decode(wav(clipped.tobytes())).samples[0], clipped.astype(np.float32) / 32_768)


def test_paths_that_cannot_be_opened(tmp_path, monkeypatch):
    with pytest.raises(AudioNotFound, match=r"^gone\.wav: no such file"):
        decode(tmp_path / "gone.wav")
    with pytest.raises(AudioNotFound, match="is a folder"):
        decode(tmp_path)
    for name in ("\0.wav", "x" * 5000):
        with pytest.raises(AudioNotFound, match="cannot be opened"):
            decode(name)
    file = tmp_path / "locked.wav"
    file.write_bytes(wav(bytes(8000)))
    with pytest.raises(AudioNotFound, match=r"^below\.wav: cannot be opened"):
        decode(file / "below.wav")

    def refuse(self: Path, *arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so that chmod would not do
    with pytest.raises(AudioError, match=r"^locked\.wav: may not be read"):
        decode(file)


class Unreadable(io.BytesIO):
    """A file object that fails with a stranger's exception after its first bytes."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 1000:
            raise ConnectionError("the bucket is gone")
        return super().read(size)


class Pipe(Unreadable):
    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("kind", [Unreadable, Pipe])
def test_a_file_object_that_fails_is_one_error(complete, kind):
    with pytest.raises(AudioError, match="cannot be read: the bucket is gone"):
        decode(kind(complete["wav"] * 5))


def test_file_objects_that_are_none():
    closed = io.BytesIO(b"RIFF")
    closed.close()
    with pytest.raises(AudioError, match="closed"):
        decode(closed)
    with pytest.raises(AudioFormatError, match="binary mode"):
        decode(io.StringIO("RIFF"))
    for thing in (None, 7, [0.0, 0.1]):
        with pytest.raises(OptionError, match="must be a path"):
            decode(thing)


def test_closed_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(AudioError, match="standard input is closed"):
        decode("-")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists a process's open files")
def test_nothing_stays_open_after_an_error(complete, tmp_path):
    path = tmp_path / "cut.m4a"
    path.write_bytes(complete["m4a"][:5000])
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(5):
        with pytest.raises(AudioFormatError):
            decode(path)
        with pytest.raises(AudioLimitError):
            decode(flac_silence(16_000, 120), options=AudioOptions(max_seconds=10.0))
    assert len(list(descriptors.iterdir())) == before


CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=0, max_size=4), st.integers(0, 4)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(kind=st.sampled_from(KINDS), reach=st.sampled_from([64, 512, 1_000_000]), changes=CHANGES)
def test_a_damaged_file_never_raises_anything_untyped(complete, kind, reach, changes):
    data = bytearray(complete[kind][:20_000] if kind != "m4a" else complete[kind])
    for place, new, removed in changes:
        start = int(place * min(reach, len(data)))
        if kind == "m4a":  # its header is at the end
            start = len(data) - start - 1
        data[start : start + removed] = new
    try:
        recording = decode(bytes(data), options=AudioOptions(max_seconds=60.0))
    except LiteratimError as refused:
        message = str(refused)
    else:
        message = "bytes: it decodes"
        assert 0.1 <= recording.duration <= 61.0
        assert np.isfinite(recording.samples[0]).all()
    assert message.startswith("bytes: ")
