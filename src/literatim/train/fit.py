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
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from transformers import WhisperConfig, WhisperForConditionalGeneration

from literatim.train import vocabulary
from literatim.train.compose import IGNORED, Composer, Phase, endless
from literatim.train.corpus import Corpus
from literatim.train.learner import Learner
from literatim.train.vocabulary import IDS, WINDOW_SECONDS

Whisper = Learner[WhisperForConditionalGeneration]

FRAMES = WINDOW_SECONDS * 100
FIRST = (
    Phase(minutes=3, frames=160, batch=12, utterances=1, free=0.8, augmented=False),
    Phase(minutes=3, frames=300, batch=8, utterances=1, free=0.7, augmented=False),
    Phase(minutes=10, frames=400, batch=8, utterances=2, free=0.6),
)
GUIDED = ((0, 0), (1, 0), (1, 1))  # decoder layers and heads that learn to attend where the word is spoken
SLACK = 5  # encoder steps (20 ms) around a word that count as it
LAST = Phase(minutes=1e9, frames=FRAMES, batch=12, utterances=3, free=0.6, whole=True)


def config(decoder_layers: int = 4) -> WhisperConfig:
    """The demo's shape: 4.8 M parameters; four decoder layers so that a one-layer draft can pay.

    With six encoder layers the phoneme loss did not start to fall in 800 steps, with four it does after 150; a
    decoder of four layers did not find its attention in 2,400, one of two does, and is grown (`resume`).
    """
    return WhisperConfig(
        vocab_size=IDS.vocabulary,
        num_mel_bins=80,
        d_model=192,
        encoder_layers=4,
        decoder_layers=decoder_layers,
        encoder_attention_heads=3,
        decoder_attention_heads=3,
        encoder_ffn_dim=768,
        decoder_ffn_dim=768,
        max_source_positions=FRAMES // 2,
        max_target_positions=160,  # what prompts and windows in training reach: later positions would stay untrained
        dropout=0.0,
        pad_token_id=IDS.eot,
        bos_token_id=IDS.eot,
        eos_token_id=IDS.eot,
        decoder_start_token_id=IDS.sot,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        attn_implementation="eager",  # a step took 0.84 to 0.90 of the time it takes with sdpa (two cores)
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


def make_learner(phonemes: int, rate: float, decoder_layers: int = 4) -> Whisper:
    """A fresh learner; the encoder's positions stay Whisper's sinusoids."""
    model = WhisperForConditionalGeneration(config(decoder_layers))
    initialise(model)
    model.model.encoder.embed_positions.weight.requires_grad_(False)
    head = nn.Linear(192, phonemes)
    return Learner(model, head, rate)


def resume(learner: Whisper, path: Path, encoder_only: bool) -> None:
    """Take over a checkpoint: all of it, its encoder alone, one with fewer decoder layers, or an exported folder.

    Layers the checkpoint lacks begin as the identity: what they add to the residual stream is zero. An exported folder
    has neither the phoneme head nor the optimiser's state; both begin anew.
    """
    if path.is_dir():
        learner.model.load_state_dict(load_file(path / "model.safetensors"), strict=False)
        return
    state = torch.load(path, weights_only=True)
    weights = state["model"]
    if encoder_only:
        weights = {name: value for name, value in weights.items() if "model.encoder." in name}
    missing, unexpected = learner.model.load_state_dict(weights, strict=False)
    assert not unexpected
    learner.head.load_state_dict(state["head"])
    if not missing:
        learner.optimiser.load_state_dict(state["optimiser"])
    elif not encoder_only:
        new = {name: value for name, value in learner.model.named_parameters() if name in missing}
        for name, value in new.items():
            if "out_proj" in name or "fc2" in name:
                nn.init.zeros_(value)


def encode(encoder: Any, mel: torch.Tensor) -> torch.Tensor:
    """The encoder over windows of any length: (B, 80, F) -> (B, F / 2, 192). transformers wants full windows."""
    hidden = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel)))).transpose(1, 2)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    for layer in encoder.layers:
        output = layer(hidden, None)
        hidden = output[0] if isinstance(output, tuple) else output
    normed: torch.Tensor = encoder.layer_norm(hidden)
    return normed


class Attention:
    """Catches the cross-attention weights of the guided layers; only those compute them openly."""

    def __init__(self, decoder: Any) -> None:
        self.weights: dict[int, torch.Tensor] = {}
        for index in {layer for layer, _ in GUIDED}:
            attention = decoder.layers[index].encoder_attn
            attention.register_forward_hook(lambda _m, _i, out, index=index: self.weights.__setitem__(index, out[1]))

    def loss(self, spans: torch.Tensor) -> torch.Tensor:
        """-log of the attention (B, H, N, S) that falls on the frames of each text token's word."""
        steps = torch.arange(self.weights[0].shape[-1])
        low, high = spans[..., :1] / 2 - SLACK, spans[..., 1:] / 2 + SLACK
        inside = (steps >= low) & (steps <= high)  # (B, N, S)
        heads = torch.stack([self.weights[layer][:, head] for layer, head in GUIDED])  # (G, B, N, S)
        mass = (heads.float() * inside).sum(-1)[:, spans[..., 0] >= 0]
        return -mass.clamp(min=1e-4).log().mean() if mass.numel() else mass.sum()


def losses(learner: Whisper, batch: dict[str, torch.Tensor], attention: Attention) -> tuple[torch.Tensor, ...]:
    """Cross-entropy, phoneme CTC per symbol, attention, and the share of text tokens predicted right."""
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
    return cross, ctc, attention.loss(batch["spans"]), (logits.argmax(-1) == labels)[text].float().mean()


def rate_at(step: int, minutes: float, given: argparse.Namespace) -> float:
    """Share of the peak learning rate: a rise over the first steps, a fall over the last minutes."""
    rise: float = min(1.0, (step + 1) / given.warmup)
    left: float = given.minutes - minutes
    fall: float = max(0.02, left / given.decay) if given.decay and left < given.decay else 1.0
    return min(rise, fall)


class Run:
    """One training run: phases, logging, checkpoints."""

    def __init__(self, learner: Whisper, given: argparse.Namespace) -> None:
        self.learner, self.given = learner, given
        self.attention = Attention(learner.model.model.decoder)
        self.step, self.began, self.sums = 0, time.monotonic(), [0.0] * 5
        self.logged = self.saved = 0.0

    def minutes(self) -> float:
        """Since the start of this run."""
        return (time.monotonic() - self.began) / 60

    def update(self, batch: dict[str, torch.Tensor]) -> None:
        """One optimiser step."""
        given, learner = self.given, self.learner
        share = rate_at(self.step, self.minutes(), given)
        cross, ctc, aside, accuracy = losses(learner, batch, self.attention)
        learner.learn((1 - given.ctc) * cross + given.ctc * ctc + given.guidance * aside, given.rate * share)
        self.step += 1
        for index, value in enumerate((cross, ctc, aside, accuracy, torch.ones(()))):
            self.sums[index] += value.item()

    def record(self) -> None:
        """A log line each half minute, a checkpoint every four."""
        minutes = self.minutes()
        if minutes - self.logged > 0.5:
            cross, ctc, aside, accuracy, count = self.sums
            row = {"minutes": round(minutes, 2), "step": self.step, "cross_entropy": round(cross / count, 4)}
            row |= {"ctc": round(ctc / count, 4), "attention": round(aside / count, 4)}
            row |= {"accuracy": round(accuracy / count, 4)}
            sys.stderr.write(json.dumps(row) + "\n")
            self.sums, self.logged = [0.0] * 5, minutes
        if minutes - self.saved > 4:
            self.save()
            self.saved = minutes

    def save(self) -> None:
        """Everything needed to go on."""
        self.learner.save(self.given.out / "checkpoint.pt")


def train(given: argparse.Namespace) -> None:
    """Run the curriculum for the minutes given."""
    torch.manual_seed(given.seed)
    corpus, tokenizer = Corpus(given.corpus), vocabulary.load(given.out / "bpe.json")
    phonemes = ["<blank>", " ", *corpus.phoneme_set()]
    learner = make_learner(len(phonemes), given.rate, given.layers)
    if given.resume:
        resume(learner, given.resume, given.encoder_only)
    composer = Composer(corpus, tokenizer, phonemes, given.seed, given.english)
    learner.model.train()
    run, until = Run(learner, given), 0.0
    for phase in (*FIRST, LAST)[given.phase :]:
        until = min(given.minutes, until + phase.minutes)
        for batch in endless(partial(composer.batch, phase), ahead=6):
            run.update(batch)
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
    parser.add_argument("--warmup", type=int, default=300, help="steps in which the rate rises")
    parser.add_argument("--english", type=float, default=0.6, help="share of English windows")
    parser.add_argument("--layers", type=int, default=4, help="of the decoder")
    parser.add_argument("--phase", type=int, default=0, help="of the curriculum to begin with: 0, 1 or 2")
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--encoder-only", action="store_true", help="resume the encoder, with a fresh decoder")
    parser.add_argument("--ctc", type=float, default=0.4, help="weight of the phoneme loss; the rest is cross-entropy")
    parser.add_argument("--guidance", type=float, default=0.2, help="weight of the attention loss")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    train(given)


if __name__ == "__main__":
    main()
