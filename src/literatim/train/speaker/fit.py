"""Train the speaker model: crops of voices, each told from all the others by the angle to its centre.

    python -m literatim.train.speaker.fit CORPUS OUT --minutes 50

Length of the crops, margin and learning rate follow the share of the minutes that has gone by. A run that was killed
goes on from its last checkpoint when it is started again with the same OUT.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from literatim.train.compose import Batch
from literatim.train.course import Course, command
from literatim.train.learner import Learner
from literatim.train.speaker.compose import Composer
from literatim.train.speaker.corpus import Corpus
from literatim.train.speaker.net import TrainingNet, additive_margin

LAYERS, CHANNELS, EMBEDDING = (1, 2, 3, 2), (16, 32, 64, 128), 128
FALL = 0.45  # share of the run after which the learning rate falls
MARGIN, MARGIN_FROM, MARGIN_TO = 0.2, 0.2, 0.5  # radians; shares of the run between which it grows from 0


@dataclass(frozen=True)
class Phase:
    """One stage of the curriculum: its share of the run, frames of a crop, crops of a batch."""

    share: float
    frames: tuple[int, ...]
    batch: int


PHASES = (Phase(0.3, (100, 120), 32), Phase(0.35, (120, 150, 200), 40), Phase(1.0, (140, 150, 200, 300), 48))


class Run(Course[TrainingNet]):
    """One training run."""

    def __init__(self, learner: Learner[TrainingNet], given: argparse.Namespace) -> None:
        super().__init__(learner, given, FALL, ("loss", "right"))

    def margin(self) -> float:
        """In radians, now."""
        grown = (self.share() - MARGIN_FROM) / (MARGIN_TO - MARGIN_FROM)
        return MARGIN * min(1.0, max(0.0, grown))

    def update(self, batch: Batch) -> None:
        """One optimiser step."""
        with torch.autocast("cpu", torch.bfloat16):
            embeddings = self.learner.model(batch["frames"])
        loss, right = additive_margin(embeddings, self.learner.head.weight, batch["voices"], self.margin())
        self.learn(loss, loss, right)


def train(given: argparse.Namespace) -> None:
    """Run the curriculum for the minutes given."""
    corpus = Corpus(given.corpus)
    model = TrainingNet(LAYERS, CHANNELS, EMBEDDING).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = Run(Learner(model.train(), nn.Linear(EMBEDDING, len(corpus), bias=False), given.rate), given)
    composer = Composer(corpus, given.seed + run.step)
    phases = [(phase.share, partial(composer.batch, phase.frames, phase.batch)) for phase in PHASES]
    for _, batch in run.through(phases):
        run.update(batch)


def main() -> None:
    """Command line of this module."""
    command(train, __doc__, minutes=50, warmup=150)


if __name__ == "__main__":
    main()
