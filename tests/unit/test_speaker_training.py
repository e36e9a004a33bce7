"""The recipe of the bundled network for voices: what a voice is, what is kept out of training, crops, loss, folder."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from literatim.audio.fbank import fbank
from literatim.bench.trials import Trials, read_trials
from literatim.models.speaker import SpeakerNet
from literatim.models.speaker_formats import standard
from literatim.train.grammar import held_out
from literatim.train.learner import Learner
from literatim.train.recordings import RATE
from literatim.train.speaker import card, corpus, evaluate, export, fit, sets, voices
from literatim.train.speaker.compose import Composer
from literatim.train.speaker.corpus import Corpus, narrow, reverberate
from literatim.train.speaker.net import SCALE, TrainingNet, additive_margin

# The sets were frozen before the first training run: whoever changes one makes every published number another's.
FROZEN = {
    "speaker-voices.jsonl": "cd396c8c2fcb1346af5beac2063ed3706df4ba8c05f4b656ee321008237e3fa7",
    "speaker-drawn.jsonl": "4b2b0abbbb5f6d797fac8c130e78bc98bb1afea6df56b2e7937bbabeae110b8c",
    "speaker-drawn.trials": "9b116896973c01ccd5618ea0ffa47019dbd4a598c48a49ad2e992f1d717bc7ae",
    "speaker-variants.jsonl": "005165c6e65989523ef62fc868c9a4e369886eb3b8c31aabf4b963612ea45ebf",
    "speaker-variants.trials": "4b1ea46bb6aff8be62a84516c3137f130fb48ebe86d5df1d88a32984388e64e7",
}


def rows(kind: str) -> list[sets.Row]:
    lines = (sets.FOLDER / f"speaker-{kind}.jsonl").read_text("utf-8").splitlines()
    return [sets.Row(**json.loads(line)) for line in lines]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve voices as the real corpus has them: a spectrum of their own each, with noise for words."""
    folder, rng = tmp_path_factory.mktemp("voices"), np.random.default_rng(3)
    frames = [rng.normal(10, 2, (700, 80)) + 3 * np.sin(np.arange(80) / (2 + 3 * rng.random())) for _ in range(12)]
    np.save(folder / "0-0.npy", np.concatenate(frames).astype(np.float16))
    (folder / "0-0.json").write_text(json.dumps([{"frames": 700, "voice": f"0v{n}", "lines": []} for n in range(12)]))
    return folder


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """In place of espeak-ng, the same half second whatever is said, without room and band; gives it."""
    sound = np.random.default_rng(8).standard_normal(RATE // 2).astype(np.float32) * 0.05
    said = SimpleNamespace(say=lambda text, manner: SimpleNamespace(samples=sound))
    monkeypatch.setattr(corpus, "Espeak", lambda: said)
    monkeypatch.setattr(voices, "Files", lambda espeak: SimpleNamespace(path=lambda voice, accent: voice.name))
    monkeypatch.setattr(corpus, "ROOMS", 0.0)
    monkeypatch.setattr(corpus, "NARROW", 0.0)
    return sound


class TestSets:
    @pytest.mark.parametrize("name", FROZEN)
    def test_they_are_frozen(self, name: str) -> None:
        assert hashlib.sha256((sets.FOLDER / name).read_bytes()).hexdigest() == FROZEN[name]

    @pytest.mark.parametrize("seed", [0, 1, export.SEED])
    def test_their_drawn_voices_are_none_of_training(self, mute: np.ndarray, seed: int) -> None:
        tested = {voice.lines for voice in sets.read_drawn().values()}
        assert len(tested) == sets.DRAWN
        speaker = corpus.Speaker(seed)
        assert not tested & {speaker.voice(number)[1]["lines"] for number in range(20)}

    def test_their_sentences_are_never_trained(self) -> None:
        for kind in ("drawn", "variants"):
            for row in rows(kind):
                assert all(map(held_out, re.split(r"(?<=[.?!]) (?=\S)", row.text))), row.text

    def test_voices_of_the_sample_recordings_are_tested_and_not_trained(self) -> None:
        assert {"m5", "f4", "Andy"} <= set(voices.VARIANTS) == {row.voice for row in rows("variants")}
        assert not any("+" in accent for accent in voices.ACCENTS)

    @pytest.mark.parametrize("kind", ["drawn", "variants"])
    def test_trials_are_of_whom_they_say(self, kind: str) -> None:
        said = {row.name: row.voice for row in rows(kind)}
        trials = read_trials(sets.trials_path(kind))
        pairs = [(trials.names[first], trials.names[second]) for first, second in trials.pairs]
        assert [said[first] == said[second] for first, second in pairs] == trials.same.tolist()
        assert len({frozenset(names) for names in pairs if names[0] != names[1]}) == len(pairs)
        count = Counter(trials.same.tolist())
        assert count[True] == len(set(said.values())) * math.comb(sets.UTTERANCES, 2)
        assert count[False] == sets.DIFFERENT

    def test_noisy_and_short_are_the_others_with_something_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sound = np.random.default_rng(1).standard_normal(50_000).astype(np.float32) * 0.1
        monkeypatch.setattr(sets, "Cast", lambda drawn: SimpleNamespace(say=lambda row: sound))
        plain = [samples for _, samples in sets.render("drawn")]
        assert len(plain) == sets.DRAWN * sets.UTTERANCES
        assert all(np.abs(samples - sound).max() < 1e-4 for samples in plain)  # of 16 bits
        noisy = [samples for _, samples in sets.render("noisy")]
        added = noisy[0] - sound
        assert 10 * np.log10((sound**2).mean() / (added**2).mean()) == pytest.approx(10, abs=0.01)
        assert (noisy[1] ** 2).mean() < 0.7 * (noisy[0] ** 2).mean()  # a telephone's band is less than half of it
        assert {len(samples) for _, samples in sets.render("short")} == {24_000}


class TestVoices:
    def test_a_seed_is_a_voice(self) -> None:
        drawn = [voices.draw(random.Random(seed), "v") for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_what_is_drawn_can_be_spoken(self) -> None:
        rng = random.Random(5)
        for number in range(300):
            entries = [line.split() for line in voices.draw(rng, f"v{number}").lines]
            names = Counter(entry[0] for entry in entries)
            assert names.pop("formant") == 9
            assert set(names.values()) == {1}
            pitch = next([int(x) for x in entry[1:]] for entry in entries if entry[0] == "pitch")
            assert 50 < pitch[0] < pitch[1] < 400
            for entry in entries:
                if entry[0] == "formant":
                    assert 65 <= int(entry[2]) <= 150
                    assert 0 < int(entry[3]) <= 170
                assert all(value.isdigit() for value in entry[1:])

    def test_a_file_has_a_languages_rules_and_a_voices_lines(self, tmp_path: Path) -> None:
        (tmp_path / "lang" / "gmw").mkdir(parents=True)
        (tmp_path / "lang" / "gmw" / "en-US").write_text("language en-us 2\nphonemes en-us\n")
        files = voices.Files(SimpleNamespace(data=tmp_path))  # type: ignore[arg-type]
        voice = voices.draw(random.Random(1), "v1")
        path = files.path(voice, "gmw/en-US")
        lines = Path(path).read_text().splitlines()
        assert lines[:2] == ["language en-us 2", "phonemes en-us"]
        assert tuple(lines[-len(voice.lines) :]) == voice.lines
        assert path == path.lower()  # espeak-ng looks for no other
        assert files.path(voice, "gmw/en-US") == path


class TestSound:
    def test_a_room_is_heard_after_what_is_said(self) -> None:
        click = np.zeros(RATE, np.float32)
        click[1000] = 0.5
        heard = reverberate(np.random.default_rng(2), click)
        assert np.abs(heard[:1000]).max() < 1e-6
        assert heard[1000] == pytest.approx(0.5, abs=1e-6)
        assert np.abs(heard[1001:1048]).max() < 1e-6
        early, late = (float((heard[a:b] ** 2).sum()) for a, b in ((1050, 2000), (6000, 6950)))
        assert early > 10 * late
        assert heard.dtype == np.float32

    def test_a_narrow_band_takes_the_highest_away(self) -> None:
        rng = np.random.default_rng(4)
        for _ in range(6):
            noise = rng.standard_normal(4 * RATE).astype(np.float32)
            before, after = (np.abs(np.fft.rfft(x)) ** 2 for x in (noise, narrow(rng, noise)))
            high, middle = slice(31_000, None), slice(3000, 10_000)  # quarters of a Hz
            assert after[high].sum() < 0.2 * before[high].sum()
            assert after[middle].sum() > 0.5 * before[middle].sum()


class TestComposer:
    def test_a_batch(self, spoken: Path) -> None:
        batch = Composer(Corpus(spoken), 1).batch((100, 150), 8)
        assert batch["frames"].shape[0] == len(set(batch["voices"].tolist())) == 8
        assert batch["frames"].shape[1:] in [(100, 80), (150, 80)]
        assert batch["frames"].dtype == torch.float32
        assert batch["frames"].mean(1).abs().max() < 1e-4

    def test_the_same_seed_gives_the_same_crops(self, spoken: Path) -> None:
        made = [Composer(Corpus(spoken), 7).batch((120,), 6) for _ in range(2)]
        assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])

    def test_a_corpus_gives_each_voice_its_frames(self, spoken: Path) -> None:
        whole, said = np.load(spoken / "0-0.npy"), Corpus(spoken)
        assert len(said) == 12
        assert np.array_equal(said[5], whole[3500:4200])
        assert said.hours() == pytest.approx(84 / 3600)


class TestNet:
    def test_the_folder_hears_what_was_trained(self, tmp_path: Path) -> None:
        """Batch norms that have seen something, fused, give the vectors they gave."""
        torch.manual_seed(1)
        net = TrainingNet(fit.LAYERS, fit.CHANNELS, fit.EMBEDDING)
        for _ in range(3):
            net(torch.randn(4, 40, 80) * 3 + 1)
        made = standard(net.state_dict())
        ours = SpeakerNet(made.config).eval()
        ours.load_state_dict(made.tensors)
        frames = torch.randn(3, 57, 80) * 3
        assert made.config.layers == fit.LAYERS
        with torch.no_grad():
            expected = net.eval()(frames)
            assert torch.allclose(ours(frames), expected, atol=1e-5 * float(expected.abs().max()))

    def test_loss_without_margin_is_cross_entropy_of_cosines(self) -> None:
        torch.manual_seed(2)
        vectors, centres, right = torch.randn(5, 7), torch.randn(9, 7), torch.tensor([0, 3, 8, 8, 1])
        cosines = F.cosine_similarity(vectors[:, None], centres[None], -1)
        loss, share = additive_margin(vectors, centres, right, 0.0)
        assert loss.item() == pytest.approx(F.cross_entropy(SCALE * cosines, right).item(), rel=1e-5)
        assert share == (cosines.argmax(1) == right).float().mean()

    def test_a_margin_is_an_angle(self) -> None:
        """In a plane: a vector at 1.2 from its centre, and at pi/2 from the other, is as one at 1.5 without margin."""
        centres = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        near, far = (torch.tensor([[math.cos(x), math.sin(x), 0.0]]) for x in (1.2, 1.5))
        right = torch.tensor([0])
        losses = [additive_margin(near, centres, right, margin)[0].item() for margin in (0.0, 0.3)]
        assert losses[1] == pytest.approx(additive_margin(far, centres, right, 0.0)[0].item(), rel=1e-4)
        assert losses[0] < 0.01 * losses[1]  # in float32 the loss of what is told well is 0, whatever the margin


class TestFit:
    def learner(self) -> Learner[TrainingNet]:
        return Learner(TrainingNet((1, 1, 1, 1), (16, 16, 16, 16), 8), nn.Linear(8, 12, bias=False), 1e-3)

    def given(self, folder: Path, rate: float = 1e-2) -> argparse.Namespace:
        return argparse.Namespace(out=folder, minutes=100.0, rate=rate, warmup=2)

    def test_a_run_goes_on_where_it_was_killed(self, spoken: Path, tmp_path: Path) -> None:
        torch.manual_seed(0)
        run = fit.Run(self.learner(), self.given(tmp_path))
        composer = Composer(Corpus(spoken), 2)
        losses = []
        for _ in range(10):
            run.sums = [0.0] * 3
            run.update(composer.batch((40,), 12))
            losses.append(run.sums[0])
        assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
        run.before = 40.0
        run.save()
        again = fit.Run(self.learner(), self.given(tmp_path))
        assert (again.step, round(again.minutes())) == (10, 40)
        for mine, theirs in ((run.learner.model, again.learner.model), (run.learner.head, again.learner.head)):
            states = mine.state_dict(), theirs.state_dict()
            assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        assert not [*tmp_path.glob("*.part")]

    def test_rate_and_margin_follow_the_clock(self, tmp_path: Path) -> None:
        run = fit.Run(self.learner(), self.given(tmp_path, rate=1.0))
        run.given.warmup, seen = 100, []
        for run.step, run.before in ((0, 0.0), (99, 0.0), (5000, 20.0), (5000, 35.0), (5000, 72.5), (5000, 99.9)):
            seen.append((round(run.rate(), 2), round(run.margin(), 2)))
        assert seen == [(0.01, 0), (1, 0), (1, 0), (1, 0.1), (0.5, 0.2), (0.01, 0.2)]


def test_cosines_that_say_one_voice_are_where_they_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    voice = np.repeat(np.arange(export.VOICES), export.PARTS)
    vectors = (rng.standard_normal((export.VOICES, 6))[voice] + rng.standard_normal((len(voice), 6))).astype(np.float32)
    told = iter(torch.from_numpy(np.repeat(vectors, 2, 0)))  # of each part its crop and its window
    seeds: list[int] = []

    def speaker(seed: int) -> SimpleNamespace:
        seeds.append(seed)
        return SimpleNamespace(voice=lambda number: (np.zeros((320, 80)), {}))

    monkeypatch.setattr(export, "Speaker", speaker)
    found = export.cosines(lambda frames: next(told)[None])  # type: ignore[arg-type]
    assert next(told, None) is None
    assert seeds[0] not in range(1000)  # those of a corpus, one for each process
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = np.triu_indices(len(voice), 1)
    cosines, same = (unit @ unit.T)[pairs], voice[pairs[0]] == voice[pairs[1]]
    missed, mistaken = (cosines[same] < found["threshold"]).mean(), (cosines[~same] >= found["threshold"]).mean()
    assert 0.05 < missed < 0.4
    assert missed == pytest.approx(mistaken, abs=0.002)
    below, above = (
        found["cluster_similarity"] - cosines[~same].mean(),
        cosines[same].mean() - found["cluster_similarity"],
    )
    assert below == pytest.approx(above, abs=0.011)


def test_what_is_scored() -> None:
    """Cosines 1 and 0.6 of one voice, 0.8 and 0 of two: they cross at half of each kind; 0.9 misses one of two."""
    vectors = {"a": (1, 0), "b": (2, 0), "c": (0.6, 0.8), "d": (0, 3), "e": (0.8, 0.6)}
    pairs, same = np.array([(0, 1), (0, 2), (0, 4), (0, 3)]), np.array([True, True, False, False])
    asked = Trials(tuple(vectors), pairs, same)
    found = evaluate.score({name: np.array(vector) for name, vector in vectors.items()}, asked, 0.9)
    assert (found["trials"], found["same"], found["eer"]) == (4, 2, 0.5)
    assert (found["missed"], found["mistaken"]) == (0.5, 0)
    assert (found["cosine_same"], found["cosine_different"]) == (0.8, 0.4)


def test_the_card_says_what_was_measured(spoken: Path, tmp_path: Path) -> None:
    made = export.training({"step": 12_345, "minutes": 67.6, "worked": 55.4}, spoken)
    assert made["compute"] == "12,345 steps in 68 minutes, of which one CPU core worked 55"
    assert made["data"] == "0 hours of speech in 12 voices"
    numbers = {"trials": 3000, "same": 600, "eer": 0.01234, "min_dcf": 0.2, "missed": 0.05, "mistaken": 0.001}
    config = {"layers": [1, 2, 3, 2], "channels": [16, 32, 64, 128], "embedding_dim": 128, "cluster_similarity": 0.41}
    files = {"config": config, "training": {**made, "course": "It was killed once"}}
    files["evaluation"] = {"threshold": 0.5, "sets": dict.fromkeys(sets.SOURCES, numbers)}
    strict = {"der": 0.1271, "scored": 50.0, "missed": 4.0, "false_alarm": 2.0, "confusion": 0.25}
    heard = {
        "id": "talk",
        "duration": 59.9,
        "speakers": 3,
        "found": 2,
        "collar_0": strict,
        "collar_0.25": {"der": 0.04},
    }
    files["recordings"] = {"files": [heard]}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "model.safetensors").write_bytes(bytes(4_400_000))
    text = card.card(tmp_path)
    for part in (
        "4.4 MB in float32, 1.1 M parameters",
        "stages of 1, 2, 3 and 2 blocks",
        "| espeak-ng's own variants | 3,000, 600 | 1.23% | 0.200 | 5.0% | 0.1% |",
        "0.500: both kinds",
        "0.41: halfway",
        "worked 55. It was killed once |",
        "| talk | 60 | 3, 2 | 12.7% | 8.0% | 4.0% | 0.5% | 4.0% |",
        "de, sv, es, it and pl",
    ):
        assert part in text
    assert "{" not in text


def test_frames_of_the_corpus_are_those_the_model_hears(mute: np.ndarray) -> None:
    """What is stored is the front end's own, in half precision, but for the level."""
    frames, row = corpus.Speaker(1).voice(3)
    assert (len(frames), row["frames"], row["voice"]) == (48 * corpus.UTTERANCES, 48 * corpus.UTTERANCES, "1v3")
    shape = fbank(torch.from_numpy(mute)).numpy()
    levels = []
    for start in range(0, len(frames), 48):
        off = frames[start : start + 48].astype(np.float32) - shape
        levels.append(float(off.mean()))
        assert np.abs(off - levels[-1]).max() < 0.02
    assert 2 * math.log(0.1) - 0.01 < min(levels) < max(levels) - 0.5 < 0


def test_a_corpus_is_made_whole(mute: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "SHARD", 2)
    corpus.make_shards(tmp_path, 3, 5)
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["5-0.json", "5-2.json"]
    said = Corpus(tmp_path)
    assert [len(said[number]) for number in range(len(said))] == [48 * corpus.UTTERANCES] * 3
