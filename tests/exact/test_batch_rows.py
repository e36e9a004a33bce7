"""A recording's segments are the same alone, in any batch, among any neighbours, and in a loop without a cache."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from literatim.api import Recognizer, load
from literatim.options import TranscribeOptions
from literatim.types import Transcript
from reference.languages import tell_apart
from reference.naive import NaiveRules, greedy
from reference.transcripts import same
from whisper_builders import random_whisper_folder

RATE = 16_000
POOL = 6  # recordings
FAMILIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "distil": {"encoder_layers": 3, "decoder_layers": 1, "num_mel_bins": 128, "max_source_positions": 60},
    "odd": {"d_model": 30, "encoder_attention_heads": 5, "decoder_attention_heads": 3, "max_target_positions": 50},
    "long text": {"max_target_positions": 140, "max_source_positions": 75},
    "ends early": {"end_gain": 2.0},
    "three languages": {"languages": ("en", "nl", "de"), "decoder_layers": 3},
}
DEFAULTS: dict[str, Any] = {"no_speech_threshold": None, "temperature": 0.0, "strategy": "sequential"}
WAYS: list[dict[str, Any]] = [
    {},
    {"condition_on_previous_text": False},
    {"language": "nl", "without_timestamps": True},
    {"language": "nl", "initial_prompt": "what was said before", "max_new_tokens": 9},
]


def recording(number: int) -> np.ndarray:
    """Noise and a tone of its own, between half a second and seven."""
    random = np.random.default_rng(number)
    samples = int(RATE * (0.5 + 6.5 * number / (POOL - 1)))
    loudness = np.repeat(random.uniform(0, 0.4, samples // 4000 + 1), 4000)[:samples]
    tone = np.sin(2 * np.pi * 137 * (number + 1) * np.arange(samples) / RATE)
    return (loudness * (tone + 0.5 * random.standard_normal(samples))).astype(np.float32)


@dataclass
class Family:
    """A folder, and what each recording gives alone."""

    folder: Path
    plain: dict[tuple[int, int], Transcript] = field(default_factory=dict)

    @functools.cached_property
    def recognizer(self) -> Recognizer:
        return load(self.folder, device="cpu")

    def alone(self, number: int, way: int) -> Transcript:
        if (number, way) not in self.plain:
            found = self.recognizer.transcribe(recording(number), **DEFAULTS, **WAYS[way])
            self.plain[number, way] = found
        return self.plain[number, way]


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Family]:
    root = tmp_path_factory.mktemp("rows")
    made = {}
    for seed, (name, shape) in enumerate(FAMILIES.items()):
        folder = random_whisper_folder(root / name, 80 + seed, **shape)
        made[name] = Family(tell_apart(folder, recording(1), recording(2)))
    return made


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(POOL)).flatmap(lambda all: st.integers(1, POOL).map(lambda some: all[:some])),
    way=st.integers(0, len(WAYS) - 1),
    batch_size=st.sampled_from([2, 3, 8]),
)
def test_many_recordings_are_each_alone(
    name: str, order: list[int], way: int, batch_size: int, families: dict[str, Family]
) -> None:
    family = families[name]
    audios = [recording(number) for number in order]
    outcomes = list(family.recognizer.transcribe_many(audios, batch_size=batch_size, **DEFAULTS, **WAYS[way]))
    assert sorted(outcome.index for outcome in outcomes) == list(range(len(order)))
    for outcome in outcomes:
        assert outcome.error is None
        same(outcome.transcript, family.alone(order[outcome.index], way))


def test_all_recordings_in_one_batch(families: dict[str, Family]) -> None:
    """Fixed, so that it always runs: everything at once, eight rows with neighbours of every length."""
    for name in ("plain", "distil", "long text"):
        family, order = families[name], [*range(POOL), 3, 1]
        found = family.recognizer.transcribe_many([recording(number) for number in order], batch_size=8, **DEFAULTS)
        by_index = {outcome.index: outcome.transcript for outcome in found}
        for index, number in enumerate(order):
            same(by_index[index], family.alone(number, 0))


def test_the_comparison_is_alive(families: dict[str, Family]) -> None:
    """Recordings differ from each other, have several windows, and several languages are found."""
    for name, family in families.items():
        texts = [family.alone(number, 0).text for number in range(POOL)]
        assert len(set(texts)) >= POOL - 2, name
        assert any(segment.text for number in range(POOL) for segment in family.alone(number, 1).segments)
    several = [len({s.seek for s in family.alone(POOL - 1, 0).segments}) > 1 for family in families.values()]
    assert sum(several) >= 3
    languages = [{family.alone(number, 0).language for number in range(POOL)} for family in families.values()]
    assert sum(found == {"en", "nl"} for found in languages) >= 3  # in one batch then, by the test above


def windows(recognizer: Recognizer, count: int) -> list[Tensor]:
    """Random features (M, T), each at its own loudness."""
    random = torch.Generator().manual_seed(11)
    config = recognizer._engine.config
    shape = (config.n_mels, config.window_frames)
    return [(0.5 + 0.2 * row) * torch.randn(shape, generator=random) for row in range(count)]


def mixed_prompts(recognizer: Recognizer) -> list[list[int]]:
    """Prompts of one decode: other languages, tasks and texts before, of every length."""
    known, context = recognizer._engine.tokenizer, recognizer._engine.config.target_positions
    assert known.startofprev is not None
    words = [65 + (7 * at) % 26 for at in range(context)]
    nl, en = (list(known.prompt(code, "transcribe", True)) for code in ("nl", "en"))
    translate = list(known.prompt("nl", "translate", True))
    longest = [known.startofprev, *words[: context // 2 - 1]]
    return [nl, [*longest, *en], translate, [known.startofprev, 70, *nl], en, [*longest[:9], *translate]]


@pytest.mark.parametrize("name", ["plain", "odd", "long text", "ends early"])
def test_rows_with_other_prompts_and_languages(name: str, families: dict[str, Family]) -> None:
    recognizer = families[name].recognizer
    engine = recognizer._engine
    prompts = mixed_prompts(recognizer)
    features = windows(recognizer, len(prompts))
    rules = engine.rules(TranscribeOptions())
    engine.listen(features)
    together = engine.decode(prompts, rules, None)
    for row, prompt in enumerate(prompts):
        engine.listen([features[row]])
        (alone,) = engine.decode([prompt], rules, None)
        assert together[row].tokens == alone.tokens
        assert together[row].sum_logprob == pytest.approx(alone.sum_logprob, abs=1e-3)
        assert together[row].no_speech_prob == pytest.approx(alone.no_speech_prob, abs=1e-5)


@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("name", ["plain", "odd", "ends early", "three languages"])
def test_the_engine_is_the_naive_loop(name: str, timestamps: bool, families: dict[str, Family]) -> None:
    """Row by row, with transformers' network run anew over the whole text for every token."""
    family = families[name]
    engine = family.recognizer._engine
    model = WhisperForConditionalGeneration.from_pretrained(family.folder, dtype=torch.float32).eval()
    known, config = engine.tokenizer, engine.generation_config
    stamps = range(known.timestamp_begin, known.timestamp_end) if timestamps else None
    rules = NaiveRules(
        known.eot,
        frozenset(config["suppress_tokens"]),
        frozenset(config["begin_suppress_tokens"]),
        stamps,
        config["max_initial_timestamp_index"] + 1,
    )
    prompts = mixed_prompts(family.recognizer)[:3]
    if not timestamps:
        assert known.no_timestamps is not None
        prompts = [[*prompt, known.no_timestamps] for prompt in prompts]
    features = windows(family.recognizer, len(prompts))
    options = TranscribeOptions(without_timestamps=not timestamps)
    engine.listen(features)
    found = engine.decode(prompts, engine.rules(options), 20)
    for row, prompt in enumerate(prompts):
        with torch.no_grad():
            states = model.model.encoder(features[row][None])

        def scores_of(tokens: list[int], states: Any = states) -> np.ndarray:
            with torch.no_grad():
                logits = model(encoder_outputs=states, decoder_input_ids=torch.tensor([tokens])).logits
            return logits[0, -1].numpy()  # type: ignore[no-any-return]

        most = min(20, engine.config.target_positions - len(prompt) + 1)
        expected = greedy(scores_of, prompt, rules, most)
        assert list(found[row].tokens) == expected.tokens
        assert found[row].sum_logprob == pytest.approx(expected.sum_logprob, abs=2e-3)
        quiet = torch.from_numpy(scores_of(prompt[: prompt.index(known.sot) + 1])).softmax(-1)
        assert found[row].no_speech_prob == pytest.approx(float(quiet[known.no_speech]), abs=1e-5)
        assert min(expected.margins) > 0
