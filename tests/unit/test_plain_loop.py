"""The plain loop over tables of logits instead of a network."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from literatim.decode.network import detect_language
from literatim.decode.rows import Decoded, Request
from literatim.decode.rules import Rules
from literatim.decode.speculative import Batch, Vocabulary
from literatim.decode.speculative import decode as decode_all

CPU = torch.device("cpu")
SIZE, SOT, EOT, QUIET = 8, 5, 6, 7
PLACES = 12  # positions that a row's text can have


class Table:
    """A network whose logits after a row's first p + 1 tokens are `logits[row, p]`; keeps what it was fed.

    Its hidden states are the row and the place.
    """

    def __init__(self, logits: Tensor) -> None:  # (B, PLACES, V)
        self.table, self.calls = logits, 0
        self.sources = list(range(len(logits)))  # the row of the table in each slot
        self.memory = [[-1] * PLACES for _ in logits]  # by row of the table

    def feed(self, tokens: Tensor, lengths: Tensor, limit: int, start: int = 0) -> Tensor:
        self.calls += 1
        assert int(lengths.max()) + tokens.shape[1] <= limit
        here = self.sources[start : start + len(tokens)]
        for row, some, length in zip(here, tokens.tolist(), lengths.tolist(), strict=True):
            assert length + len(some) <= PLACES, "fed beyond the text's last position"
            self.memory[row][length : length + len(some)] = some
        places = lengths[:, None] + torch.arange(tokens.shape[1])
        return torch.stack([torch.tensor(here)[:, None].expand_as(places), places], -1).float()

    def logits(self, hidden: Tensor) -> Tensor:
        rows, places = hidden.long().unbind(-1)
        return self.table[rows, places].clone()

    choose = logits

    def move(self, source: int, target: int, positions: int) -> None:
        self.sources[target] = self.sources[source]


def saying(*rows: list[int], prompts: list[int] | None = None) -> Table:
    """After its prompt (one token unless said) each row wants these tokens, by one point of logit."""
    logits = torch.zeros(len(rows), PLACES, SIZE)
    for row, tokens in enumerate(rows):
        first = (prompts or [1] * len(rows))[row] - 1
        for place, token in enumerate(tokens):
            logits[row, first + place, token] = 1.0
    return Table(logits)


def plain_rules(suppress: tuple[int, ...] = (), first: tuple[int, ...] = ()) -> Rules:
    return Rules.make(SIZE, EOT, suppress, first, None, CPU)


def decode(
    table: Table, prompts: list[list[int]], most: list[int], rules: Rules | None = None, quiet: int | None = None
) -> list[Decoded]:
    batch = Batch(table, rules or plain_rules(), Vocabulary(SOT, quiet), CPU)
    return decode_all(batch, [Request(prompt, room) for prompt, room in zip(prompts, most, strict=True)])


def tokens(results: list[Decoded]) -> list[tuple[int, ...]]:
    return [result.tokens for result in results]


def test_each_row_stops_at_its_own_end() -> None:
    table = saying([1, 2, EOT], [EOT], [3, 3, 3, 3, EOT])
    assert tokens(decode(table, [[SOT]] * 3, [10] * 3)) == [(1, 2), (), (3, 3, 3, 3)]
    assert table.calls == 5  # the prompt and the four tokens of the longest row


def test_each_row_has_its_own_limit() -> None:
    table = saying([1] * 9, [2] * 9, [3, EOT])
    assert tokens(decode(table, [[SOT]] * 3, [2, 5, 9])) == [(1, 1), (2,) * 5, (3,)]
    assert table.calls == 5


def test_a_limit_of_one() -> None:
    table = saying([4, 4])
    assert tokens(decode(table, [[SOT]], [1])) == [(4,)]
    assert table.calls == 1


def test_prompts_of_different_lengths_go_on_where_they_end() -> None:
    prompts = [[SOT], [0, 1, SOT, 2], [4, SOT]]
    table = saying([1, 2, 3, EOT], [3, EOT], [2, 1, EOT], prompts=[1, 4, 2])
    results = decode(table, prompts, [8, 8, 8])
    assert tokens(results) == [(1, 2, 3), (3,), (2, 1)]
    for memory, prompt, result in zip(table.memory, prompts, results, strict=True):
        said = [*prompt, *result.tokens]
        assert memory[: len(said)] == said


def test_a_row_at_its_limit_is_fed_nothing_beyond_the_last_position() -> None:
    """A prompt of 9 leaves 4 tokens, of which the last is not fed, while a neighbour goes on to 7."""
    table = saying([1] * 4, [2] * 7, prompts=[9, 1])
    results = decode(table, [[0] * 8 + [SOT], [SOT]], [PLACES - 9 + 1, 7])
    assert tokens(results) == [(1,) * 4, (2,) * 7]


def test_the_sum_of_log_probabilities_by_hand() -> None:
    """Each chosen token has the logit 1 among seven zeros: log(e / (e + 7)); the end counts as well."""
    one = math.log(math.e / (math.e + 7))
    ended, cut = decode(saying([1, 2, EOT], [3, 3, 3, 3]), [[SOT]] * 2, [3, 3])
    assert ended.sum_logprob == pytest.approx(3 * one, abs=1e-6)
    assert ended.avg_logprob == pytest.approx(one, abs=1e-6)
    assert cut.sum_logprob == pytest.approx(3 * one, abs=1e-6)
    assert cut.avg_logprob == pytest.approx(3 * one / 4, abs=1e-6)  # openai/whisper counts an end that never came


def test_a_row_that_has_ended_adds_nothing_more() -> None:
    short, _ = decode(saying([EOT], [1, 1, 1, EOT]), [[SOT]] * 2, [9, 9])
    assert short.sum_logprob == pytest.approx(math.log(math.e / (math.e + 7)), abs=1e-6)


def test_log_probabilities_are_those_among_the_tokens_allowed() -> None:
    rules = plain_rules(suppress=(0, 1), first=(2,))
    (result,) = decode(saying([1, 3, EOT]), [[SOT]], [9], rules)
    # first 1 is forbidden and 3 is the first of the zeros left, of which there are five; then 3 and the end at 1
    assert result.tokens == (3, 3)
    expected = math.log(1 / 5) + 2 * math.log(math.e / (math.e + 5))
    assert result.sum_logprob == pytest.approx(expected, abs=1e-6)


def test_no_speech_is_read_at_the_start_of_transcript_before_any_rule() -> None:
    logits = torch.zeros(2, PLACES, SIZE)
    logits[0, 2, QUIET] = 3.0  # its start of transcript is at 2
    logits[1, 0, QUIET] = 2.0
    logits[0, 4, EOT] = logits[1, 1, EOT] = 1.0
    results = decode(
        Table(logits), [[0, 1, SOT, 2, 3], [SOT, 2]], [4, 4], plain_rules(suppress=(QUIET,), first=(QUIET,)), QUIET
    )
    expected = [math.exp(x) / (math.exp(x) + 7) for x in (3.0, 2.0)]
    assert [result.no_speech_prob for result in results] == pytest.approx(expected, abs=1e-6)


def test_without_a_no_speech_token_its_probability_is_zero() -> None:
    (result,) = decode(saying([EOT]), [[SOT]], [4])
    assert result.no_speech_prob == 0.0


def test_one_row_alone_gives_what_it_gives_among_others() -> None:
    logits = torch.randn(4, PLACES, SIZE, generator=torch.Generator().manual_seed(3))
    prompts = [[SOT], [1, SOT, 2], [SOT, 4], [3, 2, 1, SOT]]
    limits = [8, 6, 8, 3]
    together = decode(Table(logits), prompts, limits, quiet=QUIET)
    for row in range(4):
        (alone,) = decode(Table(logits[row : row + 1]), [prompts[row]], [limits[row]], quiet=QUIET)
        assert alone.tokens == together[row].tokens
        assert alone.sum_logprob == pytest.approx(together[row].sum_logprob, abs=1e-5)
        assert alone.no_speech_prob == pytest.approx(together[row].no_speech_prob, abs=1e-6)


def test_languages_are_weighed_against_each_other_alone() -> None:
    logits = torch.zeros(2, PLACES, SIZE)
    logits[0, 0, 2], logits[1, 0, 4] = math.log(3), math.log(8)
    logits[:, 0, 7] = 50.0  # likelier than any language, and none
    found = detect_language(Table(logits), 0, 2, SOT, torch.tensor([2, 3, 4]))
    assert torch.allclose(found, torch.tensor([[3, 1, 1], [1, 1, 8]]) / torch.tensor([[5.0], [10.0]]))


def test_the_language_is_asked_after_the_start_of_transcript_alone() -> None:
    table = saying([1], [2])
    detect_language(table, 0, 2, SOT, torch.tensor([1, 2]))
    assert table.calls == 1
    assert [memory[:2] for memory in table.memory] == [[SOT, -1]] * 2
