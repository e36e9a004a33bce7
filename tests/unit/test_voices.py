"""`load_speaker` and what it gives: vectors, comparisons, and every kind of sound that has no voice in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import literatim
from audio_builders import encode, tone
from literatim import demo
from literatim.audio.decode import decode
from literatim.audio.fbank import fbank
from literatim.errors import (
    AudioContentError,
    AudioError,
    AudioFormatError,
    AudioNotFound,
    DeviceError,
    ModelFormatError,
    ModelNotFound,
    OptionError,
)
from literatim.types import Embedding
from literatim.voices import SpeakerModel
from speaker_builders import SMALL, random_speaker_folder

SPEECH = Path(demo.__file__).parent / "clips" / "en-new-templates-0.flac"
OTHER = Path(demo.__file__).parent / "clips" / "en-new-templates-1.flac"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_speaker_folder(tmp_path_factory.mktemp("speaker"), 7)


@pytest.fixture(scope="module")
def model(folder: Path) -> SpeakerModel:
    return literatim.load_speaker(folder, device="cpu")


def test_embed(model: SpeakerModel) -> None:
    """A file, its bytes and its samples are one recording; the vector at length 1 has the same direction."""
    found = model.embed(SPEECH)
    samples = decode(SPEECH).samples[0]
    assert found.vector.shape == (SMALL.embedding_dim,)
    assert found.seconds == pytest.approx(len(samples) / 16_000)
    assert found.warnings == ()
    for other in (SPEECH.read_bytes(), samples):
        assert np.array_equal(model.embed(other).vector, found.vector)
    assert np.linalg.norm(found.normalised) == pytest.approx(1)
    assert np.allclose(found.normalised * np.linalg.norm(found.vector), found.vector)
    assert json.loads(json.dumps(found.to_dict()))["model"] == model.name


def test_other_rates(model: SpeakerModel) -> None:
    """An array at 48 kHz is heard at 16."""
    samples = tone(48_000, 2.0)[0]
    assert model.embed(samples, sampling_rate=48_000).seconds == pytest.approx(2.0)


def test_compare(model: SpeakerModel) -> None:
    same = model.compare(SPEECH, SPEECH)
    assert same.cosine == pytest.approx(1)
    assert same.same
    first, second = model.embed(SPEECH), model.embed(OTHER)
    found = model.compare(first, second, threshold=0.999999)
    assert found.cosine == pytest.approx(float(first.normalised @ second.normalised))
    assert found.to_dict() == {"cosine": found.cosine, "same": False, "threshold": 0.999999}
    assert model.compare(first, second, threshold=-1).same


def test_many_recordings(model: SpeakerModel, tmp_path: Path) -> None:
    """One that fails stops no other, and each is what it is alone."""
    (tmp_path / "a.wav").write_bytes(b"nothing")
    audios = [SPEECH, tmp_path / "a.wav", OTHER, tmp_path / "b.wav", SPEECH]
    for size in (1, 2, 16):
        found = dict(model.embed_many(audios, batch_size=size))
        assert list(found) == [0, 1, 2, 3, 4]
        assert isinstance(found[1], AudioFormatError)
        assert isinstance(found[3], AudioNotFound)
        for number in (0, 2, 4):
            one = found[number]
            assert isinstance(one, literatim.Embedding)
            alone = model.embed(audios[number]).vector
            assert np.abs(one.vector - alone).max() <= 1e-6 * np.abs(alone).max()


def test_features(model: SpeakerModel, tmp_path: Path) -> None:
    """In every shape that they are found in, their mean subtracted or not, double or single."""
    samples = torch.from_numpy(decode(SPEECH).samples[0])
    frames, wanted = fbank(samples).numpy(), model.embed(SPEECH).vector
    shapes: list[np.ndarray] = [frames, frames[None], frames.T, frames.astype(np.float64), frames - frames.mean(0)]
    for shape in shapes:
        found = model.embed_features(shape).vector
        assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()
        np.save(tmp_path / "frames.npy", shape)
        assert np.array_equal(model.embed_features(tmp_path / "frames.npy").vector, found)
    square = frames[:80]
    assert np.array_equal(model.embed_features(square).vector, model.embed_features(square[None]).vector)
    assert np.array_equal(model.embed_features(square).vector, model.encoder.embed_frames([torch.tensor(square)])[0])


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((5, 79)), AudioFormatError),
        (np.zeros((2, 5, 80)), AudioFormatError),
        (np.zeros(80), AudioFormatError),
        (np.full((5, 80), "a"), AudioFormatError),
        (np.full((5, 80), 1j), AudioFormatError),
        (np.zeros((0, 80)), AudioContentError),
        (np.full((5, 80), np.nan), AudioContentError),
    ],
)
def test_features_that_cannot_be_right(model: SpeakerModel, array: np.ndarray, error: type[AudioError]) -> None:
    with pytest.raises(error):
        model.embed_features(array)


def test_feature_files_that_cannot_be_read(model: SpeakerModel, tmp_path: Path) -> None:
    with pytest.raises(AudioNotFound):
        model.embed_features(tmp_path / "none.npy")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(AudioFormatError):
        model.embed_features(tmp_path / "text.npy")
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(AudioFormatError):
        model.embed_features(tmp_path / "object.npy")
    np.savez(tmp_path / "many.npz", a=np.zeros((5, 80)))
    with pytest.raises(AudioFormatError, match="several arrays"):
        model.embed_features(tmp_path / "many.npz")


def test_silence_and_what_is_no_speech(model: SpeakerModel) -> None:
    """Silence is refused; sound without speech, and little of it, is said to tell little."""
    for quiet in (np.zeros(32_000, np.float32), np.full(32_000, 1e-6, np.float32)):
        with pytest.raises(AudioContentError, match="silent"):
            model.embed(quiet)
    hiss = 0.01 * np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    assert any("no speech" in said for said in model.embed(hiss).warnings)
    short = decode(SPEECH).samples[0][16_000:24_000]
    assert any("0.5 s" in said for said in model.embed(short).warnings)
    with pytest.raises(AudioContentError):
        model.embed(np.ones(300, np.float32))


def test_speech_after_minutes_of_hiss_is_found(model: SpeakerModel) -> None:
    hiss = 0.001 * np.random.default_rng(0).standard_normal(30 * 16_000).astype(np.float32)
    assert model.embed(np.concatenate([hiss, decode(SPEECH).samples[0]])).warnings == ()


def edited(folder: Path, path: Path, **entries: Any) -> Path:
    """A copy with other entries of config.json."""
    path.mkdir()
    for file in folder.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | entries))
    return path


def test_thresholds(folder: Path, tmp_path: Path) -> None:
    """The caller's, else the model's, else a half."""
    own = edited(folder, tmp_path / "own", threshold=0.31)
    assert literatim.load_speaker(folder).threshold == 0.5
    assert literatim.load_speaker(own).threshold == 0.31
    assert literatim.load_speaker(own, threshold=0.7).threshold == 0.7
    for wrong in (1.5, "high", True):
        with pytest.raises(ModelFormatError, match="threshold"):
            literatim.load_speaker(edited(folder, tmp_path / str(wrong), threshold=wrong))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"device": "gpu"}, OptionError),
        ({"device": "cuda:99"}, DeviceError),
        ({"dtype": "int8"}, OptionError),
        ({"frontend": "mfcc"}, OptionError),
        ({"threshold": 2}, OptionError),
        ({"assistant": "tiny"}, OptionError),
    ],
)
def test_options_that_make_no_sense(folder: Path, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        literatim.load_speaker(folder, **options)


def test_models_of_another_kind(tmp_path: Path, model: SpeakerModel) -> None:
    """A recogniser is named as what it is, and so is a network for voices where a recogniser is wanted."""
    with pytest.raises(ModelFormatError, match="'whisper'"):
        literatim.load_speaker("demo")
    with pytest.raises(ModelNotFound):
        literatim.load_speaker(tmp_path / "none")
    with pytest.raises(ModelFormatError, match="load_speaker"):
        literatim.load(model.folder)


def test_without_a_name_nothing_bundled_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITERATIM_SPEAKER_MODEL", raising=False)
    with pytest.raises(ModelNotFound, match="WeSpeaker-ResNet34-LM"):
        literatim.load_speaker()


def test_a_cosine_at_the_threshold_is_one_speakers(model: SpeakerModel) -> None:
    first, second = (Embedding(np.eye(model.dimension, dtype=np.float32)[at], model.name) for at in (0, 1))
    assert model.compare(first, first, threshold=1.0).same
    assert model.compare(first, second, threshold=0.0).same
    assert not model.compare(first, second, threshold=1e-6).same


def test_groups_are_one_speaker_from_the_models_own_similarity(tmp_path: Path) -> None:
    """What is asked for goes before it."""
    found = []
    for similarity in (-1.0, 1.0):
        folder = random_speaker_folder(tmp_path / str(similarity), 7)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "cluster_similarity": similarity}))
        voices = literatim.load_speaker(folder, device="cpu")
        found += [len(voices.diarize(SPEECH, **how).speakers) for how in ({}, {"speaker_similarity": -similarity})]
    assert found[0] == found[3] == 1
    assert found[1] == found[2] > 1


def test_vectors_of_another_model(model: SpeakerModel, tmp_path: Path) -> None:
    other = literatim.load_speaker(random_speaker_folder(tmp_path / "other", 8))
    with pytest.raises(OptionError, match="one model"):
        model.compare(SPEECH, other.embed(SPEECH))


def test_a_channel_at_a_time(model: SpeakerModel) -> None:
    """A number chooses one; split has no one vector."""
    left, right = decode(SPEECH).samples[0][:64_000], decode(OTHER).samples[0][:64_000]
    stereo = encode(np.stack([left, right]), 16_000, "wav", "pcm_s16le")
    second = model.embed(stereo, channels="1")
    assert model.compare(second, right).cosine > 0.9999 > model.compare(second, left).cosine
    with pytest.raises(OptionError, match="one channel"):
        model.embed(stereo, channels="split")


def test_identity_and_facts(model: SpeakerModel, folder: Path) -> None:
    """What a book of voices asks: two front ends are two models."""
    assert model.identity.dimension == model.dimension == SMALL.embedding_dim
    assert (model.device.type, model.dtype, model.frontend) == ("cpu", torch.float32, "kaldi")
    other = literatim.load_speaker(folder, frontend="librosa")
    assert not model.identity.agrees(other.identity)
    check: Callable[[Any], bool] = literatim.load_speaker(folder).identity.agrees
    assert check(model.identity)
