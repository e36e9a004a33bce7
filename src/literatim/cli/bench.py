"""`literatim bench`: speed and word error rates."""

from __future__ import annotations

import click

from literatim.cli.lazy import Lazy

COMMANDS = {
    "speed": ("literatim.cli.bench_speed", "Time a window beside the peers."),
    "spec": ("literatim.cli.bench_spec", "Decoding with and without a draft."),
    "wer": ("literatim.cli.bench_wer", "Word and character error rates."),
    "live": ("literatim.cli.bench_live", "From a word's end to its text, live."),
    "long": ("literatim.cli.bench_long", "Long recordings beside the peers."),
    "dictation": ("literatim.cli.bench_dictation", "MedASR beside transformers."),
    "voices": ("literatim.cli.bench_voices", "Networks for voices beside other programs."),
    "turns": ("literatim.cli.bench_turns", "Who speaks when in recordings of hours, in time and memory."),
    "words": ("literatim.cli.bench_words", "How far the times of words are from the true ones."),
    "der": ("literatim.cli.bench_der", "Diarization error rates."),
    "mixed": ("literatim.cli.bench_mixed", "Languages that take turns in a recording."),
    "kinds": ("literatim.cli.bench_kinds", "Kernels that a long recording compiles."),
    "compare": ("literatim.cli.bench_compare", "Two reports beside each other, with intervals."),
}


@click.group(cls=Lazy, commands_by_module=COMMANDS)
def bench() -> None:
    """Measure word error rates and speed; tables go to standard error."""
