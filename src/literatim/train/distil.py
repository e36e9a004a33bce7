"""Distil a decoder: towards the main model's distribution over the next token, and the token that it chose."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from literatim import device as devices
from literatim.errors import OptionError
from literatim.models.whisper import Decoder
from literatim.train.student import output, read
from literatim.train.windows import Batch, Windows

SAID_WEIGHT = 0.5  # of the cross-entropy with the tokens said, beside the divergence
CLIP = 1.0  # largest norm of the gradient
LEAST_RATE = 0.02  # share of the peak at the end
SAVE_SECONDS = 30.0
SAY_STEPS = 50
SORTED = 16  # batches whose windows are drawn together and sorted by length


@dataclass(frozen=True)
class Schedule:
    """How long: `steps`, or `minutes` where they are given. The rate rises, then falls as half a cosine."""

    steps: int
    minutes: float | None
    batch: int
    rate: float
    warmup: int
    seed: int

    def done(self, step: int, seconds: float) -> float:
        """Share of the training that lies behind."""
        return step / self.steps if self.minutes is None else seconds / 60 / self.minutes

    def rate_at(self, step: int, seconds: float) -> float:
        """The learning rate of the next step."""
        fall = (1 + math.cos(math.pi * min(1.0, self.done(step, seconds)))) / 2
        return self.rate * min((step + 1) / self.warmup, max(LEAST_RATE, fall))


class Learner:
    """A student with its optimiser; `step` steps are done and took `seconds`."""

    def __init__(self, student: Decoder, schedule: Schedule) -> None:
        self.student, self.schedule = student, schedule
        learning = [parameter for parameter in student.parameters() if parameter.requires_grad]
        groups = [
            {"params": [item for item in learning if item.ndim > 1], "weight_decay": 0.01},
            {"params": [item for item in learning if item.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98))
        self.learning, self.step, self.seconds = learning, 0, 0.0
        self._low = _computes_bfloat16(self.device)

    @property
    def device(self) -> torch.device:
        """Where it learns."""
        return self.student.positions.device

    def logprobs(self, batch: Batch) -> Tensor:
        """Of the next token at the places spoken, (P, V) float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._low):
            hidden = read(self.student, batch.states.float(), batch.tokens)[batch.spoken]
            logits = F.linear(hidden, output(self.student))
        return logits.float().log_softmax(-1)

    def loss(self, batch: Batch) -> Tensor:
        """Divergence from the main model's distribution, and cross-entropy with what it said, a token."""
        found = self.logprobs(batch)
        wanted = F.linear(batch.hidden.float(), output(self.student)).log_softmax(-1)
        divergence = F.kl_div(found, wanted, reduction="batchmean", log_target=True)
        return divergence + SAID_WEIGHT * F.nll_loss(found, batch.said)

    def update(self, batch: Batch) -> float:
        """One step; returns the loss."""
        began = time.monotonic()
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate_at(self.step, self.seconds)
        loss = self.loss(batch)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.learning, CLIP)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        value = float(loss.detach())
        self.step += 1
        self.seconds += time.monotonic() - began
        return value

    @torch.no_grad()
    def agreement(self, windows: Windows, indices: Sequence[int]) -> float:
        """Share of the tokens said in these windows that are the student's likeliest, those before being given."""
        right = total = 0
        for start in range(0, len(indices), self.schedule.batch):
            batch = windows.batch(list(indices[start : start + self.schedule.batch]), self.device)
            right += int((self.logprobs(batch).argmax(-1) == batch.said).sum())
            total += len(batch.said)
        return right / max(total, 1)

    def save(self, path: Path) -> None:
        """Everything needed to go on, replaced at once."""
        part = path.with_name(path.name + ".part")
        student = {name: value for name, value in self.student.named_parameters() if value.requires_grad}
        state = {"student": student, "optimiser": self.optimiser.state_dict()}
        torch.save({**state, "step": self.step, "seconds": self.seconds}, part)
        part.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from `save`; OptionError where it was another student's."""
        state = torch.load(path, weights_only=True, map_location=self.device)
        _, unexpected = self.student.load_state_dict(state["student"], strict=False)
        if unexpected:
            raise OptionError(f"{path} is of a draft with more layers; begin anew with another --work")
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


def order(lengths: Sequence[int], batch: int, seed: int, step: int) -> list[int]:
    """Which of the windows, whose texts have these lengths, a step is for, known from its number alone.

    Each pass has an order of its own. Windows of similar length come together, so that little is padded.
    """
    in_pass = max(1, len(lengths) // batch)
    number, place = divmod(step, in_pass)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
    shuffled: list[int] = torch.randperm(len(lengths), generator=generator).tolist()[: in_pass * batch]
    span, within = SORTED * batch, place % SORTED
    start = place // SORTED * span
    near = sorted(shuffled[start : start + span], key=lambda at: (lengths[at], at))
    batches = [near[at : at + batch] for at in range(0, len(near), batch)]
    return batches[int(torch.randperm(len(batches), generator=generator)[within])]


def train(
    learner: Learner,
    windows: Windows,
    indices: Sequence[int],
    checkpoint: Path,
    say: Callable[[str, float], None],
) -> None:
    """Go on with the learner's schedule to its end, over the windows `indices`; saves now and then, and at the end.

    `say` is told what goes on and the share that is done.
    """
    schedule, saved, recent = learner.schedule, learner.seconds, list[float]()
    for batch in _batches(learner, windows, indices):
        recent = [*recent[-SAY_STEPS + 1 :], learner.update(batch)]
        done = schedule.done(learner.step, learner.seconds)
        if learner.step % SAY_STEPS == 0 or done >= 1:
            say(f"step {learner.step}, loss {sum(recent) / len(recent):.3f}", min(1.0, done))
        if learner.seconds - saved > SAVE_SECONDS or done >= 1:
            learner.save(checkpoint)
            saved = learner.seconds


def _batches(learner: Learner, windows: Windows, indices: Sequence[int]) -> Iterator[Batch]:
    schedule = learner.schedule
    lengths = [len(windows.rows[at]["prompt"]) + len(windows.rows[at]["said"]) for at in indices]
    while schedule.done(learner.step, learner.seconds) < 1:
        chosen = order(lengths, schedule.batch, schedule.seed, learner.step)
        yield windows.batch([indices[at] for at in chosen], learner.device)


def _computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products are there, and not made of float32 ones."""
    if device.type == "cpu":
        return devices.packs_linear(device, torch.bfloat16)
    return "bfloat16" in devices.dtypes(device)
