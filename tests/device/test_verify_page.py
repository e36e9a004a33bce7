"""The walk in docs/verify.md, from a verdict to the faulty operator: its Python runs, and prints what is shown."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "verify.md"


@pytest.mark.slow
def test_the_walk_is_as_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(python|text)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert [kind for kind, _ in blocks] == ["python", *["python", "text"] * 4]
    names: dict[str, Any] = {}
    printed = ""
    for kind, content in blocks:
        if kind == "text":
            assert printed == content
            continue
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(content, names)
        printed = out.getvalue()
    assert (tmp_path / "report" / "report.html").stat().st_size < 200_000
    evidence = names["suspect"].evidence
    assert "by gain" in evidence
    assert "in 12 of 12 calls, worst at prompt" in evidence
