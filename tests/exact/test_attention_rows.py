"""What the decoder makes of a token is the same to the last bit, however many tokens and rows go in with it."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from literatim import device as devices
from literatim.models.attention import attend_alike, attend_sound
from literatim.models.config import WhisperConfig
from literatim.models.linear import pack
from literatim.models.whisper import Decoder, DecoderCache

CPU = torch.device("cpu")
DTYPES = [dtype for dtype in (torch.float32, torch.bfloat16) if devices.packs_linear(CPU, dtype)]
pytestmark = pytest.mark.skipif(not DTYPES, reason="this CPU's torch has no oneDNN")
SHAPES = {  # width, heads, encoder positions, vocabulary
    "tiny": (384, 6, 1500, 700),
    "base": (512, 8, 60, 300),
    "small": (768, 12, 100, 300),
    "turbo": (1280, 20, 33, 60),
    "demo": (256, 4, 500, 1000),
    "odd": (30, 3, 75, 77),
    "single": (7, 1, 31, 50),
}
CONTEXT = 447
LENGTHS = st.sampled_from([0, 3, 50, 63, 64, 100, 127, 180, 191, 192, 200, 250, 300, 383, 384, 420, 426])
BLOCKS = st.lists(st.integers(1, 20), min_size=1, max_size=6).filter(lambda blocks: sum(blocks) <= 20)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@functools.cache
def decoder(name: str, dtype: torch.dtype) -> Decoder:
    """Two layers with random weights, packed."""
    width, heads, positions, vocabulary = SHAPES[name]
    config = WhisperConfig(
        vocab_size=vocabulary,
        n_mels=80,
        d_model=width,
        encoder_layers=1,
        encoder_heads=heads,
        encoder_ffn=4 * width,
        source_positions=positions,
        decoder_layers=2,
        decoder_heads=heads,
        decoder_ffn=4 * width,
        target_positions=CONTEXT,
    )
    made = Decoder(config).to(dtype).requires_grad_(False)
    random = torch.Generator().manual_seed(len(name))
    for parameter in made.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=random) * (parameter[0].numel() or 1) ** -0.5)
    pack(made)
    return made


def filled(model: Decoder, rows: int, seed: int) -> DecoderCache:
    """A cache as if everything had been written: what lies beyond a row's length must not matter."""
    cache, random = model.allocate(rows), torch.Generator().manual_seed(seed)
    for part in (cache.text, cache.cross_keys, cache.cross_values):
        part.copy_(torch.randn(part.shape, generator=random))
    return cache


def alone(model: Decoder, cache: DecoderCache, row: int, tokens: torch.Tensor, length: int) -> torch.Tensor:
    """Hidden states (K, D) of a row's tokens, fed one by one without neighbours, looking no further than needed."""
    part, states = cache.part(row, 1), []
    for at, token in enumerate(tokens, length):
        limit = -(-(at + 1) // 64) * 64
        states.append(
            model(token.view(1, 1), torch.tensor([at], dtype=torch.int32), part, min(limit, cache.size))[0, 0]
        )
    return torch.stack(states)


@dtypes
@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=5, deadline=None)
@given(
    lengths=st.lists(LENGTHS, min_size=1, max_size=4),
    blocks=BLOCKS,
    spare=st.integers(0, 300),
    seed=st.integers(0, 2**20),
)
def test_tokens_in_blocks_with_neighbours_are_those_fed_alone(
    name: str, dtype: torch.dtype, lengths: list[int], blocks: list[int], spare: int, seed: int
) -> None:
    model = decoder(name, dtype)
    together, apart = filled(model, len(lengths), seed), filled(model, len(lengths), seed)
    random = torch.Generator().manual_seed(seed)
    tokens = torch.randint(SHAPES[name][3], (len(lengths), sum(blocks)), generator=random, dtype=torch.int32)
    at, states = torch.tensor(lengths, dtype=torch.int32), []
    for block in tokens.split(blocks, 1):
        least = int(at.max()) + block.shape[1]
        states.append(model(block, at, together, min(least + spare, together.size)))
        at = at + block.shape[1]
    found = torch.cat(states, 1)
    for row, length in enumerate(lengths):
        assert torch.equal(found[row], alone(model, apart, row, tokens[row], length))
    assert torch.equal(together.text, apart.text)


@dtypes
@pytest.mark.parametrize("name", ["tiny", "odd"])
def test_a_prompt_at_once_is_the_prompt_token_by_token(name: str, dtype: torch.dtype) -> None:
    model = decoder(name, dtype)
    tokens = torch.randint(SHAPES[name][3], (2, 200), generator=torch.Generator().manual_seed(1), dtype=torch.int32)
    together, apart = filled(model, 2, 0), filled(model, 2, 0)
    found = model(tokens, torch.zeros(2, dtype=torch.int32), together, 200)
    for row in range(2):
        assert torch.equal(found[row], alone(model, apart, row, tokens[row], 0))
    assert torch.equal(together.text, apart.text)


@dtypes
@pytest.mark.parametrize("name", SHAPES)
def test_a_row_has_the_same_logits_among_any_others(name: str, dtype: torch.dtype) -> None:
    model, width = decoder(name, dtype), SHAPES[name][0]
    states = torch.randn(40, width, generator=torch.Generator().manual_seed(2)).to(dtype)
    whole = model.logits(states)
    for rows in range(1, 41):
        assert torch.equal(model.logits(states[:rows]), whole[:rows])
        assert torch.equal(model.logits(states[40 - rows :]), whole[40 - rows :])
    assert torch.equal(model.logits(states.view(5, 8, width)), whole.view(5, 8, -1))


@dtypes
@pytest.mark.parametrize(("queries", "keys", "channels"), [(1, 60, 64), (3, 230, 64), (2, 33, 10), (17, 464, 7)])
def test_attention_is_attention(queries: int, keys: int, channels: int, dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(2, 3, count, channels, generator=random) for count in (queries, keys, keys))
    query, key, value = (part.to(dtype) for part in (query / 4, key, value))
    mask = torch.zeros(2, 1, queries, keys, dtype=dtype)
    mask[0, :, :, keys // 2 :] = -torch.inf
    scores = query.double() @ key.double().mT
    for given_mask, masked in ((None, scores), (mask, scores + mask.double())):
        expected = masked.softmax(-1) @ value.double()
        ways = [attend_alike(query, key, value, given_mask)]
        if given_mask is None:
            ways.append(attend_sound(query, key, value))
        unit = torch.finfo(dtype).eps * float(value.abs().max())
        for found in ways:
            assert found.shape == expected.shape
            # a score's rounding, that of its exponential, and those of the two products
            assert float((found.double() - expected).abs().max()) < (float(scores.abs().max()) + 4) * unit
