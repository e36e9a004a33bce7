"""The fingerprint that goes with every figure."""

from __future__ import annotations

import hashlib
import json
import os
from importlib import metadata
from pathlib import Path

import pytest
import torch

from literatim.provenance import fingerprint as environment
from literatim.provenance import model_hash
from whisper_builders import random_whisper_folder


def test_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    found = environment.fingerprint("cpu", ["float32"], ["jiwer", "no-such-package"], tmp_path)
    assert found["packages"]["jiwer"] == metadata.version("jiwer")
    assert found["packages"]["no-such-package"] is None
    assert found["torch"] == torch.__version__
    assert 1 <= found["cores_usable"] <= found["cores"]
    assert found["ram_gib"] > 0.1
    assert found["cpu"]
    assert found["device_name"] is None
    assert set(found["versions"]) >= {"driver", "toolkit"}
    assert found["precision"]
    assert found["model"]["files"] == ["config.json"]
    assert environment.fingerprint("cpu", [], [])["model"] is None
    assert json.loads(json.dumps(found)) == found


def test_variables_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("TASK_QUEUE_ENABLE", raising=False)
    monkeypatch.setenv("ACL_OP_COMPILER_CACHE_DIR", "/home/someone/kernels")
    found = environment.fingerprint("cpu", [], [])["variables"]
    assert found["OMP_NUM_THREADS"] == "3"
    assert "TASK_QUEUE_ENABLE" not in found
    assert "someone" not in json.dumps(found)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0,1", "0,1"),
        ("max_split_size_mb:128,expandable_segments:True", "max_split_size_mb:128,expandable_segments:True"),
        ("granularity=fine,compact,1,0", "granularity=fine,compact,1,0"),
        ("/home/anna/kernel cache", ".../kernel cache"),
        ("/home/anna", "~"),
        ("/Users/anna/", "~"),
        ("~", "~"),
        ("~/kernels", ".../kernels"),
        ("/usr/lib/a:/home/anna/b", ".../a:.../b"),
        ("cache_dir=/home/anna/b,size=5", "cache_dir=.../b,size=5"),
        ("/tmp", "/tmp"),
        ("", ""),
    ],
)
@pytest.mark.skipif(os.pathsep != ":", reason="lists of paths are separated by : here")
def test_paths_are_shortened(value: str, shown: str) -> None:
    assert environment.shorten(value) == shown


def test_the_own_home_folder_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/people/anna")
    assert environment.shorten("/srv/people/anna") == "~"


def test_model_hash_is_what_sha256sum_gives(tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path / "model", seed=1)
    (folder / "README.md").write_text("a card")
    found = model_hash.model_hash(folder)
    assert "model.safetensors" in found["files"]
    assert "README.md" not in found["files"]
    assert found["files"] == sorted(found["files"])
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in found["files"]]
    assert found["sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert found["bytes"] == sum((folder / name).stat().st_size for name in found["files"])
    (folder / "README.md").write_text("another card")
    assert model_hash.model_hash(folder) == found


def test_model_hash_follows_the_weights_and_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: 1")
    (tmp_path / "avg_model.pt").write_bytes(b"weights")
    before = model_hash.model_hash(tmp_path)
    assert before["files"] == ["avg_model.pt", "config.yaml"]
    (tmp_path / "config.yaml").write_text("a: 22")
    after = model_hash.model_hash(tmp_path)
    (tmp_path / "avg_model.pt").write_bytes(b"other weights")
    assert len({before["sha256"], after["sha256"], model_hash.model_hash(tmp_path)["sha256"]}) == 3


def test_a_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"x" * 1000)
    first = model_hash.model_hash(tmp_path)
    hits = model_hash._digest.cache_info().hits
    assert model_hash.model_hash(tmp_path) == first
    assert model_hash._digest.cache_info().hits == hits + 1
