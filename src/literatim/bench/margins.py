"""How sure demo-draft is of what demo says, token by token: the trace that planted acceptance follows.

    python -m literatim.bench.margins src/literatim/demo/clips/margins.json

A margin is the draft's logit of the token that the main model says next, less its best other one, under the rules and
with the true text before it: below 0 the draft is wrong. In tenths, for each bundled clip in order, from the second
token on; the first one comes with the prompt and is never proposed.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from literatim import hub
from literatim.api import load
from literatim.bench import spec_clips
from literatim.decode.rules import RowState, Rules, apply
from literatim.options import TranscribeOptions
from literatim.pipeline.engine import Engine
from literatim.provenance.model_hash import model_hash

LEAST = -999  # of a token that the draft cannot propose


def heard(engine: Engine, clip: spec_clips.Clip, rules: Rules) -> tuple[list[int], list[int]]:
    """The prompt of a clip, and what the main model says after it, with the end."""
    prompt = list(engine.tokenizer.prompt(clip.language, "transcribe", False))
    engine.listen([clip.features])
    return prompt, [*engine.decode([prompt], rules, None)[0].tokens, engine.tokenizer.eot]


def scores(engine: Engine, prompt: list[int], said: list[int], rules: Rules) -> tuple[Tensor, list[int]]:
    """The draft's scores (K, W) of what follows each token of `said` but the last, and the places of what did."""
    assert engine.assistant is not None
    draft = engine.assistant.draft(rules)
    tokens = torch.tensor([[*prompt, *said[:-1]]], dtype=torch.int32, device=engine.device)
    with engine.at_work():
        hidden = draft.network.feed(draft.own(tokens), torch.zeros_like(tokens[:, 0]), tokens.shape[1])
        first = torch.tensor(said[:1], dtype=torch.int32, device=engine.device)
        state = RowState.start(1, rules, engine.device).after(first, rules).translated(rules, draft.rules)
        found = apply(draft.network.choose(hidden[0, len(prompt) :]), state, draft.rules)
    to_main = range(found.shape[1]) if draft.to_main is None else draft.to_main.tolist()
    place = {id: at for at, id in enumerate(to_main)}
    return found, [place.get(token, -1) for token in said[1:]]


def margins(engine: Engine, clip: spec_clips.Clip, rules: Rules) -> list[int]:
    """Of every token but the first, in tenths."""
    prompt, said = heard(engine, clip, rules)
    found, places = scores(engine, prompt, said, rules)
    made = []
    for row, place in zip(found, places, strict=True):
        others = row.clone()
        others[place] = -math.inf
        margin = float(row[place] - others.max()) if place >= 0 else -math.inf
        made.append(max(LEAST, round(10 * margin)) if math.isfinite(margin) else LEAST)
    return made


def trace(model: str = "demo", assistant: str = "demo-draft") -> dict[str, Any]:
    """What the file holds."""
    engine = load(model, assistant=assistant)._engine
    rules = engine.rules(TranscribeOptions(without_timestamps=True))
    clips = [margins(engine, clip, rules) for clip in spec_clips.read(spec_clips.cases(), engine.config)]
    every = [margin for clip in clips for margin in clip]
    hashes = {name: model_hash(hub.resolve(name)) for name in (model, assistant)}
    return {
        "made": "python -m literatim.bench.margins",
        "unit": "a tenth of a logit",
        "models": {name: found["sha256"][:16] for name, found in hashes.items()},
        "foretold": round(sum(margin > 0 for margin in every) / len(every), 4),
        "clips": clips,
    }


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--assistant", default="demo-draft")
    given = parser.parse_args()
    given.file.write_text(json.dumps(trace(assistant=given.assistant)) + "\n", "utf-8")


if __name__ == "__main__":
    main()
