"""The course of a training run by the clock: learning rate, log, and checkpoints that a killed run goes on from."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import nn

from literatim.train.compose import Batch, endless
from literatim.train.learner import Learner

Model = TypeVar("Model", bound=nn.Module)


class Course(Generic[Model]):
    """One run of `given.minutes` with the learning rate `given.rate`, which rises over `given.warmup` steps."""

    def __init__(self, learner: Learner[Model], given: argparse.Namespace, fall: float, logged: Sequence[str]) -> None:
        """The rate falls after the share `fall` of the run; `logged` names the figures that `learn` is given."""
        self.learner, self.given, self._fall, self._names = learner, given, fall, logged
        self.step, self.before, self.worked = 0, 0.0, 0.0
        self.began, self.sums = time.monotonic(), [0.0] * (len(logged) + 1)
        self.logged = self.saved = 0.0
        self.path: Path = given.out / "checkpoint.pt"
        if self.path.exists():
            self._resume()

    def _resume(self) -> None:
        state = torch.load(self.path, weights_only=True)
        self.learner.restore(state)
        self.step, self.before, self.worked = state["step"], state["minutes"], state["worked"]
        self.logged = self.saved = self.before

    def minutes(self) -> float:
        """Since the start of this run, those before it was killed among them."""
        return self.before + (time.monotonic() - self.began) / 60

    def share(self) -> float:
        """How much of the run is over."""
        done: float = self.minutes() / self.given.minutes
        return done

    def rate(self) -> float:
        """The learning rate now: a rise over the first steps, a fall over the last part of the run."""
        rise: float = min(1.0, (self.step + 1) / self.given.warmup)
        fall: float = min(1.0, max(0.01, (1 - self.share()) / (1 - self._fall)))
        return float(self.given.rate * rise * fall)

    def learn(self, loss: torch.Tensor, *figures: torch.Tensor) -> None:
        """One optimiser step; its figures go into the log, as means."""
        self.learner.learn(loss, self.rate())
        self.step += 1
        for index, value in enumerate((*figures, torch.ones(()))):
            self.sums[index] += value.item()

    def through(self, phases: Iterable[tuple[float, Callable[[], Batch]]]) -> Iterator[tuple[int, Batch]]:
        """Batches of the phases, each a share of the run and what draws its batches, with the phase's number; saved."""
        until = 0.0
        for number, (share, draw) in enumerate(phases):
            until = min(1.0, until + share)
            for batch in self.until(until, endless(draw, ahead=4)):
                yield number, batch
        self.save()

    def until(self, share: float, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Batches until this share of the run is over, with log and checkpoints between."""
        if self.share() >= share:
            return
        for batch in batches:
            yield batch
            self.record()
            if self.share() >= share:
                break

    def record(self) -> None:
        """A log line each half minute, a checkpoint every three."""
        minutes = self.minutes()
        if minutes - self.logged > 0.5:
            *sums, count = self.sums
            means = {name: round(total / count, 4) for name, total in zip(self._names, sums, strict=True)}
            sys.stderr.write(json.dumps({"minutes": round(minutes, 2), "step": self.step, **means}) + "\n")
            self.sums, self.logged = [0.0] * len(self.sums), minutes
        if minutes - self.saved > 3:
            self.save()
            self.saved = minutes

    def save(self) -> None:
        """Everything needed to go on."""
        worked = self.worked + time.process_time() / 60
        self.learner.save(self.path, step=self.step, minutes=self.minutes(), worked=worked)


def command(train: Callable[[argparse.Namespace], None], about: str | None, *, minutes: float, warmup: int) -> None:
    """The command line of a module that trains: `train` is called with what a `Course` is given, and seeded."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=warmup, help="steps in which the rate rises")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    train(given)
