"""`literatim eer`: rates beside plain ones, vectors that are kept, cohorts, drawings, and lists that are no good."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import literatim
from audio_builders import wav
from literatim.cli.eer import eer
from literatim.errors import LiteratimError
from literatim.pipeline.error_rates import equal_error_rate
from speaker_builders import random_speaker_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, eight recordings of two kinds of noise, and a list of all their pairs."""
    root = tmp_path_factory.mktemp("eer")
    random_speaker_folder(root / "model", 1)
    random_speaker_folder(root / "other", 2)
    random = np.random.default_rng(0)
    names = []
    for at in range(8):
        white = random.standard_normal(20_000 + 1000 * at)
        sound = np.convolve(white, np.ones(1 + 3 * (at % 2)), "same") + 0.2 * at * np.roll(white, 5)
        names.append(f"{'ab'[at % 2]}/{at}.wav")
        (root / "sound" / names[-1]).parent.mkdir(parents=True, exist_ok=True)
        (root / "sound" / names[-1]).write_bytes(wav((1000 * sound).astype("<i2").tobytes()))
    pairs = [(one, two) for at, one in enumerate(names) for two in names[at + 1 :]]
    lines = [f"{int(one[0] == two[0])} {one} {two}" for one, two in pairs]
    (root / "trials.txt").write_text("\n".join(lines))
    return root


def run(place: Path, *arguments: str, model: str | None = "model", trials: str = "trials.txt") -> Result:
    """The command in this process."""
    named = [] if model is None else ["--model", str(place / model), "--audio_dir", str(place / "sound")]
    return CliRunner().invoke(eer, [str(place / trials), *named, "--device", "cpu", *arguments])


def why(result: Result) -> str:
    """What the error says, which the command prints before it ends with 2."""
    assert isinstance(result.exception, LiteratimError), result.output
    return str(result.exception)


def test_rates_beside_plain_ones(place: Path) -> None:
    done = run(place, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    voices = literatim.load_speaker(place / "model", device="cpu")
    lines = [line.split() for line in (place / "trials.txt").read_text().splitlines()]
    scores = [voices.compare(*(place / "sound" / name for name in names)).cosine for _, *names in lines]
    same = [label == "1" for label, *_ in lines]
    assert report["scores"]["eer"] == pytest.approx(equal_error_rate(scores, same), abs=1e-9)
    assert report["trials"] == {"file": "trials.txt", "pairs": 28, "same": 12}
    assert report["scores"]["at"]["threshold"] == 0.5
    assert report["as_norm"] is None
    assert "minDCF: 0.01 of the pairs of one speaker, both errors cost 1" in done.stderr


def test_a_cohort_in_either_form_gives_the_same(place: Path, tmp_path: Path) -> None:
    """A folder with a folder for each speaker, and the means of its vectors as .npy."""
    folder = json.loads(run(place, "--cohort", str(place / "sound"), "--json").stdout)
    voices = literatim.load_speaker(place / "model", device="cpu")
    means = []
    for kind in "ab":
        files = sorted((place / "sound" / kind).iterdir())
        means.append(np.mean([voices.embed(file).normalised for file in files], 0))
    np.save(tmp_path / "cohort.npy", np.array(means))
    array = json.loads(run(place, "--cohort", str(tmp_path / "cohort.npy"), "--json").stdout)
    assert folder["cohort"] == {"name": "sound", "size": 2, "top": 2, "subtract_mean": False}
    assert folder["as_norm"]["eer"] == pytest.approx(array["as_norm"]["eer"], abs=1e-6)
    moved = json.loads(run(place, "--cohort", str(tmp_path / "cohort.npy"), "--subtract_mean", "--json").stdout)
    assert moved["scores"]["eer_threshold"] != folder["scores"]["eer_threshold"]


def test_vectors_are_kept_for_the_next_run(place: Path, tmp_path: Path) -> None:
    kept = tmp_path / "vectors.npz"
    first = run(place, "--vectors", str(kept), "--json")
    (tmp_path / "sound").mkdir()
    again = run(place, "--vectors", str(kept), "--json", "--audio_dir", str(tmp_path / "sound"))  # no sound is there
    assert again.exit_code == 0
    assert json.loads(again.stdout)["scores"] == json.loads(first.stdout)["scores"]
    assert "of another model" in why(run(place, "--vectors", str(kept), model="other"))
    assert "of another model" in why(run(place, "--vectors", str(kept), "--frontend", "kaldi", model="other"))
    kept.write_bytes(b"PK no archive")
    assert "holds no vectors" in why(run(place, "--vectors", str(kept)))


def test_scored_lists_need_no_model(place: Path) -> None:
    (place / "scored.txt").write_text("a b 0.9 target\na c 0.2 nontarget\nb c 0.4 nontarget\nc d 0.3 target\n")
    done = run(place, "--json", "--threshold", "0.35", "--prior", "0.5", model=None, trials="scored.txt")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["scores"]
    assert found["eer"] == 0.5
    assert found["min_dcf"] == 0.5
    assert found["at"] == {"threshold": 0.35, "refused": 0.5, "taken": 0.5}
    assert "has scores already" in why(run(place, trials="scored.txt"))


def test_the_drawing_and_the_report(place: Path, tmp_path: Path) -> None:
    out, plot = tmp_path / "report.json", tmp_path / "scores.svg"
    assert run(place, "--plot", str(plot), "--out", str(out)).exit_code == 0
    assert json.loads(out.read_text())["environment"]["torch"]
    assert "equal error rate" in plot.read_text()
    assert "drawings end in" in why(run(place, "--plot", str(tmp_path / "scores.bmp")))
    assert "no folder" in why(run(place, "--plot", str(tmp_path / "none" / "scores.svg")))


def test_one_bad_recording_stops_no_other(place: Path) -> None:
    (place / "hole.txt").write_text((place / "trials.txt").read_text() + "\n1 a/0.wav a/none.wav\n")
    done = run(place, "--json", trials="hole.txt")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["left_out"] == {"recordings": 1, "pairs": 1}
    assert json.loads(done.stdout)["trials"]["pairs"] == 28
    assert "Skipping a/none.wav" in done.stderr


def test_what_is_no_good(place: Path, tmp_path: Path) -> None:
    (place / "lost.txt").write_text("1 x.wav y.wav\n")
    assert "--audio_dir names the folder" in why(run(place, trials="lost.txt"))
    assert "No such file" in why(run(place, trials="none.txt"))
    assert "give --cohort as well" in why(run(place, "--subtract_mean"))
    assert "no cohort" in why(run(place, "--cohort", str(tmp_path)))
    np.save(tmp_path / "wide.npy", np.ones((5, 7)))
    assert "vectors (N, 24)" in why(run(place, "--cohort", str(tmp_path / "wide.npy")))
    one = run(place, "--json", trials=_one_kind(place))
    assert json.loads(one.stdout)["scores"]["eer"] is None
    assert "need pairs of one speaker and pairs of two" in one.stderr


def _one_kind(place: Path) -> str:
    (place / "one.txt").write_text("1 a/0.wav a/2.wav\n1 b/1.wav b/3.wav\n")
    return "one.txt"
