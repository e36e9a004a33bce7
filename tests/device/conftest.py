"""The fake npu, before anything uses the device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import transformers.models.whisper.modeling_whisper  # noqa: F401  (before torch_npu is there, which changes its masks)

from literatim.verify import fake_npu

fake_npu.install(devices=2)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _counted_anew() -> None:
    fake_npu.OPS.clear()
