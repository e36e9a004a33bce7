"""Networks that several files compare on."""

from __future__ import annotations

import pytest

from openai_cases import OpenaiPairs


@pytest.fixture(scope="session")
def openai_pairs(tmp_path_factory: pytest.TempPathFactory) -> OpenaiPairs:
    """Ours beside openai/whisper."""
    return OpenaiPairs(tmp_path_factory.mktemp("openai"))
