"""The compiled kernels that this processor can run, for tests of each of them."""

from __future__ import annotations

import pytest

from literatim.native import library

LEVELS = [found for level in ("v4bf16", "v4", "v3", "base") if (found := library._find(level)) is not None]
needed = pytest.mark.skipif(not LEVELS, reason="no kernels were built here, or none for this processor")
by_level = pytest.mark.parametrize("kernels", LEVELS, ids=lambda kernels: kernels.level)
