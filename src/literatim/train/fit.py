"""Train the demo Whisper: decoder cross-entropy, and phoneme CTC on the encoder to keep it listening.

    python -m literatim.train.fit CORPUS OUT --minutes 75 --decay 0
    python -m literatim.train.fit CORPUS OUT2 --resume OUT/checkpoint.pt --minutes 20 --decay 20

The learning rate warms up, stays, and falls linearly over the last `--decay` minutes, so that a run can be taken
up again where it stopped. A CTC head (Graves et al., 2006) over phonemes is thrown away afterwards.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from transformers import WhisperConfig, WhisperForConditionalGeneration

from literatim.train import vocabulary
from literatim.train.compose import IGNORED, Batches, Composer, Phase
from literatim.train.corpus import Corpus
from literatim.train.vocabulary import IDS, WINDOW_SECONDS

FRAMES = WINDOW_SECONDS * 100
WARMUP_STEPS = 300
FIRST = (
    Phase(minutes=5, frames=300, batch=8, utterances=1, free=0.7, augmented=False),
    Phase(minutes=12, frames=400, batch=8, utterances=2, free=0.6),
)
LAST = Phase(minutes=1e9, frames=FRAMES, batch=12, utterances=3, free=0.5, whole=True)


@dataclass
class Learner:
    """The model, its phoneme head and its optimiser."""

    model: WhisperForConditionalGeneration
    head: nn.Linear
    optimiser: torch.optim.AdamW

    def parameters(self) -> list[nn.Parameter]:
        """Everything that learns."""
        return [p for p in [*self.model.parameters(), *self.head.parameters()] if p.requires_grad]


def config() -> WhisperConfig:
    """The demo's shape: 4.8 M parameters; four decoder layers so that a one-layer draft can pay.

    With six encoder layers the phoneme loss did not start to fall in 800 steps, with four it does after 150.
    """
    return WhisperConfig(
        vocab_size=IDS.vocabulary,
        num_mel_bins=80,
        d_model=192,
        encoder_layers=4,
        decoder_layers=4,
        encoder_attention_heads=3,
        decoder_attention_heads=3,
        encoder_ffn_dim=768,
        decoder_ffn_dim=768,
        max_source_positions=FRAMES // 2,
        max_target_positions=224,
        dropout=0.0,
        pad_token_id=IDS.eot,
        bos_token_id=IDS.eot,
        eos_token_id=IDS.eot,
        decoder_start_token_id=IDS.sot,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        attn_implementation="sdpa",
    )


def initialise(model: WhisperForConditionalGeneration) -> None:
    """Unit-gain weights; residual branches at 0.4 of it. transformers' default (std 0.02) learns far slower."""
    for name, weight in model.named_parameters():
        if "encoder.embed_positions" in name:
            continue
        if "embed_tokens" in name:
            nn.init.normal_(weight, 0, weight.shape[1] ** -0.5)
        elif "embed_positions" in name:
            nn.init.normal_(weight, 0, 0.05)
        elif weight.ndim == 3:
            nn.init.normal_(weight, 0, (2 / (weight.shape[1] * weight.shape[2])) ** 0.5)
        elif weight.ndim == 2:
            residual = "fc2" in name or "out_proj" in name
            nn.init.normal_(weight, 0, weight.shape[1] ** -0.5 * (0.4 if residual else 1.0))


def make_learner(phonemes: int, rate: float) -> Learner:
    """A fresh learner; the encoder's positions stay Whisper's sinusoids."""
    model = WhisperForConditionalGeneration(config())
    initialise(model)
    model.model.encoder.embed_positions.weight.requires_grad_(False)
    head = nn.Linear(192, phonemes)
    parameters = [p for p in [*model.parameters(), *head.parameters()] if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.02},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return Learner(model, head, torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True))


def encode(encoder: Any, mel: torch.Tensor) -> torch.Tensor:
    """The encoder over windows of any length: (B, 80, F) -> (B, F / 2, 192). transformers wants full windows."""
    hidden = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel)))).transpose(1, 2)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    for layer in encoder.layers:
        output = layer(hidden, None)
        hidden = output[0] if isinstance(output, tuple) else output
    return encoder.layer_norm(hidden)


def losses(learner: Learner, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cross-entropy, phoneme CTC per symbol, and the share of text tokens predicted right."""
    model, labels = learner.model, batch["labels"]
    with torch.autocast("cpu", torch.bfloat16):
        audio = encode(model.model.encoder, batch["mel"])  # (B, F / 2, D)
        hidden = model.model.decoder(input_ids=batch["tokens"], encoder_hidden_states=audio, use_cache=False)[0]
        logits = F.linear(hidden, model.model.decoder.embed_tokens.weight)  # (B, N, V)
        symbols = learner.head(audio)  # (B, F / 2, P)
    logits = logits.float()
    cross = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    lengths = batch["phoneme_lengths"]
    frames = torch.full((len(lengths),), audio.shape[1])
    log_probs = F.log_softmax(symbols.float(), -1).transpose(0, 1)
    each = F.ctc_loss(log_probs, batch["phonemes"], frames, lengths, reduction="none", zero_infinity=True)
    ctc = each[lengths > 0].sum() / lengths.sum().clamp(min=1)
    text = (labels != IGNORED) & (labels < IDS.eot)
    return cross, ctc, (logits.argmax(-1) == labels)[text].float().mean()


def rate_at(step: int, minutes: float, total: float, decay: float, resumed: bool) -> float:
    """Share of the peak learning rate."""
    if decay and minutes > total - decay:
        return max(0.02, (total - minutes) / decay)
    return 1.0 if resumed else min(1.0, (step + 1) / WARMUP_STEPS)


class Run:
    """One training run: phases, logging, checkpoints."""

    def __init__(self, learner: Learner, given: argparse.Namespace) -> None:
        self.learner, self.given = learner, given
        self.step, self.began, self.sums = 0, time.monotonic(), [0.0, 0.0, 0.0, 0.0]
        self.logged = self.saved = 0.0

    def minutes(self) -> float:
        """Since the start of this run."""
        return (time.monotonic() - self.began) / 60

    def update(self, batch: dict[str, torch.Tensor], ctc_weight: float) -> None:
        """One optimiser step."""
        given, learner = self.given, self.learner
        share = rate_at(self.step, self.minutes(), given.minutes, given.decay, bool(given.resume))
        for group in learner.optimiser.param_groups:
            group["lr"] = given.rate * share
        cross, ctc, accuracy = losses(learner, batch)
        ((1 - ctc_weight) * cross + ctc_weight * ctc).backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        learner.optimiser.step()
        learner.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        for index, value in enumerate((cross.item(), ctc.item(), accuracy.item(), 1.0)):
            self.sums[index] += value

    def record(self) -> None:
        """A log line each half minute, a checkpoint every four."""
        minutes = self.minutes()
        if minutes - self.logged > 0.5:
            cross, ctc, accuracy, count = self.sums
            row = {"minutes": round(minutes, 2), "step": self.step, "cross_entropy": round(cross / count, 4)}
            row |= {"ctc": round(ctc / count, 4), "accuracy": round(accuracy / count, 4)}
            sys.stderr.write(json.dumps(row) + "\n")
            self.sums, self.logged = [0.0, 0.0, 0.0, 0.0], minutes
        if minutes - self.saved > 4:
            self.save()
            self.saved = minutes

    def save(self) -> None:
        """Everything needed to go on."""
        learner, path = self.learner, self.given.out / "checkpoint.pt"
        state = {"model": learner.model.state_dict(), "head": learner.head.state_dict()}
        torch.save({**state, "optimiser": learner.optimiser.state_dict()}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)


def train(given: argparse.Namespace) -> None:
    """Run the curriculum for the minutes given."""
    torch.manual_seed(given.seed)
    corpus, tokenizer = Corpus(given.corpus), vocabulary.load(given.out / "bpe.json")
    phonemes = ["<blank>", " ", *corpus.phoneme_set()]
    learner = make_learner(len(phonemes), given.rate)
    if given.resume:
        state = torch.load(given.resume, weights_only=True)
        learner.model.load_state_dict(state["model"])
        learner.head.load_state_dict(state["head"])
        learner.optimiser.load_state_dict(state["optimiser"])
    composer = Composer(corpus, tokenizer, phonemes, given.seed, given.english)
    learner.model.train()
    run, until = Run(learner, given), 0.0
    for index, phase in enumerate((LAST,) if given.resume else (*FIRST, LAST)):
        until = min(given.minutes, until + phase.minutes)
        decaying = given.decay and given.resume
        ctc_weight = 0.6 if index == 0 and not given.resume else 0.1 if decaying else 0.4
        for batch in DataLoader(Batches(composer, phase), batch_size=None, num_workers=1, prefetch_factor=6):
            run.update(batch, ctc_weight)
            run.record()
            if run.minutes() >= until:
                break
    run.save()


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--decay", type=float, default=0, help="minutes at the end over which the rate falls")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--english", type=float, default=0.6, help="share of English windows")
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    train(given)


if __name__ == "__main__":
    main()
