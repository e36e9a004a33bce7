"""What a draft is trained with: the forward pass, windows on disk, the order of batches, the vocabulary."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from literatim.errors import OptionError
from literatim.models.checkpoint import load_whisper
from literatim.models.whisper import Decoder, Whisper
from literatim.train import draft
from literatim.train.distil import SORTED, Learner, Schedule, order
from literatim.train.hear import Heard
from literatim.train.student import evenly, grow, output, read
from literatim.train.windows import Store, Windows, read_progress
from whisper_builders import random_whisper_folder

CPU = torch.device("cpu")
SCHEDULE = Schedule(steps=50, minutes=None, batch=4, rate=1e-2, warmup=5, seed=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whisper:
    return load_whisper(random_whisper_folder(tmp_path_factory.mktemp("model"), 4), torch.float32, CPU)


def _sound(model: Whisper, rows: int, seed: int) -> Tensor:
    shape = (rows, model.config.source_positions, model.config.d_model)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ---- the student ----


def test_reading_a_text_at_once_gives_what_the_cache_gives(whole: Whisper) -> None:
    audio, tokens = _sound(whole, 3, 0), torch.randint(0, 300, (3, 40), generator=torch.manual_seed(1)).int()
    cache = whole.decoder.allocate(3)
    with torch.inference_mode():
        whole.decoder.listen(audio, cache)
        steps = [whole.decoder(tokens[:, at : at + 1], torch.full((3,), at).int(), cache, 64) for at in range(40)]
        found = read(whole.decoder, audio, tokens)
    torch.testing.assert_close(found, torch.cat(steps, 1), rtol=1e-4, atol=1e-4)


def test_layers_are_spaced_evenly() -> None:
    assert evenly(32, 2) == (0, 31)
    assert evenly(4, 4) == (0, 1, 2, 3)
    assert evenly(5, 3) == (0, 2, 4)
    assert evenly(4, 1) == (0,)


def test_a_student_of_all_layers_is_the_decoder_itself(whole: Whisper) -> None:
    audio, tokens = _sound(whole, 2, 3), torch.arange(24).view(2, 12)
    student = grow(whole.decoder, [0, 1])
    assert torch.equal(read(student, audio, tokens), read(whole.decoder, audio, tokens))


def test_a_student_begins_as_the_layers_named_and_freezes_the_vocabulary(whole: Whisper) -> None:
    student = grow(whole.decoder, [1])
    own = dict(student.named_parameters())
    assert torch.equal(own["layers.0.mlp.fc1.weight"], whole.decoder.get_parameter("layers.1.mlp.fc1.weight"))
    assert {name for name, value in own.items() if not value.requires_grad} == {"tokens.weight", "positions"}
    assert output(student) is student.tokens.weight


def test_an_output_matrix_of_its_own_is_taken_over(whole: Whisper) -> None:
    main = Decoder(whole.config)
    main.load_state_dict(whole.decoder.state_dict())
    main.head = torch.nn.Parameter(torch.randn_like(main.tokens.weight))
    student = grow(main, [0])
    assert torch.equal(output(student), main.head)
    assert not output(student).requires_grad


# ---- windows on disk ----


def _heard(model: Whisper, seed: int) -> tuple[Heard, Tensor]:
    """A window with a text of its own, and the hidden states of the main decoder behind it."""
    dice = torch.Generator().manual_seed(seed)
    prompt = tuple(torch.randint(0, 300, (1 + seed % 3,), generator=dice).tolist())
    said = tuple(torch.randint(0, 300, (2 + seed % 5,), generator=dice).tolist())
    states = _sound(model, 1, seed)
    fed = torch.tensor([[*prompt, *said][:-1]])
    with torch.no_grad():
        hidden = read(model.decoder, states, fed)[0, len(prompt) - 1 :]
    return Heard(seed, 0, states[0], prompt, said, 30), hidden


def _filled(folder: Path, model: Whisper, count: int) -> Windows:
    with Store(folder) as store:
        for seed in range(count):
            store.add(*_heard(model, seed))
        store.commit(count, 0, 1.0, True)
    return Windows(folder, model.config.source_positions, model.config.d_model)


def test_a_batch_holds_what_was_stored(whole: Whisper, tmp_path: Path) -> None:
    windows = _filled(tmp_path, whole, 6)
    assert len(windows) == 6
    chosen = [4, 1, 5]
    batch = windows.batch(chosen, CPU)
    heard = [_heard(whole, seed) for seed in chosen]
    assert torch.equal(batch.states, torch.stack([item.states for item, _ in heard]).half())
    assert torch.equal(batch.hidden, torch.cat([hidden for _, hidden in heard]).half())
    assert batch.said.tolist() == [token for item, _ in heard for token in item.said]
    following = torch.roll(batch.tokens, -1, 1)
    for at, (item, _) in enumerate(heard):
        text = [*item.prompt, *item.said]
        assert batch.tokens[at, : len(text) - 1].tolist() == text[:-1]
        places = batch.spoken[at].nonzero().flatten().tolist()
        assert places == list(range(len(item.prompt) - 1, len(text) - 1))
        assert following[at, places[:-1]].tolist() == list(item.said[:-1])


def test_the_main_models_hidden_states_give_its_own_distribution(whole: Whisper, tmp_path: Path) -> None:
    """A student that is the whole main decoder has nothing to learn but the tokens."""
    batch = _filled(tmp_path, whole, 4).batch([0, 1, 2, 3], CPU)
    learner = Learner(grow(whole.decoder, [0, 1]), SCHEDULE)
    learner._low = False
    found = learner.logprobs(batch)
    said = torch.nn.functional.nll_loss(found, batch.said)
    assert float((learner.loss(batch) - 0.5 * said).detach()) == pytest.approx(0, abs=1e-3)
    assert float((learner.loss(batch)).detach()) > 0.1


def test_what_was_not_committed_is_forgotten(whole: Whisper, tmp_path: Path) -> None:
    _filled(tmp_path, whole, 3)
    with Store(tmp_path) as store:
        store.add(*_heard(whole, 7))
    with (tmp_path / "windows.jsonl").open("ab") as file:
        file.write(b'{"half a li')
    with Store(tmp_path) as store:
        assert store.progress.recordings == 3
        store.add(*_heard(whole, 8))
        store.commit(4, 0, 2.0, True)
    windows = Windows(tmp_path, whole.config.source_positions, whole.config.d_model)
    assert [row["recording"] for row in windows.rows] == [0, 1, 2, 8]
    assert torch.equal(windows.batch([3], CPU).states[0], _heard(whole, 8)[0].states.half())
    assert read_progress(tmp_path).seconds == 2.0


# ---- training ----


@pytest.mark.parametrize(("count", "batch"), [(100, 7), (16 * SORTED * 2, 16), (5, 5), (5, 2)])
def test_a_pass_takes_each_window_once(count: int, batch: int) -> None:
    lengths = torch.randint(1, 50, (count,), generator=torch.manual_seed(0)).tolist()
    steps = count // batch
    for number in (0, 3):
        chosen = [order(lengths, batch, 1, step) for step in range(number * steps, (number + 1) * steps)]
        taken = Counter(itertools.chain.from_iterable(chosen))
        assert set(taken.values()) == {1}
        assert count - len(taken) < batch
        assert all(len(indices) <= batch for indices in chosen)


def test_each_pass_has_an_order_of_its_own_that_the_seed_decides() -> None:
    lengths = list(range(64))
    assert order(lengths, 8, 1, 0) == order(lengths, 8, 1, 0)
    assert order(lengths, 8, 1, 0) != order(lengths, 8, 2, 0)
    assert [order(lengths, 8, 1, step) for step in range(8)] != [order(lengths, 8, 1, step) for step in range(8, 16)]


def test_the_rate_rises_and_falls() -> None:
    schedule = Schedule(steps=100, minutes=None, batch=1, rate=2.0, warmup=10, seed=0)
    assert schedule.rate_at(0, 0) == pytest.approx(0.2)
    assert schedule.rate_at(50, 0) == pytest.approx(1.0)
    assert schedule.rate_at(99, 0) == pytest.approx(0.04)
    timed = Schedule(steps=100, minutes=2.0, batch=1, rate=2.0, warmup=10, seed=0)
    assert timed.rate_at(10_000, 60) == pytest.approx(1.0)
    assert timed.done(10_000, 120) == 1


def test_a_learner_learns(whole: Whisper, tmp_path: Path) -> None:
    windows = _filled(tmp_path, whole, 4)
    learner = Learner(grow(whole.decoder, [1]), SCHEDULE)
    before = learner.agreement(windows, range(4))
    frozen = learner.student.tokens.weight.clone()
    for _ in range(50):
        learner.update(windows.batch([0, 1, 2, 3], CPU))
    assert learner.agreement(windows, range(4)) > before + 0.3
    assert torch.equal(learner.student.tokens.weight, frozen)


def test_the_agreement_is_counted_over_all_batches(whole: Whisper, tmp_path: Path) -> None:
    windows = _filled(tmp_path, whole, 9)
    learner = Learner(grow(whole.decoder, [0]), SCHEDULE)
    learner._low = False
    right = total = 0
    for seed in range(9):
        heard, _ = _heard(whole, seed)
        fed = torch.tensor([[*heard.prompt, *heard.said][:-1]])
        hidden = read(learner.student, heard.states[None].half().float(), fed)[0, len(heard.prompt) - 1 :]
        right += int(((hidden @ output(learner.student).T).argmax(-1) == torch.tensor(heard.said)).sum())
        total += len(heard.said)
    assert learner.agreement(windows, range(9)) == right / total


def test_a_checkpoint_of_more_layers_is_refused(whole: Whisper, tmp_path: Path) -> None:
    Learner(grow(whole.decoder, [0, 1]), SCHEDULE).save(tmp_path / "checkpoint.pt")
    with pytest.raises(OptionError, match="draft with more layers"):
        Learner(grow(whole.decoder, [0]), SCHEDULE).restore(tmp_path / "checkpoint.pt")


# ---- the vocabulary ----


def _tokenizer(eot: int) -> Any:
    return SimpleNamespace(eot=eot, sot=eot + 1, languages={"en": eot + 2, "nl": eot + 3})


def _spoken(tokenizer: Any, texts: list[tuple[str, list[int]]]) -> Any:
    rows = [{"prompt": [5, tokenizer.sot, tokenizer.languages[code]], "said": said} for code, said in texts]
    return SimpleNamespace(rows=rows)


def test_the_fewest_ids_that_cover_each_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """English is 1 five times, 2 four times, 3 once; Dutch is 7 and 8: nine tenths need 1, 2 and both of these."""
    monkeypatch.setattr(draft, "SMALL_VOCABULARY", 0)
    tokenizer = _tokenizer(20)
    windows = _spoken(tokenizer, [("en", [1, 2, 1, 2, 20]), ("en", [1, 2, 1, 2, 1, 3]), ("nl", [8, 7, 30])])
    assert draft.frequent(windows, tokenizer, 0.9) == [1, 2, 7, 8]
    assert draft.frequent(windows, tokenizer, 0.5) == [1, 7]
    assert draft.frequent(windows, tokenizer, 0.91) == [1, 2, 3, 7, 8]
    assert draft.frequent(windows, tokenizer, 1.0) is None


def test_a_small_vocabulary_stays_whole() -> None:
    tokenizer = _tokenizer(draft.SMALL_VOCABULARY)
    assert draft.frequent(_spoken(tokenizer, [("en", [1, 1, 2])]), tokenizer, 0.5) is None
