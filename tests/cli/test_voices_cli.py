"""`literatim embed` and `literatim compare`: what they print and write, and what they answer to bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import literatim
from audio_builders import wav
from literatim import demo
from literatim.audio.decode import decode
from literatim.audio.fbank import fbank
from literatim.cli.compare import compare
from literatim.cli.embed import embed
from literatim.errors import AudioNotFound, ModelFormatError, ModelNotFound, OptionError
from speaker_builders import SMALL, random_speaker_folder

CLIPS = Path(demo.__file__).parent / "clips"
NAMES = ("en-new-templates-0.flac", "en-new-templates-1.flac", "en-noise-15db-0.flac")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, recordings, and what is none."""
    root = tmp_path_factory.mktemp("cli")
    random_speaker_folder(root / "model", 7)
    (root / "audio").mkdir()
    for name in NAMES:
        shutil.copy(CLIPS / name, root / "audio" / name)
    (root / "silence.wav").write_bytes(wav(b"\0\0" * 32_000))
    (root / "short.wav").write_bytes(wav(b"\1\7" * 300))
    (root / "text.wav").write_text("nothing")
    return root


def run(place: Path, *arguments: str | Path) -> Result:
    flags = ["--model", str(place / "model"), "--device", "cpu"]
    return CliRunner().invoke(embed, [*map(str, arguments), *flags])


def ask(place: Path, *arguments: str | Path) -> Result:
    flags = ["--model", str(place / "model"), "--device", "cpu"]
    return CliRunner().invoke(compare, [*map(str, arguments), *flags])


def test_json_lines(place: Path) -> None:
    """A line a recording, in order, with both kinds of vectors, as Python gives them."""
    done = run(place, place / "audio")
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["audio"]).name for line in lines] == list(NAMES)
    model = literatim.load_speaker(place / "model")
    for line in lines:
        wanted = model.embed(line["audio"])
        assert np.allclose(line["raw"], wanted.vector, rtol=1e-5)
        assert np.allclose(line["embedding"], wanted.normalised, rtol=1e-5, atol=1e-7)
        assert np.linalg.norm(line["embedding"]) == pytest.approx(1)
        assert line["warnings"] == []


@pytest.mark.parametrize("raw", [False, True])
def test_numpy(place: Path, tmp_path: Path, raw: bool) -> None:
    """Rows are the recordings that could be read; the lines say which is whose."""
    files = [place / "audio" / NAMES[0], place / "text.wav", place / "audio" / NAMES[1]]
    done = run(place, *files, "-o", tmp_path / "new" / "vectors.npy", *(["--raw"] if raw else []))
    assert done.exit_code == 1
    assert "Skipping" in done.stderr
    rows = np.load(tmp_path / "new" / "vectors.npy")
    assert rows.shape == (2, SMALL.embedding_dim)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["row"], line["audio"]) for line in lines] == [(0, str(files[0])), (1, str(files[2]))]
    found = literatim.load_speaker(place / "model").embed(files[2])
    assert np.allclose(rows[1], found.vector if raw else found.normalised, rtol=1e-5, atol=1e-6)


def test_one_bad_recording_stops_no_other(place: Path) -> None:
    """Silence, too short, no sound, not there: each is answered, and the exit code is 1."""
    bad = [place / name for name in ("silence.wav", "short.wav", "text.wav", "none.wav")]
    done = run(place, *bad, place / "audio" / NAMES[0])
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 1
    for said in ("silent from end to end", "short.wav", "text.wav", "none.wav"):
        assert said in done.stderr
    assert "Traceback" not in done.output


def test_frames_made_elsewhere(place: Path, tmp_path: Path) -> None:
    """--fbank: the same vector as of the sound; a file of other numbers is reported."""
    import torch

    frames = fbank(torch.from_numpy(decode(place / "audio" / NAMES[0]).samples[0])).numpy()
    np.save(tmp_path / "a.npy", frames.T.astype(np.float64))
    np.save(tmp_path / "b.npy", frames[:, :40])
    done = run(place, "--fbank", tmp_path / "a.npy", tmp_path / "b.npy")
    assert done.exit_code == 1
    assert "(T, 80)" in done.stderr
    wanted = literatim.load_speaker(place / "model").embed(place / "audio" / NAMES[0])
    assert np.allclose(json.loads(done.stdout)["embedding"], wanted.normalised, atol=1e-5)
    same = ask(place, tmp_path / "a.npy", tmp_path / "a.npy", "--fbank", "--json")
    assert json.loads(same.stdout)["cosine"] == pytest.approx(1)


def test_compare(place: Path) -> None:
    """One line for people; an object for machines; the threshold decides."""
    first, second = (place / "audio" / name for name in NAMES[:2])
    done = ask(place, first, second, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    wanted = literatim.load_speaker(place / "model").compare(first, second)
    assert found == pytest.approx(wanted.to_dict())
    strict = ask(place, first, second, "--threshold", "0.99999")
    assert "different speakers (threshold 0.99999)" in strict.stdout
    assert strict.stdout.startswith(f"{found['cosine']:.4f}  ")
    assert "same speaker (threshold -1)" in ask(place, first, second, "--threshold", "-1").stdout


def test_both_front_ends(place: Path) -> None:
    """What each makes of the pair, and how far apart the two are for each recording."""
    first, second = (place / "audio" / name for name in NAMES[:2])
    found = json.loads(ask(place, first, second, "--frontends", "--json").stdout)
    models = {name: literatim.load_speaker(place / "model", frontend=name) for name in ("kaldi", "librosa")}
    for name, model in models.items():
        assert found["frontends"][name] == pytest.approx(model.compare(first, second).cosine, abs=1e-5)
    for path, cosine in zip((first, second), found["between_frontends"], strict=True):
        mine, other = (model.embed(path).normalised for model in models.values())
        assert cosine == pytest.approx(float(mine @ other), abs=1e-5)
    shown = ask(place, first, second, "--frontends").stdout.splitlines()
    assert len(shown) == 5
    assert "by librosa's front end" in shown[2]


def test_compare_with_what_cannot_be_heard(place: Path) -> None:
    for name in ("silence.wav", "short.wav", "text.wav", "none.wav"):
        done = ask(place, place / "audio" / NAMES[0], place / name)
        assert done.exit_code == 1
        assert name in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("-o", "vectors.txt"), OptionError),
        (("--raw",), OptionError),
        (("--model", "demo"), ModelFormatError),
        (("--model", "no/such/folder"), ModelNotFound),
        (("--channels", "split"), OptionError),
    ],
)
def test_refused(place: Path, arguments: tuple[str, ...], error: type[Exception]) -> None:
    """In words; the command ends with 2 for such errors."""
    done = CliRunner().invoke(embed, [str(place / "audio"), "--model", str(place / "model"), *arguments])
    assert isinstance(done.exception, error)


def test_a_folder_without_recordings_and_contradictions(place: Path) -> None:
    assert isinstance(run(place, place / "model").exception, AudioNotFound)
    assert isinstance(ask(place, "a", "b", "--fbank", "--frontends").exception, OptionError)


def test_a_recording_is_named_once(place: Path) -> None:
    for name in ("silence.wav", "short.wav", "text.wav", "none.wav"):
        said = ask(place, place / name, place / "audio" / NAMES[0]).stderr
        assert said.count(name) == 1, said
