"""Each command of docs/coming-from-ports.md, run on the fake npu, with bundled models in place of published ones."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from audio_builders import wav
from literatim import demo
from literatim.audio.decode import decode
from literatim.audio.fbank import fbank
from literatim.cli.main import cli
from speaker_builders import random_speaker_folder

PAGE = Path(__file__).parents[2] / "docs" / "coming-from-ports.md"
COMMANDS = list(dict.fromkeys(re.findall(r"`literatim ([^`]+)`", PAGE.read_text("utf-8"))))
RUN = [line for line in COMMANDS if not line.startswith(("models download", "doctor")) and " " in line]
MODELS = {
    "tiny": "demo",
    "large-v2": "demo",
    "distil-large-v2": "demo-draft",
    "my-whisper": "demo",
    "FOLDER": "demo-medical",
}
# What makes a measurement short. Workers of `bench speed` are processes in which there is no fake npu; it cannot train.
SHORTER = {
    "verify": "--batch 1",
    "bench speed": "--device cpu --peers none --batch 1 --dtype float32 --iterations 1 --tokens 3",
    "bench dictation": "--rounds 1 --batch 1 --dtype float32",
    "bench spec": "--limit 1 --iterations 1 --warmup 1 --dtype float32",
    "bench voices": "--shape micro --rounds 1 --programs literatim,torch --dtype float32",
    "draft train": "--steps 2 --batch 2 --layers 1 --hours 0.01 --device cpu",
}


def _words(line: str) -> tuple[click.Command, list[str], list[str]]:
    """The command, its name and its arguments."""
    command: click.Command = cli
    name, words = list[str](), shlex.split(line)
    while isinstance(command, click.Group):
        name.append(words.pop(0))
        found = command.get_command(click.Context(command), name[-1])
        assert found is not None, line
        command = found
    return command, name, words


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_understood(line: str) -> None:
    command, name, words = _words(line)
    command.make_context(name[-1], words, resilient_parsing=not words)


def test_what_it_links_to_is_there() -> None:
    assert len(RUN) > 20
    for link in re.findall(r"\]\(([^)#]+)", PAGE.read_text("utf-8")):
        assert (PAGE.parent / link).is_file(), link


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands name: recordings, their words, checkpoints of voices in two forms."""
    root = tmp_path_factory.mktemp("ports")
    (spoken,) = decode(demo.recording_path("noisy")).samples
    for folder in ("recordings", "others"):
        (root / folder).mkdir()
    for name, start in (("clip", 0), ("a", 0), ("b", 5), ("recordings/one", 0), ("others/two", 3)):
        samples = spoken[start * 16_000 :][: 6 * 16_000]
        (root / f"{name}.wav").write_bytes(wav((samples * 32767).astype("<i2").tobytes()))
    report = demo.recordings("dictations")[0]
    (dictated,) = decode(report).samples
    (root / "dictation.wav").write_bytes(wav((dictated[: 6 * 16_000] * 32767).astype("<i2").tobytes()))
    (root / "words.txt").write_text("ct chest pe protocol")
    np.save(root / "feats.npy", fbank(torch.from_numpy(spoken[:48_000])).numpy())
    random_speaker_folder(root / "mlx", 3, layout="mlx")
    random_speaker_folder(root / "VOICES", 3)
    (root / "port").mkdir()
    (root / "port" / "config.json").write_bytes((root / "VOICES" / "config.json").read_bytes())
    torch.save(load_file(root / "VOICES" / "model.safetensors"), root / "port" / "pytorch_model.bin")
    speaker = root / "LIBRISPEECH" / "test-clean" / "1" / "2"
    speaker.mkdir(parents=True)
    (speaker / "1-2-0001.flac").write_bytes((Path(demo.__file__).parent / "clips" / "en-templates-0.flac").read_bytes())
    (speaker / "1-2.trans.txt").write_text("1-2-0001 ROOM NUMBER NINETEEN IS ON THE FOURTH FLOOR\n")
    return root


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using padding='same'")  # transformers' MedASR
@pytest.mark.parametrize("line", RUN)
def test_a_command_does_its_work(line: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0, but for word errors and thresholds, which decide nothing here."""
    command, name, words = _words(line)
    monkeypatch.chdir(tmp_path)
    for item in place.iterdir():
        (tmp_path / item.name).symlink_to(item)
    if name == ["convert"]:
        words[-1] = "converted"
    given = [MODELS.get(word, word) for word in words]
    given = ["5" if word == "15" else word for word in given]  # demo's window is 8 s
    more = SHORTER.get(" ".join(name), "").split()
    if name == ["bench", "speed"]:
        given = [word for word in given if word != "demo"]
        more += ["--shape", "micro"]
    if name == ["verify"] and "demo" in given:
        more += ["--steps", "1", "--max_new_tokens", "3"]
    if name == ["draft", "measure"]:
        given = ["demo-draft" if word == "my-draft" else word for word in given]
    done = CliRunner().invoke(command, [*given, *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
