"""No address in a file's text or in its name is ever followed."""

from __future__ import annotations

import io
import socket
import threading

import av
import numpy as np
import pytest

from audio_builders import wav
from literatim.audio.decode import decode
from literatim.errors import AudioFormatError, AudioNotFound


class Listener:
    """A loopback server that answers nothing and counts who came."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.visits = 0
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/talk.wav"
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            with connection:
                if connection.recv(4) == b"stop":
                    return
                self.visits += 1

    def close(self) -> int:
        """Stop after everyone who came before has been counted."""
        with socket.create_connection(self.socket.getsockname()) as last:
            last.sendall(b"stop")
        self._thread.join()
        self.socket.close()
        return self.visits


@pytest.fixture
def listener():
    return Listener()


def hostile(url: str) -> list[bytes]:
    playlist = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n"
    description = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\na=control:{url}\n"
    manifest = f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{url}</BaseURL></MPD>'
    return [text.encode() for text in (playlist, f"ffconcat version 1.0\nfile '{url}'\n", description, manifest)]


def test_the_trap_works_without_our_guard(listener):
    playlist = io.BytesIO(hostile(listener.url)[0])
    playlist.name = "upload.m3u8"
    with pytest.raises(av.FFmpegError):
        av.open(playlist)
    assert listener.close() > 0


def test_no_address_in_a_file_or_a_name_is_followed(listener, tmp_path):
    for number, data in enumerate(hostile(listener.url)):
        path = tmp_path / f"{number}.m3u8"
        path.write_bytes(data)
        for name in ("upload.m3u8", listener.url, "x.ffconcat", "x.sdp", "x.mpd"):
            file = io.BytesIO(data)
            file.name = name
            for source in (file, data, path):
                with pytest.raises(AudioFormatError):
                    decode(source)
    named = io.BytesIO(wav(bytes(8000)))
    named.name = listener.url
    assert decode(named).duration == 0.25
    for address in (listener.url, "https://127.0.0.1/a.wav", "rtmp://127.0.0.1/a", "file:///etc/hosts"):
        with pytest.raises(AudioNotFound, match="download the recording first"):
            decode(address)
    for address in (f"concat:{listener.url}", "pipe:0", "data:audio/wav;base64,UklGRg=="):
        with pytest.raises(AudioNotFound):
            decode(address)
    assert listener.close() == 0


def test_a_file_name_decides_nothing(tmp_path):
    data = wav(np.arange(4000, dtype="<i2").tobytes())
    expected = decode(data).samples[0]
    for name in ("talk.m3u8", "talk.mp4", "%d.png", "http:", "concat:a|b", "-x.sdp", "no ending"):
        path = tmp_path / name
        path.write_bytes(data)
        np.testing.assert_array_equal(decode(path).samples[0], expected)
