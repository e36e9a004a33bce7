"""Speed beside the peers: same weights, same windows, same number of tokens, turn by turn in one run."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from literatim import demo
from literatim import device as devices
from literatim.audio.decode import decode
from literatim.bench import environment, shapes
from literatim.bench.peers import PEERS, Ids, Literatim, Runner, Setup, Turn, Unmeasurable
from literatim.bench.windows import Windows, babble, cut
from literatim.errors import OptionError
from literatim.models.config import WhisperConfig
from literatim.models.folder import read_folder

DTYPES = ("float32", "float16", "bfloat16", "int8")
REST_SECONDS = 0.3  # libiomp lets its threads spin for 200 ms after the last work (KMP_BLOCKTIME)
PROMPT_TOKENS = 4
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is measured. `seconds` bounds the time in which new rounds are begun, over all batches together."""

    shape: str
    batches: tuple[int, ...] = (1, 8)
    dtypes: tuple[str, ...] = ("float32", "bfloat16", "int8")
    peers: tuple[str, ...] = tuple(PEERS)
    tokens: int = 100
    repeats: int = 5
    seconds: float | None = None
    threads: int | None = None
    device: str = "cpu"
    seed: int = 0


@dataclass
class Row:
    """One runner at one dtype and batch; without turns there is a `reason`."""

    name: str
    package: str
    version: str | None
    dtype: str
    batch: int
    status: str = "measured"  # or absent, not measurable, failed
    reason: str | None = None
    ids: Ids | None = None
    turns: list[Turn] = field(default_factory=list)


@dataclass(frozen=True)
class _Entry:
    """A runner that was loaded, or the status and reason why not."""

    kind: type[Runner]
    dtype: str
    runner: Runner | None
    status: str = "measured"
    reason: str | None = None


def run(plan: Plan, say: Say = lambda _: None) -> dict[str, Any]:
    """Measure, and return the report that `--out` writes. Raises OptionError, ModelNotFound, DeviceError."""
    device = devices.pick(plan.device)
    threads = plan.threads or os.cpu_count() or 1
    _check(plan)
    with tempfile.TemporaryDirectory(prefix="literatim-bench-") as scratch, _threads(threads):
        folder, bundled = _folder(plan, Path(scratch))
        config = WhisperConfig.from_dict(read_folder(folder).config)
        setup = Setup(device, threads, Path(scratch))
        entries = [_enter(kind, dtype, folder, setup, say) for dtype in plan.dtypes for kind in _kinds(plan)]
        rows: list[Row] = []
        began = time.perf_counter()
        for number, batch in enumerate(plan.batches, 1):
            windows = Windows.make(_samples(plan, config, batch, bundled), config.n_mels)
            share = None if plan.seconds is None else began + plan.seconds * number / len(plan.batches)
            rows += _measure(plan, entries, windows, share, say)
        return _report(plan, config, rows, threads, str(device), bundled)


def _kinds(plan: Plan) -> list[type[Runner]]:
    return [Literatim, *(PEERS[name] for name in plan.peers)]


def _folder(plan: Plan, scratch: Path) -> tuple[Path, bool]:
    """The model's folder, and whether it is the bundled one."""
    if plan.shape == "demo":
        return demo.model_path("demo"), True
    return shapes.write(shapes.SHAPES[plan.shape], scratch / "model", plan.seed), False


def _check(plan: Plan) -> None:
    if plan.shape == "demo":
        context = WhisperConfig.from_dict(read_folder(demo.model_path("demo")).config).target_positions
    else:
        context = shapes.SHAPES[plan.shape].context
    room = context - PROMPT_TOKENS
    if plan.tokens > room:
        raise OptionError(f"--tokens {plan.tokens}: a model of shape {plan.shape} has room for {room}")


def _samples(plan: Plan, config: WhisperConfig, batch: int, bundled: bool) -> Any:
    """Real words for the model that knows some, made-up sound for random weights."""
    seconds = config.source_positions / 50
    recordings = demo.recordings() if bundled else []
    if recordings:
        return cut(decode(recordings[0]).samples[0], batch, seconds)
    return babble(batch, seconds, plan.seed)


def _enter(kind: type[Runner], dtype: str, folder: Path, setup: Setup, say: Say) -> _Entry:
    say(f"loading {kind.name} {dtype}")
    try:
        return _Entry(kind, dtype, kind(folder, dtype, setup))
    except ImportError as error:
        return _Entry(kind, dtype, None, "absent", f"not installed ({error}): pip install 'literatim[bench]'")
    except Unmeasurable as error:
        return _Entry(kind, dtype, None, "not measurable", str(error))
    except Exception as error:  # as in _forgiving
        if kind is Literatim:
            raise
        return _Entry(kind, dtype, None, "failed", _first_line(error))


def _measure(plan: Plan, entries: list[_Entry], windows: Windows, until: float | None, say: Say) -> list[Row]:
    """One untimed round for the tokens and to warm up, then rounds in which each has its turn."""
    rows = []
    for entry in entries:
        name, package = entry.kind.name, entry.kind.package
        version = environment.version(package)
        rows.append(Row(name, package, version, entry.dtype, len(windows), entry.status, entry.reason))
    active = [(entry.runner, row) for entry, row in zip(entries, rows, strict=True) if entry.runner is not None]
    for runner, row in active:
        say(f"batch {row.batch}: warming up {row.name} {row.dtype}")
        with _forgiving(runner, row):
            _warm_up(runner, row, windows, plan.tokens)
    for number in range(plan.repeats):
        if number and until is not None and time.perf_counter() > until:
            break
        say(f"batch {len(windows)}: round {number + 1} of {plan.repeats}")
        for runner, row in active:
            if row.status == "measured":
                time.sleep(REST_SECONDS)  # each begins on idle cores
                with _forgiving(runner, row):
                    row.turns.append(runner.turn(windows, plan.tokens))
    return rows


def _warm_up(runner: Runner, row: Row, windows: Windows, tokens: int) -> None:
    """Keep the tokens, and see that they are as many as asked."""
    if runner.most_rows is not None and len(windows) > runner.most_rows:
        raise Unmeasurable(f"it decodes no more than {runner.most_rows} recording at a time")
    if runner.most_tokens is not None and tokens > runner.most_tokens:
        raise Unmeasurable(f"it decodes no more than {runner.most_tokens} tokens of a window")
    row.ids = runner.run(windows, tokens)
    counts = {len(ids) for ids in row.ids}
    if counts != {tokens}:
        raise Unmeasurable(f"it decoded {', '.join(map(str, sorted(counts)))} tokens instead of {tokens}")


@contextmanager
def _forgiving(runner: Runner, row: Row) -> Iterator[None]:
    """A peer that breaks is a row of the table, not the end of the run; ours may not break."""
    try:
        yield
    except Unmeasurable as error:
        row.status, row.reason = "not measurable", str(error)
    except Exception as error:
        if isinstance(runner, Literatim):
            raise
        row.status, row.reason = "failed", _first_line(error)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """torch's threads, for the time of the run."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _report(
    plan: Plan, config: WhisperConfig, rows: list[Row], threads: int, device: str, bundled: bool
) -> dict[str, Any]:
    packages = list(dict.fromkeys(["torch", "transformers", *(kind.package for kind in _kinds(plan)[1:])]))
    return {
        "schema": 1,
        "kind": "speed",
        "weights": "bundled" if bundled else "random",
        "shape": plan.shape,
        "environment": {**environment.fingerprint(device, plan.dtypes, packages), "torch_threads": threads},
        "settings": {
            "window_seconds": config.source_positions / 50,
            "vocabulary": config.vocab_size,
            "batches": list(plan.batches),
            "tokens": plan.tokens,
            "repeats": plan.repeats,
            "threads": threads,
            "seed": plan.seed,
            "decoding": "greedy, no timestamps, end of text forbidden",
            "features": "not included",
        },
        "rows": [entry for batch in plan.batches for entry in _entries([r for r in rows if r.batch == batch], plan)],
    }


def _entries(rows: list[Row], plan: Plan) -> list[dict[str, Any]]:
    """The rows of one batch as dictionaries, each beside ours."""
    ours = {row.dtype: row for row in rows if row.name == "literatim" and row.turns}
    fastest = min(ours.values(), key=lambda row: median(turn.total for turn in row.turns), default=None)
    reference = ours.get("float32", fastest)
    return [_entry(row, ours.get(row.dtype, fastest), reference, plan.tokens) for row in rows]


def _entry(row: Row, ours: Row | None, reference: Row | None, tokens: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": row.name,
        "package": row.package,
        "version": row.version,
        "dtype": row.dtype,
        "batch": row.batch,
        "status": row.status,
        "reason": row.reason,
    }
    if row.status != "measured" or not row.turns:
        return found
    encoder, total, token = _series(row, tokens)
    found |= {
        "repeats": len(row.turns),
        "encoder_ms": median(encoder),
        "token_ms": median(token),
        "total_ms": median(total),
        "window_ms": median(total) / row.batch,
        "samples_ms": {"encoder": encoder, "total": total},
        "same_tokens": _same(row, reference),
    }
    if ours is not None and row.name != "literatim":
        pairs = zip(_series(ours, tokens), (encoder, total, token), strict=True)
        ratios = [median(a / b for a, b in zip(mine, theirs, strict=False)) for mine, theirs in pairs]
        found["ours_to_this"] = {
            "ours": f"literatim {ours.dtype}",
            **dict(zip(("encoder", "total", "token"), ratios, strict=True)),
        }
    return found


def _series(row: Row, tokens: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds of every turn: encoder, whole batch, and what each token position adds to the encoder."""
    encoder = [1000 * turn.encoder for turn in row.turns]
    total = [1000 * turn.total for turn in row.turns]
    return encoder, total, [(whole - part) / tokens for whole, part in zip(total, encoder, strict=True)]


def _same(row: Row, reference: Row | None) -> float | None:
    """Share of positions with the token of the reference, which is ours in float32 where that was run."""
    if row.ids is None or reference is None or reference.ids is None:
        return None
    pairs = [
        pair for mine, theirs in zip(row.ids, reference.ids, strict=True) for pair in zip(mine, theirs, strict=True)
    ]
    return sum(a == b for a, b in pairs) / len(pairs)


def differing(report: dict[str, Any]) -> list[str]:
    """Where transformers in float32 says other tokens than ours in float32: a failed check, a sentence each."""
    return [
        f"batch {row['batch']}: {1 - row['same_tokens']:.1%} of the tokens differ from transformers in float32"
        for row in report["rows"]
        if row["name"] == "transformers" and row["dtype"] == "float32" and row.get("same_tokens", 1.0) < 1.0
    ]
