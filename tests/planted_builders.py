"""What tests of the self-test's faults have in common, whatever network they are planted in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from literatim.verify import fake_npu
from literatim.verify.planted.catalogue import EVERYWHERE, KINDS, Case
from literatim.verify.planted.families import Family

Work = Callable[[], Tensor]
LARGEST = {"wrong eps": 0.1, "coarse inputs": 7, "coarse weights": 4, "coarse sums": 7, "saturation": 0.2}
LARGEST |= {"flipped bit": 5.0, "coarse rotation": 7, "capped ReLU": 0.2, "coarse root": 7}


def places_seen(work: Work, checkpoint: Family) -> set[str | None]:
    """What the sites say of every call of some work."""
    follow, seen = checkpoint.sites(), set[str | None]()

    class Look:
        def around(self, op: str, compute: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            seen.add(follow.of(op, args))
            return compute(*args, **kwargs)

    with fake_npu.plant(Look()):
        work()
    return seen


def check_every_place(work: Work, checkpoint: Family) -> None:
    """Some work reaches each place where a fault can be planted, and each part with weights is one."""
    wanted = {site for sites in checkpoint.places.values() for site in sites}
    assert wanted - places_seen(work, checkpoint) == set()
    assert {name for name in checkpoint.parameters if not {name, name.rpartition(".")[0]} & wanted} == set()


def check_every_kind(work: Work, checkpoint: Family, dtype: str) -> set[str]:
    """Each fault at its largest changes its place, in float32 far above rounding, and is gone after; their names."""
    clean, names = work(), set()
    for kind in KINDS:
        if kind.at not in {EVERYWHERE, *checkpoint.places}:
            continue
        site = None if kind.at == EVERYWHERE else checkpoint.places[kind.at][-1]
        magnitude = LARGEST.get(kind.name, kind.magnitudes[-1])
        strike = Case(kind, magnitude, min(2, kind.periods[0]), site, dtype, 0).strike(checkpoint.sites())
        with fake_npu.plant(strike):
            changed = work()
        assert strike.hit <= {site} or site is None, kind.name
        if dtype == "float32":
            assert strike.hits, kind.name
            assert strike.effect.ratio > 8, kind.name
            assert kind.at == "choice" or not torch.equal(changed, clean), kind.name
        assert torch.equal(work(), clean), kind.name
        names.add(kind.name)
    return names
