"""Networks for voices as what is verified: windows of different lengths in one batch, and no tokens.

Beside the operations of a few windows, which are watched, the vectors of many are compared: the figures that published
ports report of a hundred samples, and what the device changes in scores of pairs and their error rate.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from literatim import demo
from literatim.audio.decode import decode
from literatim.audio.fbank import centred, fbank
from literatim.audio.mel import HOP_LENGTH
from literatim.errors import OptionError
from literatim.models.speaker import SpeakerNet
from literatim.models.speaker_checkpoint import load_speaker_net
from literatim.verify.end_to_end import FLOAT64, Measured
from literatim.verify.passes import Wide
from literatim.verify.sites import SitesByParameter
from literatim.verify.speakers import scores, vectors
from literatim.verify.subject import CPU, Clip, Mark, Said, Watchable, nobody
from literatim.verify.types import EndToEnd
from literatim.verify.watch import Pretend, Watch

BUNDLED = Path(demo.__file__).parent / "clips"
FRAMES = (200, 136, 172)  # of the windows that are watched, by turns: all are filled up to the first of these
SPAN = FRAMES[0] // 8  # steps that the last stage leaves; those of the others are multiples
VOICES = 100  # windows whose vectors are compared, as the published ports'
BATCH = 10  # of those at a time
TRUTH, FLOOR = "truth/voices", "plain/voices"  # among a reference's outputs
INPUT, POOLING, EMBEDDING = "input", "pooling", "embedding"
_IN_BLOCK = frozenset({"relu_", "mul_", "add_"})


class VoiceSites(SitesByParameter):
    """The module whose parameter is used; else the stem's or block's part, or the pooling."""

    def __init__(self, model: SpeakerNet) -> None:
        super().__init__(model, INPUT)

    def between(self, op: str) -> str:
        """Of what has no parameter."""
        if self._at.startswith("layer") and op not in _IN_BLOCK:
            self._at = POOLING
        if self._at in {INPUT, POOLING, EMBEDDING}:
            return self._at
        block = self._at.rpartition(".")[0] or self._at
        return f"{block}.{op.rstrip('_')}"


class VoiceSubject(Watchable):
    """A network for voices."""

    def __init__(
        self, folder: Path, dtype: torch.dtype, device: torch.device, *, wide: bool = False, own_way: bool = False
    ) -> None:
        """As `WhisperSubject`."""
        self.folder, self.device, self.dtype, self.wide = folder, device, dtype, wide
        model = load_speaker_net(folder, dtype, device)
        if device == CPU and not own_way:
            model.to(torch.float64 if wide else dtype)
        self.model: SpeakerNet = model
        self.config = model.config

    def work(self, clips: list[Clip], mark: Mark = nobody, steps: int | None = None) -> list[Said]:  # noqa: ARG002
        """The windows as one batch; nothing is said."""
        mark("network", tuple(range(len(clips))))
        self._run(clips)
        return [Said((), "") for _ in clips]

    def vectors(self, clips: list[Clip]) -> Tensor:
        """Of all clips, some at a time: (N, E) on the CPU, in float64 where the subject is `wide`."""
        parts = [clips[at : at + BATCH] for at in range(0, len(clips), BATCH)]
        if not self.wide:
            with Pretend() if self.device == CPU else nullcontext():
                return torch.cat([self._run(part).cpu() for part in parts])
        with Watch(Wide(), VoiceSites(self.model), True, self.dtype):
            return torch.cat([self._run(part) for part in parts])

    def sites(self) -> VoiceSites:
        """Names of the places, for one run."""
        return VoiceSites(self.model)

    def _run(self, clips: Sequence[Clip]) -> Tensor:
        """(B, E), of frames that are filled up to one width."""
        frames = [clip.features.T for clip in clips]  # (T, M)
        rows = torch.stack([F.pad(row, (0, 0, 0, FRAMES[0] - len(row))) for row in frames])
        lengths = torch.tensor([len(row) for row in frames], dtype=torch.int32)
        with torch.inference_mode():
            found: Tensor = self.model(rows.to(self.device, self.dtype), lengths.to(self.device))
        return found


def about(batch: int) -> dict[str, Any]:
    """What a reference has to know of them: the frames of those that are watched, and the long axis of its results."""
    return {"watched": [FRAMES[at % len(FRAMES)] for at in range(batch)], "span": SPAN, "block": SPAN}


def material(n_mels: int, audio: Sequence[Any], batch: int) -> list[Clip]:
    """Windows of two seconds, VOICES or so: of the recordings, else of the bundled clips, whose speakers are known."""
    found = _given(n_mels, audio) if audio else _bundled(n_mels)[: max(VOICES, batch)]
    if not found:
        raise OptionError("nothing to verify on is as long as two seconds; name recordings by --audio")
    return [found[at % len(found)] for at in range(max(batch, len(found)))]


def _given(n_mels: int, audio: Sequence[Any]) -> list[Clip]:
    """Of each recording as many, evenly spread over it."""
    found: list[Clip] = []
    most = max(1, VOICES // len(audio))
    for at, item in enumerate(audio):
        name = Path(item).name if isinstance(item, (str, Path)) else f"recording {at}"
        windows = _windows(torch.from_numpy(decode(item).samples[0]), name, None, n_mels)
        found += windows[:: max(1, -(-len(windows) // most))]
    return found


def _bundled(n_mels: int) -> list[Clip]:
    """The first window of each clip, then the second."""
    manifest = BUNDLED / "clips.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.is_file() else []
    cases = [json.loads(line) for line in lines]
    every = [
        _windows(torch.from_numpy(decode(BUNDLED / case["audio"]).samples[0]), case["id"], case["speaker"], n_mels)
        for case in cases
    ]
    return [windows[at] for at in range(2) for windows in every if len(windows) > at]


def _windows(samples: Tensor, name: str, speaker: str | None, n_mels: int) -> list[Clip]:
    """One after the other, as long as the widest that is watched."""
    heard = fbank(samples, n_mels)  # (T, M)
    parts = [heard[at : at + FRAMES[0]] for at in range(0, len(heard) - FRAMES[0] + 1, FRAMES[0])]
    return [
        Clip(f"{name}, {at * FRAMES[0] * HOP_LENGTH / 16000:.0f} s", centred(part).T.contiguous(), (), speaker=speaker)
        for at, part in enumerate(parts)
    ]


def end_to_end(found: Measured, watched: float, speakers: Sequence[str | None]) -> EndToEnd:
    """Figures of vectors (N, E), and of all pairs of those whose speakers are known.

    `watched` is the relative error of the vectors of the windows that were watched.
    """
    return EndToEnd(
        against=FLOAT64,
        encoder={},
        logits={},
        floor={"vectors": _figures(found.floor, found.truth, speakers)},
        positions=len(found.truth),
        tokens=(),
        vectors={**_figures(found.device, found.truth, speakers), "watched": watched},
    )


def _figures(got: Tensor, truth: Tensor, speakers: Sequence[str | None]) -> dict[str, Any]:
    if not got.isfinite().any():
        return {"samples": len(got), "not_finite": len(got)}
    found = asdict(vectors(got, truth))
    known = [at for at, speaker in enumerate(speakers) if speaker is not None]
    pairs = torch.combinations(torch.tensor(known, dtype=torch.int64))
    if not len(pairs):
        return found
    same = torch.tensor([speakers[one] == speakers[two] for one, two in pairs.tolist()])
    told = scores(got, truth, pairs, same)
    return {**found, **{f"scores_{name}": value for name, value in asdict(told).items()}}
