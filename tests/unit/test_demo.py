"""What is bundled, and how it was made: the sample recordings, and the export of a trained network."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import WhisperConfig, WhisperForConditionalGeneration, WhisperProcessor

from literatim import demo
from literatim.audio.decode import decode
from literatim.errors import AudioNotFound, ModelNotFound
from literatim.models.checkpoint import load_whisper
from literatim.models.folder import alignment_heads, read_folder
from literatim.text.tokenizer import WhisperTokenizer
from literatim.train import export, fit, grammar, recordings
from literatim.train.speaker import recording as recording_of
from literatim.train.vocabulary import IDS

MIB = 2**20
HELD_OUT = {"m5", "f4", "Andy"}


def reference(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text("utf-8"))


@pytest.fixture(params=["meeting", "vergadering", "noisy"])
def recording(request) -> Path:
    return demo.recording_path(request.param)


class TestRecordings:
    def test_they_are_few_and_small(self):
        files = demo.recordings()
        assert [file.name for file in files] == ["meeting.flac", "noisy.flac", "vergadering.flac"]
        assert sum(file.stat().st_size for file in files[0].parent.iterdir()) < 3 * MIB

    def test_names_that_are_not_there(self):
        with pytest.raises(AudioNotFound, match=r"meeting\.flac"):
            demo.recording_path("symphony")
        with pytest.raises(ModelNotFound, match="nothing"):
            demo.model_path("nothing")

    def test_the_reference_is_of_the_recording(self, recording):
        heard, said = decode(recording), reference(recording)
        assert heard.duration == pytest.approx(said["duration"], abs=0.001)
        assert heard.warnings == ()
        assert len(heard.samples) == 1
        assert said["text"] == " ".join(segment["text"] for segment in said["segments"])

    def test_sentences_are_those_kept_for_it_in_voices_kept_out(self, recording):
        said = reference(recording)
        assert {segment["text"] for segment in said["segments"]} <= set(grammar.load(said["language"]).meeting)
        assert {segment["voice"].partition("+")[2] for segment in said["segments"]} <= HELD_OUT

    def test_sentences_fit_a_window_and_follow_each_other(self, recording):
        segments = reference(recording)["segments"]
        assert all(0 < segment["end"] - segment["start"] <= 7.4 for segment in segments)
        assert all(b["start"] - a["end"] > 0.24 for a, b in pairwise(segments))

    def test_words_fill_their_sentence(self, recording):
        for segment in reference(recording)["segments"]:
            words = segment["words"]
            assert " ".join(word["word"] for word in words) == segment["text"]
            assert words[0]["start"] == segment["start"]
            assert words[-1]["end"] == segment["end"]
            assert all(a["start"] < a["end"] == b["start"] for a, b in pairwise(words))

    @pytest.mark.parametrize("name", ["meeting", "vergadering"])
    def test_nothing_is_heard_between_the_sentences(self, name):
        path = demo.recording_path(name)
        samples = decode(path).samples[0]
        silent = np.ones(len(samples), bool)
        for segment in reference(path)["segments"]:
            first, last = (round(segment[side] * 16_000) for side in ("start", "end"))
            assert np.abs(samples[first:last]).max() > 0.3
            silent[first - 16 : last + 16] = False
        assert not samples[silent].any()

    def test_two_people_meet_and_one_of_them_is_softer(self):
        for name in ("meeting", "vergadering"):
            path = demo.recording_path(name)
            samples, loudest = decode(path).samples[0], {}
            for segment in reference(path)["segments"]:
                part = samples[round(segment["start"] * 16_000) : round(segment["end"] * 16_000)]
                loudest.setdefault(segment["speaker"], set()).add(round(float(np.abs(part).max()), 2))
            assert len(loudest) == 2
            assert all(len(levels) == 1 for levels in loudest.values())
            assert len(set.union(*loudest.values())) == 2

    def test_the_noisy_one_has_stretches_without_speech(self):
        path = demo.recording_path("noisy")
        samples, segments = decode(path).samples[0], reference(path)["segments"]
        gaps = [(a["end"], b["start"]) for a, b in pairwise(segments) if b["start"] - a["end"] > 5]
        levels = [samples[round((a + 1.2) * 16_000) : round((b - 0.2) * 16_000)].std() for a, b in gaps]
        speech = [samples[round(s["start"] * 16_000) : round(s["end"] * 16_000)].std() for s in segments]
        assert levels[0] == 0
        assert len(levels) == 3
        ratios = 20 * np.log10(np.mean(speech) / np.asarray(levels[1:]))
        assert all(12 < ratio < 18 for ratio in ratios)


class TestDiscussion:
    PATH = next(path for path in demo.recordings("discussions") if path.stem == "exhibition")

    def test_the_reference_is_of_the_recording(self):
        heard, said = decode(self.PATH), reference(self.PATH)
        assert heard.duration == pytest.approx(said["duration"], abs=0.001)
        assert len(heard.samples) == 1
        assert self.PATH.stat().st_size < MIB
        segments = said["segments"]
        assert said["text"] == " ".join(segment["text"] for segment in segments) == " ".join(recording_of.LINES)
        assert segments == sorted(segments, key=lambda segment: segment["start"])

    def test_three_voices_kept_out_speak_and_now_and_then_two_at_once(self):
        segments = reference(self.PATH)["segments"]
        names = {(segment["speaker"], segment["voice"].partition("+")[2]) for segment in segments}
        assert len({name for name, _ in names}) == len(names) == 3
        assert {voice for _, voice in names} == HELD_OUT
        overlaps = [a["end"] - b["start"] for a, b in pairwise(segments) if b["start"] < a["end"]]
        assert overlaps == pytest.approx(list(recording_of.PLAN.overlaps.values()), abs=0.002)
        assert all(a["speaker"] != b["speaker"] for a, b in pairwise(segments) if b["start"] < a["end"])
        assert all(b["start"] >= a["end"] for a, b in zip(segments, segments[2:], strict=False))

    def test_words_of_the_demo_are_all_it_says(self):
        known = {word.lower() for word in grammar.load("en").words}
        assert set(re.findall(r"[a-z']+", " ".join(recording_of.LINES).lower())) <= known

    def test_nothing_is_heard_where_nobody_speaks(self):
        samples = decode(self.PATH).samples[0]
        silent = np.ones(len(samples), bool)
        for segment in reference(self.PATH)["segments"]:
            silent[round(segment["start"] * 16_000) - 16 : round(segment["end"] * 16_000) + 16] = False
        assert silent.sum() > 16_000
        assert not samples[silent].any()


class FakeEspeak:
    """Says every word in a tenth of a second."""

    def say(self, text: str, manner: object) -> SimpleNamespace:
        count = len(text.split())
        samples = np.full(1600 * count, 0.5, np.float32)
        return SimpleNamespace(samples=samples, word_starts=tuple(index / 10 for index in range(count)))


class TestMakingThem:
    def test_words_are_where_the_samples_are(self):
        samples, said = recordings.speak(recordings.PLANS[0], FakeEspeak(), seed=3)
        for sentence in said:
            assert len(sentence.words) == pytest.approx(10 * (sentence.end - sentence.start), abs=0.01)
            for word in sentence.words:
                assert word.end - word.start == pytest.approx(0.1, abs=0.0011)
                inside = samples[round(word.start * 16_000) + 8 : round(word.end * 16_000) - 8]
                assert (inside > 0.3).all()
        assert np.count_nonzero(samples) == 1600 * sum(len(sentence.words) for sentence in said)

    def test_two_at_once_are_heard_both(self):
        samples, said = recordings.speak(recording_of.PLAN, FakeEspeak(), seed=1)
        levels = {"m5": 0.45, "f4": 0.35, "Andy": 0.4}
        expected = np.zeros(len(samples))
        for sentence in said:
            first, last = (round(at * 16_000) for at in (sentence.start, sentence.end))
            expected[first:last] += levels[sentence.voice.partition("+")[2]]
        off = np.abs(samples - expected) > 1e-6
        assert off.sum() <= 2 * 8 * len(said)  # times are rounded to a millisecond, half of which is 8 samples
        assert samples.max() == pytest.approx(0.85)  # the two loudest

    def test_another_seed_gives_other_pauses(self):
        first, second = (recordings.speak(recordings.PLANS[0], FakeEspeak(), seed)[0] for seed in (1, 2))
        again, _ = recordings.speak(recordings.PLANS[0], FakeEspeak(), 1)
        assert len(first) != len(second)
        assert np.array_equal(first, again)

    def test_a_flac_file_keeps_16_bits(self, tmp_path):
        samples = np.random.default_rng(0).uniform(-0.9, 0.9, 40_123).astype(np.float32)
        recordings.write_flac(tmp_path / "a.flac", samples)
        heard = decode(tmp_path / "a.flac").samples[0]
        assert len(heard) == len(samples)
        np.testing.assert_allclose(heard, samples, atol=1.1 / 32767 + 0.9 / 32768)


def bpe_of_the_right_size(path: Path) -> Path:
    """The bytes and pairs of them, 1,300 tokens in all, as training has."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    common = [letter for letter in letters if letter.isascii()][:40]
    pairs = [(a, b) for a in common for b in common][: 1300 - len(letters)]
    tokens = [*letters, *(a + b for a, b in pairs)]
    tokenizer = Tokenizer(models.BPE(vocab={token: id for id, token in enumerate(tokens)}, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(path))
    return path


SMALL = {"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "encoder_layers": 1}
SMALL |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_layers": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A random network of the demo's vocabulary and window, exported."""
    work = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    config = WhisperConfig(**{**fit.config().to_dict(), **SMALL})
    network = WhisperForConditionalGeneration(config)
    fit.initialise(network)
    bpe = bpe_of_the_right_size(work / "bpe.json")
    export.export(network.state_dict(), bpe, work / "out", config)
    return work / "out"


@pytest.fixture(scope="module")
def reference_model(folder) -> WhisperForConditionalGeneration:
    return WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


class TestExport:
    def test_it_holds_what_published_folders_hold(self, folder):
        wanted = "model.safetensors config.json generation_config.json tokenizer.json vocab.json merges.txt "
        wanted += "added_tokens.json special_tokens_map.json tokenizer_config.json preprocessor_config.json"
        assert {file.name for file in folder.iterdir()} == set(wanted.split())
        config = json.loads((folder / "config.json").read_text("utf-8"))
        assert config["architectures"] == ["WhisperForConditionalGeneration"]
        assert config["model_type"] == "whisper"
        assert config["dtype"] == "bfloat16"
        settings = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
        sizes = {"chunk_length": 8, "feature_size": 80, "nb_max_frames": 800, "n_samples": 128_000}
        assert sizes.items() <= settings.items()

    def test_generation_config_names_the_tokens(self, folder):
        config = json.loads((folder / "generation_config.json").read_text("utf-8"))
        added = json.loads((folder / "added_tokens.json").read_text("utf-8"))
        assert config["lang_to_id"] == {text: added[text] for text in ("<|en|>", "<|nl|>")}
        assert config["task_to_id"] == {task: added[f"<|{task}|>"] for task in ("transcribe", "translate")}
        assert config["no_timestamps_token_id"] == added["<|notimestamps|>"]
        assert config["prev_sot_token_id"] == added["<|startofprev|>"]
        assert config["decoder_start_token_id"] == added["<|startoftranscript|>"]
        ends = {config[f"{name}_token_id"] for name in ("bos", "eos", "pad")}
        assert ends == {added["<|endoftext|>"]}
        vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
        assert config["begin_suppress_tokens"] == [vocabulary["Ġ"], added["<|endoftext|>"]]
        steering = "startoftranscript translate transcribe startoflm startofprev nospeech"
        assert {added[f"<|{name}|>"] for name in steering.split()} <= set(config["suppress_tokens"])
        assert {vocabulary[mark] for mark in '"#()*'} <= set(config["suppress_tokens"])
        assert not {vocabulary[letter] for letter in "abc,.?'"} & set(config["suppress_tokens"])

    def test_transformers_and_literatim_read_one_tokenizer(self, folder):
        found = read_folder(folder)
        ours = WhisperTokenizer.from_folder(folder, found.generation_config, found.config)
        theirs = WhisperProcessor.from_pretrained(folder).tokenizer
        text = " Goedemorgen, Karen: it's 12 o'clock."
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)
        assert theirs.decode(ours.encode(text)) == text
        names = ("eot", "sot", "translate", "transcribe", "startoflm", "startofprev", "no_speech")
        assert all(getattr(ours, name) == getattr(IDS, name) for name in (*names, "timestamp_begin"))
        assert ours.timestamp_end == theirs.convert_tokens_to_ids("<|8.00|>") + 1 == len(theirs) == IDS.vocabulary
        assert theirs.all_special_ids == list(range(IDS.eot, IDS.timestamp_begin))

    def test_the_older_files_give_the_same_tokenizer(self, folder, tmp_path):
        for name in ("vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json"):
            (tmp_path / name).write_bytes((folder / name).read_bytes())
        found = read_folder(folder)
        new, old = (
            WhisperTokenizer.from_folder(place, found.generation_config, found.config).vocabulary
            for place in (folder, tmp_path)
        )
        assert old.named == new.named
        assert old.special == new.special
        assert old.encode(" It's the same, isn't it?") == new.encode(" It's the same, isn't it?")

    def test_transformers_and_literatim_load_one_network(self, folder, reference_model):
        ours = load_whisper(folder, torch.float32, torch.device("cpu"))
        assert alignment_heads(read_folder(folder)) == ((1, 0), (1, 1))
        mine = {tuple(value.shape): value for value in ours.state_dict().values()}
        embedding = reference_model.model.decoder.embed_tokens.weight
        assert torch.equal(mine[IDS.vocabulary, 32], embedding)

    def test_only_whispers_tensors_are_in_it(self, folder, reference_model):
        size = (folder / "model.safetensors").stat().st_size
        parameters = sum(value.numel() for value in reference_model.parameters())
        assert 2 * parameters < size < 2 * parameters + 20_000  # bfloat16 and a header

    @pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
    def test_transformers_generates_text_with_times(self, folder, reference_model):
        processor = WhisperProcessor.from_pretrained(folder)
        samples = np.random.default_rng(0).normal(0, 0.1, 128_000).astype(np.float32)
        features = processor(samples, sampling_rate=16_000, return_tensors="pt").input_features
        assert features.shape == (1, 80, 800)
        made = reference_model.generate(
            features, language="en", task="transcribe", return_timestamps=True, max_new_tokens=12
        )
        text = processor.tokenizer.decode(made[0], decode_with_timestamps=True)
        assert re.match(r"<\|[01]\.\d\d\|>", text)


def test_a_checkpoint_tells_how_many_decoder_layers_it_has():
    state = WhisperForConditionalGeneration(fit.config(2)).state_dict()
    assert export.shape_of(state).decoder_layers == 2
    assert export.shape_of(state).vocab_size == IDS.vocabulary
