"""Beam search over dictations: stretches, and the whole way from a recording to words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from literatim.api import MedasrRecognizer, load
from literatim.decode.beam_ctc import Beam
from literatim.decode.ctc import Steps, collapse, likeliest
from literatim.errors import ModelNotFound, OptionError
from literatim.options import TranscribeOptions
from literatim.pipeline.stretches import LONG, LONGEST, PAUSE, Settings, Stretches, merged, variants
from medasr_builders import random_lasr_folder

PLAIN = Settings(Beam(beta=0.0), 0, (), None, None)


def steps_of(ids: list[int], vocabulary: int = 6, seed: int = 0, clear: float = 12.0) -> Steps:
    """Steps that say these ids, with some doubt."""
    random = np.random.default_rng(seed)
    raw = random.normal(0, 1, (len(ids), vocabulary))
    raw[range(len(ids)), ids] += clear
    return likeliest(torch.from_numpy(raw)[None].float(), [len(ids)], whole=True)[0]


def taken(stretches: Stretches, steps: Steps, cuts: list[int]) -> list[Any]:
    ends = [*cuts, len(steps)]
    starts = [0, *cuts]
    parts = (stretches.take(steps.part(a, b), last=b == len(steps)) for a, b in zip(starts, ends, strict=True))
    return [token for part in parts for token in part]


@pytest.mark.parametrize("seed", range(6))
def test_what_is_clear_is_what_greedy_finds_wherever_it_is_cut(seed: int) -> None:
    """Tokens, times and confidences; pauses, doubles and stretches without any pause among them."""
    random = np.random.default_rng(seed)
    ids: list[int] = []
    while len(ids) < 1200:
        said = random.integers(0, 6, random.integers(3, 40)).repeat(random.integers(1, 3)).tolist()
        ids += said + [0] * int(random.choice([0, 1, PAUSE - 1, PAUSE, 3 * PAUSE]))
    steps = steps_of(ids, seed=seed)
    expected = collapse(steps, 0)
    whole = taken(Stretches(PLAIN), steps, [])
    assert [(t.id, t.start, t.end) for t in whole] == [(t.id, t.start, t.end) for t in expected]
    assert [t.logprob for t in whole] == pytest.approx([t.logprob for t in expected], abs=1e-6)
    for _ in range(3):
        cuts = sorted(random.choice(len(ids), 5, replace=False).tolist())
        assert taken(Stretches(PLAIN), steps, [0, *cuts]) == whole


@pytest.mark.parametrize(
    ("ids", "length"),
    [
        ([1, 2] + [0] * PAUSE + [3], 2 + PAUSE),
        ([0] * (PAUSE + 3) + [1] + [0] * (PAUSE - 1), 0),
        ([1, 2] * (LONG // 2) + [1, 0, 2], LONG + 2),
        ([1, 2] * LONGEST, LONGEST),
        ([1] + [0] * (PAUSE - 1) + [1], 0),
    ],
)
def test_where_a_stretch_ends(ids: list[int], length: int) -> None:
    stretches = Stretches(PLAIN)
    stretches.take(steps_of(ids[:0], 6), last=False)
    stretches._steps = steps_of(ids)
    assert stretches._length() == length


def test_tokens_that_are_no_text_count_as_blanks() -> None:
    scores = np.log([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]]).astype(np.float32)
    found = np.exp(merged(scores, 1, (0, 3)))
    assert found == pytest.approx(np.array([[0, 0.7, 0.3, 0], [0, 0.75, 0.25, 0]]), abs=1e-6)
    assert merged(scores, 1, ()) is scores
    settings = replace(PLAIN, unsaid=(3,))
    tokens = taken(Stretches(settings), steps_of([1, 3, 1, 3, 3, 0, 2]), [])
    assert [token.id for token in tokens] == [1, 1, 2]


def test_hotwords_as_they_are_given() -> None:
    assert variants(" CT  chest, effusion\nCT chest,, ") == ["CT chest", "Effusion", "effusion"]
    assert variants("") == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network; its folder has an n-gram model."""
    path = random_lasr_folder(tmp_path_factory.mktemp("beam"), 5)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> MedasrRecognizer:
    found = load(folder, device="cpu")
    assert isinstance(found, MedasrRecognizer)
    pieces = [piece.replace("▁", "#") for piece in found._listener.tokenizer.pieces if piece]
    words = "".join(f"-{1 + number % 7 / 3:.3f}\t{piece}\n" for number, piece in enumerate(pieces))
    (folder / "lm.arpa").write_text(f"\\data\\\n\n\\1-grams:\n-2\t</s>\n-99\t<s>\n{words}\n\\end\\\n", encoding="utf-8")
    return found


def noise(seconds: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    tones = [np.sin(random.uniform(0.05, 2.5) * np.arange(1600)) for _ in range(int(10 * seconds))]
    return (0.2 * np.concatenate(tones)).astype(np.float32)


def test_windows_and_batches_change_nothing(model: MedasrRecognizer) -> None:
    """A search across windows gives what each recording alone gives, in any batch."""
    sounds = [noise(seconds, seed) for seed, seconds in enumerate((27, 5))]
    how: dict[str, Any] = {"language_model": "lm.arpa", "hotwords": "a, b", "word_timestamps": True, "beam_size": 4}
    alone = [model.transcribe(sound, **how) for sound in sounds]
    for size in (1, 3):
        several = {item.index: item.transcript for item in model.transcribe_many(sounds, batch_size=size, **how)}
        assert [several[index] for index in range(2)] == alone
    assert all(item.text for item in alone)
    assert alone[0].text != model.transcribe(sounds[0]).text


def test_what_the_settings_are(model: MedasrRecognizer, folder: Path) -> None:
    def settings(**asked: Any) -> Settings:
        return Settings.of(model._listener, TranscribeOptions(**asked))

    searched = settings(language_model="lm.arpa", beam_size=3, alpha=0.2)
    assert (searched.beam.width, searched.beam.alpha, searched.beam.beta) == (3, 0.2, 1.5)
    assert settings(language_model=str(folder / "lm.arpa")).model is not None
    plain = settings(hotwords="a")
    assert (plain.beam.width, plain.beam.beta, plain.model) == (8, 0.0, None)
    assert plain.hotwords is not None
    with pytest.raises(ModelNotFound, match="there is no n-gram model"):
        settings(language_model="lm_6.kenlm")


def test_whisper_has_none_of_it() -> None:
    for asked in ({"language_model": "x"}, {"alpha": 1.0}, {"beta": 0.0}, {"hotword_weight": 1.0}):
        with pytest.raises(OptionError, match="is for MedASR"):
            TranscribeOptions(**asked).check()  # type: ignore[arg-type]
