"""What tests of bits share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """As many after a test as before."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
