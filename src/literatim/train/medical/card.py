"""The medical model's card, written from its evaluation and from what is kept of its training.

    python -m literatim.train.medical.card src/literatim/demo/demo-medical

No error rate is typed by hand. `export` writes training.json from the checkpoint; what no checkpoint knows, how the run
was held up, killed and gone on with, is told there as `course`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from literatim.train import voices
from literatim.train.medical import fit, grammar, sets, vocabulary

KINDS = {
    "templates": "new lines of trained templates",
    "new-templates": "lines of templates never trained",
    "random-words": "random word sequences",
    "noise-15db": "as the first, with noise at 15 dB",
}
_RATES = ("wer", "wer_without_commands", "wer_as_written", "wer_with_language_model")
TEXT = """---
language: en
license: apache-2.0
tags: [medasr, lasr, synthetic, demo]
---
# demo-medical: a small MedASR that hears synthetic voices only

Bundled with Literatim so that the whole way from a dictation to a report can be tried and tested offline. **Not for
clinical use, nor for any other real use**: it has heard nothing but espeak-ng reading lines that were made up for it,
it does not understand people, and words outside its vocabulary come out as other words. It is not made from Google's
MedASR, whose format it has.

| | |
|---|---|
| format | MedASR's, as transformers saves it: {megabytes:.1f} MB in bfloat16, {parameters:.1f} M parameters |
| shape | width {width}, {heads} heads, {layers} Conformer layers, steps of 40 ms, {vocabulary} pieces |
| language | English, with spoken punctuation: `{{period}}`, `{{new paragraph}}`, `[FINDINGS]` |
| data | {hours} of speech by espeak-ng 1.51 in {voices} voice variants; no person's recording, no patient's report |
| text | {templates} templates, {words:,} words, written for this project |
| drawn | {random:.0%} random word sequences, {spliced:.0%} splices, else templates |
| windows | composed while training: up to 20 s; tempo, vocal tract, level and noise from 5 dB up varied |
| objective | CTC over the pieces; CTC over phonemes half way up, whose head is thrown away |
| compute | {compute}{course} |
| rebuilt by | `make medical-model` (see CONTRIBUTING.md): this recipe in one run, hence not these very weights |

## Error rates

Word error rates on test sets frozen before the first training run, {windows} windows each, in three voices that were
never trained ({held_out}), greedy, float32. "WER" is counted as for MedASR (`bench wer --normalizer medasr`), where a
spoken command is a word; "without commands" leaves commands and headings out; "as written" counts capitals and markup;
"with lm" is WER with `--language_model lm.arpa.gz`, an n-gram model of the grammar's trained lines, which knows the
templates but no held-out line.

| set | words | WER | without commands | as written | with lm |
|---|---|---|---|---|---|
{table}

By voice (WER), trained templates: {by_voice}. All numbers: [evaluation.json](evaluation.json).

The bundled dictation (`dictations/chest-ct.flac`, {dictated} words, one of the voices above): WER {dictation:.1%} by
`literatim bench wer --normalizer medasr` ([recordings.json](recordings.json)).
"""


def card(folder: Path) -> str:
    """The card's text for a folder with evaluation.json, training.json, recordings.json and model.safetensors."""
    result, facts, heard = (
        json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("evaluation", "training", "recordings")
    )
    found, loaded = result["sets"], grammar.load()
    size = (folder / "model.safetensors").stat().st_size
    dictation = heard["files"][0]["scores"]["medasr"]
    return TEXT.format(
        megabytes=size / 1e6,
        parameters=size / 2e6,
        width=fit.WIDTH,
        heads=fit.HEADS,
        layers=fit.LAYERS,
        vocabulary=vocabulary.SIZE,
        hours=facts["hours"],
        compute=facts["compute"],
        course=f". {facts['course']}" if "course" in facts else "",
        voices=len(voices.TRAINED),
        templates=sum(map(len, loaded.templates.values())),
        words=len(loaded.words),
        random=grammar.RANDOM,
        spliced=grammar.SPLICED,
        windows=sets.WINDOWS,
        held_out=", ".join(voices.HELD_OUT),
        table="\n".join(_row(kind, found[kind]) for kind in sets.KINDS),
        by_voice=", ".join(f"{voice} {rate:.1%}" for voice, rate in found["templates"]["wer_by_voice"].items()),
        dictated=dictation["words"],
        dictation=dictation["wer"],
    )


def _row(kind: str, numbers: dict[str, Any]) -> str:
    rates = (f"{numbers[name]:.1%}" for name in _RATES)
    cells = [KINDS[kind], f"{numbers['words']:,}", *rates]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write README.md into the folder."""
    folder = Path(sys.argv[1])
    (folder / "README.md").write_text(card(folder), "utf-8")


if __name__ == "__main__":
    main()
