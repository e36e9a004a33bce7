"""The bundled network for voices on the bundled recordings, whose voices it has never heard: who is who, offline."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from literatim import demo, load_speaker
from literatim.audio.decode import decode
from literatim.cli.compare import compare
from literatim.errors import ModelFormatError
from literatim.pipeline.error_rates import equal_error_rate
from literatim.train.recordings import write_flac
from literatim.voices import SpeakerModel

RECORDINGS = [*demo.recordings(), *demo.recordings("discussions")]
WORST = 0.08  # equal error rate


@pytest.fixture(scope="module")
def model() -> SpeakerModel:
    return load_speaker("demo-speaker", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def sentences() -> list[tuple[str, np.ndarray]]:
    """Whose voice, and its sound, of every sentence that nobody else speaks into."""
    found = []
    for path in RECORDINGS:
        samples = decode(path).samples[0]
        segments = json.loads(path.with_suffix(".json").read_text("utf-8"))["segments"]
        for segment in segments:
            others = [other for other in segments if other is not segment]
            if all(other["end"] <= segment["start"] or segment["end"] <= other["start"] for other in others):
                part = samples[round(segment["start"] * 16_000) : round(segment["end"] * 16_000)]
                found.append((segment["voice"].partition("+")[2], part))
    return found


@pytest.mark.parametrize("seconds", [None, 1.5], ids=["sentences", "windows"])
def test_pairs_of_one_voice_are_told_from_pairs_of_two(
    model: SpeakerModel, sentences: list[tuple[str, np.ndarray]], seconds: float | None
) -> None:
    """Across recordings and languages, whole sentences and the windows that diarization hears."""
    length = None if seconds is None else round(seconds * 16_000)
    heard = model.encoder.embed([samples[:length] for _, samples in sentences])
    unit = heard / np.linalg.norm(heard, axis=1, keepdims=True)
    pairs = list(itertools.combinations(range(len(sentences)), 2))
    same = [sentences[a][0] == sentences[b][0] for a, b in pairs]
    rate = equal_error_rate([float(unit[a] @ unit[b]) for a, b in pairs], same)
    assert len(sentences) > 40
    assert {name for name, _ in sentences} == {"m5", "f4", "Andy"}
    assert rate is not None
    assert rate <= WORST


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_fewer_bits_are_nearly_the_same_voice(
    model: SpeakerModel, sentences: list[tuple[str, np.ndarray]], dtype: str
) -> None:
    fewer = load_speaker("demo-speaker", device="cpu", dtype=dtype)
    for _, samples in sentences[:6]:
        assert float(model.embed(samples).normalised @ fewer.embed(samples).normalised) > 0.995


def test_the_command_compares_with_it(sentences: list[tuple[str, np.ndarray]], tmp_path: Path) -> None:
    first, second = (next(s for name, s in sentences if name == one) for one in ("m5", "f4"))
    other = [s for name, s in sentences if name == "m5"][1]
    for name, samples in (("a", first), ("b", other), ("c", second)):
        write_flac(tmp_path / f"{name}.flac", samples)
    said = []
    for name in ("b", "c"):
        files = [str(tmp_path / "a.flac"), str(tmp_path / f"{name}.flac")]
        result = CliRunner().invoke(compare, [*files, "--model", "demo-speaker", "--device", "cpu", "--json"])
        assert result.exit_code == 0, result.output
        said.append(json.loads(result.stdout))
    own = json.loads((demo.model_path("demo-speaker") / "config.json").read_text("utf-8"))["threshold"]
    assert [row["same"] for row in said] == [True, False]
    assert {row["threshold"] for row in said} == {own}


def test_a_model_of_another_kind_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="a network for voices is needed"):
        load_speaker("demo", device="cpu")
