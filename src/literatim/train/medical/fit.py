"""Train the medical model: CTC over its pieces, and CTC over phonemes half way up to keep it listening.

    python -m literatim.train.medical.fit CORPUS OUT --minutes 90

The curriculum and the learning rate follow the share of the minutes that has gone by. A run that was killed goes on
from its last checkpoint when it is started again with the same OUT. Graves et al., 2006; Lee and Watanabe, 2021.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import LasrCTCConfig, LasrForCTC

from literatim.train.corpus import Corpus
from literatim.train.course import Course, command
from literatim.train.learner import Learner
from literatim.train.medical import vocabulary
from literatim.train.medical.compose import Composer, Phase

Medasr = Learner[LasrForCTC]

WIDTH, LAYERS, HEADS = 160, 5, 4
MIDDLE = 3  # layers below the phoneme head
PHASES = (
    Phase(0.08, (300,), 24, augmented=False),
    Phase(0.12, (500, 600), 40),
    Phase(0.25, (900, 1200), 60),
    Phase(1.0, (800, 1200, 1600, 2000), 72),
)
PHONEME_WEIGHTS = (0.5, 0.4, 0.3, 0.15)  # by phase
FALL = 0.5  # share of the run after which the learning rate falls


def config() -> LasrCTCConfig:
    """The released model's shape made small; what is not named here is as it is there."""
    return LasrCTCConfig(
        vocab_size=vocabulary.SIZE,
        pad_token_id=vocabulary.BLANK,
        encoder_config={
            "hidden_size": WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "intermediate_size": 4 * WIDTH,
            "subsampling_conv_channels": 96,
            "dropout": 0.0,
            "layerdrop": 0.0,
            "activation_dropout": 0.0,
            "attention_dropout": 0.0,
            "dropout_positions": 0.0,
        },
    )


def initialise(model: LasrForCTC, mean: torch.Tensor, deviation: torch.Tensor) -> None:
    """Unit-gain weights, residual branches at half of it; the first layer undoes the features' mean and deviation."""
    for name, weight in model.named_parameters():
        if weight.ndim == 3:
            gain = 2.0 if "subsampler" in name else 1.0
            nn.init.normal_(weight, 0, (gain / (weight.shape[1] * weight.shape[2])) ** 0.5)
        elif weight.ndim == 2:
            residual = "linear2" in name or "o_proj" in name
            nn.init.normal_(weight, 0, weight.shape[1] ** -0.5 * (0.5 if residual else 1.0))
    first = model.encoder.subsampler.dense_0
    with torch.no_grad():
        first.weight.mul_(2**0.5).div_(deviation)
        first.bias.copy_(-(first.weight @ mean))


def encode(encoder: Any, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (B, S, D) of full windows, half way up and at the top."""
    hidden = encoder.subsampler(mel)
    turn = encoder.rotary_emb(hidden, torch.arange(hidden.shape[1])[None])
    middle = hidden
    for index, layer in enumerate(encoder.layers, 1):
        hidden = layer(hidden, attention_mask=None, position_embeddings=turn)
        middle = hidden if index == MIDDLE else middle
    return middle, encoder.out_norm(hidden)


def ctc(logits: torch.Tensor, targets: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """CTC loss per symbol of logits (B, S, V)."""
    log_probs = F.log_softmax(logits.float(), -1).transpose(0, 1)
    steps = torch.full((len(lengths),), logits.shape[1])
    total = F.ctc_loss(log_probs, targets, steps, lengths, reduction="sum", zero_infinity=True)
    return total / lengths.sum()


def losses(learner: Medasr, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """CTC of the pieces and of the phonemes."""
    with torch.autocast("cpu", torch.bfloat16):
        middle, top = encode(learner.model.encoder, batch["mel"])
        pieces, phonemes = learner.model.ctc_head(top), learner.head(middle)
    return (
        ctc(pieces, batch["pieces"], batch["pieces_lengths"]),
        ctc(phonemes, batch["phonemes"], batch["phonemes_lengths"]),
    )


class Run(Course[LasrForCTC]):
    """One training run."""

    def __init__(self, learner: Medasr, given: argparse.Namespace) -> None:
        super().__init__(learner, given, FALL, ("pieces", "phonemes"))

    def update(self, batch: dict[str, torch.Tensor], weight: float) -> None:
        """One optimiser step."""
        pieces, phonemes = losses(self.learner, batch)
        self.learn((1 - weight) * pieces + weight * phonemes, pieces, phonemes)


def statistics(corpus: Corpus) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each mel band (128,) over some utterances."""
    sample = [corpus[index].power for index in range(0, len(corpus), len(corpus) // 300 + 1)]
    frames = torch.from_numpy(np.concatenate(sample)).float()
    return frames.mean(0), frames.std(0).clamp(min=1.0)  # the lowest band is empty


def make_learner(corpus: Corpus, phonemes: int, rate: float) -> Medasr:
    """A fresh learner."""
    model = LasrForCTC(config())
    initialise(model, *statistics(corpus))
    head = nn.Linear(WIDTH, phonemes)
    return Learner(model.train(), head, rate)


def train(given: argparse.Namespace) -> None:
    """Run the curriculum for the minutes given."""
    corpus, tokenizer = Corpus(given.corpus), vocabulary.load(given.corpus / "pieces")
    phonemes = ["<blank>", *corpus.phoneme_set()]
    learner = make_learner(corpus, len(phonemes), given.rate)
    run = Run(learner, given)
    composer = Composer(corpus, tokenizer, phonemes, given.seed + run.step)
    for number, batch in run.through([(phase.share, partial(composer.batch, phase)) for phase in PHASES]):
        run.update(batch, PHONEME_WEIGHTS[number])


def main() -> None:
    """Command line of this module."""
    command(train, __doc__, minutes=90, warmup=300)


if __name__ == "__main__":
    main()
