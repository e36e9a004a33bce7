"""`literatim draft train` and `measure` over a small random model: what is heard, learned, written and counted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from literatim import load
from literatim.audio.decode import decode
from literatim.decode.pace import Pace
from literatim.errors import AudioNotFound, OptionError
from literatim.models.draft import load_draft
from literatim.options import TranscribeOptions
from literatim.pipeline.pieces import Window, split
from literatim.train import acceptance, draft
from literatim.train.acceptance import Clip, Judged, Rounds
from literatim.train.draft import Plan, train_draft
from literatim.train.hear import hear
from literatim.train.windows import Windows
from whisper_builders import random_whisper_folder

RATE = 16_000
CPU = torch.device("cpu")


def _recording(path: Path, number: int) -> None:
    """Noise and a tone of its own, two to five seconds: two to three windows."""
    random = np.random.default_rng(number)
    samples = int(RATE * (2 + number % 4))
    tone = np.sin(2 * np.pi * 137 * (number + 1) * np.arange(samples) / RATE)
    sound = np.repeat(random.uniform(0, 0.3, samples // 4000 + 1), 4000)[:samples] * tone
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound * 32767).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("model"), 11, end_gain=2.0)


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight recordings in two folders, and a text."""
    folder = tmp_path_factory.mktemp("audio")
    for number in range(8):
        _recording(folder / ("a" if number % 2 else "b/c") / f"{number}.wav", number)
    (folder / "notes.txt").write_text("no recording")
    (folder / ".hidden").write_text("not looked at")
    return folder


def _plan(model: Path, audio: Path, folder: Path, **options: Any) -> Plan:
    chosen = {"steps": 30, "batch": 4, "layers": 1, "warmup": 5, "device": "cpu", "rate": 3e-3, **options}
    return Plan(model=str(model), audio=audio, out=folder / "draft", work=folder / "work", **chosen)


def _train(plan: Plan, resume: bool = False) -> dict[str, Any]:
    return train_draft(plan, Path(plan.model), resume, lambda _what, _done: None)


@pytest.fixture(scope="module")
def trained(model: Path, audio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    _train(_plan(model, audio, folder))
    return folder


# ---- hearing ----


@pytest.mark.parametrize("options", [{}, {"language": "nl", "without_timestamps": True, "max_new_tokens": 7}])
def test_what_is_heard_is_what_transcribing_says(model: Path, audio: Path, options: dict[str, Any]) -> None:
    """Window by window: the segments that its tokens describe are those of the transcript."""
    recognizer = load(model, device="cpu", assistant="none")
    files = sorted(audio.rglob("*.wav"))[:4]
    samples = [torch.from_numpy(decode(file).samples[0]) for file in files]
    tokenizer, frames = recognizer._engine.tokenizer, recognizer._engine.config.window_frames
    heard = list(hear(recognizer._engine, samples, TranscribeOptions(batch_size=3, **options)))
    for number, file in enumerate(files):
        transcript = recognizer.transcribe(file, temperature=0.0, **options)
        windows = [item for item in heard if item.recording == number]
        assert windows[0].prompt[0] == tokenizer.sot
        assert [item.seek for item in windows] == sorted({item.seek for item in windows})
        found = []
        for item in windows:
            tokens = [token for token in item.said if token != tokenizer.eot]
            window = Window(item.seek, min(frames, len(samples[number]) // 160 - item.seek))
            pieces, _ = split(tokens, window, tokenizer.timestamp_begin, tokenizer.timestamp_end)
            found += [tuple(piece.tokens) for piece in pieces if piece.start < piece.end]
        said = [segment.tokens for segment in transcript.segments]
        assert said
        assert [tokens for tokens in found if tokens in said] == said
        later = [item.prompt[0] == tokenizer.startofprev for item in windows[1:]]
        assert any(later) or len(windows) < 3


# ---- training ----


def test_a_draft_comes_out(model: Path, audio: Path, trained: Path) -> None:
    found = load_draft(trained / "draft", model, torch.float32, CPU)
    report = json.loads((trained / "draft" / "training.json").read_text())
    assert found.shares
    assert found.config.decoder_layers == 1
    assert found.vocabulary is None
    assert report["model"] == model.name
    assert str(audio) not in json.dumps(report)
    assert report["recordings"] == 8
    assert report["left_out"] == 1
    assert report["hours"] == pytest.approx(sum(2 + n % 4 for n in range(8)) / 3600, abs=0.01)
    assert report["steps"] == 30
    assert report["windows"] > 8
    whole = load_file(model / "model.safetensors")["model.decoder.embed_tokens.weight"]
    assert torch.equal(found.decoder.tokens.weight, whole)


def test_it_foretells_more_than_it_began_with(model: Path, audio: Path, tmp_path: Path) -> None:
    """Of what it learned from: one layer of a random model begins as noise."""
    plan = _plan(model, audio, tmp_path, steps=80)
    _train(plan)
    config = load_draft(plan.out, model, torch.float32, CPU).config
    windows = Windows(plan.work, config.source_positions, config.d_model)
    learned, _ = draft.split(windows)
    shares = []
    for folder in (plan.out, _untrained(plan, tmp_path)):
        recognizer = load(model, assistant=folder, device="cpu")
        samples = [torch.from_numpy(decode(file).samples[0]) for file in sorted(audio.rglob("*.wav"))]
        clips = acceptance.judge(recognizer._engine, samples, TranscribeOptions())
        shares.append(acceptance.together(clips).foretold)
    assert learned
    assert shares[0] > shares[1] + 0.2


def _untrained(plan: Plan, folder: Path) -> Path:
    once = replace(plan, steps=1, rate=1e-12, out=folder / "untrained", work=folder / "untrained.work")
    _train(once)
    return once.out


def test_a_training_is_not_begun_over(model: Path, audio: Path, trained: Path) -> None:
    plan = _plan(model, audio, trained)
    with pytest.raises(OptionError, match="holds a training already: add --resume"):
        _train(plan)
    with pytest.raises(OptionError, match=r"with other seed.*; go on as it was begun"):
        _train(replace(plan, seed=3), resume=True)
    with pytest.raises(OptionError, match=r"other steps; go on as it was begun, or delete checkpoint.pt there"):
        _train(replace(plan, steps=31), resume=True)


def test_there_must_be_something_to_resume(model: Path, audio: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no training to go on with; leave --resume away"):
        _train(_plan(model, audio, tmp_path), resume=True)


def test_other_layers_may_be_tried_on_what_was_heard(model: Path, audio: Path, trained: Path, tmp_path: Path) -> None:
    plan = replace(_plan(model, audio, tmp_path), work=tmp_path / "work")
    plan.work.mkdir()
    for file in (trained / "work").iterdir():
        if file.name != "checkpoint.pt":
            (plan.work / file.name).write_bytes(file.read_bytes())
    report = _train(replace(plan, layers_from=(1,), steps=2), resume=True)
    assert report["layers_from"] == [1]


def test_layers_that_are_not_there_are_refused(model: Path, audio: Path, tmp_path: Path) -> None:
    for options in ({"layers": 3}, {"layers_from": (2,)}):
        with pytest.raises(OptionError, match="decoder has 2 layers, numbered from 0"):
            _train(_plan(model, audio, tmp_path, **options))


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_folder_without_recordings_is_refused(model: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioNotFound, match=r"give (a folder|one) that holds recordings"):
        _train(_plan(model, tmp_path / name, tmp_path))


def test_texts_alone_are_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "notes.txt").write_text("no recording")
    with pytest.raises(AudioNotFound, match="too few to learn from"):
        _train(_plan(model, tmp_path / "audio", tmp_path))


def test_no_more_is_heard_than_asked_for(
    model: Path, audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft, "GROUP", 2)
    report = _train(_plan(model, audio, tmp_path, hours=5 / 3600, steps=2))
    assert 2 <= report["recordings"] <= 4


# ---- killed and resumed ----

_SCRIPT = """
import sys
import torch
from literatim.cli.main import main
from literatim.train import distil, draft
torch.set_num_threads(1)
draft.GROUP, distil.SAVE_SECONDS = 2, 0.0
sys.argv[0] = "literatim"
main()
"""


def _start(model: Path, audio: Path, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    arguments = f"draft train --model {model} --audio {audio} --out {folder}/draft --work {folder}/work --layers 1"
    arguments += " --steps 60 --batch 4 --device cpu"
    return subprocess.Popen([sys.executable, "-c", _SCRIPT, *arguments.split(), *more])


def _kill_once_there(process: subprocess.Popen[bytes], path: Path) -> None:
    until = time.monotonic() + 60
    while not path.is_file() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_training_goes_on_to_the_same_draft(model: Path, audio: Path, tmp_path: Path) -> None:
    """Killed while hearing, and again while learning; the weights are those of a training left alone."""
    alone = _start(model, audio, tmp_path / "alone")
    work = tmp_path / "killed" / "work"
    _kill_once_there(_start(model, audio, tmp_path / "killed"), work / "progress.json")
    assert not json.loads((work / "progress.json").read_text())["finished"]
    _kill_once_there(_start(model, audio, tmp_path / "killed", "--resume"), work / "checkpoint.pt")
    assert not (tmp_path / "killed" / "draft").exists()
    step = torch.load(work / "checkpoint.pt", weights_only=True)["step"]
    assert step < 60
    assert _start(model, audio, tmp_path / "killed", "--resume").wait(60) == 0
    assert alone.wait(60) == 0
    both = [load_file(tmp_path / name / "draft" / "model.safetensors") for name in ("alone", "killed")]
    assert both[0].keys() == both[1].keys()
    assert all(torch.equal(value, both[1][name]) for name, value in both[0].items())


# ---- measuring ----


@pytest.mark.parametrize(
    ("right", "proposals", "wanted"),
    [
        ("1111", 2, Rounds(1, 3, 2, 2)),
        ("1" + "110" + "111", 3, Rounds(2, 6, 5, 6)),
        ("0" + "0" * 4, 8, Rounds(4, 4, 0, 4)),
        ("1", 4, Rounds(0, 0, 0, 0)),
        ("0" + "10" + "10" + "1", 1, Rounds(3, 5, 3, 3)),
    ],
)
def test_rounds_by_hand(right: str, proposals: int, wanted: Rounds) -> None:
    """The first token comes with the prompt; each round then gives what is right and one token more."""
    assert acceptance.rounds(Judged([letter == "1" for letter in right], 100), proposals) == wanted


def test_no_more_is_proposed_than_may_be_said() -> None:
    """Of five tokens at most, the last is never proposed: after the first, three may be; with one left, none."""
    assert acceptance.rounds(Judged([True] * 5, 5), 8) == Rounds(1, 4, 3, 3)
    assert acceptance.rounds(Judged([True] * 5, 5), 2) == Rounds(2, 4, 2, 2)


@pytest.mark.parametrize("without_timestamps", [False, True])
def test_the_decoding_loop_accepts_as_many(model: Path, audio: Path, trained: Path, without_timestamps: bool) -> None:
    """Figures from reading the texts at once, against those that the loop itself counted, for several K."""
    recognizer = load(model, assistant=trained / "draft", device="cpu")
    engine, files = recognizer._engine, sorted(audio.rglob("*.wav"))[:3]
    samples = [torch.from_numpy(decode(file).samples[0]) for file in files]
    options = {"without_timestamps": without_timestamps, "condition_on_previous_text": False, "temperature": 0.0}
    clips, seconds = acceptance.measure(engine, samples, TranscribeOptions(batch_size=1, **options))
    assert 0 < acceptance.together(clips).foretold < 1
    assert set(seconds) <= set(range(acceptance.MOST + 1))
    for proposals in (1, 3, 8):
        engine.pace = Pace(proposals)
        for file, clip in zip(files, clips, strict=True):
            found = recognizer.transcribe(file, **options).speculation
            wanted = clip.rounds(proposals)
            assert found is not None
            prompts = len(clip.windows)  # each gives a token without any proposal
            assert (found.accepted, len(found.lengths) - prompts) == (wanted.accepted, wanted.rounds)


def test_a_draft_of_few_words_is_judged_by_those(model: Path, audio: Path, trained: Path, tmp_path: Path) -> None:
    """What it cannot propose it does not foretell."""
    from safetensors.torch import save_file

    for file in (trained / "draft").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    samples = [torch.from_numpy(decode(file).samples[0]) for file in sorted(audio.rglob("*.wav"))[:2]]
    recognizer = load(model, assistant=trained / "draft", device="cpu")
    eot, options = recognizer._engine.tokenizer.eot, TranscribeOptions(batch_size=1)
    before = acceptance.judge(recognizer._engine, samples, options)
    texts = [item.said for item in hear(recognizer._engine, samples, options)]
    save_file({"draft.vocabulary": torch.tensor([0], dtype=torch.int32)}, tmp_path / "vocabulary.safetensors")
    after = acceptance.judge(load(model, assistant=tmp_path, device="cpu")._engine, samples, options)
    hits = [hit for clip in after for window in clip.windows for hit in window.right]
    said = [token for text in texts for token in text]
    assert len(hits) == len(said) == acceptance.together(before).tokens
    assert not any(hit for hit, token in zip(hits, said, strict=True) if 0 < token < eot)
    assert any(hits)


def test_figures_of_several_clips(model: Path) -> None:
    clips = [Clip([Judged([True, True, False, True], 9)]), Clip([Judged([False, True], 9)])]
    found = acceptance.figures(acceptance.together(clips))
    assert (found["windows"], found["tokens"], found["foretold"]) == (2, 6, 0.6667)
    assert found["tokens_per_round"]["1"] == pytest.approx(4 / 3, abs=1e-3)
    assert acceptance.speed_ups(acceptance.together(clips), {0: 2.0, 1: 4.0}) == {"1": pytest.approx(2 / 3, abs=1e-3)}
