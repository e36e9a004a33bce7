"""The bundled MedASR on the bundled dictation: the whole way, offline, and beside transformers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import LasrFeatureExtractor, LasrForCTC, LasrProcessor, LasrTokenizer, pipeline

from literatim import demo, load
from literatim.audio import lasr
from literatim.audio.decode import decode
from literatim.bench.wer import medasr
from literatim.cli.transcribe import transcribe
from literatim.models.medasr_checkpoint import load_medasr
from literatim.text import dictation
from literatim.train import voices
from literatim.train.medical import recording
from literatim.types import Transcript

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # transformers'

FOLDER = demo.model_path("demo-medical")
SOUND = Path(demo.__file__).parent / "dictations" / f"{recording.NAME}.flac"
WORST = 0.15  # word error rate on the dictation


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return json.loads(SOUND.with_suffix(".json").read_text("utf-8"))


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return decode(SOUND).samples[0]


@pytest.fixture(scope="module")
def heard() -> Transcript:
    return load("demo-medical", device="cpu", dtype="float32").transcribe(SOUND, word_timestamps=True)


def test_the_dictation_and_its_reference_belong_together(reference: dict[str, Any], samples: np.ndarray) -> None:
    assert 35 < reference["duration"] < 50
    assert len(samples) / 16_000 == pytest.approx(reference["duration"], abs=0.001)
    assert reference["text"] == " ".join(segment["text"] for segment in reference["segments"])
    assert reference["report"] == dictation.report(reference["text"]).text()
    assert recording.MANNER.voice.partition("+")[2] in voices.HELD_OUT


def test_the_command_prints_the_report(reference: dict[str, Any], tmp_path: Path) -> None:
    """Sections as they were dictated, in text that is nearly right, and the same in the file."""
    asked = [str(SOUND), "--model", "demo-medical", "--device", "cpu", "-f", "report,report-json", "-o", str(tmp_path)]
    done = CliRunner().invoke(transcribe, asked)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "chest-ct.report.txt").read_text("utf-8") == done.stdout
    found, wanted = (re.findall(r"^([A-Z ]+):", text, re.MULTILINE) for text in (done.stdout, reference["report"]))
    assert found == wanted
    assert jiwer.wer(medasr(reference["report"]), medasr(done.stdout)) < WORST
    assert not re.search(r"[{}\[\]]", done.stdout)


def test_sections_and_words_have_their_times(reference: dict[str, Any], heard: Transcript) -> None:
    """Headings begin where their lines do, and every line's words lie in it."""
    lines = {
        re.findall(r"^\[(.+?)\]", line["text"])[0]: line for line in reference["segments"] if line["text"][0] == "["
    }
    sections = {section.heading: section for section in dictation.report(heard).sections}
    assert sections.keys() == lines.keys()
    for heading, line in lines.items():
        assert sections[heading].start == pytest.approx(line["start"], abs=0.3)
    words = [word for segment in heard.segments for word in segment.words or ()]
    middles = [(word.start + word.end) / 2 for word in words]
    inside = [any(line["start"] - 0.2 < at < line["end"] + 0.2 for line in reference["segments"]) for at in middles]
    assert np.mean(inside) > 0.97
    assert np.mean([word.probability for word in words]) > 0.8


def test_the_language_model_is_found_by_its_name(reference: dict[str, Any], heard: Transcript) -> None:
    """What it is worth is measured on the frozen sets; here it may not spoil what is heard without it."""
    searched = load("demo-medical", device="cpu", dtype="float32").transcribe(SOUND, language_model="lm.arpa.gz").text
    for text in (searched, heard.text):
        assert jiwer.wer(medasr(reference["text"]), medasr(text)) < WORST


def test_hidden_states_and_logits_are_those_of_transformers(samples: np.ndarray) -> None:
    ours = load_medasr(FOLDER, torch.float32, torch.device("cpu"))
    theirs = LasrForCTC.from_pretrained(FOLDER, dtype=torch.float32).eval()
    inputs = LasrProcessor.from_pretrained(FOLDER)(audio=samples[: 20 * 16_000], sampling_rate=16_000)
    mel = lasr.log_mel(torch.from_numpy(samples[: 20 * 16_000]))[None]
    assert torch.allclose(mel, inputs["input_features"], atol=1e-4)
    with torch.inference_mode():
        wanted = theirs(**inputs, output_hidden_states=True)
        states = theirs.encoder(**inputs).last_hidden_state
        assert torch.allclose(ours.encoder(mel), states, atol=1e-4)
        assert torch.allclose(ours(mel), wanted.logits, atol=1e-4)
    assert wanted.logits.argmax(-1).unique().numel() > 30


def test_the_text_is_that_of_transformers_pipeline(samples: np.ndarray, heard: Transcript) -> None:
    theirs = pipeline(
        "automatic-speech-recognition",
        model=LasrForCTC.from_pretrained(FOLDER, dtype=torch.float32),
        tokenizer=LasrTokenizer.from_pretrained(FOLDER),
        feature_extractor=LasrFeatureExtractor.from_pretrained(FOLDER),
    )
    said = theirs({"raw": samples, "sampling_rate": 16_000}, chunk_length_s=20, stride_length_s=2)["text"]
    assert heard.text.split() == said.replace("</s>", "").split()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_fewer_bits_say_nearly_the_same(dtype: str, heard: Transcript) -> None:
    """float16 is kept in weights alone on a CPU; the weights are bfloat16's."""
    found = load("demo-medical", device="cpu", dtype=dtype).transcribe(SOUND).text
    assert jiwer.wer(medasr(heard.text), medasr(found)) < 0.05
