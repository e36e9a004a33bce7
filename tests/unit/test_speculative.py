"""The loop with drafts, over functions of the text instead of networks: rounds, proposals and tokens by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from literatim.decode.network import Draft
from literatim.decode.noise import Noise
from literatim.decode.pace import Pace
from literatim.decode.rows import Decoded, Request
from literatim.decode.rules import Rules
from literatim.decode.speculative import Batch, Vocabulary, decode
from literatim.pipeline.ids import Ids
from reference.naive import NaiveRules, allowed, greedy

CPU = torch.device("cpu")
SIZE, SOT, EOT = 20, 13, 12  # text 0..11, the end, the start, <|notimestamps|>, five timestamps
NO_STAMPS, BEGIN, END = 14, 15, 20
PLACES = 48
TEXT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
Says = Callable[[int, tuple[int, ...]], Tensor]
"""Logits (V,) from the number of a sound and all of a row's text."""


class Network:
    """Says what it says after the text that its cache holds; `fed` are the rows and tokens of each call."""

    def __init__(self, says: Says, rows: int, places: int = PLACES) -> None:
        self.says, self.places = says, places
        self.sounds = list(range(rows))  # what each slot hears
        self.memory = [[-1] * places for _ in range(rows)]
        self.fed: list[tuple[int, int]] = []
        self._kept: list[Tensor] = []

    def feed(self, tokens: Tensor, lengths: Tensor, limit: int, start: int = 0) -> Tensor:
        assert tokens.dtype == lengths.dtype == torch.int32
        assert int(lengths.max()) + tokens.shape[1] <= limit
        self.fed.append((len(tokens), tokens.shape[1]))
        hidden = torch.zeros(*tokens.shape, 1)
        for row, (some, length) in enumerate(zip(tokens.tolist(), lengths.tolist(), strict=True)):
            memory = self.memory[start + row]
            assert length + len(some) <= self.places, "fed beyond the last place"
            memory[length : length + len(some)] = some
            for offset in range(len(some)):
                text = memory[: length + offset + 1]
                assert -1 not in text, "a place before was never fed"
                hidden[row, offset] = len(self._kept)
                self._kept.append(self.says(self.sounds[start + row], tuple(text)))
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        return torch.stack([self._kept[int(index)] for index in hidden[:, 0]])

    choose = logits

    def move(self, source: int, target: int, positions: int) -> None:
        self.sounds[target] = self.sounds[source]
        self.memory[target] = self.memory[source][:positions] + [-1] * (self.places - positions)


def saying(
    texts: Sequence[Sequence[int]], prompts: Sequence[Sequence[int]], true: Sequence[Sequence[int]] = ()
) -> Says:
    """Each row's text, by nine points of logit over zeros, as long as what came before is its `true` text; else 11."""

    def says(sound: int, text: tuple[int, ...]) -> Tensor:
        prompt, before = prompts[sound], [*prompts[sound], *(true or texts)[sound]]
        at, logits = len(text) - len(prompt), torch.zeros(SIZE)
        if 0 <= at < len(texts[sound]):
            logits[texts[sound][at] if list(text) == before[: len(text)] else 11] = 9.0
        return logits

    return says


def rules(timestamps: bool = False, suppress: tuple[int, ...] = (), first: tuple[int, ...] = ()) -> Rules:
    return Rules.make(SIZE, EOT, (*suppress, SOT), first, (BEGIN, END, END) if timestamps else None, CPU)


class Cycle(Pace):
    """These numbers round by round, over and over; keeps what it was asked and told."""

    def __init__(self, counts: Sequence[int], drafts: bool = True) -> None:
        super().__init__()
        self._counts, self._drafts = counts, drafts
        self.asked: list[tuple[int, int]] = []
        self.told: list[tuple[int, int, list[tuple[int, int]]]] = []

    def proposals(self, rows: int, most: int) -> int:
        count = self._counts[len(self.asked) % len(self._counts)]
        self.asked.append((rows, most))
        return max(0, min(count, most))

    def drafts(self, rows: int) -> bool:
        return self._drafts

    def saw(self, rows: int, proposals: int, seconds: float, tried: Sequence[tuple[int, int]]) -> None:
        assert seconds >= 0
        self.told.append((rows, proposals, list(tried)))


class Pair:
    """A main network that says `texts` and a draft that wants `drafted`, after the same text."""

    def __init__(
        self,
        texts: Sequence[Sequence[int]],
        drafted: Sequence[Sequence[int]] | None = None,
        *,
        most: Sequence[int] | int = 30,
        prompts: Sequence[Sequence[int]] | None = None,
        room: int = PLACES,
    ) -> None:
        self.prompts = prompts or [[SOT]] * len(texts)
        limits = [most] * len(texts) if isinstance(most, int) else most
        self.requests = [Request(prompt, limit) for prompt, limit in zip(self.prompts, limits, strict=True)]
        self.main = Network(saying(texts, self.prompts), len(texts))
        self.draft = Network(saying(drafted or texts, self.prompts, texts), len(texts), room)

    def decode(self, pace: Pace | int, rule: Rules | None = None) -> list[Decoded]:
        rule, pace = rule or rules(), Cycle([pace]) if isinstance(pace, int) else pace
        draft = Draft(self.draft, rule, self.draft.places)
        return decode(Batch(self.main, rule, Vocabulary(SOT, None), CPU, draft, pace), self.requests)


def figures(result: Decoded) -> tuple[tuple[int, ...], int, int, tuple[int, ...]]:
    """Tokens; how many were proposed and accepted; the proposals of each round."""
    done = result.speculation
    assert done is not None
    return result.tokens, done.proposed, done.accepted, done.lengths


# a draft that is always, never and sometimes right


@pytest.mark.parametrize(
    ("count", "accepted", "lengths"),
    # ten tokens and the end: the first from the prompt, then each round's proposals and one more
    [
        (1, 5, (0, 1, 1, 1, 1, 1)),
        (2, 7, (0, 2, 2, 2, 2)),
        (3, 8, (0, 3, 3, 3)),
        (4, 8, (0, 4, 4)),
        (9, 9, (0, 9)),
        (16, 10, (0, 16)),
    ],
)
def test_a_draft_that_is_always_right(count: int, accepted: int, lengths: tuple[int, ...]) -> None:
    pair = Pair([[*TEXT, EOT]])
    assert figures(pair.decode(count)[0]) == (tuple(TEXT), sum(lengths), accepted, lengths)
    assert pair.main.fed == [(1, 1), *[(1, count + 1)] * (len(lengths) - 1)]
    # it hears the prompt, then in each round what it has not heard and its own proposals but the last
    assert len(pair.draft.fed) == 1 + count * (len(lengths) - 1)


@pytest.mark.parametrize("count", [1, 3, 7, 16])
def test_a_draft_that_is_never_right(count: int) -> None:
    pair = Pair([[*TEXT, EOT]], [[(token + 1) % EOT for token in TEXT] + [0]])
    assert figures(pair.decode(count)[0]) == (tuple(TEXT), 10 * count, 0, (0, *[count] * 10))
    assert len(pair.main.fed) == 11  # as many as the plain loop


def test_a_draft_that_is_sometimes_right() -> None:
    drafted = [*TEXT, EOT]
    drafted[3] = drafted[4] = drafted[8] = 0
    pace = Cycle([4])
    # 0 | 1 2, its own 3 | its own 4 | 5 6 7, its own 8 | 9 and the end
    assert figures(Pair([[*TEXT, EOT]], [drafted]).decode(pace)[0]) == (tuple(TEXT), 16, 7, (0, 4, 4, 4, 4))
    assert pace.told == [(1, 4, [(2, 3)]), (1, 4, [(0, 1)]), (1, 4, [(3, 4)]), (1, 4, [(2, 2)])]


def test_a_right_token_after_a_wrong_one_is_not_taken() -> None:
    """Nor is what the main model says after the wrong one, which here is what it says after the right one."""
    text = [3, 1, 9, EOT]
    pair = Pair([text], [[3, 0, 9, EOT]])
    pair.main.says = lambda sound, said: torch.eye(SIZE)[text[len(said) - 1]] if len(said) < 5 else torch.zeros(SIZE)
    assert figures(pair.decode(2)[0]) == ((3, 1, 9), 4, 2, (0, 2, 2))
    pair = Pair([text], [[3, 0, 9, EOT]])
    assert pair.decode(2)[0].tokens == (3, 1, 9)


def test_no_proposals_are_the_plain_loop() -> None:
    pair = Pair([[*TEXT, EOT]])
    assert figures(pair.decode(0)[0]) == (tuple(TEXT), 0, 0, (0,) * 11)
    assert pair.draft.fed == [(1, 1)]


def test_without_a_draft_there_are_no_figures() -> None:
    pair = Pair([[*TEXT, EOT]])
    batch = Batch(pair.main, rules(), Vocabulary(SOT, None), CPU, pace=Pace(5))
    (result,) = decode(batch, pair.requests)
    assert result.tokens == tuple(TEXT)
    assert result.speculation is None
    assert pair.main.fed == [(1, 1)] * 11


# ends and limits


def test_the_end_among_the_proposals_ends_the_row() -> None:
    """What was proposed and would be accepted after it is not said."""
    pair = Pair([[3, 1, EOT, 4, 4, 4]])
    pace = Cycle([5])
    assert figures(pair.decode(pace)[0]) == ((3, 1), 5, 2, (0, 5))
    assert pace.told == [(1, 5, [(2, 2)])]


def test_an_end_that_is_drafted_and_wrong() -> None:
    pair = Pair([[3, 1, 4, EOT]], [[3, EOT, 4, EOT]])
    assert figures(pair.decode(3)[0]) == ((3, 1, 4), 6, 2, (0, 3, 3))


@pytest.mark.parametrize("most", range(1, 11))
def test_a_limit_inside_an_accepted_run(most: int) -> None:
    pair = Pair([[*TEXT, EOT]], most=most)
    (found,) = pair.decode(4)
    assert found.tokens == tuple(TEXT[:most])
    assert found.speculation is not None
    # never more proposals than could be said, with the main model's own token after them
    said = 1
    for count in found.speculation.lengths[1:]:
        assert count == min(4, most - said - 1)
        said += count + 1


def test_a_row_near_its_limit_beside_one_that_is_not() -> None:
    """Its proposals are judged up to its limit alone."""
    pair = Pair([[*TEXT, EOT]] * 2, most=[3, 30])
    pace = Cycle([5])
    short, long = pair.decode(pace)
    assert figures(short) == (tuple(TEXT[:3]), 5, 2, (0, 5))
    assert long.tokens == tuple(TEXT)
    assert pace.told[0] == (2, 5, [(2, 2), (5, 5)])
    assert pace.asked == [(2, 28), (1, 22)]


def test_rows_end_at_different_steps() -> None:
    """Rows of 0 to 10 tokens: each slot that falls free is filled from the end, with what both networks have heard."""
    texts = [[*TEXT[:count], EOT] for count in (3, 10, 0, 7, 1, 5, 10, 2)]
    drafted = [[*text] for text in texts]
    for row, text in enumerate(drafted):
        text[:: row + 2] = [11] * len(text[:: row + 2])
    for count in (0, 1, 2, 3, 8):
        pair = Pair(texts, drafted)
        found = pair.decode(count)
        assert [list(result.tokens) for result in found] == [text[:-1] for text in texts]
        alone = [Pair([text], [wanted]).decode(count)[0] for text, wanted in zip(texts, drafted, strict=True)]
        assert [result.sum_logprob for result in found] == [result.sum_logprob for result in alone]
        if count in (1, 2):  # with more, a neighbour's limit may leave a row more proposals than it has alone
            assert [figures(result) for result in found] == [figures(result) for result in alone]


def test_a_moved_row_takes_along_what_its_draft_has_heard() -> None:
    """A draft that hears the right text is right after the move as before."""
    pair = Pair([[3, EOT], [5, EOT], [*TEXT, EOT]])
    found = pair.decode(2)
    assert figures(found[2])[1:] == (8, 7, (0, 2, 2, 2, 2))
    assert len(pair.draft.fed) == 1 + 4 * 2  # never more than one token to catch up with


# room and catching up


def test_a_draft_without_room_leaves_the_rest_to_the_main_model() -> None:
    """Eight places, for a prompt of one: 1 + 4 tokens, then two proposals up to the last place, then none."""
    pair = Pair([[*TEXT, EOT]], room=8)
    assert figures(pair.decode(3)[0]) == (tuple(TEXT), 5, 5, (0, 3, 2, 0, 0, 0))


def test_a_prompt_longer_than_the_drafts_room() -> None:
    prompts = [[1, 2, 3, 4, 5, 6, 7, 8, 9, SOT], [SOT]]
    pair = Pair([[4, 5, EOT], [*TEXT, EOT]], prompts=prompts, room=9)
    pace = Cycle([3])
    assert [result.tokens for result in pair.decode(pace)] == [(4, 5), tuple(TEXT)]
    # while the long row is there nothing is proposed; then the draft hears the short one from its start
    assert [told[:2] for told in pace.told[:2]] == [(2, 0), (2, 0)]
    assert pace.told[2][:2] == (1, 3)
    assert pair.draft.fed[0] == (1, 4)


def test_catching_up_after_plain_rounds() -> None:
    """Five tokens were said of which the draft has heard none; the second time two, of which it had proposed one."""
    pair = Pair([[*TEXT, EOT]])
    pace = Cycle([0, 0, 0, 0, 1, 0, 2])
    assert figures(pair.decode(pace)[0]) == (tuple(TEXT), 3, 3, (0, 0, 0, 0, 0, 1, 0, 2))
    assert pair.draft.fed == [(1, 1), (1, 5), (1, 3), (1, 1)]


def test_a_draft_that_is_not_asked_hears_nothing() -> None:
    """While speculation does not pay; once it is asked it hears prompt and text."""
    pair = Pair([[*TEXT, EOT]])
    assert pair.decode(Cycle([0], drafts=False))[0].tokens == tuple(TEXT)
    assert pair.draft.fed == []
    pair = Pair([[*TEXT, EOT]])
    assert pair.decode(Cycle([0, 0, 2], drafts=False))[0].tokens == tuple(TEXT)
    assert pair.draft.fed[0] == (1, 4)  # the prompt's one, and three said


def test_rows_that_have_heard_unequally_much() -> None:
    """The draft was right about all of one row and nothing of the other: they lag by two tokens and by one."""
    pair = Pair([[*TEXT, EOT]] * 2, [[*TEXT, EOT], [11] * 11])
    found = pair.decode(3)
    assert figures(found[0]) == (tuple(TEXT), 9, 8, (0, 3, 3, 3))
    assert figures(found[1]) == (tuple(TEXT), 30, 0, (0, *[3] * 10))
    assert pair.draft.fed[1:5] == [(2, 1), (2, 1), (2, 1), (2, 2)]


# rows that come later


@pytest.mark.parametrize("counts", [[0], [3], [2, 0, 0, 5, 1, 0]])
def test_rows_are_admitted_into_slots_that_fell_free(counts: list[int]) -> None:
    """Three slots, seven rows, prompts of different lengths, some without a word to say."""
    texts = [[*TEXT[start:], *TEXT[:count], EOT] for start, count in ((8, 0), (0, 5), (5, 1), (2, 9), (10, 0), (7, 7))]
    prompts = [[SOT], [1, SOT], [2, 3, 4, SOT, 5], [SOT, 6], [7, SOT], [8, 9, SOT]]
    drafted = [[token if at % 3 else 11 for at, token in enumerate(text)] for text in texts]
    main, draft = (Network(saying(said, prompts, texts), 3) for said in (texts, drafted))
    batch = Batch(main, rules(), Vocabulary(SOT, None), CPU, Draft(draft, rules(), PLACES), Cycle(counts))
    requests = [Request(prompt, 30, owner=number) for number, prompt in enumerate(prompts)]
    found = in_slots(batch, requests, 3, [main, draft])
    assert [[*found[number].tokens, EOT] for number in range(6)] == texts
    if counts == [3]:  # none was lost: of three proposals the one at every third place is wrong
        assert [found[number].speculation for number in range(6)] == [
            Pair([text], [wanted], prompts=[prompt]).decode(3)[0].speculation
            for text, wanted, prompt in zip(texts, drafted, prompts, strict=True)
        ]


# rules


def test_rules_hold_at_every_position() -> None:
    """What is suppressed everywhere or first is not said, though both networks want it; next best are the zeros."""
    pair = Pair([[7, 2, 2, EOT]])
    rule = rules(suppress=(0, 1), first=(7, EOT))
    # 7 first is forbidden, so that 2 comes; after another text than its own, both say 11
    assert pair.decode(2, rule)[0].tokens[:1] == (2,)
    for count in range(5):
        pair = Pair([[3, 7, EOT]])
        assert pair.decode(count, rule)[0].tokens == (3, 7)  # what may not come first may come second


STAMPED = [BEGIN, 3, 1, BEGIN + 2, BEGIN + 2, 4, BEGIN + 3, EOT]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 16])
def test_timestamps_drafted_right(count: int) -> None:
    pair = Pair([STAMPED])
    (found,) = pair.decode(count, rules(timestamps=True))
    assert found.tokens == tuple(STAMPED[:-1])
    assert found.speculation is not None
    if count >= 7:
        assert figures(found)[2:] == (7, (0, count))


def test_timestamps_that_go_back_are_never_accepted() -> None:
    """Both networks want 0.02 after 0.04, at each place a proposal can have; the rules make it the next."""
    text = [BEGIN, 3, BEGIN + 2, BEGIN + 1, 4, EOT]
    for count in range(6):
        pair = Pair([text])
        (found,) = pair.decode(count, rules(timestamps=True))
        assert found.tokens[:3] == tuple(text[:3])
        assert found.tokens[3] == BEGIN + 2


# property: any networks, against the plain loop written for reading


def noisy(seed: int, spread: float, end: float) -> Says:
    """Logits that depend on all of the text; those of `spread` 0 are the main model's."""

    def says(sound: int, text: tuple[int, ...]) -> Tensor:
        logits = torch.randn(SIZE, generator=torch.Generator().manual_seed(hash((sound, text)) % 2**40))
        logits[EOT] += end
        if spread:
            other = torch.Generator().manual_seed(hash((seed, sound, text)) % 2**40)
            logits += spread * torch.randn(SIZE, generator=other)
        return logits

    return says


def naive_rules(timestamps: bool) -> NaiveRules:
    return NaiveRules(EOT, frozenset({SOT, 1}), frozenset({2, EOT}), range(BEGIN, END) if timestamps else None)


def plain(says: Says, sound: int, request: Request, timestamps: bool) -> list[int]:
    """The naive loop; where the request has noise, over scores with it."""
    if request.noise is None:
        return greedy(
            lambda text: says(sound, tuple(text)).numpy(), request.prompt, naive_rules(timestamps), request.most
        ).tokens
    said: list[int] = []
    while len(said) < request.most:
        logits = says(sound, (*request.prompt, *said)).numpy()
        scores = allowed(logits.astype(np.float64), said, naive_rules(timestamps)) / request.noise.temperature
        token = int((scores + request.noise.at(len(said), SIZE).numpy()).argmax())
        if token == EOT:
            break
        said.append(token)
    return said


PROMPTS = [[SOT], [SOT, 3], [4, SOT, 5], [1, 2, 3, 4, 5, 6, SOT, 7]]
FEW = torch.tensor([0, 3, 4, 8, 9, 11])


@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.0, 0.3, 1.0, 5.0]),
    end=st.sampled_from([-1.0, 1.0, 2.0]),
    few=st.booleans(),
    timestamps=st.booleans(),
    room=st.sampled_from([6, 20, 60]),
    temperatures=st.lists(st.sampled_from([0.0, 0.0, 0.3, 1.0]), min_size=1, max_size=6),
    counts=st.lists(st.integers(0, 16), min_size=1, max_size=5),
    slots=st.integers(1, 4),
)
def test_any_draft_gives_the_naive_loops_tokens(
    seed: int,
    spread: float,
    end: float,
    few: bool,
    timestamps: bool,
    room: int,
    temperatures: list[float],
    counts: list[int],
    slots: int,
) -> None:
    dice, says = random.Random(seed), noisy(0, 0.0, end)
    rule = rules(timestamps, suppress=(1,), first=(2, EOT))
    requests = [
        Request(dice.choice(PROMPTS), dice.randint(1, 20), Noise(seed, b"", at, heat) if heat else None, at)
        for at, heat in enumerate(temperatures)
    ]
    main, network = Network(says, slots, 60), Network(noisy(seed, spread, end), slots, room)
    draft = Draft(network, rule, room)
    if few:
        ids = Ids.subset(FEW, EOT, SIZE)
        assert ids.rows is not None
        whole, rows = network.logits, ids.rows
        network.choose = lambda hidden: whole(hidden)[:, rows]  # type: ignore[method-assign]
        draft = Draft(network, ids.rules(rule), room, ids.to_main, ids.to_own)
    batch = Batch(main, rule, Vocabulary(SOT, None), CPU, draft, Cycle(counts))
    found = in_slots(batch, requests, slots, [main, network])
    for row, request in enumerate(requests):
        assert list(found[row].tokens) == plain(says, row, request, timestamps)


@pytest.mark.parametrize("kept", [range(EOT), [0, *range(2, EOT)]])
@pytest.mark.parametrize("timestamps", [False, True])
def test_under_the_same_noise_a_draft_like_the_model_is_always_right(kept: Sequence[int], timestamps: bool) -> None:
    """With all ids, and with all but one that is never said: each id has its noise wherever it stands."""
    rule, says, pace = rules(timestamps, suppress=(1,)), noisy(0, 0.0, 0.0), Cycle([3, 1, 4])
    ids = Ids.subset(torch.tensor(kept), EOT, SIZE)
    assert ids.rows is not None
    network, rows = Network(says, 3), ids.rows
    whole = network.logits
    network.choose = lambda hidden: whole(hidden)[:, rows]  # type: ignore[method-assign]
    draft = Draft(network, ids.rules(rule), PLACES, ids.to_main, ids.to_own)
    requests = [Request([SOT], 20, Noise(7, b"", at, 0.8), at) for at in range(8)]
    main = Network(says, 3)
    found = in_slots(Batch(main, rule, Vocabulary(SOT, None), CPU, draft, pace), requests, 3, [main, network])
    assert sum(len(row.tokens) for row in found.values()) > 40
    tried = [each for _, _, rows_tried in pace.told for each in rows_tried]
    assert len(tried) > 10
    assert all(right == judged for right, judged in tried)


def in_slots(batch: Batch, requests: list[Request], slots: int, networks: list[Network]) -> dict[int, Decoded]:
    """Every request, as soon as one of the slots is free for it."""
    waiting, found = list(requests[slots:]), {}
    batch.admit(requests[:slots], 0)
    while batch.rows:
        for slot in range(len(batch.rows)):
            while batch.rows[slot].finished:
                found[batch.rows[slot].request.owner] = batch.result(batch.rows[slot])
                if not waiting:
                    break
                for network in networks:
                    network.sounds[slot] = waiting[0].owner
                batch.admit([waiting.pop(0)], slot)
        batch.close()
        if batch.rows:
            batch.round()
    return found
