"""Whole decodes equal to those of transformers' generate, on random networks of every family."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from audio_builders import wav
from literatim.api import load
from literatim.models.checkpoint import load_whisper
from literatim.options import TranscribeOptions
from literatim.pipeline.engine import Engine
from reference.naive import NaiveRules, allowed
from tokenizer_builders import standard_tokenizer
from whisper_builders import dump, random_whisper_folder

ROWS = 3
TIES = 0.02  # of all decodes may differ where two tokens are as good as equal
MARGIN = 1e-4  # of the spread of the logits

# (width, heads of the encoder, of the decoder, ffn, layers of the encoder, of the decoder, mels, positions, text)
NAMES = (
    "d_model",
    "encoder_attention_heads",
    "decoder_attention_heads",
    "encoder_ffn_dim",
    "encoder_layers",
    "decoder_layers",
    "num_mel_bins",
    "max_source_positions",
    "max_target_positions",
)
FAMILIES: dict[str, dict[str, Any]] = {
    name: dict(zip(NAMES, sizes, strict=True)) | {"decoder_ffn_dim": sizes[3] + 8}
    for name, sizes in {
        "plain": (32, 4, 4, 64, 2, 2, 80, 100, 64),
        "one layer each": (32, 4, 4, 64, 1, 1, 80, 50, 64),
        "three heads": (30, 3, 3, 120, 2, 2, 80, 75, 64),
        "other heads in the decoder": (30, 5, 3, 60, 3, 1, 80, 60, 48),
        "seven heads and three": (42, 7, 3, 100, 2, 3, 80, 50, 40),
        "one head": (40, 1, 5, 70, 1, 2, 80, 52, 64),
        "one head in the decoder": (36, 9, 1, 20, 2, 1, 80, 51, 64),
        "wide head": (64, 1, 1, 256, 2, 2, 80, 50, 64),
        "deep": (24, 2, 2, 48, 6, 6, 80, 50, 64),
        "like distil": (48, 3, 3, 96, 6, 2, 128, 100, 64),
        "like turbo": (64, 4, 4, 256, 6, 4, 128, 75, 64),
        "like large-v3": (80, 5, 5, 320, 4, 4, 128, 50, 64),
        "128 mels, odd": (54, 9, 27, 77, 2, 2, 128, 77, 50),
        "long window": (32, 2, 4, 64, 2, 2, 80, 400, 64),
        "a whole window of 30 s": (24, 3, 3, 48, 1, 2, 80, 1500, 64),
        "short text": (32, 4, 2, 64, 2, 2, 80, 60, 16),
        "long text": (32, 4, 2, 64, 2, 2, 80, 60, 200),
        "English only": (32, 4, 4, 64, 2, 2, 80, 100, 64),
        "English only, deep": (40, 4, 2, 64, 3, 4, 80, 64, 64),
        "one language": (44, 11, 4, 88, 2, 2, 80, 66, 64),
        "ends early": (32, 4, 4, 64, 2, 2, 80, 100, 64),
        "ends early, distil": (48, 3, 3, 96, 4, 2, 128, 50, 64),
    }.items()
}
FAMILIES["English only"]["multilingual"] = FAMILIES["English only, deep"]["multilingual"] = False
FAMILIES["one language"]["languages"] = ("nl",)
FAMILIES["ends early"]["end_gain"] = FAMILIES["ends early, distil"]["end_gain"] = 4.0


@dataclass(frozen=True)
class Decode:
    """One row's tokens, ours and theirs, without prompt and end."""

    ours: list[int]
    theirs: list[int]
    sum_logprob: float


@dataclass
class Pair:
    """A folder in our engine and in transformers."""

    engine: Engine
    model: WhisperForConditionalGeneration
    folder: Path

    @classmethod
    def load(cls, folder: Path) -> Pair:
        return cls(load(folder, device="cpu")._engine, reference(folder), folder)

    @property
    def language(self) -> str:
        return next(iter(self.engine.tokenizer.languages), "en")

    @cached_property
    def features(self) -> Tensor:
        """(B, M, T): noise, louder noise and bands that come and go."""
        random = torch.Generator().manual_seed(7)
        config = self.engine.config
        mel = torch.randn(ROWS, config.n_mels, config.window_frames, generator=random)
        mel[1] *= 1.5
        mel[2] += torch.sin(torch.arange(config.window_frames) / 11)
        return mel

    def options(self, timestamps: bool) -> TranscribeOptions:
        return TranscribeOptions(language=self.language, without_timestamps=not timestamps)

    def prompt(self, timestamps: bool) -> list[int]:
        return list(self.engine.tokenizer.prompt(self.language, "transcribe", timestamps))

    def most(self, timestamps: bool) -> int:
        context = self.engine.config.target_positions
        return min(context // 2, context - len(self.prompt(timestamps)))

    def decodes(self, timestamps: bool) -> list[Decode]:
        engine, prompt, most = self.engine, self.prompt(timestamps), self.most(timestamps)
        engine.listen(list(self.features))
        results = engine.decode([prompt] * ROWS, engine.rules(self.options(timestamps)), most)
        theirs = generate(self.model, self.features, timestamps, most, self.language)
        return [
            Decode(list(result.tokens), until_end(row[len(prompt) :], engine.tokenizer.eot), result.sum_logprob)
            for result, row in zip(results, theirs, strict=True)
        ]

    def margin_in_double(self, row: int, timestamps: bool, said: list[int]) -> float:
        """The best score's lead after `said`, in units of the logits' spread, computed in float64."""
        double = copy.deepcopy(self.model).double()
        tokens = torch.tensor([[*self.prompt(timestamps), *said]])
        with torch.no_grad():
            logits = double(self.features[row : row + 1].double(), decoder_input_ids=tokens).logits[0, -1]
        scores = np.sort(allowed(logits.numpy(), said, self.naive_rules(timestamps)))
        return float((scores[-1] - scores[-2]) / logits.std())

    def naive_rules(self, timestamps: bool) -> NaiveRules:
        known, config = self.engine.tokenizer, self.engine.generation_config
        return NaiveRules(
            known.eot,
            frozenset(config["suppress_tokens"]),
            frozenset(config["begin_suppress_tokens"]),
            range(known.timestamp_begin, known.timestamp_end) if timestamps else None,
            config["max_initial_timestamp_index"] + 1,
        )


def reference(folder: Path) -> WhisperForConditionalGeneration:
    return WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


def generate(
    model: WhisperForConditionalGeneration, features: Tensor, timestamps: bool, most: int, language: str
) -> list[list[int]]:
    """One greedy decode a row, with its prompt and its padding."""
    spoken = {"language": language, "task": "transcribe"} if model.generation_config.is_multilingual else {}
    mask = torch.ones(features.shape[0], features.shape[2], dtype=torch.long)
    rows = model.generate(
        features,
        attention_mask=mask,
        return_timestamps=timestamps,
        max_new_tokens=most,
        force_unique_generate_call=True,
        **spoken,
    )
    return rows.tolist()  # type: ignore[no-any-return]


def until_end(tokens: list[int], eot: int) -> list[int]:
    return tokens[: tokens.index(eot)] if eot in tokens else tokens


class Store:
    """Folders and decodes, each made when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pairs: dict[str, Pair] = {}
        self._decodes: dict[tuple[str, bool], list[Decode]] = {}
        self.ties = 0

    def pair(self, name: str) -> Pair:
        if name not in self._pairs:
            seed = list(FAMILIES).index(name)
            folder = random_whisper_folder(self._root / str(seed), 100 + seed, **FAMILIES[name])
            self._pairs[name] = Pair.load(folder)
        return self._pairs[name]

    def decodes(self, name: str, timestamps: bool) -> list[Decode]:
        key = (name, timestamps)
        if key not in self._decodes:
            self._decodes[key] = self.pair(name).decodes(timestamps)
        return self._decodes[key]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("families"))


EVERY = [(name, timestamps) for name in FAMILIES for timestamps in (False, True)]


@pytest.mark.parametrize(("name", "timestamps"), EVERY)
def test_tokens_are_those_of_transformers(name: str, timestamps: bool, store: Store) -> None:
    for row, found in enumerate(store.decodes(name, timestamps)):
        if found.ours == found.theirs:
            continue
        pairs = enumerate(zip(found.ours, found.theirs, strict=False))
        same = next((at for at, (a, b) in pairs if a != b), min(len(found.ours), len(found.theirs)))
        margin = store.pair(name).margin_in_double(row, timestamps, found.theirs[:same])
        assert margin < MARGIN, f"row {row} differs after {same} tokens: {found.ours}, {found.theirs}"
        store.ties += 1


def test_ties_are_rare(store: Store) -> None:
    """Runs after the comparisons above."""
    total = len(EVERY) * ROWS
    print(f"{store.ties} of {total} decodes differ, all where two tokens tie")
    assert len(FAMILIES) >= 20
    assert store.ties <= TIES * total


@pytest.mark.parametrize("timestamps", [False, True])
def test_the_parity_is_alive(timestamps: bool, store: Store) -> None:
    """Other audio gives other tokens, and a text is no single token over and over."""
    multilingual = [name for name in FAMILIES if "English" not in name]
    heard, varied = 0, 0
    for name in multilingual:
        rows = [found.theirs for found in store.decodes(name, timestamps)]
        heard += len({tuple(row) for row in rows}) > 1
        varied += max(len(set(row)) for row in rows) >= 4
    assert heard >= 0.8 * len(multilingual)
    assert varied >= 0.6 * len(multilingual)


def test_some_rows_end_and_some_are_cut(store: Store) -> None:
    cut = [
        len(found.theirs) == store.pair(name).most(timestamps)
        for name in FAMILIES
        if "English" not in name
        for timestamps in (False, True)
        for found in store.decodes(name, timestamps)
    ]
    assert sum(cut) > 10
    assert len(cut) - sum(cut) > 10


@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("name", ["plain", "ends early", "like distil"])
def test_the_sum_of_log_probabilities_is_that_of_transformers_logits(name: str, timestamps: bool, store: Store) -> None:
    pair, rows = store.pair(name), store.decodes(name, timestamps)
    expected = [_sum_logprob(pair, row, timestamps, found.ours) for row, found in enumerate(rows)]
    assert [found.sum_logprob for found in rows] == pytest.approx(expected, abs=2e-3)


def _sum_logprob(pair: Pair, row: int, timestamps: bool, said: list[int]) -> float:
    prompt, rules = pair.prompt(timestamps), pair.naive_rules(timestamps)
    tokens = torch.tensor([[*prompt, *said]])
    with torch.no_grad():
        logits = pair.model(pair.features[row : row + 1], decoder_input_ids=tokens).logits[0].numpy()
    chosen = [*said, rules.eot] if len(said) < pair.most(timestamps) else said
    total = 0.0
    for at, token in enumerate(chosen):
        scores = torch.from_numpy(allowed(logits[len(prompt) - 1 + at], said[:at], rules)).double()
        total += float(scores[token] - scores.logsumexp(-1))
    return total


def _modules() -> list[str]:
    """Every module with weights of a network of two layers a side."""
    layers = [
        f"{side}.layers.{number}.{name}"
        for side, names in {
            "encoder": ("attention.norm", "attention.qkv", "attention.out", "mlp.norm", "mlp.fc1", "mlp.fc2"),
            "decoder": (
                *("attention.norm", "attention.qkv", "attention.out", "mlp.norm", "mlp.fc1", "mlp.fc2"),
                *("cross.norm", "cross.q", "cross.kv", "cross.out"),
            ),
        }.items()
        for number in range(2)
        for name in names
    ]
    return [*layers, "encoder.conv1", "encoder.conv2", "encoder.norm", "decoder.tokens", "decoder.norm"]


def test_the_list_of_modules_is_whole(store: Store) -> None:
    model = load_whisper(store.pair("plain").folder, torch.float32, torch.device("cpu"))
    owners = {name.rpartition(".")[0] for name, _ in model.named_parameters()}
    assert owners == {*_modules(), "encoder", "decoder"}  # the two sides own their positions


@pytest.mark.parametrize("name", [*_modules(), "encoder.positions", "decoder.positions"])
def test_a_module_set_to_zero_shows_in_the_decode(name: str, store: Store) -> None:
    pair = store.pair("plain")
    model = load_whisper(pair.folder, torch.float32, torch.device("cpu"))
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.startswith(name):
            parameter.data.zero_()
    engine = Engine(model, pair.engine.tokenizer, pair.engine.generation_config)
    changed = Pair(engine, pair.model, pair.folder)
    engine.listen(list(pair.features))
    prompt, most = pair.prompt(True), pair.most(True)
    found = engine.decode([prompt] * ROWS, engine.rules(changed.options(True)), most)
    assert [list(row.tokens) for row in found] != [row.theirs for row in store.decodes("plain", True)]


# the whole way, in whisper-tiny's own shape


def test_the_command_line_in_whisper_tinys_shape(tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path / "tiny", 5, tiny_shape=True)
    dump(folder / "generation_config.json", standard_tokenizer(folder))
    random = np.random.default_rng(5)
    loudness = np.repeat(random.uniform(0, 0.3, 60), 8000)
    samples = np.round(32767 * (loudness * random.uniform(-1, 1, 480_000)).clip(-1, 1)).astype("<i2")
    samples[-400:] = 0  # transformers mirrors the end of a window, openai/whisper puts silence there
    recording = tmp_path / "recording.wav"
    recording.write_bytes(wav(samples.tobytes()))

    command = [sys.executable, "-m", "literatim.cli.main", "transcribe", str(recording)]
    command += ["--model", str(folder), "--device", "cpu", "--json", "--language", "en"]
    command += ["--without_timestamps", "True", "--max_new_tokens", "40", "--no_speech_threshold", "1"]
    command += ["--temperature_increment_on_fallback", "None"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (segment,) = json.loads(done.stdout)["segments"]

    floats = samples.astype(np.float32) / 32768
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    features = extractor(floats, sampling_rate=16_000, return_tensors="pt").input_features
    (row,) = generate(reference(folder), features, False, 40, "en")
    expected = until_end(row[4:], 50257)
    assert row[:4] == [50258, 50259, 50359, 50363]
    assert len(set(expected)) > 5
    assert segment["tokens"] == expected
