"""Vectors of sound against kaldi-native-fbank and WeSpeaker's arithmetic; alone, in batches, in windows, in pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

import literatim
from literatim.audio import librosa_mel
from literatim.audio.decode import decode
from literatim.audio.fbank import centred
from literatim.errors import AudioContentError, OptionError
from literatim.models.speaker_config import SpeakerConfig
from literatim.pipeline import voice
from literatim.pipeline.voice import VoiceEncoder, load_encoder
from reference.kaldi import kaldi
from reference.wespeaker import embedding
from speaker_builders import DEEP, SMALL, random_speaker_folder, random_wespeaker

CPU = torch.device("cpu")
DEMO = Path(literatim.__file__).parent / "demo"
NARROW = SpeakerConfig(embedding_dim=16, layers=(1, 1, 1, 1), channels=(4, 4, 4, 6))


def noise(length: int, seed: int = 0) -> np.ndarray:
    """(length,) float32 whose colour changes with the seed, so that vectors differ."""
    random = np.random.default_rng(seed)
    white = 0.1 * random.standard_normal(length + 8)
    return np.convolve(white, random.standard_normal(9), "valid").astype(np.float32)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> VoiceEncoder:
    return load_encoder(random_speaker_folder(tmp_path_factory.mktemp("voice"), 7), torch.float32, CPU)


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def close(found: np.ndarray, wanted: np.ndarray, bound: float = 1e-6) -> None:
    """To `bound` of the largest value of all."""
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= bound * np.abs(wanted).max()


@pytest.mark.parametrize("config", [SMALL, DEEP], ids=["basic", "bottleneck"])
def test_the_whole_way(tmp_path: Path, config: SpeakerConfig) -> None:
    """Synthetic speech, noise, a tone: Kaldi's own frames through the second implementation of the network."""
    ours = load_encoder(random_speaker_folder(tmp_path, 5, config), torch.float32, CPU)
    state = random_wespeaker(5, config)
    speech = decode(DEMO / "clips/en-new-templates-0.flac").samples[0]
    tone = (0.3 * np.sin(np.arange(20_000) * 0.1) + 0.01 * noise(20_000)).astype(np.float32)
    sounds = [speech, noise(40_001), tone, noise(1999)]
    for sound, found in zip(sounds, ours.embed(sounds), strict=True):
        wanted = embedding(state, centred(torch.from_numpy(kaldi(sound, config.n_mels)))).numpy()
        close(found, wanted, 1e-3)
        assert cosine(found, wanted) > 0.999999


def test_neighbours_change_nothing(encoder: VoiceEncoder) -> None:
    """Sounds of many lengths, some of one, in batches of any size."""
    sounds = [noise(length, at) for at, length in enumerate((400, 24_000, 24_000, 8000, 561, 24_000, 2000, 31_234))]
    alone = np.stack([encoder.embed([sound])[0] for sound in sounds])
    for size in (1, 2, 16):
        close(encoder.embed(sounds, size), alone)
    assert np.isfinite(alone).all()
    assert encoder.embed([]).shape == (0, SMALL.embedding_dim)


def test_windows(encoder: VoiceEncoder) -> None:
    """Frames that overlapping windows share are made once, and each window's vector is that of its samples alone."""
    sound = torch.from_numpy(noise(200_000))
    spans = [(0, 24_000), (12_000, 36_000), (24_000, 40_000), (50_003, 60_000), (50_163, 74_163), (150_000, 150_400)]
    windows = [*spans, *((start, start + 24_000) for start in range(20_000, 160_000, 12_000))]
    windows.sort()
    close(encoder.embed_windows(sound, windows), encoder.embed([sound[start:stop] for start, stop in windows]))
    assert encoder.embed_windows(sound, []).shape == (0, SMALL.embedding_dim)


def test_windows_of_an_hour_are_made_a_minute_at_a_time(encoder: VoiceEncoder) -> None:
    runs = list(voice._runs([(start, start + 24_000) for start in range(0, 3600 * 16_000, 12_000)]))
    assert all(run[-1][1] - run[0][0] <= voice.RUN for run in runs)
    assert len(runs) < 65


@pytest.mark.parametrize("config", [NARROW, DEEP, SMALL], ids=["narrow", "bottleneck", "basic"])
@pytest.mark.parametrize("length", [800, 801, 1007, 1600, 2111])
def test_long_recordings_go_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: SpeakerConfig, length: int
) -> None:
    """With so much around each as a step hears, the vector is that of the whole; with less it is not."""
    ours = load_encoder(random_speaker_folder(tmp_path, 5, config), torch.float32, CPU)
    frames = [2 * torch.randn(length, config.n_mels, generator=torch.Generator().manual_seed(length))]
    whole = ours.embed_frames(frames)
    monkeypatch.setattr(voice, "PIECE", 160)
    pieces = ours.embed_frames(frames)
    close(pieces, whole, 1e-5)
    monkeypatch.setattr(SpeakerConfig, "reach", 8)
    assert np.abs(ours.embed_frames(frames) - whole).max() > 1e-4 * np.abs(whole).max()


def test_the_network_never_holds_more_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three minutes go through it as half a minute does, with what a step hears on both sides."""
    ours = load_encoder(random_speaker_folder(tmp_path, 5, NARROW), torch.float32, CPU)
    widths: list[int] = []
    maps = ours.model.maps

    def watched(frames: torch.Tensor, lengths: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
        widths.append(frames.shape[1])
        return maps(frames, lengths)

    monkeypatch.setattr(ours.model, "maps", watched)
    ours.embed_frames([torch.randn(18_001, 80, generator=torch.Generator().manual_seed(0))])
    assert len(widths) == 6
    assert max(widths) == voice.PIECE + 2 * NARROW.reach


def test_how_far_a_step_hears(encoder: VoiceEncoder) -> None:
    """A change of a frame within reach is heard, and of one beyond it is not; ResNet34's is 112."""
    assert SpeakerConfig().reach == 112
    frames = torch.randn(1, 400, 80, generator=torch.Generator().manual_seed(1))
    step, reach = 25, SMALL.reach
    plain = encoder.model.maps(frames)[0][..., step]

    def heard(frame: int) -> bool:
        changed = frames.clone()
        changed[0, frame] += 100
        return not torch.equal(encoder.model.maps(changed)[0][..., step], plain)

    assert not heard(8 * step - reach - 1)
    assert not heard(8 * step + reach + 1)
    near = [frame for frame in range(8 * step - reach, 8 * step + reach + 1) if heard(frame)]
    assert near[0] < 8 * step - reach + 8
    assert near[-1] > 8 * step + reach - 8


def test_librosa_front_end(tmp_path: Path) -> None:
    """Against transformers' spectrogram with librosa's settings, which it was written after."""
    filters = mel_filter_bank(257, 80, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
    window = window_function(512, "hann")
    for sound in (noise(16_000), noise(401), decode(DEMO / "clips/en-new-templates-0.flac").samples[0]):
        wanted = spectrogram(
            sound.astype(np.float64),
            window,
            512,
            160,
            fft_length=512,
            power=2.0,
            center=True,
            pad_mode="constant",
            mel_filters=filters,
            mel_floor=1e-10,
            log_mel="log",
        ).T
        found = librosa_mel.log_mel(torch.from_numpy(sound)).numpy()
        assert found.shape == wanted.shape == (1 + len(sound) // 160, 80)
        assert np.abs(found - wanted).max() < 1e-4
    folder = random_speaker_folder(tmp_path, 7)
    ported = load_encoder(folder, torch.float32, CPU, "librosa")
    sound = torch.from_numpy(noise(60_000))
    state, frames = random_wespeaker(7), librosa_mel.log_mel(sound)
    close(ported.embed([sound])[0], embedding(state, centred(frames)).numpy(), 1e-5)
    windows = [(0, 24_000), (12_000, 36_000)]
    close(ported.embed_windows(sound, windows), ported.embed([sound[start:stop] for start, stop in windows]))


def test_what_cannot_be_heard(encoder: VoiceEncoder) -> None:
    with pytest.raises(AudioContentError, match="25 ms"):
        encoder.embed([noise(399)])
    with pytest.raises(AudioContentError, match="25 ms"):
        encoder.embed_windows(torch.from_numpy(noise(9000)), [(0, 8000), (160, 559)])
    with pytest.raises(OptionError, match="kaldi, librosa"):
        VoiceEncoder(encoder.model, "mfcc")


def test_it_is_alive(encoder: VoiceEncoder) -> None:
    """Other sounds give other vectors; louder ones the same, whose means over time are other by a constant."""
    first, second, louder = encoder.embed([noise(20_000, 1), noise(20_000, 2), 2 * noise(20_000, 1)])
    assert cosine(first, second) < 0.999
    assert cosine(first, louder) > 0.999999
