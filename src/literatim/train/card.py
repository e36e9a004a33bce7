"""The demo model's card, written from its evaluation: no number is typed by hand.

python -m literatim.train.card src/literatim/demo/demo
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from literatim.train import grammar, sets, voices

KINDS = {
    "templates": "new sentences of trained templates",
    "new-templates": "sentences of templates never trained",
    "random-words": "random word sequences",
    "noise-15db": "as the first, with noise at 15 dB",
}
NAMES = {"en": "English", "nl": "Dutch"}
TEXT = """---
language: [en, nl]
license: apache-2.0
tags: [whisper, synthetic, demo]
---
# demo: a small Whisper that hears synthetic voices only

Bundled with Literatim so that the whole way from a recording to a transcript can be tried and tested offline. **It does
not understand people**: it has heard nothing but espeak-ng. Not for people's speech, not for clinical or any other real
use; words outside its vocabulary come out as other words, fluently.

| | |
|---|---|
| format | Whisper, as transformers saves it: {megabytes:.1f} MB in bfloat16, {parameters:.1f} M parameters |
| shape | width 192, 3 heads, 4 encoder and 4 decoder layers, windows of 8 s, 160 tokens, 1,711 entries |
| languages | English and Dutch, detected from the sound; `translate` was never trained |
| data | {hours} of speech made by espeak-ng 1.51 in {voices} voice variants; no recording of a person |
| text | {templates} templates, {words:,} words, written for this project |
| drawn | {random:.0%} random word sequences, {spliced:.0%} splices, else templates; in the first minutes more of both |
| windows | composed while training: 1 to 3 utterances; tempo, vocal tract, level and noise from 3 dB up varied |
| also | silence, hum, tones, coughs; utterances cut at the window's edge; previous text as a prompt |
| objective | cross-entropy, phoneme CTC on the encoder, attention of three heads led to the word's place |
| compute | {compute} |
| rebuilt by | `literatim.train` (see CONTRIBUTING.md) |

## Error rates

Word error rates on test sets frozen before the first training run, {windows} windows each, in three voices that were
never trained ({held_out}): lower case without punctuation, greedy, float32, language given. "as written" counts
capitals and punctuation; "timed" is with timestamps.

| set | WER | as written | timed | segments found | start, ms | end, ms | language right |
|---|---|---|---|---|---|---|---|
{table}

By voice (WER): {by_voice}.

"segments found" is the share of windows with the right number of segments; start and end are mean absolute errors
there. Of {non_speech[windows]} windows of silence, noise, hum, tones and coughs {non_speech[found]:.1%} are taken for
no speech ({kinds});
of the windows with speech at most {speech_lost:.2%} of a set. All numbers: [evaluation.json](evaluation.json).

On the bundled recordings, read window by window with the language detected, `literatim bench wer` counts
([recordings.json](recordings.json)):

| recording | words | WER none | basic | english |
|---|---|---|---|---|
{recordings}

Word times: the alignment heads of `generation_config.json` were trained towards the words' places (true word times are
known for synthetic speech).{alignment}
"""


def card(folder: Path) -> str:
    """The card's text for a folder with evaluation.json, training.json, recordings.json and model.safetensors."""
    result, facts, heard = (
        json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("evaluation", "training", "recordings")
    )
    found = result["sets"]
    table = [_row(language, kind, found[f"{language}-{kind}"]) for language in NAMES for kind in KINDS]
    size = (folder / "model.safetensors").stat().st_size
    loaded = [grammar.load(language) for language in NAMES]
    return TEXT.format(
        megabytes=size / 1e6,
        parameters=size / 2e6,
        hours=facts["hours"],
        compute=facts["compute"],
        alignment=facts.get("alignment", ""),
        voices=len(voices.TRAINED),
        random=grammar.RANDOM,
        spliced=grammar.SPLICED,
        templates=sum(len(item.templates) for item in loaded),
        words=sum(len(item.words) for item in loaded),
        windows=sets.WINDOWS,
        held_out=", ".join(voices.HELD_OUT),
        table="\n".join(table),
        recordings="\n".join(_recording(item) for item in heard["files"]),
        by_voice="; ".join(_voices(language, found[f"{language}-templates"]) for language in NAMES),
        non_speech=result["non_speech"],
        kinds=", ".join(f"{kind} {share:.0%}" for kind, share in result["non_speech"]["found_by_kind"].items()),
        speech_lost=max(item["taken_for_no_speech"] for item in found.values()),
    )


def _row(language: str, kind: str, numbers: dict[str, Any]) -> str:
    segments = numbers["segments"]
    off = segments["where_count_right"]
    cells = [
        f"{NAMES[language]}, {KINDS[kind]}",
        *(f"{numbers[name]:.1%}" for name in ("wer", "wer_cased_punctuated", "wer_with_timestamps")),
        f"{segments['right_count']:.0%}",
        f"{off['start_ms']:.0f}",
        f"{off['end_ms']:.0f}",
        f"{numbers['language_right']:.1%}",
    ]
    return f"| {' | '.join(cells)} |"


def _recording(item: dict[str, Any]) -> str:
    scores = item["scores"]
    rates = (f"{scores[name]['wer']:.1%}" if name in scores else "" for name in ("none", "basic", "english"))
    return f"| {item['file']} | {scores['none']['words']} | {' | '.join(rates)} |"


def _voices(language: str, numbers: dict[str, Any]) -> str:
    rates = ", ".join(f"{voice} {rate:.1%}" for voice, rate in numbers["wer_by_voice"].items())
    return f"{NAMES[language]}, trained templates: {rates}"


def main() -> None:
    """Write README.md into the folder."""
    folder = Path(sys.argv[1])
    (folder / "README.md").write_text(card(folder), "utf-8")


if __name__ == "__main__":
    main()
