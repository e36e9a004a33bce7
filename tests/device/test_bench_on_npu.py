"""`bench speed` on the fake npu: it runs there, says the same tokens as on the CPU, and sees the device's memory."""

from __future__ import annotations

from typing import Any

import pytest

from literatim.bench import speed
from literatim.bench.plan import Plan
from literatim.bench.worker import Inside


def _rows(device: str) -> list[dict[str, Any]]:
    settings = {"dtypes": ("float32",), "batches": (1, 3), "tokens": 6, "iterations": 1, "threads": 1}
    plan = Plan(shape="micro", device=device, **settings)
    found = speed.run(plan, launch=Inside)
    assert found["settings"]["device"].startswith(device)
    rows: list[dict[str, Any]] = found["rows"]
    return rows


def test_the_same_tokens_as_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "REST_SECONDS", 0.0)
    kept: list[list[list[int]]] = []
    answer = Inside.ask

    def ask(self: Inside, request: Any, seconds: float | None = None) -> dict[str, Any]:
        found = answer(self, request, seconds)
        kept.extend([found["ids"]] if "ids" in found else [])
        return found

    monkeypatch.setattr(Inside, "ask", ask)
    here, there = _rows("cpu"), _rows("npu")
    assert [row["status"] for row in there] == ["measured", "measured"], there
    assert [len(ids) for ids in kept] == [1, 3, 1, 3]
    assert kept[:2] == kept[2:]
    assert all("device" not in row["memory"] for row in here)
    assert all(row["memory"]["device"]["allocated"] > 0 for row in there)
