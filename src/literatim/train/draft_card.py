"""Measure the bundled draft on the frozen test sets, and write its card: no number is typed by hand.

    python -m literatim.train.draft_card src/literatim/demo/demo-draft

Every window is decoded by `demo` on its own, greedily, with the language given; the draft reads what was said. Needs
espeak-ng, which speaks the sets.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from literatim.api import load
from literatim.decode.pace import Pace
from literatim.options import TranscribeOptions
from literatim.train import sets, voices
from literatim.train.acceptance import figures, judge, together
from literatim.train.card import KINDS, NAMES
from literatim.train.windows import write_json

MODEL, ROUNDS = "demo", ("2", "4", "8")
BATCH = 16
TEXT = """---
language: [en, nl]
license: apache-2.0
tags: [whisper, synthetic, demo, speculative-decoding]
base_model: demo
---
# demo-draft: what `demo` will say next

A decoder of {layers} layer that listens to the encoder of `demo` and proposes tokens to it. `demo` checks them all and
its text stays what it is without, so this model has no error rate of its own. Bundled with Literatim, which uses it
beside `demo` by itself (`--assistant none` switches it off). It is of use to no other model, and not for people's
speech: like `demo` it has heard nothing but espeak-ng.

| | |
|---|---|
| format | a decoder alone, which transformers' `WhisperForCausalLM` reads too: {megabytes:.1f} MB in bfloat16 |
| trained part | {parameters:.2f} M parameters; embedding and positions are those of `demo` |
| began as | layer {layers_from} of the decoder of `demo`, counted from 0 |
| data | {hours:.1f} hours of speech made by espeak-ng, without text: {windows:,} windows, {tokens:,} tokens |
| voices, sentences | those that `demo` was trained on; the test sets have others |
| objective | divergence from the distribution of `demo`, and cross-entropy with its tokens |
| training | {steps:,} steps of {batch} windows ({passes:.1f} passes), {minutes:.0f} minutes on a CPU |
| made by | `literatim.train.talks`, then `literatim draft train` (see CONTRIBUTING.md) |

## How much of `demo` it foretells

On test sets frozen before the first training run, {limit} windows each, in voices never trained ({held_out}); greedy,
float32. "foretold" is the share of `demo`'s tokens, the end of text among them, that are the draft's likeliest when it
is given those before; "accepted" is the share of proposals that are right, those before them in a round of 8 being
right; then the tokens that a round of 2, 4 or 8 proposals gives, of which plain decoding gives one.

| set | timestamps | tokens | foretold | accepted | 2 | 4 | 8 |
|---|---|---|---|---|---|---|---|
{table}

All numbers: [evaluation.json](evaluation.json), [training.json](training.json).
"""


@torch.inference_mode()
def evaluate(folder: Path, limit: int) -> dict[str, Any]:
    """The first `limit` windows of every frozen set, with timestamps and without."""
    engine = load(MODEL, assistant=folder, device="cpu", dtype="float32")._engine
    engine.pace = Pace()
    results: dict[str, Any] = {}
    for language in NAMES:
        for kind in sets.KINDS:
            samples = [torch.from_numpy(heard.samples) for heard in islice(sets.render(language, kind), limit)]
            row = {}
            for name, untimed in (("timed", False), ("untimed", True)):
                options = TranscribeOptions(language=language, without_timestamps=untimed, batch_size=BATCH)
                row[name] = figures(together(judge(engine, samples, options)))
            results[f"{language}-{kind}"] = row
            sys.stderr.write(f"{language}-{kind}: {row['timed']['foretold']:.1%}, {row['untimed']['foretold']:.1%}\n")
    return {"model": MODEL, "limit": limit, "sets": results, "versions": {"torch": torch.__version__}}


def card(folder: Path) -> str:
    """The card's text for a folder with evaluation.json, training.json and model.safetensors."""
    result, facts = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("evaluation", "training"))
    rows = [
        _row(f"{NAMES[language]}, {KINDS[kind]}", how, result["sets"][f"{language}-{kind}"][key])
        for language in NAMES
        for kind in sets.KINDS
        for key, how in (("timed", "with"), ("untimed", "without"))
    ]
    return TEXT.format(
        layers=facts["settings"]["layers"],
        layers_from=" and ".join(map(str, facts["layers_from"])),
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        parameters=facts["trained_parameters"] / 1e6,
        batch=facts["settings"]["batch"],
        limit=result["limit"],
        held_out=", ".join(voices.HELD_OUT),
        table="\n".join(rows),
        **{name: facts[name] for name in ("hours", "windows", "tokens", "steps", "passes", "minutes")},
    )


def _row(name: str, how: str, item: dict[str, Any]) -> str:
    shares = (f"{item[key]:.1%}" for key in ("foretold", "acceptance"))
    rounds = (f"{item['tokens_per_round'][count]:.2f}" for count in ROUNDS)
    return f"| {' | '.join([name, how, format(item['tokens'], ','), *shares, *rounds])} |"


def main() -> None:
    """Write evaluation.json and README.md into the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=sets.WINDOWS, help="windows of each set")
    parser.add_argument("--only-card", action="store_true", help="from the evaluation that is there")
    given = parser.parse_args()
    if not given.only_card:
        write_json(given.folder / "evaluation.json", evaluate(given.folder, given.limit))
    (given.folder / "README.md").write_text(card(given.folder), "utf-8")


if __name__ == "__main__":
    main()
