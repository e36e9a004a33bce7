"""Recordings made in memory: tones in every container that PyAV writes, and headers that lie."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import Any

import av
import numpy as np

TONE = 440.0  # Hz
AMPLITUDE = 0.5


def tone(rate: int, seconds: float, channels: int = 1, frequency: float = TONE) -> np.ndarray:
    """A sine (channels, S) of amplitude 0.5, float32."""
    wave = AMPLITUDE * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


def encode(
    samples: np.ndarray,
    rate: int,
    container: str,
    codec: str,
    *,
    layout: str | None = None,
    file: Any = None,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
) -> bytes:
    """Write float samples (C, S) with PyAV; `file` is a path where the muxer must read back what it wrote."""
    layout = layout or {1: "mono", 2: "stereo"}[len(samples)]
    target = file or io.BytesIO()
    packed = np.ascontiguousarray(samples.T.reshape(1, -1), dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    with av.open(target if file is None else str(file), "w", format=container, options=options or {}) as output:
        stream: Any = output.add_stream(codec, rate=rate, layout=layout, options=codec_options or {})
        size = stream.codec_context.frame_size or 0
        convert = av.AudioResampler(format=stream.format, layout=layout, rate=rate, frame_size=size)
        for piece in [*convert.resample(frame), *convert.resample(None)]:
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return target.getvalue() if file is None else file.read_bytes()


def video_only() -> bytes:
    """A tiny MP4 with pictures and no sound."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as output:
        stream: Any = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            output.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        output.mux(stream.encode(None))
    return target.getvalue()


def opus_silence(seconds: float) -> bytes:
    """Ogg Opus of silence: one encoded packet of 60 ms, written again and again."""
    target = io.BytesIO()
    with av.open(target, "w", format="ogg") as output:
        stream: Any = output.add_stream(
            "libopus", rate=48_000, layout="mono", options={"frame_duration": "60", "b": "6000"}
        )
        frame = av.AudioFrame(format="s16", layout="mono", samples=2880)
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        frame.sample_rate, frame.pts = 48_000, 0
        coded = bytes([*stream.encode(frame), *stream.encode(None)][0])
        for index in range(int(seconds / 0.06)):
            packet = av.Packet(coded)
            packet.stream, packet.time_base = stream, Fraction(1, 48_000)
            packet.pts = packet.dts = index * 2880
            packet.duration = 2880
            output.mux(packet)
    return target.getvalue()


def wav(
    data: bytes,
    *,
    rate: int = 16_000,
    channels: int = 1,
    bits: int = 16,
    tag: int = 1,
    claimed: int | None = None,
) -> bytes:
    """A RIFF WAV by hand; `tag` 1 is integers, 3 is floats; `claimed` is the size that its header states."""
    width = channels * bits // 8
    head = struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits)
    size = len(data) if claimed is None else claimed
    riff = min(36 + size, 0xFFFFFFFF)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt \x10\0\0\0" + head + b"data" + struct.pack("<I", size) + data


def flac_silence(rate: int, seconds: float, stated: int | None = None, block: int = 65_535) -> bytes:
    """A mono 16-bit FLAC of silence, 15 bytes a block (RFC 9639); `stated` is its header's total."""
    count = int(rate * seconds) // block
    total = count * block if stated is None else stated
    numbers = (rate << 44 | 15 << 36 | total).to_bytes(8, "big")  # rate, one channel, 16 bits, total samples
    out = bytearray(b"fLaC\x80\0\0\x22" + block.to_bytes(2, "big") * 2 + bytes(6) + numbers + bytes(16))
    for index in range(count):
        head = b"\xff\xf8\x70\x08" + _coded_number(index) + (block - 1).to_bytes(2, "big")
        frame = head + _crc(head, _CRC8, 8) + b"\0\0\0"  # a constant subframe: its header and one sample, 0
        out += frame + _crc(frame, _CRC16, 16)
    return bytes(out)


def _coded_number(number: int) -> bytes:
    """A frame number in the extended UTF-8 of RFC 9639, 9.1.5."""
    if number < 0x80:
        return bytes([number])
    size = next(size for size in range(2, 8) if number < 1 << (5 * size + 1))
    tail = [0x80 | number >> 6 * place & 0x3F for place in reversed(range(size - 1))]
    return bytes([0xFF00 >> size & 0xFF | number >> 6 * (size - 1), *tail])


def _crc_table(polynomial: int, bits: int) -> list[int]:
    table = []
    for value in range(256):
        remainder = value << (bits - 8)
        for _ in range(8):
            carry = remainder >> (bits - 1)
            remainder = (remainder << 1 ^ polynomial * carry) & ((1 << bits) - 1)
        table.append(remainder)
    return table


_CRC8 = _crc_table(0x07, 8)
_CRC16 = _crc_table(0x8005, 16)


def _crc(data: bytes, table: list[int], bits: int) -> bytes:
    remainder = 0
    for byte in data:
        remainder = (remainder << 8 & ((1 << bits) - 1)) ^ table[remainder >> (bits - 8) ^ byte]
    return remainder.to_bytes(bits // 8, "big")
