"""The fake npu, before anything uses the device."""

from __future__ import annotations

import pytest
import transformers.models.whisper.modeling_whisper  # noqa: F401  (before torch_npu is there, which changes its masks)

from literatim.verify import fake_npu

fake_npu.install(devices=2)


@pytest.fixture(autouse=True)
def _counted_anew() -> None:
    # Anew for each test, since `verify --self-test` installs one device alone in the process that it runs in.
    fake_npu.install(devices=2)
    fake_npu.OPS.clear()
