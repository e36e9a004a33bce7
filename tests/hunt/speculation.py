"""A long hunt for a batch in which speculation changes anything. `make hunt`, or with arguments: `--cases`, `--first`.

Each case is told by its seed. One that fails is made as small as possible and printed, and the hunt goes on; it exits
with 1 in the end.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
# every number of rows is a kernel of its own to oneDNN, which keeps 1024 of them unless told
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8000")
os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from transformers.utils import logging

from speculation_cases import Case, Models, smallest

EVERY = 250  # cases between two lines of progress


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--cases", type=int, default=20_000)
    arguments.add_argument("--first", type=int, default=0, help="seed of the first case")
    given = arguments.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        return hunt(Models(Path(folder)), range(given.first, given.first + given.cases))


def hunt(models: Models, seeds: range) -> int:
    """Every seed; 1 where one fails, else 0."""
    began, cases, failures = time.monotonic(), Counter[str](), Counter[str]()
    for number, seed in enumerate(seeds, 1):
        case = Case.random(seed)
        kind = f"{case.family}, {case.dtype}"
        cases[kind] += 1
        if models.differences(case):
            failures[kind] += 1
            least = smallest(case, lambda other: bool(models.differences(other)))
            print(f"seed {seed}: {least}", *models.differences(least), sep="\n  ", flush=True)
        if number % EVERY == 0 or number == len(seeds):
            spent = time.monotonic() - began
            print(f"{number} cases, {sum(failures.values())} failures, {spent:.0f} s", flush=True)
    print(*(f"{kind}: {count} cases, {failures[kind]} failures" for kind, count in sorted(cases.items())), sep="\n")
    print(", ".join(f"{count} {name}" for name, count in models.seen.items()))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
