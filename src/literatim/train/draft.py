"""A draft of a model, distilled from what the model itself says of recordings: `literatim draft train`.

First the recordings are heard, each window as transcribing would; then the draft learns from that. Both are kept in a
working folder as they go, so that a process that was killed goes on where it stood; on a CPU the draft is then the one
that an uninterrupted training gives.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from literatim import device as devices
from literatim.api import load
from literatim.audio.decode import decode
from literatim.errors import AudioError, AudioNotFound, OptionError
from literatim.models.checkpoint import load_sides, read_whisper
from literatim.models.config import WhisperConfig
from literatim.models.draft import Origin, encoder_sha256, save_draft
from literatim.models.layout import EMBEDDING, SIDES
from literatim.models.tensors import TensorFiles
from literatim.models.whisper import Decoder
from literatim.options import TranscribeOptions
from literatim.pipeline.engine import Engine
from literatim.text.tokenizer import WhisperTokenizer
from literatim.train.distil import Learner, Schedule, train
from literatim.train.hear import Heard, hear
from literatim.train.student import evenly, grow, read, unpacked
from literatim.train.windows import Store, Windows, read_progress, write_json

GROUP = 16  # recordings that are heard between two commits
BATCH = 32  # windows that are heard together
UNTIMED = 8  # one group in so many is heard without timestamps
HELD_OUT = 20  # one recording in so many is not learned from
MOST_HELD_OUT = 256  # windows
SMALL_VOCABULARY = 8192  # text ids up to which leaving some out saves too little of a step to be worth it
HEARING = {"model", "audio", "recordings", "language", "hours", "seed"}  # settings that what is heard depends on
SETTINGS, CHECKPOINT, REPORT = "settings.json", "checkpoint.pt", "training.json"
_DTYPES = {"F64": torch.float32, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

Say = Callable[[str, float], None]
"""Is told what goes on, and the share of it that is done."""


@dataclass(frozen=True)
class Plan:
    """What is asked for; see the command's help. `layers_from` are the main decoder's, counted from 0."""

    model: str
    audio: Path
    out: Path
    work: Path
    layers: int = 2
    layers_from: tuple[int, ...] | None = None
    steps: int = 4000
    minutes: float | None = None
    batch: int = 16
    rate: float = 1e-3
    warmup: int = 100
    hours: float = 20.0
    language: str | None = None
    coverage: float = 0.999
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"

    @property
    def name(self) -> str:
        """What the model is called: where it lies on this disk is nobody else's business."""
        path = Path(self.model).expanduser()
        return path.resolve().name if path.is_dir() else self.model


def train_draft(plan: Plan, main_folder: Path, resume: bool, say: Say) -> dict[str, Any]:
    """Make the draft and write it to `plan.out`, with `training.json`, which is returned.

    Raises OptionError where the working folder does not fit the plan, AudioNotFound without recordings, and whatever
    loading the model raises.
    """
    files = recordings(plan)
    _settle(plan, main_folder, files, resume)
    tokenizer = _hear(plan, main_folder, files, say)
    decoder, origin, dtype = _main(plan, main_folder)
    config = decoder.config
    windows = Windows(plan.work, config.source_positions, config.d_model)
    learned, held_out = split(windows)
    if not learned:
        raise AudioNotFound(f"the recordings in {plan.audio} are too few to learn from; give more")
    schedule = Schedule(plan.steps, plan.minutes, min(plan.batch, len(learned)), plan.rate, plan.warmup, plan.seed)
    learner = Learner(grow(decoder, chosen_layers(plan, config.decoder_layers)), schedule)
    if (plan.work / CHECKPOINT).is_file():
        learner.restore(plan.work / CHECKPOINT)
    train(learner, windows, learned, plan.work / CHECKPOINT, say)
    progress, agreement = read_progress(plan.work), learner.agreement(windows, held_out)
    vocabulary = frequent(windows, tokenizer, plan.coverage)
    report = {
        "model": plan.name,
        "layers_from": list(chosen_layers(plan, config.decoder_layers)),
        "recordings": progress.recordings - progress.left_out,
        "left_out": progress.left_out,
        "hours": round(progress.seconds / 3600, 2),
        "windows": len(windows),
        "tokens": sum(len(row["said"]) for row in windows.rows),
        "trained_parameters": sum(item.numel() for item in learner.learning),
        "steps": learner.step,
        "passes": round(learner.step * schedule.batch / len(learned), 2),
        "minutes": round(learner.seconds / 60, 2),
        "held_out_windows": len(held_out),
        "held_out_agreement": round(agreement, 4),
        "vocabulary": None if vocabulary is None else len(vocabulary),
        "settings": {name: value for name, value in _settings(plan).items() if name not in {"model", "audio"}},
    }
    save_draft(plan.out, learner.student.to(dtype), read_whisper(main_folder).config, origin, vocabulary)
    write_json(plan.out / REPORT, report)
    return report


def recordings(plan: Plan) -> list[Path]:
    """The files of the folder, at any depth, in an order that depends on the seed alone."""
    if not plan.audio.is_dir():
        raise AudioNotFound(f"there is no folder {plan.audio}; give one that holds recordings")
    inside = (path for path in plan.audio.rglob("*") if path.is_file())
    files = sorted(
        path for path in inside if not any(part.startswith(".") for part in path.relative_to(plan.audio).parts)
    )
    random.Random(plan.seed).shuffle(files)
    if not files:
        raise AudioNotFound(f"{plan.audio} holds no files; give a folder that holds recordings")
    return files


def chosen_layers(plan: Plan, layers: int) -> tuple[int, ...]:
    """Which of the main decoder's layers the draft begins as."""
    found = plan.layers_from or (evenly(layers, plan.layers) if plan.layers <= layers else ())
    if not found or max(found) >= layers:
        raise OptionError(f"the model's decoder has {layers} layers, numbered from 0; ask for fewer or other ones")
    return found


def split(windows: Windows) -> tuple[list[int], list[int]]:
    """Indices of the windows to learn from, and of those that only show what was learned: other recordings."""
    held_out = [at for at, row in enumerate(windows.rows) if row["recording"] % HELD_OUT == 0]
    learned = [at for at, row in enumerate(windows.rows) if row["recording"] % HELD_OUT != 0]
    return (learned, held_out[:MOST_HELD_OUT]) if learned else (held_out, held_out[:MOST_HELD_OUT])


def frequent(windows: Windows, tokenizer: WhisperTokenizer, coverage: float) -> list[int] | None:
    """The fewest text ids that make up `coverage` of what was said in each language, ascending; None for all.

    The idea is FR-Spec's (Zhao et al., 2025, arXiv 2502.14856): a draft that cannot propose rare tokens reads less of
    its output matrix.
    """
    if coverage >= 1 or tokenizer.eot <= SMALL_VOCABULARY:
        return None
    codes = {id: code for code, id in tokenizer.languages.items()}
    counts: dict[str, Counter[int]] = {}
    for row in windows.rows:
        start = row["prompt"][row["prompt"].index(tokenizer.sot) :]
        language = next((codes[token] for token in start if token in codes), "")
        counts.setdefault(language, Counter()).update(token for token in row["said"] if token < tokenizer.eot)
    return sorted({token for counter in counts.values() for token in _covering(counter, coverage)}) or None


def _covering(counter: Counter[int], share: float) -> Iterator[int]:
    left = share * counter.total()
    for token, count in sorted(counter.items(), key=lambda item: (-item[1], item[0])):
        if left <= 0:
            return
        yield token
        left -= count


def _settings(plan: Plan) -> dict[str, Any]:
    """What a training cannot change on its way."""
    ways = {"out", "work", "device", "dtype"}
    return {name: str(value) if name == "audio" else value for name, value in asdict(plan).items() if name not in ways}


def _settle(plan: Plan, main_folder: Path, files: list[Path], resume: bool) -> None:
    """A working folder for this plan, begun or taken up again; how to train may change until the training begins."""
    path = plan.work / SETTINGS
    config = WhisperConfig.from_dict(read_whisper(main_folder).config)
    chosen_layers(plan, config.decoder_layers)
    names = [str(file.relative_to(plan.audio)) for file in files]
    wanted = json.loads(json.dumps({**_settings(plan), "recordings": names}))
    if path.is_file() != resume:
        raise OptionError(
            f"{plan.work} holds no training to go on with; leave --resume away"
            if resume
            else f"{plan.work} holds a training already: add --resume to go on with it, or delete it"
        )
    if resume:
        there = json.loads(path.read_text("utf-8"))
        other = [name for name, value in wanted.items() if there.get(name) != value]
        if HEARING.intersection(other):
            raise OptionError(f"{plan.work} holds a training with other {', '.join(other)}; go on as it was begun")
        if other and (plan.work / CHECKPOINT).is_file():
            raise OptionError(
                f"{plan.work} holds a training with other {', '.join(other)}; go on as it was begun, or delete "
                f"{CHECKPOINT} there to train anew on what was heard"
            )
    plan.work.mkdir(parents=True, exist_ok=True)
    write_json(path, wanted)


def _hear(plan: Plan, main_folder: Path, files: list[Path], say: Say) -> WhisperTokenizer:
    """Bring the working folder's windows up to what is asked for; returns the model's tokenizer."""
    engine = load(main_folder, device=plan.device, dtype=plan.dtype, assistant="none")._engine
    with Store(plan.work) as store:
        while not store.progress.finished:
            before = store.progress
            group = files[before.recordings : before.recordings + GROUP]
            untimed = before.recordings // GROUP % UNTIMED == UNTIMED - 1
            options = TranscribeOptions(language=plan.language, without_timestamps=untimed, batch_size=BATCH)
            lengths: list[float] = []
            samples = itertools.chain.from_iterable(_read(file, lengths) for file in group)
            for heard in hear(engine, samples, options):
                store.add(*_with_hidden(engine, heard, before.recordings))
            done, seconds = before.recordings + len(group), before.seconds + sum(lengths)
            finished = done >= len(files) or seconds >= plan.hours * 3600
            store.commit(done, before.left_out + len(group) - len(lengths), seconds, finished)
            say(f"{seconds / 3600:.2f} hours heard", max(done / len(files), min(1.0, seconds / 3600 / plan.hours)))
    return engine.tokenizer


def _read(file: Path, lengths: list[float]) -> Iterator[Tensor]:
    """The recording (S,), its seconds added to `lengths`; nothing for a file that is none."""
    try:
        found = decode(file)
    except AudioError:
        return
    lengths.append(found.duration)
    yield torch.from_numpy(found.samples[0])


def _with_hidden(engine: Engine, heard: Heard, before: int) -> tuple[Heard, Tensor]:
    """The window, its recording counted from the first one of all, and the hidden states (K, D) behind what it says."""
    with engine.at_work(), unpacked(engine.steps, engine.config.decoder_layers):
        fed = torch.tensor([[*heard.prompt, *heard.said][:-1]], device=engine.device)
        hidden = read(engine.model.decoder, heard.states[None], fed)[0, len(heard.prompt) - 1 :]
    return replace(heard, recording=before + heard.recording), hidden


def _main(plan: Plan, folder: Path) -> tuple[Decoder, Origin, torch.dtype]:
    """The main decoder in float32, where the draft is from, and the dtype that the main weights are stored in."""
    found = read_whisper(folder)
    device = devices.several(plan.device, None)[0]
    with TensorFiles(found.weights) as files:
        model = load_sides(found, files, SIDES[1:], torch.float32, device)
        origin = Origin(plan.name, encoder_sha256(files, model.config))
        return model.decoder, origin, _DTYPES[files.entries[EMBEDDING].dtype]
