"""Every option, once: default, help text, choices and bounds.

The command line makes its flags from these dataclasses (cli/flags.py) and Python callers pass the same names
as keyword arguments, so that a default is written in one place only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from literatim.declare import option
from literatim.errors import OptionError

TASKS = ("transcribe", "translate")
OUTPUT_FORMATS = ("txt", "vtt", "srt", "tsv", "json")
REPORT_FORMATS = ("report", "report-md", "report-json")  # of dictations
DTYPES = ("auto", "float32", "float16", "bfloat16")
PRECISIONS = ("default", "highest")
STRATEGIES = ("auto", "sequential", "chunked", "batched")
GRADES = ("fp32", "tf32-hf32", "fp16", "bf16")
OF_DICTATIONS = ("hotword_weight", "language_model", "alpha", "beta")
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class AudioOptions:
    """What of a recording is read, and how much of it at most. Counted while decoding, not trusted."""

    channels: str = option(
        "mix", "'mix' to one channel, 'split' to transcribe each apart, or one channel's number from 0"
    )
    max_seconds: float = option(12 * 3600.0, "longest recording that is read, in seconds", minimum=0.1)
    max_bytes: int = option(8 * 1024**3, "most bytes of decoded audio per recording, at its own rate", minimum=1)
    min_rate: int = option(4_000, "lowest sampling rate accepted, in Hz", minimum=1)
    max_rate: int = option(384_000, "highest sampling rate accepted, in Hz", minimum=1)
    max_channels: int = option(16, "most channels accepted", minimum=1)


@dataclass(frozen=True)
class VadOptions:
    """What counts as speech, where it is looked for (`vad_filter`). Defaults are faster-whisper's for its batches."""

    vad_threshold: float = option(0.5, "probability from which a frame of 32 ms is speech", minimum=0, maximum=1)
    vad_neg_threshold: float | None = option(
        None, "probability below which speech ends (default: 0.15 less than vad_threshold)", minimum=0, maximum=1
    )
    vad_min_speech_duration_ms: float = option(0, "shorter speech is left out, in milliseconds", minimum=0)
    vad_max_speech_duration_s: float | None = option(
        None, "longer speech is cut at its quietest point, in seconds (default: the model's window)", minimum=1
    )
    vad_min_silence_duration_ms: float = option(160, "silence that ends speech, in milliseconds", minimum=0)
    vad_speech_pad_ms: float = option(400, "kept before and after speech, in milliseconds", minimum=0, maximum=5000)


@dataclass(frozen=True)
class LoadOptions:
    """Where a model runs and in which numbers."""

    device: str = option("auto", "auto, cpu, cuda, npu, mps or xpu, with an index as in cuda:1")
    device_index: str | None = option(
        None, "which devices of that kind, as in 0,1; recordings are shared out among several, one process each"
    )
    dtype: str = option("auto", "numbers of the weights; auto: float32 on cpu, float16 on cuda and npu", choices=DTYPES)
    assistant: str | None = option(
        "auto",
        "a smaller model that proposes tokens, which changes the time and never the text: a name, a folder, none, or "
        "auto: one that is known to go with the model, if it is on this disk",
    )
    num_assistant_tokens: int | None = option(
        None, "tokens the assistant proposes each time (default: what pays, measured as it goes)", minimum=0, maximum=16
    )
    precision: str = option(
        "default",
        "how float32 is multiplied; default: as the backend does (on cuda convolutions in TF32, on npu in HF32), "
        "highest: TF32, HF32 and reduced sums off",
        choices=PRECISIONS,
    )


@dataclass(frozen=True)
class VerifyOptions:
    """What is verified, against what, and what is granted to the device."""

    device: str = option("auto", "auto, cpu, cuda, npu, mps or xpu, with an index as in cuda:1")
    dtype: str = option("auto", "numbers of the weights; auto: float32 on cpu, float16 on cuda and npu", choices=DTYPES)
    precision: str = option(
        "default",
        "how float32 is multiplied; default: as the backend does (on cuda convolutions in TF32, on npu in HF32), "
        "highest: TF32, HF32 and reduced sums off",
        choices=PRECISIONS,
    )
    batch: int = option(3, "windows of sound that are decoded together", minimum=1, maximum=64)
    max_new_tokens: int | None = option(
        None, "most tokens of one window (default: half the decoder's context)", minimum=1
    )
    assistant: str | None = option(
        None, "a draft, by name or folder (auto: a known one on this disk), that must change no token of the device's"
    )
    steps: int | None = option(
        None,
        "steps of decoding whose every operation is compared (default: 10, in a saved reference 2); all tokens are",
        minimum=1,
    )
    against: str = option(
        "auto",
        "on the CPU the device is its own noise floor, so that transformers is asked as well (extra verify); self: it "
        "is not; transformers: on every device",
        choices=("auto", "transformers", "self"),
    )
    expect: str | None = option(
        None, "error that is granted, by the format it is of (default: by dtype and device)", choices=GRADES
    )
    rule: str = option(
        "floor",
        "floor: each operation's error is held against the CPU's in the same dtype; 1pct: probabilities within 1 % and "
        "the same tokens, as the published ports ask",
        choices=("floor", "1pct"),
    )
    strict_device: bool = option(
        False, "an operation that the device lacks is an error, never done by the CPU instead", flag=True
    )
    golden: str | None = option(None, "folder with a reference that was made before, here or elsewhere")
    save_golden: str | None = option(None, "folder to write the reference to; on a CPU that is all that is done")


@dataclass(frozen=True)
class HubOptions:
    """Where checkpoints come from."""

    model_dir: str | None = option(None, "folder to download models to (default: the Hugging Face cache)")
    revision: str | None = option(None, "branch, tag or commit of the model's repository")
    hub: str = option("huggingface", "where to download from", choices=("huggingface", "modelscope"))
    local_files_only: bool = option(False, "never use the network")


@dataclass(frozen=True)
class SubtitleOptions:
    """How words are laid out in srt and vtt."""

    highlight_words: bool = option(False, "underline each word while it is said")
    max_line_width: int | None = option(None, "most characters of a line", minimum=1)
    max_line_count: int | None = option(None, "most lines of a cue; needs max_line_width", minimum=1)
    max_words_per_line: int | None = option(
        None, "most words of a line; with max_line_width it has no effect", minimum=1
    )

    def check(self, word_timestamps: bool) -> None:
        """Raises OptionError for what could have no effect."""
        asked = [item.name for item in fields(self) if getattr(self, item.name)]
        if asked and not word_timestamps:
            raise OptionError(f"{asked[0]} lays out words by their times; give word_timestamps True as well")
        if self.max_line_count and not self.max_line_width:
            raise OptionError("max_line_count has no effect without max_line_width; give both")
        if self.max_words_per_line and self.max_line_width:
            raise OptionError("max_words_per_line has no effect with max_line_width; give one of them")


@dataclass(frozen=True)
class TranscribeOptions:
    """How a recording becomes text."""

    language: str | None = option(None, "language code or English name; detected when not given")
    languages: str | None = option(None, "languages to choose from where it is detected, as in en,nl (default: all)")
    multilingual: bool = option(
        False, "detect the language of each window anew; segments then say theirs, the transcript that of the first"
    )
    task: str = option("transcribe", "transcribe, or translate to English", choices=TASKS)
    initial_prompt: str | None = option(None, "text to condition the first window on")
    carry_initial_prompt: bool = option(False, "give that text to every window, before what was said")
    hotwords: str | None = option(
        None, "words to expect, given to every window before what was said; for MedASR phrases with commas between them"
    )
    hotword_weight: float = option(
        2.0,
        "for MedASR: by how much each token of a hotword is likelier, as a natural logarithm",
        minimum=0,
        maximum=100,
    )
    language_model: str | None = option(
        None,
        "for MedASR: an n-gram model of its tokens, KenLM's binary or ARPA, a path or a file of the model's folder",
    )
    alpha: float = option(0.5, "for MedASR: weight of the n-gram model's logarithms", minimum=0, maximum=100)
    beta: float = option(
        1.5, "for MedASR: what an n-gram model's search adds for each token", minimum=-100, maximum=100
    )
    prefix: str | None = option(None, "how the text of the first window begins; it is no part of the result")
    strategy: str = option(
        "auto",
        "sequential: window by window, as openai/whisper; chunked: cut by the clock, as transformers' pipeline; "
        "batched: cut where nobody speaks, many pieces of one or many recordings side by side; auto: chunked with "
        "chunk_length_s, batched for several recordings or with batch_size, else sequential",
        choices=STRATEGIES,
    )
    chunk_length_s: float | None = option(
        None, "of strategy chunked: seconds of a chunk (default: the model's window)", minimum=0.1, maximum=3600
    )
    stride_length_s: float | tuple[float, ...] | None = option(
        None,
        "of strategy chunked: seconds that a chunk shares with the one before and with the one after it; two numbers "
        "where they differ (default: a sixth of the chunk)",
        minimum=0,
        maximum=3600,
    )
    vad_filter: bool | None = option(
        None, "find speech first and leave out what is none (default: in strategy batched)"
    )
    condition_on_previous_text: bool | None = option(
        None, "give each window the text of the ones before it (default: in strategy sequential; the others cannot)"
    )
    without_timestamps: bool = option(False, "decode text only; each window becomes one segment")
    max_initial_timestamp: float = option(1.0, "latest start of a window's first segment, in seconds", minimum=0)
    no_speech_threshold: float | None = option(0.6, "skip a window whose no-speech probability exceeds this", minimum=0)
    logprob_threshold: float | None = option(
        -1.0, "but keep it when its mean log-probability exceeds this; below it the next temperature is tried"
    )
    compression_ratio_threshold: float | None = option(
        2.4, "text that repeats itself more than this is decoded again at the next temperature", minimum=0
    )
    cut_loops: bool = option(
        True,
        "where a text ends in the same words over and over, keep them once and say so; it is no condition for the next "
        "window then. False: openai/whisper's own text",
    )
    clip_timestamps: float | tuple[float, ...] = option(
        (0.0,),
        "parts to transcribe: start, end, start, end, ... in seconds; the last end may be left out",
        minimum=0,
    )
    no_repeat_ngram_size: int = option(0, "a text never repeats so many tokens in a row; 0: it may", minimum=0)
    repetition_penalty: float = option(
        1.0, "above 1: what was said in the window is less likely to be said again", minimum=0.01, maximum=100
    )
    suppress_tokens: str = option("-1", "token ids never to emit, separated by commas; -1: the model's own list")
    max_new_tokens: int | None = option(
        None, "most tokens of one window (default: half the decoder's context)", minimum=1
    )
    temperature: float | tuple[float, ...] = option(
        TEMPERATURES,
        "tried one after another until a window's text passes the thresholds; 0: the likeliest token, above: sampled "
        "from softmax(logits / temperature); in Python a single number is the only one tried",
        minimum=0,
        maximum=10,
    )
    prompt_reset_on_temperature: float = option(
        0.5, "text that took a higher temperature than this is no condition for the next window", minimum=0
    )
    best_of: int = option(1, "texts sampled at a temperature above 0; the best is taken", minimum=1, maximum=32)
    beam_size: int = option(
        1, "texts that beam search follows at temperature 0; without an assistant then", minimum=1, maximum=32
    )
    patience: float = option(
        1.0, "beam search ends when beam_size times this many texts have", minimum=0.01, maximum=32
    )
    length_penalty: float | None = option(
        None,
        "which of several texts is the best: alpha of Google NMT (default: mean log-probability)",
        minimum=0,
        maximum=1,
    )
    seed: int = option(0, "of the sampling; the same seed gives the same words, in any batch, with any assistant")
    word_timestamps: bool = option(False, "give each word its times and its probability")
    hallucination_silence_threshold: float | None = option(
        None,
        "words that may be hallucinated (unlikely, far too short or long) with so many seconds of silence beside them "
        "are left out, and the silence is skipped; needs word_timestamps",
        minimum=0,
    )
    prepend_punctuations: str = option(
        "\"'“¿([{-", "marks that are joined to the word after them, where words have times"
    )
    append_punctuations: str = option(
        "\"'.。,，!！?？:：”)]}、", "marks that are joined to the word before them, where words have times"
    )
    batch_size: int | None = option(None, "windows decoded together (default: 8)", minimum=1)

    @property
    def rows(self) -> int:
        """Windows decoded together."""
        return self.batch_size or 8

    def __post_init__(self) -> None:
        """What single values cannot tell."""
        points = self.clip_points
        if any(end <= start for start, end in zip(points[::2], points[1::2], strict=False)):
            raise OptionError(f"clip_timestamps are {points}; each part must end after it starts")

    def check(self) -> None:
        """Raise OptionError where options do not go together, or are not Whisper's."""
        for item in fields(self):
            if item.name in OF_DICTATIONS and getattr(self, item.name) != item.default:
                raise OptionError(f"{item.name} is for MedASR, which this model is not; leave it out")
        if self.patience != 1 and self.beam_size == 1:
            raise OptionError("patience is of beam search; give a beam_size above 1")
        if self.carry_initial_prompt and not self.initial_prompt:
            raise OptionError("carry_initial_prompt needs an initial_prompt")
        if self.hallucination_silence_threshold is not None and not self.word_timestamps:
            raise OptionError("hallucination_silence_threshold is about words; give word_timestamps True as well")
        for name, given in (("clip_timestamps", self.clip_points != (0.0,)), ("prefix", bool(self.prefix))):
            if self.strategy == "chunked" and given:
                raise OptionError(f"{name} is of the whole recording; give strategy sequential or batched")
        if (self.strategy == "batched" or self.vad_filter) and list(self.clip_points) != sorted(self.clip_points):
            raise OptionError(
                f"clip_timestamps are {self.clip_points}; parts must follow one another where speech is found first or "
                "pieces are decoded side by side"
            )

    @property
    def clip_points(self) -> tuple[float, ...]:
        """Starts and ends, by turns."""
        return self.clip_timestamps if isinstance(self.clip_timestamps, tuple) else (self.clip_timestamps,)

    @property
    def strides(self) -> tuple[float, ...] | None:
        """What a chunk shares with its neighbours, one number or two; None: what is usual."""
        given = self.stride_length_s
        return (given,) if isinstance(given, (int, float)) else given

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Those to try, in their order."""
        return self.temperature if isinstance(self.temperature, tuple) else (self.temperature,)


@dataclass(frozen=True)
class LiveOptions:
    """How a stream is heard while it comes in."""

    live_step: float = option(
        1.0,
        "seconds of new sound after which a stream is heard again: fewer are sooner and work more",
        minimum=0.1,
        maximum=30,
    )


@dataclass(frozen=True)
class RunOptions:
    """How the command goes through several recordings."""

    skip_existing: bool = option(
        False, "leave recordings out whose files are all written already: goes on after an interruption", flag=True
    )
    continue_on_error: bool = option(True, "go on with the others when a recording cannot be read; False: stop there")
    log_file: str | None = option(None, "file to append a line of JSON to for the run and for each recording")
