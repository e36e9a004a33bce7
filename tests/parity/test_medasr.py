"""MedASR against transformers' LasrForCTC on random networks that are alive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LasrForCTC

from literatim.models.medasr import Medasr
from literatim.models.medasr_checkpoint import exported, load_medasr
from medasr_builders import random_lasr

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # transformers'

CLOSE = 1e-4
SHAPES: list[dict[str, Any]] = [
    {},
    {"conv_kernel_size": 32},
    {"conv_kernel_size": 5},
    {"conv_kernel_size": 1},
    {"hidden_size": 30, "num_attention_heads": 3},
    {"hidden_size": 24, "num_attention_heads": 2, "head_dim": 6},
    {"subsampling_conv_kernel_size": 3, "subsampling_conv_channels": 7},
    {"subsampling_conv_stride": 3},
    {"num_mel_bins": 80, "intermediate_size": 17},
    {"attention_bias": True, "convolution_bias": True},
    {"hidden_act": "gelu", "layer_norm_eps": 1e-3},
    {"feed_forward_residual_weights": (1.0, 0.5), "conv_residual_weights": (1.0, 0.7)},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
]


def both(folder: Path, seed: int, **shape: Any) -> tuple[LasrForCTC, Medasr]:
    """transformers' network, and ours of the folder that it saved."""
    theirs = random_lasr(seed, **shape)
    theirs.save_pretrained(folder)
    return theirs, load_medasr(folder, torch.float32, torch.device("cpu"))


def mels(model: Medasr, lengths: list[int], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Frames (B, T, M) with rubbish after each row's own, the mask (B, T) and the steps (B,) of the rows."""
    frames = torch.randn(len(lengths), max(lengths), model.config.n_mels, generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return frames * 2, mask, torch.tensor([model.config.steps(length) for length in lengths])


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_hidden_states_and_logits(tmp_path: Path, number: int) -> None:
    """Of a padded batch, within each row's own steps."""
    theirs, ours = both(tmp_path, number, **SHAPES[number])
    frames, mask, steps = mels(ours, [61, 160, 97], number)
    hidden = theirs.encoder(frames, attention_mask=mask).last_hidden_state
    logits = theirs(frames, attention_mask=mask).logits
    found_hidden, found = ours.encoder(frames, steps), ours(frames, steps)
    for row, count in enumerate(steps.tolist()):
        torch.testing.assert_close(found_hidden[row, :count], hidden[row, :count], atol=CLOSE, rtol=0)
        torch.testing.assert_close(found[row, :count], logits[row, :count], atol=CLOSE, rtol=0)
    assert len(found[1].argmax(-1).unique()) > 5  # it does say something
    assert (found[1, : int(steps[0])].argmax(-1) != found[0, : int(steps[0])].argmax(-1)).any()


def test_without_a_mask(tmp_path: Path) -> None:
    """As transformers' pipeline runs it: one clip, no mask."""
    theirs, ours = both(tmp_path, 40)
    frames, _, _ = mels(ours, [203], 3)
    torch.testing.assert_close(ours(frames), theirs(frames).logits, atol=CLOSE, rtol=0)


def test_every_tensor_counts(tmp_path: Path) -> None:
    """No part is there for nothing: with any one tensor at zero the logits differ by far more than is tolerated."""
    _, ours = both(tmp_path, 41, attention_bias=True, convolution_bias=True)
    frames, _, steps = mels(ours, [80, 57], 4)
    whole = ours(frames, steps)
    for name, tensor in ours.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        kept = tensor.clone()
        tensor.zero_()
        assert (ours(frames, steps) - whole)[0].abs().max() > 100 * CLOSE, name
        tensor.copy_(kept)
    torch.testing.assert_close(ours(frames, steps), whole, atol=0, rtol=0)


def test_a_clip_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    """Alone, beside a longer one, and with other rubbish behind it."""
    _, ours = both(tmp_path, 42)
    frames, _, steps = mels(ours, [75, 190], 5)
    alone, among = ours(frames[:1, :75]), ours(frames, steps)
    torch.testing.assert_close(among[:1, : int(steps[0])], alone, atol=CLOSE, rtol=0)
    frames[0, 75:] = 1e4
    torch.testing.assert_close(ours(frames, steps)[0, : int(steps[0])], among[0, : int(steps[0])], atol=0, rtol=0)


def test_export_is_what_transformers_saves(tmp_path: Path) -> None:
    """The same names, shapes and values, but for the counts of batches."""
    theirs, ours = both(tmp_path, 43, attention_bias=True)
    saved = {name: tensor for name, tensor in theirs.state_dict().items() if "num_batches" not in name}
    found = exported(ours)
    assert found.keys() == saved.keys()
    assert all(torch.equal(found[name], saved[name]) for name in saved)
