"""docs/options.md is made from the options; it must not lag behind."""

from __future__ import annotations

from pathlib import Path

from literatim.cli.reference import page

ROOT = Path(__file__).parents[2]


def test_page_is_what_the_options_say() -> None:
    written = (ROOT / "docs" / "options.md").read_text("utf-8")
    assert written == page(), "run: python -m literatim.cli.reference > docs/options.md"
