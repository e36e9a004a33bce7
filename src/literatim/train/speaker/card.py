"""The speaker model's card, written from its evaluation and from what is kept of its training.

    python -m literatim.train.speaker.card src/literatim/demo/demo-speaker

No error rate is typed by hand. `export` writes training.json from the checkpoint; what no checkpoint knows, how the run
was held up, killed and gone on with, is told there as `course`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from literatim.train.speaker import sets, voices

KINDS = {
    "drawn": "drawn as those of training",
    "noisy": f"the same, noise at {sets.SNR_DB:.0f} dB, half through a telephone's band",
    "variants": "espeak-ng's own variants",
    "short": "the same, 1.5 s of each",
}
TEXT = """---
license: apache-2.0
tags: [speaker-verification, diarization, wespeaker, synthetic, demo]
---
# demo-speaker: a small network that tells synthetic voices apart

Bundled with Literatim so that the whole way from a recording to who said what can be tried and tested offline. **Not
for people's voices**: it has heard nothing but espeak-ng, and what it says of people means nothing. Use a real model,
such as `resnet34-lm`, for them. It is not made from WeSpeaker's weights, whose format it has.

| | |
|---|---|
| format | WeSpeaker's ResNet, batch norms fused: {megabytes:.1f} MB in float32, {parameters:.1f} M parameters |
| shape | stages of {layers} blocks with {channels} channels, vectors of {embedding} |
| input | Kaldi's log-mel frames, 80 bands, their mean over time subtracted |
| data | {data}, synthesised by espeak-ng 1.51; no person's recording |
| objective | additive angular margin (ArcFace) over the trained voices, on crops of 1 to 3 s |
| compute | {compute}{course} |
| threshold | {threshold:.3f}: both kinds of error equally frequent on {calibrated} other voices, drawn for this alone |
| cluster_similarity | {similarity:.2f}: halfway between windows of one voice and of two, of the same voices |
| rebuilt by | `make speaker-model` (see CONTRIBUTING.md): this recipe in one run, hence not these very weights |

## What is the voice, and what is not

A voice is a file of espeak-ng's voice format, drawn at random: the range of its pitch, place, strength and width of
nine formants, flutter, roughness, how strong voiced sounds and consonants are, breath, tone, echo, stress, intonation,
and the synthesiser (formants or Klatt).

Not the voice, and drawn anew for each utterance or crop: the text, the rules it is read by
({accents}), the rate ({rates[0]} to {rates[1]} words a minute), a
shift of the pitch ({pitches[0]} to {pitches[1]}, where 50 of espeak-ng's 100 is none) and its range, level, room,
band, spectrum of the channel, and noise from 0 dB up.

## Error rates

Equal error rates (EER) on test sets frozen before the first training run, which hold other voices and sentences than
training: {drawn} voices drawn in the same way, and {variants} of espeak-ng's own variants, none of which was trained.
minDCF is for a prior of 0.01 and costs of 1. "Missed" and "mistaken" are the shares of trials of one voice below the
threshold, and of two at or above it.

| voices | trials, of one voice | EER | minDCF | missed | mistaken |
|---|---|---|---|---|---|
{table}

Each set is written as sound, with its trials, by `python -m literatim.train.speaker.sets render KIND FOLDER`, for
`literatim eer FOLDER/trials.txt --model demo-speaker`. All numbers: [evaluation.json](evaluation.json).

## Who speaks when

Diarization error rates (DER) on the bundled recordings, in voices that were never trained, by `literatim bench der`,
which was not told how many speak. Overlap is scored; since one speaker at a time is found, it is missed
([recordings.json](recordings.json)).

| recording | seconds | speakers, found | DER | missed | false alarm | confusion | DER, collar 0.25 s |
|---|---|---|---|---|---|---|---|
{recordings}
"""


def card(folder: Path) -> str:
    """The card's text for a folder with its weights and config, evaluation, training and recordings as .json."""
    config, result, facts, heard = (
        json.loads((folder / f"{name}.json").read_text("utf-8"))
        for name in ("config", "evaluation", "training", "recordings")
    )
    size = (folder / "model.safetensors").stat().st_size
    return TEXT.format(
        megabytes=size / 1e6,
        parameters=size / 4e6,
        layers=_joined(config["layers"]),
        channels=_joined(config["channels"]),
        embedding=config["embedding_dim"],
        data=facts["data"],
        compute=facts["compute"],
        course=f". {facts['course']}" if "course" in facts else "",
        calibrated=facts["calibrated"],
        threshold=result["threshold"],
        similarity=config["cluster_similarity"],
        accents=_joined([accent.partition("/")[2] for accent in voices.ACCENTS]),
        rates=voices.RATES,
        pitches=voices.PITCHES,
        drawn=sets.DRAWN,
        variants=len(voices.VARIANTS),
        table="\n".join(_row(kind, result["sets"][kind]) for kind in sets.SOURCES),
        recordings="\n".join(map(_recording, heard["files"])),
    )


def _joined(items: list[Any]) -> str:
    *most, last = map(str, items)
    return f"{', '.join(most)} and {last}"


def _row(kind: str, numbers: dict[str, Any]) -> str:
    rates = (f"{numbers[name]:.1%}" for name in ("missed", "mistaken"))
    trials = f"{numbers['trials']:,}, {numbers['same']:,}"
    return f"| {KINDS[kind]} | {trials} | {numbers['eer']:.2%} | {numbers['min_dcf']:.3f} | {' | '.join(rates)} |"


def _recording(file: dict[str, Any]) -> str:
    strict, collar = file["collar_0"], file["collar_0.25"]
    parts = (f"{strict[kind] / strict['scored']:.1%}" for kind in ("missed", "false_alarm", "confusion"))
    cells = [file["id"], f"{file['duration']:.0f}", f"{file['speakers']}, {file['found']}", f"{strict['der']:.1%}"]
    return f"| {' | '.join([*cells, *parts, format(collar['der'], '.1%')])} |"


def main() -> None:
    """Write README.md into the folder."""
    folder = Path(sys.argv[1])
    (folder / "README.md").write_text(card(folder), "utf-8")


if __name__ == "__main__":
    main()
