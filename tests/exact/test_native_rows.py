"""The compiled kernels: right by float64, and each row the same to the last bit whatever comes with it."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from literatim.decode.rules import RowState, Rules, argmax, masked
from literatim.models.config import WhisperConfig
from literatim.models.native import NativeCache, NativeDecoder
from literatim.models.native_draft import NativeDraft
from literatim.models.native_head import NativeHead
from literatim.models.native_screen import NativeScreen
from literatim.models.whisper import Decoder
from literatim.native import choice
from literatim.native.library import Library
from native_levels import LEVELS, by_level, needed

pytestmark = needed
EPSILON = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}
STEPS, PLACES, HEARD, ROWS = 20, 40, 77, 4

# width, heads, hidden, layers: tiny's, and heads that fill their blocks and that do not, odd numbers of them
SHAPES = [(384, 6, 1536, 2), (128, 2, 256, 2), (40, 5, 70, 3), (36, 3, 50, 2), (96, 1, 34, 1), (64, 4, 130, 3)]
shapes = st.sampled_from(SHAPES)
dtypes = st.sampled_from([torch.float32, torch.bfloat16])


def decoder(shape: tuple[int, int, int, int], dtype: torch.dtype, seed: int) -> Decoder:
    """Random weights whose logits vary."""
    width, heads, hidden, layers = shape
    config = WhisperConfig(8, width, 1, heads, hidden, layers, heads, hidden, 90, HEARD, PLACES)
    made, random = Decoder(config), torch.Generator().manual_seed(seed)
    for name, value in made.named_parameters():
        spread = 0.3 if "norm" in name else 1.5 * value.shape[-1] ** -0.5
        value.data.normal_(generator=random).mul_(spread).add_("norm.weight" in name)
    return made.to(dtype).eval().requires_grad_(False)


class Heard:
    """A decoder with sound and text for ROWS rows, on one level of kernels."""

    def __init__(self, model: Decoder, seed: int, kernels: Library) -> None:
        random = torch.Generator().manual_seed(seed)
        width = model.config.d_model
        self.sound = torch.randn((ROWS, HEARD, width), generator=random).to(model.positions.dtype)
        self.tokens = torch.randint(0, 90, (ROWS, STEPS), generator=random, dtype=torch.int32)
        self.native, self.cache = NativeDecoder(copy.deepcopy(model), kernels), None
        self.model = model

    def fresh(self, rows: list[int]) -> NativeCache:
        """A cache that holds the sound of these rows, and of others before."""
        cache = self.native.allocate(len(rows))
        self.native.listen(self.sound[:1].expand(len(rows), -1, -1), cache)
        for slot, row in enumerate(rows):
            self.native.listen(self.sound[row : row + 1], cache, slice(slot, slot + 1))
        return cache

    def whole(self, rows: list[int]) -> Tensor:
        """All tokens at once."""
        starts = torch.zeros(len(rows), dtype=torch.int32)
        return self.native(self.tokens[rows], starts, self.fresh(rows), STEPS)

    def reference(self, dtype: torch.dtype) -> Tensor:
        """By torch's modules in another dtype."""
        model = copy.deepcopy(self.model).to(dtype)
        cache = model.allocate(ROWS)
        model.listen(self.sound.to(dtype), cache)
        return model(self.tokens, torch.zeros(ROWS, dtype=torch.int32), cache, STEPS)


@by_level
@settings(max_examples=12, deadline=None)
@given(shape=shapes, dtype=dtypes, seed=st.integers(0, 2**20))
def test_the_kernels_are_nearer_to_float64_than_rounding_allows(
    kernels: Library, shape: tuple[int, int, int, int], dtype: torch.dtype, seed: int
) -> None:
    heard = Heard(decoder(shape, dtype, seed), seed, kernels)
    truth = heard.reference(torch.float64)
    found, plain = heard.whole([*range(ROWS)]).double(), heard.reference(dtype).double()
    off, floor = ((each - truth).pow(2).mean().sqrt().item() for each in (found, plain))
    assert off <= 1.5 * floor + EPSILON[dtype] * truth.pow(2).mean().sqrt().item()
    assert truth.std() > 0.1  # there is something to compute


@by_level
@settings(max_examples=15, deadline=None)
@given(shape=shapes, dtype=dtypes, seed=st.integers(0, 2**20), data=st.data())
def test_a_row_is_the_same_in_any_batch_and_fed_in_any_pieces(
    kernels: Library, shape: tuple[int, int, int, int], dtype: torch.dtype, seed: int, data: st.DataObject
) -> None:
    heard = Heard(decoder(shape, dtype, seed), seed, kernels)
    torch.set_num_threads(1)
    alone = [heard.whole([row]) for row in range(ROWS)]
    torch.set_num_threads(2)
    rows = data.draw(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=6))
    cache, done = heard.fresh(rows), [0] * len(rows)
    while min(done) < STEPS:  # rows at lengths of their own; what they feed too much is fed again
        fed = data.draw(st.integers(1, 9))
        places = [min(at, STEPS - 1) for at in done]
        tokens = torch.stack([heard.tokens[row].repeat(2)[at : at + fed] for row, at in zip(rows, places, strict=True)])
        found = heard.native(tokens, torch.tensor(places, dtype=torch.int32), cache, 0)
        for slot, (row, at) in enumerate(zip(rows, places, strict=True)):
            right = min(fed, STEPS - at)
            assert torch.equal(found[slot, :right], alone[row][0, at : at + right])
            done[slot] = at + data.draw(st.integers(1, right))


@by_level
@settings(max_examples=15, deadline=None)
@given(shape=shapes, dtype=dtypes, seed=st.integers(0, 2**20), data=st.data())
def test_a_text_is_followed_as_it_was_decoded(
    kernels: Library, shape: tuple[int, int, int, int], dtype: torch.dtype, seed: int, data: st.DataObject
) -> None:
    """The same states, nothing in the cache changes, and where the heads look is as near to float64 as by torch."""
    heard = Heard(decoder(shape, dtype, seed), seed, kernels)
    every = [(layer, head) for layer in range(shape[3]) for head in range(shape[1])]
    heads = data.draw(st.lists(st.sampled_from(every), min_size=1, max_size=5, unique=True))
    rows = [*range(ROWS)]
    row, threads, cache = data.draw(st.sampled_from(rows)), data.draw(st.sampled_from([1, 2])), heard.fresh(rows)
    decoded = heard.native(heard.tokens, torch.zeros(ROWS, dtype=torch.int32), cache, STEPS)
    before = cache.text.fill_(0.5).clone()  # what the row has been told since
    torch.set_num_threads(threads)
    found, seen = heard.native.follow(heard.tokens[row], cache.part(row, 1), heads)
    assert torch.equal(found, decoded[row])
    assert torch.equal(cache.text, before)
    kept, other = seen.clone(), heard.tokens[row : row + 1].flip(1)
    heard.native(other, torch.zeros(1, dtype=torch.int32), cache.part(row, 1), STEPS)
    assert torch.equal(seen, kept)  # nobody is watched any more

    def by_torch(wanted: torch.dtype) -> Tensor:
        model = copy.deepcopy(heard.model).to(wanted)
        cache = model.allocate(1)
        model.listen(heard.sound[row : row + 1].to(wanted), cache)
        return model.follow(heard.tokens[row], cache, heads)[1].double()

    truth = by_torch(torch.float64)
    assert seen.shape == truth.shape == (len(heads), STEPS, HEARD)
    off, floor = (float((scores.double() - truth).pow(2).mean().sqrt()) for scores in (seen, by_torch(dtype)))
    assert off <= 1.5 * floor + EPSILON[dtype] * float(truth.pow(2).mean().sqrt())


@pytest.mark.skipif(len(LEVELS) < 2, reason="one level")
@settings(max_examples=25, deadline=None)
@given(shape=shapes, dtype=dtypes, seed=st.integers(0, 2**20))
def test_wider_vectors_give_the_same(shape: tuple[int, int, int, int], dtype: torch.dtype, seed: int) -> None:
    model = decoder(shape, dtype, seed)
    first, *others = (Heard(model, seed, kernels).whole([*range(ROWS)]) for kernels in LEVELS)
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.skipif(len(LEVELS) < 2, reason="one level")
@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 60), width=st.sampled_from([2, 34, 128, 200]), seed=st.integers(0, 2**20))
def test_products_of_bfloat16_round_as_the_instruction_for_them(rows: int, width: int, seed: int) -> None:
    """Numbers of all sizes, also those that count as zero because they are, or their products become, too small."""
    random = torch.Generator().manual_seed(seed)
    config = WhisperConfig(8, width, 1, 1, width, 1, 1, width, 90, HEARD, PLACES)

    def numbers(count: int) -> Tensor:
        exponents = torch.randint(0, 150, (count, width), generator=random) << 7
        others = torch.randint(0, 256, (count, width), generator=random)  # sign and fraction
        bits = (others & 127) | exponents | ((others & 128) << 8)
        return bits.to(torch.int32).to(torch.int16).view(torch.bfloat16)

    model, hidden = Decoder(config).to(torch.bfloat16).eval().requires_grad_(False), numbers(rows)
    model.tokens.weight.data.copy_(numbers(90))
    first, *others = (NativeDecoder(copy.deepcopy(model), kernels).logits(hidden) for kernels in LEVELS)
    assert all(torch.equal(first.view(torch.int32), other.view(torch.int32)) for other in others)
    truth = hidden.double() @ model.tokens.weight.double().T
    size = hidden.double().abs() @ model.tokens.weight.double().abs().T
    assert ((first - truth).abs() <= width * 2.0**-24 * size + width * 2.0**-100).all()


@by_level
def test_rows_move_and_what_was_before_counts_nothing(kernels: Library) -> None:
    heard = Heard(decoder(SHAPES[0], torch.float32, 1), 1, kernels)
    alone = heard.whole([2])
    cache = heard.fresh([0, 2])
    cache.text.fill_(math.nan)
    heard.native(heard.tokens[[1, 2], :7], torch.zeros(2, dtype=torch.int32), cache, 0)
    cache.move(1, 0, 7)
    found = heard.native(heard.tokens[[2], 7:], torch.tensor([7], dtype=torch.int32), cache.part(0, 1), 0)
    assert torch.equal(found, alone[:, 7:])


def test_gelu_is_that_of_the_error_function() -> None:
    """One layer whose attention says nothing and whose products are the identity: x + gelu(norm(x))."""
    width = 64
    config = WhisperConfig(8, width, 1, 1, width, 1, 1, width, 90, HEARD, PLACES)
    model = Decoder(config)
    for value in model.parameters():
        value.data.zero_()
    layer = model.layers[0]
    layer.mlp.fc1.weight.data.copy_(torch.eye(width))
    layer.mlp.fc2.weight.data.copy_(torch.eye(width))
    layer.mlp.norm.weight.data.fill_(1.0)
    model.norm.weight.data.fill_(1.0)
    model.tokens.weight.data.normal_(generator=torch.Generator().manual_seed(0)).mul_(3)
    model = model.eval().requires_grad_(False)
    x = model.tokens.weight[:STEPS].double()
    expected = nn.functional.layer_norm(x + nn.functional.gelu(nn.functional.layer_norm(x, [width])), [width])
    for kernels in LEVELS:
        native = NativeDecoder(copy.deepcopy(model), kernels)
        tokens = torch.arange(STEPS, dtype=torch.int32)[None]
        found = native(tokens, torch.zeros(1, dtype=torch.int32), native.allocate(1), STEPS)
        assert (found[0].double() - expected).abs().max() < 5e-7


SCREENS = [kernels for kernels in LEVELS if kernels.choose is not None]


@pytest.mark.skipif(not SCREENS, reason="no VNNI")
@settings(max_examples=60, deadline=None)
@given(
    ids=st.integers(40, 3000),
    width=st.sampled_from([2, 6, 32, 50, 384]),
    dtype=dtypes,
    rows=st.integers(1, 11),
    near=st.sampled_from([0.0, 1e-6, 1e-3, 0.1]),
    seed=st.integers(0, 2**20),
)
def test_the_screen_finds_the_likeliest(
    ids: int, width: int, dtype: torch.dtype, rows: int, near: float, seed: int
) -> None:
    """Matrices in which many ids are nearly alike, so that the int8 copy cannot tell them apart."""
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn((1, width), generator=random) + near * torch.randn((ids, width), generator=random)
    weight = (weight if near else torch.randn((ids, width), generator=random)).to(dtype)
    hidden, text = torch.randn((rows, width), generator=random).to(dtype), ids * 3 // 4
    allowed = torch.zeros(ids)
    allowed[torch.randint(0, ids, (ids // 5,), generator=random)] = -math.inf
    screen = NativeScreen(weight, text, SCREENS[0])
    found, truth = screen.logits(hidden, allowed).clone(), hidden.double() @ weight.double().T
    size = hidden.double().norm(dim=-1, keepdim=True) * weight.double().norm(dim=-1)
    truth[:, :text] += allowed[:text]
    close = 1e-6 * size  # of sums of so many products in float32
    assert ((found - truth).abs()[:, text:] <= close[:, text:]).all()
    best = found[:, :text].argmax(-1, keepdim=True)
    top = truth[:, :text].amax(-1, keepdim=True)
    assert ((top - truth.gather(1, best)) <= 2 * close.gather(1, best)).all()
    assert ((found.gather(1, best) - truth.gather(1, best)).abs() <= close.gather(1, best)).all()
    assert torch.equal(found[:, :text] == -math.inf, truth[:, :text] == -math.inf)
    one = [screen.logits(hidden[row : row + 1], allowed).clone() for row in range(rows)]
    assert torch.equal(torch.cat(one), found)


def proposals_one_by_one(
    draft: NativeDraft, head: NativeHead | NativeScreen, hidden: Tensor, rules: Rules, numbers: Tensor, most: int
) -> Tensor:
    """What `NativeDraft.propose` does in one call: a feed, logits and a choice for each token."""
    state, length, chosen = RowState.of(numbers[:, 1:]), int(numbers[0, 0]), []
    for at in range(most):
        exact = hidden.float().contiguous()
        logits = head.logits(exact) if isinstance(head, NativeHead) else head.logits(exact, draft.bounds.allowed)
        token = argmax(masked(logits, state, rules))
        chosen.append(token)
        state = state.after(token, rules)
        hidden = draft.decoder(token[:, None], numbers[:, 0] + at, draft.cache, length + at + 1)[:, 0]
    return torch.stack(chosen, 1)


@pytest.mark.parametrize(
    ("kernels", "screened"),
    [
        pytest.param(kernels, screened, id=f"{kernels.level}-{'screened' if screened else 'whole'}")
        for kernels in LEVELS
        for screened in (False, True)
        if kernels.choose or not screened  # a screen takes VNNI
    ],
)
@settings(max_examples=15, deadline=None)
@given(shape=shapes, dtype=dtypes, seed=st.integers(0, 2**20), most=st.integers(1, 7), stamps=st.booleans())
def test_proposals_of_one_call_are_those_one_by_one(
    kernels: Library,
    screened: bool,
    shape: tuple[int, int, int, int],
    dtype: torch.dtype,
    seed: int,
    most: int,
    stamps: bool,
) -> None:
    heard = Heard(decoder(shape, dtype, seed), seed, kernels)
    weight = heard.model.tokens.weight
    rules = Rules.make(90, 60, (3, 4, 59), (), (62, 85, 70) if stamps else None, torch.device("cpu"))
    bounds = choice.Bounds(rules.suppressed, rules.eot, 62 if stamps else -1, rules.timestamp_end)
    head = NativeScreen(weight, 60, kernels) if screened else NativeHead(weight, kernels)
    rows, fed = [2, 0, 3], 5
    starts = torch.zeros(len(rows), dtype=torch.int32)
    said = torch.tensor([[fed, 66, 1, 0], [fed, 61, 0, 0], [fed, 70, 1, 1]], dtype=torch.int32)
    found = []
    for at_once in (True, False):
        cache = heard.fresh(rows)
        hidden = heard.native(heard.tokens[rows, :fed], starts, cache, fed)[:, -1]
        draft = NativeDraft(heard.native, cache, head, bounds, None, None)
        if at_once:
            state = choice.Said(said[:, 1], said[:, 2] > 0, said[:, 3] > 0)
            found.append(draft.propose(hidden, state, said[:, 0], most))
        else:
            found.append(proposals_one_by_one(draft, head, hidden, rules, said, most))
    assert torch.equal(*found)
    assert not set(found[0].flatten().tolist()) & {3, 4, 59}


@by_level
@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 5),
    tried=st.integers(0, 5),
    text=st.integers(2, 70),
    times=st.integers(1, 40),
    spread=st.sampled_from([0.0, 0.5, 3.0, 30.0]),
    timed=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_the_rules_are_those_of_torchs_operators(
    kernels: Library, rows: int, tried: int, text: int, times: int, spread: float, timed: bool, seed: int
) -> None:
    """Text, its end and a special token, timestamps, and tokens behind them; any state, any tokens after it."""
    random = torch.Generator().manual_seed(seed)
    begin, ids = text + 2, text + 2 + times + 3
    never = tuple(torch.randint(0, text, (text // 4,), generator=random).tolist())
    rules = Rules.make(ids, text, never, (), (begin, begin + times, ids) if timed else None, torch.device("cpu"))
    logits = spread * torch.randn((rows * (tried + 1), ids), generator=random)
    after = torch.randint(0, begin + times, (rows, tried), generator=random, dtype=torch.int32)
    numbers = torch.randint(0, 2, (rows, 3), generator=random, dtype=torch.int32)
    numbers[:, 0] = torch.randint(begin - 1, begin + times, (rows,), generator=random)
    state = RowState.of(numbers)
    said = choice.Said(state.stamp, state.last, state.penultimate, after)
    bounds = choice.Bounds(rules.suppressed, rules.eot, begin if timed else -1, rules.timestamp_end)
    expected = masked(logits.clone(), state.along(after, rules), rules)
    kept, ruled = logits.clone(), logits.clone()
    found = choice.pick(kernels, kept, said, bounds)
    choice.mask(kernels, ruled, said, bounds)
    assert torch.equal(kept, logits)
    sure = torch.ones(len(logits), dtype=torch.bool)
    if timed:  # where text and timestamps weigh the same to the last bits, either is right
        stamps = expected[:, begin : begin + times].double().logsumexp(-1)
        best = (logits + rules.suppressed)[:, :begin].double().amax(-1)
        sure = (stamps - best).abs() > 1e-5
    assert torch.equal(ruled[sure], expected[sure])
    assert torch.equal(found[sure], argmax(expected)[sure])
    alone = choice.Said(*(each[:1] for each in (said.stamps, said.last, said.penultimate, after)))
    assert torch.equal(choice.pick(kernels, logits[: tried + 1].clone(), alone, bounds), found[: tried + 1])
