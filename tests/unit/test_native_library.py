"""Which compiled kernels are taken, and what is said of those that do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from literatim.device.host import Processor
from literatim.errors import DependencyError
from literatim.models import native_convolution
from literatim.models.config import WhisperConfig
from literatim.models.native import NativeDecoder, native
from literatim.models.whisper import Decoder
from literatim.native import library


def decoder(width: int = 16, heads: int = 2) -> Decoder:
    return Decoder(WhisperConfig(8, width, 1, heads, 32, 1, heads, 32, 50, 20, 30))


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """All levels are there; the names of the files that were loaded."""
    for level in ("v4bf16", "v4", "v3", "base"):
        (tmp_path / f"_{level}.so").touch()
    loaded: list[str] = []
    monkeypatch.setattr(library, "_FOLDER", tmp_path)
    monkeypatch.setattr(library, "_load", lambda file, level: loaded.append(file.name) or SimpleNamespace(level=level))
    library._find.cache_clear()
    yield loaded
    library._find.cache_clear()


AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "fma", "avx2"}


@pytest.mark.parametrize(
    ("flags", "wanted", "level"),
    [
        (AVX512 | {"avx512_bf16"}, "", "v4bf16"),
        (AVX512 | {"avx512_bf16"}, "v4", "v4"),
        (AVX512, "", "v4"),
        (AVX512, "v3", "v3"),
        (AVX512, "none", None),
        (AVX512 - {"avx512_vnni"}, "", "v3"),
        ({"avx2", "fma"}, "v4", None),
        ({"asimd"}, "", "base"),
    ],
)
def test_the_best_that_the_processor_runs(
    flags: set[str], wanted: str, level: str | None, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "processor", lambda: Processor("x", None, frozenset(flags)))
    monkeypatch.setenv("LITERATIM_KERNELS", wanted)
    assert library.level() == level
    assert built == ([] if level is None else [f"_{level}.so"])


def test_none_were_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_FOLDER", tmp_path)
    library._find.cache_clear()
    try:
        assert library.level() is None
    finally:
        library._find.cache_clear()


@pytest.mark.skipif(library.find() is None, reason="no kernels were built here")
def test_kernels_of_other_sources_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their structures might be others."""
    monkeypatch.setattr(library, "VERSION", "kernels_0")
    library._find.cache_clear()
    try:
        with pytest.raises(DependencyError, match="install again"):
            library.find()
        assert library.level() is None
    finally:
        library._find.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_dtypes_are_left_to_torch(dtype: torch.dtype) -> None:
    model = decoder().to(dtype)
    assert native(model) is model


def test_odd_widths_are_left_to_torch() -> None:
    model = decoder(15, 3)
    assert native(model) is model


@pytest.mark.skipif(library.find() is None, reason="no kernels were built here")
def test_the_decoder_keeps_its_weights_once() -> None:
    model = decoder()
    assert isinstance(native(model), NativeDecoder)
    assert model.layers[0].mlp.fc1.weight is None
    assert model.layers[0].cross.kv.weight is not None  # of many rows, as the encoder's


def _said(file: str, name: str) -> set[int]:
    """What a constant of a source is; where it goes by the processor's vectors, on each of them."""
    text = (Path(library.__file__).parent / file).read_text("utf-8")
    (value,) = re.findall(rf"[{{ ]{name} = (?:WIDTH == 64 \? )?(\w+(?: : \w+)?)", text)
    return {int(number) if number.isdecimal() else _said("common.h", number).pop() for number in value.split(" : ")}


def test_room_is_as_large_as_the_sources_want_it() -> None:
    """Less would be written beyond."""
    assert _said("convolution.c", "AT_ONCE") == {library.AT_ONCE}
    assert _said("convolution.c", "SIDE") == {library.TILE_POINTS**0.5}
    assert _said("convolution.c", "BORDER") == {native_convolution._BORDER}
    assert _said("convolution.c", "BLOCKS") == {4}  # of the sums that NativeConvolution makes room for
    assert _said("conformer.c", "QUERIES") == {library.ATTENDED}
    assert max(_said("conformer.c", "SPAN")) == library.CONVOLVED
