"""What a window is told before it is decoded: words to expect, what was said before, and how its text begins."""

from __future__ import annotations

from literatim.audio import mel
from literatim.options import TranscribeOptions
from literatim.pipeline.windows import Walk
from literatim.text.tokenizer import WhisperTokenizer


def walk(
    tokenizer: WhisperTokenizer, frames: int, window_frames: int, options: TranscribeOptions, context: int
) -> Walk:
    """A recording of so many frames, at its first; `context` is the decoder's number of positions.

    Hot words, and an initial prompt that is carried along, stand in every window's prompt before what was said.
    """
    initial, hot = _encoded(tokenizer, options.initial_prompt), _encoded(tokenizer, options.hotwords)
    carried = hot[: before_most(context)]
    if options.carry_initial_prompt:
        carried, initial = [*carried, *initial][: before_most(context)], []
    return Walk(
        frames,
        window_frames,
        initial,
        options.condition_on_previous_text is not False,
        options.prompt_reset_on_temperature,
        carried=carried,
        clips=clips(options, frames),
        silence=options.hallucination_silence_threshold,
    )


def prompt(
    tokenizer: WhisperTokenizer, walk: Walk, language: str | None, options: TranscribeOptions, context: int
) -> list[int]:
    """What was said before, the start of transcript, and at the first window how its text begins."""
    start = list(tokenizer.prompt(language, options.task, not options.without_timestamps))
    if walk.first:
        start += _encoded(tokenizer, options.prefix)[: context // 2 - len(start) - 1]
    previous = walk.prompt(before_most(context))
    if not previous or tokenizer.startofprev is None:
        return start
    return [tokenizer.startofprev, *previous, *start]


def clips(options: TranscribeOptions, frames: int) -> list[tuple[int, int]]:
    """The parts to transcribe of a recording of so many frames, in frames: [start, end) each."""
    points = [round(time * mel.FRAMES_PER_SECOND) for time in options.clip_points]
    points += [frames] * (len(points) % 2)
    return list(zip(points[::2], points[1::2], strict=True))


def before_most(context: int) -> int:
    """How many tokens before the start of transcript, as in openai/whisper."""
    return context // 2 - 1


def _encoded(tokenizer: WhisperTokenizer, text: str | None) -> list[int]:
    return tokenizer.encode(" " + text.strip()) if text and text.strip() else []
