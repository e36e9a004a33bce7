"""Reports of `verify` with made-up figures, of every kind that a run can give."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import torch

from literatim.verify.end_to_end import Measured, end_to_end
from literatim.verify.tokens import Judge, compare
from literatim.verify.types import (
    FAIL,
    PASS,
    WARN,
    Call,
    Deviation,
    EndToEnd,
    ModuleFigures,
    Report,
    Suspect,
    TokenFigures,
    Verdict,
)

END, PARTS = 9, ("attention.norm", "attention.qkv", "attention.product", "attention.out", "attention.add", "mlp.fc1")
FAULTY = "encoder.layers.1.attention.out"


def deviation(error: float, floor: float, **others: Any) -> Deviation:
    """Of a thousand elements."""
    return Deviation(1000, error, floor, {"whole": error / floor, "row": 1.0}, error * 3, 1 - error**2, **others)


def place(name: str, depth: int, own: Deviation, status: str = PASS, grade: str = "fp32") -> ModuleFigures:
    """With an error that grows when the device is left to itself."""
    call = Call(depth, name, "linear", "encoder", (2, 50, 32), "float32", own)
    through = deviation((depth + 1) * max(own.error, 1e-7), (depth + 1) * 1e-7)
    ratio = own.ratio
    return ModuleFigures(
        name, "linear", depth, 3, own, through, ratio, grade, "fp32", status, int(status == FAIL), call
    )


def modules() -> tuple[ModuleFigures, ...]:
    """One clean network but for a wrong product, a remark, lost values and a wrong choice."""
    names = [f"{side}.layers.{at}.{part}" for side in ("encoder", "decoder") for at in range(2) for part in PARTS]
    found = [place(name, at, deviation(1.1e-7 * (1 + at % 3), 1e-7)) for at, name in enumerate(names)]
    by_name = {item.name: item for item in found}
    by_name[FAULTY] = place(FAULTY, by_name[FAULTY].depth, deviation(1e-3, 1e-7), FAIL, "tf32-hf32")
    odd = "decoder.layers.0.attention.norm"
    by_name[odd] = place(odd, by_name[odd].depth, deviation(8e-7, 1e-7), WARN)
    lost = "decoder.layers.1.mlp.fc1"
    by_name[lost] = place(lost, by_name[lost].depth, deviation(1e-7, 1e-7, not_finite=4), FAIL, "broken")
    ids = Deviation(12, 0.0, 0.0, {}, 0.0, 1.0, differing=1)
    choice = place("decoder.choice", len(names), ids, FAIL, "broken")
    mask = place("decoder.mask", len(names), replace(ids, differing=0))
    return (*by_name.values(), mask, choice)


def tokens() -> tuple[TokenFigures, ...]:
    """The same, a tie, a fault, and a forbidden token; texts with signs that HTML gives a meaning."""
    logits = torch.zeros(4, 10, dtype=torch.float64)
    logits[:, 1], logits[:, 2], logits[:, 4] = 3.0, 2.999, -math.inf
    judge = Judge(logits, logits + torch.linspace(0, 0.002, 10))
    pieces = {1: " one", 2: " <two>", 3: " & three", 4: " four", END: ""}

    def decode(ids: Any) -> str:
        return "".join(pieces[token] for token in ids)

    told = {"same": ([1, 3], [1, 3]), "tie": ([1, 3], [2, 3]), "fault": ([1, 3], [1, 2, 3]), "forbidden": ([1], [4])}
    words = {"same": "one & three", "fault": "one & three"}
    return tuple(
        compare(name, mine, theirs, end=END, decode=decode, judge=judge, truth=words.get(name))
        for name, (mine, theirs) in told.items()
    )


def whole() -> EndToEnd:
    """Figures of random tensors."""
    random = torch.Generator().manual_seed(1)

    def measured(*shape: int) -> Measured:
        truth = torch.randn(*shape, generator=random, dtype=torch.float64)
        noise = [torch.randn(*shape, generator=random) for _ in range(2)]
        return Measured(truth + 1e-3 * noise[0], truth + 1e-6 * noise[1], truth)

    return end_to_end("float64", measured(40, 16), measured(12, 30), tokens())


def report(**changes: Any) -> Report:
    """A failed run."""
    failed = Verdict(
        FAIL,
        (f"{FAULTY} is tf32-hf32-grade, fp32 was expected", "2 clips have <other> tokens"),
        (
            Suspect(FAULTY, "linear", "tf32-hf32", 1e4, "gain 1.001"),
            Suspect("decoder.mask", "gt", "broken", math.inf, "!"),
        ),
    )
    made = Report(
        model="demo",
        device="npu:0",
        dtype="float32",
        settings={"rule": "ratio", "clips": ["same", "tie"]},
        environment={
            "date": "2026-01-02T03:04:05+00:00",
            "cpu": "A & B",
            "packages": {"torch": "2.13.0"},
            "model": None,
        },
        reference={"made": "in a process of its own"},
        verdict=failed,
        end_to_end=(whole(),),
        modules=modules(),
        zoom=(modules()[9].worst,),
    )
    return replace(made, **changes)


def passed() -> Report:
    """A clean run, without anything that is left out where there is nothing."""
    clean = tuple(item for item in modules() if item.status == PASS)
    same = replace(whole(), tokens=tokens()[:1])
    return report(verdict=Verdict(PASS, ("all is well",)), modules=clean, end_to_end=(same,), zoom=())


def plain(value: Any) -> Any:
    """A report as nested dictionaries, to compare two."""
    return asdict(value)
