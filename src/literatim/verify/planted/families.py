"""The kinds of networks that the self-test plants faults in: their parts, and how these are told from the calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from literatim.models.checkpoint import load_whisper
from literatim.models.config import WhisperConfig
from literatim.models.medasr_checkpoint import load_medasr
from literatim.models.medasr_config import MedasrConfig, is_medasr
from literatim.models.speaker_checkpoint import load_speaker_net
from literatim.models.speaker_config import SpeakerConfig, is_speaker
from literatim.verify.planted.catalogue import Places
from literatim.verify.planted.sites import MEDASR, VOICES, WHISPER, Sites, Way

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Family:
    """One checkpoint as the self-test sees it: its parameters by name, in float32 on the CPU."""

    parameters: Mapping[str, Tensor]
    places: Places
    way: Way

    def sites(self) -> Sites:
        """What tells the parts of one run."""
        return Sites(self.parameters, self.way)


def family(folder: Path) -> Family:
    """Of a checkpoint's folder."""
    if is_medasr(folder):
        medasr = load_medasr(folder, torch.float32, _CPU)
        return Family(dict(medasr.named_parameters()), places_of_medasr(medasr.config), MEDASR)
    if is_speaker(folder):
        voices = load_speaker_net(folder, torch.float32, _CPU)
        return Family(dict(voices.named_parameters()), places_of_voices(voices.config), VOICES)
    whisper = load_whisper(folder, torch.float32, _CPU)
    return Family(dict(whisper.named_parameters()), places_of_whisper(whisper.config), WHISPER)


def places_of_whisper(config: WhisperConfig) -> Places:
    """The parts of a Whisper by what can be wrong with them."""
    encoder = [f"encoder.layers.{at}" for at in range(config.encoder_layers)]
    decoder = [f"decoder.layers.{at}" for at in range(config.decoder_layers)]
    convolutions = ("encoder.conv1", "encoder.conv2")
    listening = [f"{layer}.{part}" for layer in encoder for part in ("attention.qkv", "attention.out")]
    thinking = [f"{layer}.mlp.{part}" for layer in (*encoder, *decoder) for part in ("fc1", "fc2")]
    saying = [f"{layer}.attention.{part}" for layer in decoder for part in ("qkv", "out")]
    crossing = [f"{layer}.cross.{part}" for layer in decoder for part in ("q", "kv", "out")]
    linears = (*listening, *thinking, *saying, *crossing)
    own = [f"{layer}.attention.product" for layer in decoder]
    sound = [f"{layer}.attention.product" for layer in encoder] + [f"{layer}.cross.product" for layer in decoder]
    norms = [f"{layer}.{part}.norm" for layer in (*encoder, *decoder) for part in ("attention", "mlp")]
    every_norm = (*norms, *(f"{layer}.cross.norm" for layer in decoder), "encoder.norm", "decoder.norm")
    sums = [f"{layer}.{part}.add" for layer in (*encoder, *decoder) for part in ("attention", "mlp")]
    return {
        "products": (*convolutions, *linears, "decoder.logits"),
        "biased": (*convolutions, *linears),
        "matrices": (*linears, "decoder.logits"),
        "encoder linears": (*listening, *(name for name in thinking if name.startswith("encoder"))),
        "convolutions": convolutions,
        "padded convolutions": convolutions,
        "norms": every_norm,
        "shifted norms": every_norm,
        "activations": ("encoder.conv1.gelu", "encoder.conv2.gelu", *(f"{x}.mlp.gelu" for x in (*encoder, *decoder))),
        "attention": (*sound, *own),
        "sound attention": tuple(sound),
        "masked attention": tuple(own),
        "caches": tuple(f"{layer}.attention.cache" for layer in decoder),
        "sound caches": tuple(f"{layer}.cross.cache" for layer in decoder),
        "positions": ("decoder.positions",),
        "sound positions": ("encoder.positions",),
        "embedding": ("decoder.tokens",),
        "sums": (*sums, *(f"{layer}.cross.add" for layer in decoder)),
        "logits": ("decoder.logits",),
        "rules": ("decoder.rules",),
        "choice": ("decoder.choice",),
    }


def places_of_medasr(config: MedasrConfig) -> Places:
    """The parts of a MedASR by what can be wrong with them."""
    layers = [f"encoder.layers.{at}" for at in range(config.layers)]
    halves = [f"{layer}.{half}" for layer in layers for half in ("first", "second")]
    reducing = ("encoder.subsampler.conv_0", "encoder.subsampler.conv_1")
    linears = (
        *(f"{half}.{part}" for half in halves for part in ("linear1", "linear2")),
        *(f"{layer}.attention.{part}" for layer in layers for part in ("qkv", "out")),
        *(f"{layer}.convolution.{part}" for layer in layers for part in ("enter", "leave")),
        "encoder.subsampler.dense_0",
        "encoder.subsampler.dense_1",
    )
    convolutions = (*reducing, *(f"{layer}.convolution.depthwise" for layer in layers))
    branches = (*halves, *(f"{layer}.{part}" for layer in layers for part in ("attention", "convolution")))
    norms = (*(f"{branch}.norm" for branch in branches), *(f"{layer}.norm" for layer in layers), "encoder.norm")
    attention = tuple(f"{layer}.attention.product" for layer in layers)
    return {
        "products": (*convolutions, *linears, "head"),
        "biased": (*reducing, "encoder.subsampler.dense_0", "head"),
        "matrices": (*linears, "head"),
        "encoder linears": linears,
        "convolutions": convolutions,
        "norms": norms,
        "SiLUs": (*(f"{half}.silu" for half in halves), *(f"{layer}.convolution.silu" for layer in layers)),
        "gates": tuple(f"{layer}.convolution.glu" for layer in layers),
        "batch norms": tuple(f"{layer}.convolution.batch_norm" for layer in layers),
        "fillings": tuple(f"{layer}.convolution.masked_fill" for layer in layers),
        "attention": attention,
        "masked attention": attention,
        "rotation": ("encoder.rotation",),
        "sums": tuple(f"{branch}.add_" for branch in branches),
        "logits": ("head",),
        "choice": ("head.choice",),
    }


def places_of_voices(config: SpeakerConfig) -> Places:
    """The parts of a network for voices by what can be wrong with them."""
    deep = config.block != "basic"
    blocks = [f"layer{stage}.{at}" for stage, count in enumerate(config.layers, 1) for at in range(count)]
    shortened = [f"layer{stage}.0" for stage in range(1 if deep else 2, len(config.layers) + 1)]
    wide = (
        tuple(f"{block}.conv2" for block in blocks)
        if deep
        else tuple(f"{block}.{part}" for block in blocks for part in ("conv1", "conv2"))
    )
    narrow = tuple(f"{block}.{part}" for block in blocks for part in ("conv1", "conv3")) if deep else ()
    convolutions = (*wide, *narrow, *(f"{block}.shortcut" for block in shortened))
    return {
        "products": (*convolutions, "conv1", "embedding"),
        "biased": (*convolutions, "conv1", "embedding"),
        "matrices": ("embedding",),
        "encoder linears": ("embedding",),
        "convolutions": convolutions,
        "padded convolutions": (*wide, "conv1"),
        "ReLUs": ("conv1.relu", *(f"{block}.relu" for block in blocks)),
        "masks": ("conv1.mul", *(f"{block}.mul" for block in blocks)),
        "sums": tuple(f"{block}.add" for block in blocks),
        "pooling": ("pooling",),
    }
