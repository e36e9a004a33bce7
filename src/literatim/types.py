"""Results, frozen: what a transcription returns and the writers write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Word:
    """One word; times in seconds of the recording, `word` keeps its leading space."""

    word: str
    start: float
    end: float
    probability: float
    speaker: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The word in openai/whisper's JSON schema, with the speaker when known."""
        out: dict[str, Any] = {
            "word": self.word,
            "start": self.start,
            "end": self.end,
            "probability": self.probability,
        }
        return out if self.speaker is None else {**out, "speaker": self.speaker}


@dataclass(frozen=True)
class Segment:
    """A stretch of speech with its text.

    `start` and `end` are seconds of the recording; `seek` is the first mel frame (10 ms) of the window it
    was decoded in; `tokens` include the timestamp tokens; `avg_logprob` and `no_speech_prob` are those of
    the whole window, as openai/whisper reports them. `language` is the window's where each has its own.
    `repeats` is how often its last words were said again, in a loop that was cut.
    """

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: tuple[Word, ...] | None = None
    speaker: str | None = None
    language: str | None = None
    language_probability: float | None = None
    repeats: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The segment in openai/whisper's JSON schema, with words, speaker and loops where there are any."""
        out: dict[str, Any] = {
            "id": self.id,
            "seek": self.seek,
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "tokens": list(self.tokens),
            "temperature": self.temperature,
            "avg_logprob": self.avg_logprob,
            "compression_ratio": self.compression_ratio,
            "no_speech_prob": self.no_speech_prob,
        }
        if self.words is not None:
            out["words"] = [word.to_dict() for word in self.words]
        if self.language is not None:
            out |= {"language": self.language, "language_probability": self.language_probability}
        if self.repeats:
            out["repeats"] = self.repeats
        return out if self.speaker is None else {**out, "speaker": self.speaker}


@dataclass(frozen=True)
class Speculation:
    """What a draft did: tokens it proposed, tokens the main model took, and how many it proposed round by round.

    A round of the main model in which nothing was proposed has 0.
    """

    proposed: int
    accepted: int
    lengths: tuple[int, ...] = ()

    @property
    def rounds(self) -> int:
        """Passes of the main model, those over the prompts among them."""
        return len(self.lengths)

    @property
    def acceptance(self) -> float:
        """Accepted share of the proposed tokens, 0 when none was proposed."""
        return self.accepted / self.proposed if self.proposed else 0.0

    def __add__(self, other: Speculation) -> Speculation:
        """Both, one after the other."""
        return Speculation(self.proposed + other.proposed, self.accepted + other.accepted, self.lengths + other.lengths)

    def to_dict(self) -> dict[str, Any]:
        """The figures; `lengths` is the number of proposals in each round."""
        return {
            "rounds": self.rounds,
            "proposed": self.proposed,
            "accepted": self.accepted,
            "acceptance": self.acceptance,
            "lengths": list(self.lengths),
        }


@dataclass(frozen=True)
class Transcript:
    """The text of one recording.

    `language` is a code (`en`); `language_probability` is 1.0 when the language was given; `duration` is in
    seconds; `warnings` says what a reader should know (a truncated file, a channel left out).
    """

    text: str
    language: str
    language_probability: float
    duration: float
    segments: tuple[Segment, ...]
    speakers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    speculation: Speculation | None = None

    def to_dict(self) -> dict[str, Any]:
        """openai/whisper's JSON schema (`text`, `segments`, `language`) and our own fields after it."""
        out: dict[str, Any] = {
            "text": self.text,
            "segments": [segment.to_dict() for segment in self.segments],
            "language": self.language,
            "language_probability": self.language_probability,
            "duration": self.duration,
            "warnings": list(self.warnings),
        }
        if self.speculation is not None:
            out["speculation"] = self.speculation.to_dict()
        return {**out, "speakers": list(self.speakers)} if self.speakers else out


@dataclass(frozen=True)
class Turn:
    """One speaker's speech without a break, in seconds of the recording."""

    start: float
    end: float
    speaker: str

    def to_dict(self) -> dict[str, Any]:
        """The same names."""
        return {"start": self.start, "end": self.end, "speaker": self.speaker}


@dataclass(frozen=True)
class Diarization:
    """Who speaks when: turns in order of time, and the speakers in order of their first word.

    `voices` holds for each of `speakers` the mean of the unit vectors that its speech came to; `duration` is in
    seconds; `warnings` says what a reader should know.
    """

    turns: tuple[Turn, ...]
    speakers: tuple[str, ...]
    duration: float
    warnings: tuple[str, ...] = ()
    voices: tuple[tuple[float, ...], ...] = field(default=(), repr=False)

    def seconds(self, speaker: str) -> float:
        """How long one of them speaks."""
        return sum(turn.end - turn.start for turn in self.turns if turn.speaker == speaker)

    def to_dict(self) -> dict[str, Any]:
        """Turns, and the seconds of each speaker."""
        return {
            "duration": self.duration,
            "speakers": [{"speaker": name, "seconds": round(self.seconds(name), 3)} for name in self.speakers],
            "turns": [turn.to_dict() for turn in self.turns],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class LiveUpdate:
    """What a stream's sound has come to: segments that are new and final, then text that may still change.

    `seconds` is how much has come in; `agreed` are the words after the last final segment that two hearings in a
    row agree on, `partial` those after them.
    """

    seconds: float
    segments: tuple[Segment, ...]
    agreed: str
    partial: str

    def to_dict(self) -> dict[str, Any]:
        """The same names; segments in openai/whisper's JSON schema."""
        return {
            "seconds": self.seconds,
            "segments": [segment.to_dict() for segment in self.segments],
            "agreed": self.agreed,
            "partial": self.partial,
        }


@dataclass(frozen=True, eq=False)
class Embedding:
    """The vector of a voice.

    `vector` (E,) is as the network of the model named `model` gives it; `seconds` of sound were heard, None where they
    are not known; `warnings` says what a reader should know (little sound, no speech).
    """

    vector: NDArray[np.float32]
    model: str
    seconds: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def normalised(self) -> NDArray[np.float32]:
        """The vector at length 1, as it is compared."""
        scaled: NDArray[np.float32] = self.vector / (self.vector**2).sum() ** 0.5
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """`embedding` at length 1, `raw` as the network gives it."""
        return {
            "embedding": [float(value) for value in self.normalised],
            "raw": [float(value) for value in self.vector],
            "model": self.model,
            "seconds": self.seconds,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Comparison:
    """The cosine of two voices' vectors, -1 to 1, and whether it reaches the threshold of one speaker."""

    cosine: float
    same: bool
    threshold: float

    def to_dict(self) -> dict[str, Any]:
        """The same names."""
        return {"cosine": self.cosine, "same": self.same, "threshold": self.threshold}
