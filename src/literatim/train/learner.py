"""What learns in a bundled model's training: the model, a phoneme head thrown away afterwards, and their optimiser."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


class Learner(Generic[Model]):
    """The model, its phoneme head and their optimiser; biases and scales do not decay."""

    def __init__(self, model: Model, head: nn.Linear, rate: float) -> None:
        self.model, self.head = model, head
        parameters = self.parameters()
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.02},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)

    def parameters(self) -> list[nn.Parameter]:
        """Everything that learns."""
        return [p for p in [*self.model.parameters(), *self.head.parameters()] if p.requires_grad]

    def learn(self, loss: torch.Tensor, rate: float) -> None:
        """One optimiser step."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def restore(self, state: dict[str, Any]) -> None:
        """What `save` kept."""
        self.model.load_state_dict(state["model"])
        self.head.load_state_dict(state["head"])
        self.optimiser.load_state_dict(state["optimiser"])

    def save(self, path: Path, **more: Any) -> None:
        """Everything needed to go on, with `more` beside it; whole or not at all."""
        part = path.with_suffix(".part")
        state = {"model": self.model.state_dict(), "head": self.head.state_dict()}
        torch.save({**state, "optimiser": self.optimiser.state_dict(), **more}, part)
        part.replace(path)
