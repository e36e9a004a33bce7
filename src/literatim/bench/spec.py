"""Speculative decoding beside plain decoding: ours by turns in one run, and the peers beside both."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from literatim import device as devices
from literatim.bench import protocol, spec_memory
from literatim.bench.protocol import Refused
from literatim.bench.runners import find
from literatim.bench.runners.base import Ids
from literatim.bench.spec_clips import Scorer
from literatim.bench.spec_rows import SpecRow, entries
from literatim.bench.spec_subject import Plan, Shaped, Subject, Words
from literatim.bench.spec_transformers import Assisted, Proposals, load, load_assistant, planted_assistant
from literatim.bench.spec_ways import Group, Ours, Run, Way
from literatim.bench.spec_workers import Launch, Peer, Place
from literatim.bench.speed import REST_SECONDS
from literatim.device import host
from literatim.errors import OptionError
from literatim.needs import need
from literatim.provenance.fingerprint import fingerprint

PEER_DTYPES = {"openvino": ("bfloat16", "int8"), "faster-whisper": ("int8",)}  # the fastest of each on a CPU
FIXED = (4, 8)  # numbers of proposals that transformers is tried with, besides its own default
Say = Callable[[str], None]
Item = TypeVar("Item")


@dataclass(frozen=True)
class _Bench:
    """What all parts of a run share."""

    plan: Plan
    subject: Subject
    pairs: Sequence[tuple[Ours, Ours]]  # plain and with a draft, for each dtype
    ways: Sequence[Way]
    say: Say


def check(plan: Plan) -> None:
    """Raise OptionError for what makes no sense together, before anything is made or downloaded."""
    if plan.shape and (plan.model or plan.assistant):
        given = plan.model or f"--assistant {plan.assistant}"
        raise OptionError(f"{given} and --shape {plan.shape} are both given; a shape has a draft of its own")
    if not 0 < plan.acceptance <= 1:
        raise OptionError(f"--acceptance {plan.acceptance:g}: a share above 0 and up to 1 is needed")
    if "int8" in plan.dtypes:
        raise OptionError("--dtype int8: literatim has none; peers are measured in theirs anyway")
    others = [name for name in plan.peers if name != "transformers"]
    if others and plan.shape is None:
        raise OptionError(f"--peer {others[0]}: it takes windows of 30 s only; give a --shape")


def run(plan: Plan, say: Say = lambda _: None, launch: Launch = protocol.start) -> dict[str, Any]:
    """Measure, and return the report that `--out` writes.

    Raises OptionError, ModelNotFound, ModelFormatError, DeviceError, DependencyError.
    """
    check(plan)
    if "transformers" in plan.peers:
        need("transformers", "eval", "--peer transformers")
    device, threads = devices.pick(plan.device), plan.threads or os.cpu_count() or 1
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with tempfile.TemporaryDirectory(prefix="literatim-bench-") as scratch:
            subject = Words(plan) if plan.shape is None else Shaped(plan, Path(scratch))
            pairs = []
            for dtype in plan.dtypes:
                say(f"loading literatim {dtype}, plain and with a draft ({subject.draft})")
                pairs.append(subject.ways(dtype))
            ours: list[Way] = [way for pair in pairs for way in pair]
            peers = _peers(plan, subject, Place(Path(), Path(scratch), str(device), threads, plan.timeout, launch), say)
            try:
                rows = _batches(_Bench(plan, subject, pairs, [*ours, *peers], say))
            finally:
                for way in peers:
                    if isinstance(way, Peer):
                        way.close()
            return _report(plan, subject, pairs, rows, threads)
    finally:
        torch.set_num_threads(before)


def _peers(plan: Plan, subject: Subject, place: Place, say: Say) -> list[Way]:
    """The peers asked for; nothing of them runs yet."""
    if not plan.peers:
        return []
    if subject.folder is None:
        raise OptionError(f"--peer: {subject.name} is measured as a decoder alone, which no peer can be; leave it out")
    found: list[Way] = []
    for name in plan.peers:
        say(f"loading {name}")
        if name == "transformers":
            found += _assisted(subject, subject.folder)
            continue
        kind = find(name)
        where = Place(subject.folder, place.scratch, place.device, place.threads, place.timeout, place.launch)
        assert isinstance(subject, Shaped)
        found += [Peer(kind, dtype, where, subject.windows) for dtype in PEER_DTYPES.get(name, plan.dtypes)]
    return found


def _assisted(subject: Subject, folder: Path) -> list[Way]:
    """transformers plain and assisted, in float32: as it comes where its draft is a real one, and tuned."""
    model = load(folder)
    if isinstance(subject, Shaped):
        assistant, settings = planted_assistant(folder, subject.layers), [Proposals(count) for count in FIXED]
        right = subject.flags(1)
        assisted = [Assisted(model, folder, assistant, setting, right) for setting in settings]
    else:
        assert isinstance(subject, Words)
        assistant, settings = load_assistant(subject.draft_folder), [Proposals(), *map(Proposals, FIXED)]
        assisted = [Assisted(model, folder, assistant, setting) for setting in settings]
    return [Assisted(model, folder), *assisted]


def _batches(bench: _Bench) -> list[list[SpecRow]]:
    """The rows of every batch, in the order of the plan."""
    plan, began, found = bench.plan, time.perf_counter(), []
    for number, batch in enumerate(plan.batches, 1):
        groups = bench.subject.groups(batch)
        rows = [SpecRow.of(way, batch) for way in bench.ways]
        _begin(bench, rows, groups)
        until = None if plan.seconds is None else began + plan.seconds * number / len(plan.batches)
        for turn in range(plan.iterations):
            if turn and until is not None and time.perf_counter() > until:
                break
            bench.say(f"batch {batch}: round {turn + 1} of {plan.iterations}")
            _turn(rows, len(groups), turn)
        found.append(rows)
    return found


def _begin(bench: _Bench, rows: list[SpecRow], groups: Sequence[Group]) -> None:
    """Untimed runs: they give the tokens, and what a planted draft foretells."""
    planted = {id(drafted): (plain, drafted) for plain, drafted in bench.pairs}
    for row in rows:
        if row.way.most_rows is not None and row.batch > row.way.most_rows:
            row.status, row.reason = "not measurable", "it decodes one recording at a time"
            continue
        bench.say(f"batch {row.batch}: warming up {row.label}")
        if id(row.way) in planted and isinstance(bench.subject, Shaped):
            plain = next(other for other in rows if other.way is planted[id(row.way)][0])
            bench.subject.plant(planted[id(row.way)], groups, plain.ids)
        try:
            row.ids = [found.ids for found in row.way.begin(groups)]
        except Refused as error:
            row.status, row.reason = error.status, str(error)


def _turn(rows: list[SpecRow], groups: int, turn: int) -> None:
    """Each way decodes every group, group by group, in an order that changes each time.

    It turns round and moves on, so that each way comes as often after each of its two neighbours: what a peer leaves in
    the processor's caches is to slow none of ours more than the other.
    """
    measured = [row for row in rows if row.status == "measured"]
    apart = any(isinstance(row.way, Peer) for row in measured)
    runs: dict[int, list[Run]] = {id(row): [] for row in measured}
    for index in range(groups):
        for row in _in_turn(measured, turn + index):
            if row.status != "measured":
                continue
            if apart:
                time.sleep(REST_SECONDS)  # each begins on idle cores
            try:
                runs[id(row)].append(row.way.run(index))
            except Refused as error:
                row.status, row.reason = error.status, str(error)
    for row in measured:
        if row.status == "measured":
            row.add(runs[id(row)])


def _in_turn(rows: list[Item], number: int) -> list[Item]:
    """In the order of the run of this number."""
    first = number // 2 % max(1, len(rows))
    order = rows[first:] + rows[:first]
    return order if number % 2 == 0 else order[::-1]


def _report(
    plan: Plan, subject: Subject, pairs: Sequence[tuple[Ours, Ours]], rows: list[list[SpecRow]], threads: int
) -> dict[str, Any]:
    packages = ["torch", *(["transformers"] if "transformers" in plan.peers else [])]
    drafted = pairs[0][1].engine
    shared = drafted.assistant is not None and drafted.assistant.encoder is None
    found = [entry for batch in rows for entry in entries(batch, _words(subject, batch, drafted.tokenizer.decode))]
    return {
        "schema": 2,
        "kind": "spec",
        "model": subject.name,
        "weights": subject.weights,
        "draft": subject.draft,
        "environment": fingerprint(plan.device, list(plan.dtypes), packages, subject.folder),
        "settings": {
            "acceptance": None if plan.shape is None else f"planted: {plan.acceptance:g}",
            "draft_text_ids": None if plan.shape is None else plan.words or None,
            "clips": len(subject.clips),
            "tokens": plan.tokens if plan.shape else None,
            "encoder": bool(subject.clips) or subject.folder is not None,
            "batches": list(plan.batches),
            "warmup": plan.warmup,
            "iterations": plan.iterations,
            "num_assistant_tokens": plan.num_assistant_tokens,
            "threads": threads,
            "device": plan.device,
            "seed": plan.seed,
            "decoding": "greedy, no timestamps" + (", end of text forbidden" if plan.shape else ""),
            "features": "not included",
        },
        "rows": found,
        "memory": {
            "measured": spec_memory.of_engine(drafted) if shared else None,
            "large-v2, two-layer draft, float16, from shapes": spec_memory.of_shape(
                spec_memory.LARGE_V2, 2, torch.float16
            ),
        },
        "versions": {name: host.version(name) for name in packages},
    }


def _words(
    subject: Subject, rows: Sequence[SpecRow], text_of: Callable[[list[int]], str]
) -> list[dict[str, Any] | None]:
    """The word error rate of each row, None where there are no words."""
    if not subject.clips or subject.folder is None:
        return [None] * len(rows)
    scorer = Scorer(subject.clips, subject.folder)
    made: list[dict[str, Any] | None] = []
    for row in rows:
        said: Ids = [ids for group in row.ids for ids in group][: len(subject.clips)]
        made.append(scorer.score([text_of(ids) for ids in said]) if said else None)
    return made
