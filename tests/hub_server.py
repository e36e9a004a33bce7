"""A small hub on loopback that speaks the part of the Hugging Face protocol that downloads use.

Large files answer as the real hub's do: by a redirect to another host, with X-Linked-Size and X-Linked-ETag
(the SHA-256) on the redirect; small files answer directly, with their Git blob id as ETag.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LFS_SUFFIXES = (".safetensors", ".bin")


@dataclass
class Repo:
    """One repository and how it misbehaves."""

    files: dict[str, bytes]
    commit: str = COMMIT
    revisions: tuple[str, ...] = ("main",)
    gated: int | None = None  # the status that its files answer with: 401 or 403
    cut: dict[str, int] = field(default_factory=dict)  # name -> bytes after which the first answer breaks off
    altered: dict[str, bytes] = field(default_factory=dict)  # name -> what is sent in place of the file
    absent: tuple[str, ...] = ()  # listed, but not there


@dataclass
class Hub:
    """The repositories served, and the requests seen: (method, path, Range header)."""

    repos: dict[str, Repo] = field(default_factory=dict)
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    down: int | None = None  # a status that every request answers with
    page: bytes | None = None  # what every request answers with
    endpoint: str = ""
    storage: str = ""  # the same server under another host name, as the real hub's large files have one

    def fetched(self, suffix: str = "") -> list[str]:
        """The names of the files whose bodies were asked for, in order."""
        paths = [path for method, path, _ in self.seen if method == "GET" and "/files/" in path]
        paths += [path for method, path, _ in self.seen if method == "GET" and "/resolve/" in path]
        return [path.rsplit("/", 1)[-1] for path in paths if path.endswith(suffix)]


def client(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub in this process ask `hub`, without a token, with all that it keeps under `home`."""
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(hub, home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def environment(hub: Hub, home: Path) -> dict[str, str]:
    """The variables with which a process of its own uses `hub`."""
    return {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def silent() -> Iterator[str]:
    """An endpoint that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Answer for `hub` on a port of its own until the block ends."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    hub.storage = f"http://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.seen.append((self.command, path, self.headers.get("Range")))
        if self.hub.down:
            self._answer(self.hub.down, b"")
            return
        if self.hub.page:
            self._answer(200, self.hub.page)
            return
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"] and len(parts) >= 6 and parts[4] == "revision":
            self._list("/".join(parts[2:4]), "/".join(parts[5:]))
        elif len(parts) >= 5 and parts[2] in ("resolve", "files"):
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]), linked=parts[2] == "files")
        else:
            self._refuse(404, None)

    def _list(self, repo_id: str, revision: str) -> None:
        repo = self.hub.repos.get(repo_id)
        if repo is None:
            self._refuse(401, "RepoNotFound")
        elif revision not in (*repo.revisions, repo.commit):
            self._refuse(404, "RevisionNotFound")
        else:
            siblings = [_sibling(name, data) for name, data in repo.files.items()]
            body = {"id": repo_id, "modelId": repo_id, "sha": repo.commit, "siblings": siblings, "tags": []}
            self._answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _file(self, repo_id: str, revision: str, name: str, *, linked: bool) -> None:
        repo = self.hub.repos.get(repo_id)
        if repo is None:
            self._refuse(401, "RepoNotFound")
        elif repo.gated:
            self._refuse(repo.gated, "GatedRepo")
        elif revision not in (*repo.revisions, repo.commit):
            self._refuse(404, "RevisionNotFound")
        elif name not in repo.files or name in repo.absent:
            self._refuse(404, "EntryNotFound", {"X-Repo-Commit": repo.commit})
        elif name.endswith(LFS_SUFFIXES) and not linked:
            data = repo.files[name]
            headers = {
                "Location": f"{self.hub.storage}/{repo_id}/files/{revision}/{name}",
                "X-Linked-Size": str(len(data)),
                "X-Linked-ETag": f'"{sha256(data)}"',
            }
            self._answer(302, b"", {**headers, "X-Repo-Commit": repo.commit})
        else:
            self._send(repo, name)

    def _send(self, repo: Repo, name: str) -> None:
        data = repo.altered.get(name, repo.files[name])
        headers = {"ETag": f'"{git_blob(data)}"', "X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        first = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        cut = repo.cut.pop(name, None) if self.command == "GET" else None
        self._answer(206 if wanted else 200, data[first:], headers, cut)

    def _refuse(self, status: int, code: str | None, headers: dict[str, str] | None = None) -> None:
        named = {"X-Error-Code": code, "X-Error-Message": code} if code else {}
        self._answer(status, b"", {**named, **(headers or {})})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True


def _sibling(name: str, data: bytes) -> dict[str, object]:
    item: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": git_blob(data)}
    if name.endswith(LFS_SUFFIXES):
        item["lfs"] = {"size": len(data), "sha256": sha256(data), "pointerSize": 130}
    return item
