"""Pickles that convert refuses: nothing of them runs, and nothing is left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from literatim.errors import ModelFormatError, ModelNotFound, OptionError
from literatim.models.convert import convert
from whisper_builders import pickled, unpickle_here


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    unpickle_here(monkeypatch)


class Hostile:
    """Pickled as a call that leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    torch.save({"model_state_dict": Hostile(tmp_path / "mark"), "dims": {}}, tmp_path / "evil.pt")
    with pytest.raises(ModelFormatError, match=r"mkdir, which no weights need"):
        convert(tmp_path / "evil.pt", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pt"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("content", [b"", b"not a pickle at all", b"\x80\x02}q\x00", b"PK\x03\x04 cut off"])
def test_files_that_are_no_pickles(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(ModelFormatError, match="damaged, or no file of torch"):
        convert(tmp_path / "bad.pt", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pt"]


def test_a_file_that_torch_cannot_open(tmp_path: Path) -> None:
    (tmp_path / "bad.pt").write_bytes(b"")
    with pytest.raises(ModelFormatError, match=r"cannot be converted: it is damaged, or no file of torch\. D"):
        convert(tmp_path / "bad.pt", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pt"]


def test_a_process_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.pt").write_bytes(b"")
    monkeypatch.setattr("literatim.models.convert._CHILD", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(ModelFormatError, match="stopped by signal 9"):
        convert(tmp_path / "bad.pt", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pt"]


@pytest.mark.usefixtures("here")
def test_a_pickle_of_something_else(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {"a": torch.zeros(2)}}, tmp_path / "last.ckpt")
    with pytest.raises(ModelFormatError, match="other things than tensors: epoch, state_dict"):
        convert(tmp_path / "last.ckpt", tmp_path / "out")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(ModelFormatError, match="a list, not the weights"):
        convert(tmp_path / "list.pt", tmp_path / "out")


@pytest.mark.usefixtures("here")
def test_weights_of_another_model(tmp_path: Path) -> None:
    pickled(tmp_path / "in")
    torch.save({"bert.embeddings.weight": torch.zeros(3, 3)}, tmp_path / "in" / "pytorch_model.bin")
    with pytest.raises(ModelFormatError, match="not a Whisper model's"):
        convert(tmp_path / "in", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


@pytest.mark.usefixtures("here")
def test_a_pickle_without_config(tmp_path: Path) -> None:
    pickled(tmp_path / "in")
    (tmp_path / "in" / "config.json").unlink()
    with pytest.raises(ModelFormatError, match=r"no config\.json; copy it there"):
        convert(tmp_path / "in", tmp_path / "out")


@pytest.mark.usefixtures("here")
def test_a_missing_shard(tmp_path: Path) -> None:
    pickled(tmp_path / "in", shards=2)
    (tmp_path / "in" / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(ModelFormatError, match=r"pytorch_model-00002-of-00002\.bin; download them"):
        convert(tmp_path / "in", tmp_path / "out")


@pytest.mark.usefixtures("here")
def test_sources_and_targets_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="there is no"):
        convert(tmp_path / "absent.pt", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelFormatError, match="nothing to convert"):
        convert(tmp_path / "empty", tmp_path / "out")
    pickled(tmp_path / "in")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    with pytest.raises(OptionError, match="is there already"):
        convert(tmp_path / "in", tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text() == "kept"
    with pytest.raises(OptionError, match="holds no tokenizer"):
        convert(tmp_path / "in", tmp_path / "out", tokenizer=tmp_path / "full")
    assert not (tmp_path / "out").exists()
