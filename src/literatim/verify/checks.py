"""The two runs on the device: left to itself, and with the reference's results put in the place of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from literatim.errors import DeviceError
from literatim.verify.deviation import UNIT, exact, measure
from literatim.verify.figures import lattice
from literatim.verify.golden import ALL, OUTPUT_ROWS, PLAIN, Choice, Entry, Golden, sample
from literatim.verify.passes import COARSE
from literatim.verify.sites import is_choice, is_output, put_choice, values_of_choice
from literatim.verify.types import Call, Deviation
from literatim.verify.watch import WRITES, Seen, in_place, results

SHORT_UNIT = 2.0**-11  # roundoff of factors with ten bits
SUSPICIOUS = 16  # times the floor: from there on it is worth knowing whether the values lie on a coarser grid


class Chosen:
    """What the device chose at one step, given the reference's tokens before it: `tokens` (B,) and the scores of the
    reference's likeliest ones (B, TOP), with the row's mean difference from the reference's taken out."""

    def __init__(self, choice: Choice, tokens: Tensor, scores: Tensor) -> None:
        self.choice, self.tokens = choice, tokens.cpu().reshape(-1)
        self.scores = scores.cpu().double().gather(-1, choice.ids)


class _Check:
    """Follows the golden's list of calls and compares each with its own."""

    def __init__(self, golden: Golden, floor: str = PLAIN) -> None:
        self._golden, self._entries, self._floor = golden, golden.by_index(), floor
        self.calls: dict[str, Call] = {}

    def _expected(self, seen: Seen, found: list[Tensor]) -> list[Entry]:
        """The entries of a call; DeviceError where the program here is not the reference's."""
        entries = self._entries.get(seen.index, [])
        if entries and (entries[0].site, entries[0].op, len(entries)) != (seen.site, seen.op, len(found)):
            raise DeviceError(
                f"the program run here differs from the reference's at call {seen.index}: {seen.site} {seen.op} "
                f"instead of {entries[0].site} {entries[0].op}; make the golden folder again with these versions of "
                "literatim and torch"
            )
        return entries

    def _note(self, entry: Entry, deviation: Deviation, plain: float = 0.0, grid: str | None = None) -> None:
        place = (entry.index, entry.site, entry.op, entry.stage, entry.shape, entry.dtype)
        self.calls[entry.key] = Call(*place, deviation, plain, grid)


class Through(_Check):
    """Left to itself but for the choices, which are the reference's, so that every position can be compared."""

    def __init__(self, golden: Golden, floor: str = PLAIN) -> None:
        super().__init__(golden, floor)
        self.chosen: list[Chosen] = []
        self.outputs: dict[str, Tensor] = {}  # as `Golden.outputs`, by the entry's key

    def __call__(self, seen: Seen, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make the call and compare some rows of its result."""
        out = func(*args, **kwargs)
        found = results(seen.op, args, out) if seen.index in self._entries else []
        for entry, result in zip(self._expected(seen, found), found, strict=True):
            truth = self._golden.through[entry.key]
            got = sample(result, self._golden.rows).cpu()
            if not result.is_floating_point():
                self._note(entry, exact(got, truth))
                continue
            unit = UNIT[getattr(torch, entry.dtype)]
            floor, scale = self._golden.through_floor[self._floor, entry.key], self._golden.scale("through", entry.key)
            self._note(entry, measure(got, truth, floor, unit, scale=scale))
            if is_output(seen.site, seen.op):
                self.outputs[entry.key] = sample(result, OUTPUT_ROWS).to("cpu", copy=True)
        if not is_choice(seen.op):
            return out
        choice = self._golden.choices[len(self.chosen)]
        self.chosen.append(Chosen(choice, out, values_of_choice(args)))
        return put_choice(out, choice.tokens)


class Own(_Check):
    """Every call gets the reference's inputs, since every result before it was replaced by the reference's."""

    def __init__(self, golden: Golden, floor: str = PLAIN) -> None:
        super().__init__(golden, floor)
        self._choices = 0

    def __call__(self, seen: Seen, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make the call, compare its result, and put the reference's there."""
        out = func(*args, **kwargs)
        found = results(seen.op, args, out) if seen.index in self._entries else []
        for entry, result in zip(self._expected(seen, found), found, strict=True):
            kept, host = self._golden.own[entry.key], result.cpu()
            shrunk = self._golden.positions.shrink(host)
            if entry.exact:
                self._note(entry, exact(shrunk, kept))
            else:
                self._measure(entry, shrunk, kept)
            _put(seen.op, args, result, host, self._golden.positions.grow(kept.to(result.dtype), result.shape))
        if not is_choice(seen.op):
            return out
        self._choices += 1
        return put_choice(out, self._golden.choices[self._choices - 1].tokens)

    def _measure(self, entry: Entry, host: Tensor, truth: Tensor) -> None:
        golden, key, product = self._golden, entry.key, entry.op in COARSE[ALL]
        short = entry.op in COARSE[self._floor]
        unit = SHORT_UNIT if short else UNIT[host.dtype]
        floor = golden.own_floor[ALL if short else PLAIN, key]
        found = measure(host, truth, floor, unit, product, golden.scale("own", key))
        plain = golden.own_floor[PLAIN, key].error
        suspicious = found.error > SUSPICIOUS * max(plain, UNIT[host.dtype])
        self._note(entry, found, plain, lattice(host, truth) if suspicious else None)


def _put(op: str, args: tuple[Any, ...], result: Tensor, host: Tensor, expected: Tensor) -> None:
    """The expected values into the device's result, unless they are there."""
    if torch.equal(host, expected):
        return
    if op == WRITES:
        args[0][args[1]] = expected.to(result.device)
    else:
        (args[0] if in_place(op) else result).copy_(expected)
