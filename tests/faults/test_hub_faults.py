"""What can go wrong between a machine and a hub: each fault has its own message, and nothing bad is kept."""

from __future__ import annotations

import errno
import json
import socket
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hub_server
from hub_server import COMMIT, Hub, Repo
from literatim import hub
from literatim.errors import ModelError, ModelFormatError, ModelNotFound
from literatim.options import HubOptions

SMALL = {"config.json": b'{"model_type": "whisper"}', "tokenizer.json": b"{}"}
WEIGHTS = bytes(range(256)) * 100
WAYS_ON = ("HF_ENDPOINT", "give its path", "--model demo")


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server.serve(Hub()) as running:
        hub_server.client(running, tmp_path / "home", monkeypatch)
        running.repos["a/b"] = Repo({**SMALL, "model.safetensors": WEIGHTS})
        yield running


def message_of(kind: type[ModelError], name: str = "a/b", options: HubOptions | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        hub.resolve(name, options or HubOptions())
    assert isinstance(caught.value, kind)
    return str(caught.value)


def test_a_broken_connection_is_resumed(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants, file_download

    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)  # bytes that reach the disk together
    served.repos["a/b"].cut["model.safetensors"] = 10_000
    folder = hub.resolve("a/b")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    asked = [wanted for method, path, wanted in served.seen if method == "GET" and "/files/" in path]
    assert asked == [None, f"bytes={10_000 // 4096 * 4096}-"]


def test_a_download_broken_off_for_good_can_be_run_again(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    served.repos["a/b"].altered["model.safetensors"] = WEIGHTS[:-1]
    message = message_of(ModelNotFound)
    assert "cannot fetch model.safetensors of a/b" in message
    assert hub.cached("a/b") is None
    served.repos["a/b"].altered.clear()
    served.seen.clear()
    assert (hub.resolve("a/b") / "model.safetensors").read_bytes() == WEIGHTS
    assert served.fetched() == ["model.safetensors"]


def test_a_wrong_hash_removes_the_file(served: Hub, tmp_path: Path) -> None:
    wrong = WEIGHTS[:-1] + b"?"
    served.repos["a/b"].altered["model.safetensors"] = wrong
    message = message_of(ModelError)
    assert hub_server.sha256(wrong) in message
    assert hub_server.sha256(WEIGHTS) in message
    assert "removed" in message
    assert not [file for file in (tmp_path / "home").rglob("*") if file.is_file() and file.read_bytes() == wrong]
    assert hub.cached("a/b") is None
    served.repos["a/b"].altered.clear()
    assert (hub.resolve("a/b") / "model.safetensors").read_bytes() == WEIGHTS


def test_a_failed_update_leaves_the_model_that_was_there(served: Hub) -> None:
    repo = served.repos["a/b"]
    old = hub.resolve("a/b")
    repo.commit, repo.files = "e" * 40, {**SMALL, "model.safetensors": WEIGHTS[::-1]}
    repo.altered["model.safetensors"] = WEIGHTS
    with pytest.raises(ModelError, match="damaged"):
        hub.resolve("a/b", refresh=True)
    assert hub.resolve("a/b") == old
    assert (old / "model.safetensors").read_bytes() == WEIGHTS


def test_a_file_damaged_in_the_cache_is_found(served: Hub) -> None:
    weights = hub.resolve("a/b") / "model.safetensors"
    weights.resolve().write_bytes(b"cut short")
    message = message_of(ModelError)
    assert "it has 9 bytes, not 25600" in message
    assert (hub.resolve("a/b") / "model.safetensors").read_bytes() == WEIGHTS


def test_a_broken_record_is_made_anew(served: Hub, tmp_path: Path) -> None:
    folder = hub.resolve("a/b")
    record = tmp_path / f"home/hub/models--a--b/literatim/{COMMIT}.json"
    record.write_text('{"config.js')
    assert hub.resolve("a/b") == folder
    assert json.loads(record.read_text())["model.safetensors"] == len(WEIGHTS)


def test_a_gated_model_tells_login_from_licence(served: Hub) -> None:
    served.repos["a/b"].gated = 401
    message = message_of(ModelNotFound)
    assert "not logged in" in message
    assert f"{served.endpoint}/a/b" in message
    assert "hf auth login" in message
    served.repos["a/b"].gated = 403
    message = message_of(ModelNotFound)
    assert "not logged in" not in message
    assert "may not read it yet" in message
    assert f"accept its licence at {served.endpoint}/a/b" in message


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_model_with_terms_of_its_own(served: Hub, status: int) -> None:
    """The licence has a name, whoever asks."""
    served.repos["google/medasr"] = served.repos["a/b"]
    served.repos["google/medasr"].gated = status
    message = message_of(ModelNotFound, "medasr")
    assert "Health AI Developer Foundations terms (HAI-DEF" in message
    assert f"accept its licence at {served.endpoint}/google/medasr" in message
    assert ("not logged in" in message) == (status == 401)


def test_an_unknown_model(served: Hub) -> None:
    message = message_of(ModelNotFound, "openai/whisper-tinny")
    assert "has no model 'openai/whisper-tinny', or it is private" in message
    assert "did you mean openai/whisper-tiny" in message


def test_an_unknown_revision(served: Hub) -> None:
    assert "a/b has no revision 'v9'" in message_of(ModelNotFound, options=HubOptions(revision="v9"))


def test_a_listed_file_that_is_absent(served: Hub) -> None:
    served.repos["a/b"].absent = ("tokenizer.json",)
    assert "lists tokenizer.json but does not have it" in message_of(ModelNotFound)


def test_a_token_that_is_refused(served: Hub) -> None:
    served.down = 403
    assert "refuses a/b (403): the token" in message_of(ModelNotFound)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_cannot_answer(served: Hub, status: int) -> None:
    served.down = status
    message = message_of(ModelNotFound)
    assert f"it answers {status}" in message
    assert all(way in message for way in WAYS_ON)


def test_no_server(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"http://127.0.0.1:{hub_server.free_port()}"
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    message = message_of(ModelNotFound, "tiny")
    assert f"openai/whisper-tiny (revision main) from {endpoint}" in message
    assert all(way in message for way in WAYS_ON)


def test_a_name_that_is_not_resolved(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*address: Any, **more: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    message = message_of(ModelNotFound)
    assert "a/b (revision main) from http://hub.invalid: " in message
    assert "Name or service not known" in message
    assert all(way in message for way in WAYS_ON)


def test_a_server_that_does_not_answer_in_time(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.05)
    with hub_server.silent() as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        message = message_of(ModelNotFound)
    assert "timed out" in message.lower()
    assert all(way in message for way in WAYS_ON)


def test_a_page_in_place_of_a_hub(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    served.page = b"<html>log in to the hotel's network</html>"
    message = message_of(ModelNotFound)
    assert "does not answer as a hub does" in message
    assert all(way in message for way in WAYS_ON)


def test_offline_with_nothing_cached(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = message_of(ModelNotFound)
    assert "a/b (revision main)" in message
    assert "the network is switched off" in message
    assert all(way in message for way in WAYS_ON)
    assert served.seen == []


def test_only_pickled_weights(served: Hub) -> None:
    served.repos["a/b"].files = {**SMALL, "pytorch_model.bin": WEIGHTS}
    assert "literatim convert IN OUT" in message_of(ModelFormatError)
    assert served.fetched() == []


def test_no_configuration(served: Hub) -> None:
    served.repos["a/b"].files = {"model.safetensors": WEIGHTS}
    assert "a/b has no config.json" in message_of(ModelFormatError)
    assert served.fetched() == []


@pytest.mark.parametrize(
    ("index", "what"),
    [
        ({"weight_map": {"x": "model-00002-of-00002.safetensors"}}, "model-00002-of-00002.safetensors"),
        ({"weight_map": ["x"]}, "not an index of weights"),
        (["x"], "not an index of weights"),
    ],
)
def test_a_bad_index(served: Hub, index: Any, what: str) -> None:
    one = {"model-00001-of-00002.safetensors": WEIGHTS}
    encoded = json.dumps(index).encode()
    served.repos["a/b"].files = {**SMALL, **one, "model.safetensors.index.json": encoded}
    assert what in message_of(ModelFormatError)
    assert served.fetched("00001-of-00002.safetensors") == []


def test_too_little_room_is_seen_before_the_download(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    needed = len(WEIGHTS) + sum(len(data) for data in SMALL.values())
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9, needed - 1))
    assert "GB are needed" in message_of(ModelError)
    assert served.fetched() == []
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9, needed))
    assert hub.resolve("a/b").name == COMMIT


def test_a_disk_that_fills_up(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import file_download

    def write(url: str, file: Any, **more: Any) -> None:
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    monkeypatch.setattr(file_download, "http_get", write)
    message = message_of(ModelError)
    assert "no room for a/b" in message
    assert "the disk is full" in message


def test_a_cache_that_cannot_be_written(served: Hub, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    message = message_of(ModelError, options=HubOptions(model_dir=str(blocked / "cache")))
    assert str(blocked) in message
    assert "--model_dir" in message


def test_a_read_only_cache_that_holds_every_file(served: Hub, tmp_path: Path, monkeypatch: Any) -> None:
    folder = hub.resolve("a/b")
    (tmp_path / f"home/hub/models--a--b/literatim/{COMMIT}.json").unlink()

    def refuse(*given: Any, **more: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", refuse)
    served.seen.clear()
    assert hub.resolve("a/b") == folder
    assert served.fetched() == []
