"""The shape of a speaker network (WeSpeaker's ResNets), read from a checkpoint's `config.json`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from literatim.errors import ModelFormatError
from literatim.models.folder import read_folder

MODEL_TYPE = "wespeaker-resnet"  # how model_type begins; the published folder's is wespeaker-resnet34-lm
EXPANSIONS = {"basic": 1, "bottleneck": 4}  # channels that leave a block, in those of the stage
STAGES = 4
HALVINGS = STAGES - 1  # each stage but the first takes every second frame and band
SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class SpeakerConfig:
    """Sizes of one network; those that are not said are ResNet34's."""

    n_mels: int = 80
    embedding_dim: int = 256
    layers: tuple[int, ...] = (3, 4, 6, 3)  # blocks of each stage
    channels: tuple[int, ...] = (32, 64, 128, 256)  # of each stage
    block: str = "basic"

    @property
    def pooled(self) -> int:
        """Mean and deviation of each channel of each band that the last stage leaves: 5120 in ResNet34."""
        bands = self.n_mels >> HALVINGS
        return 2 * self.channels[-1] * EXPANSIONS[self.block] * bands

    @property
    def reach(self) -> int:
        """How many frames before and behind its own a step of the last stage hears, as a multiple of its frames."""
        convolutions = 2 if self.block == "basic" else 1  # of 3 frames in a block
        frames = 1  # the first convolution's
        for stage, blocks in enumerate(self.layers):
            # the one that takes every second frame still hears neighbours of the stage before
            frames += (blocks * convolutions << stage) - (1 << stage >> 1)
        return -(-frames >> HALVINGS) << HALVINGS

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> SpeakerConfig:
        """Read `config.json`; an impossible entry is a ModelFormatError."""
        block = raw.get("block", "basic")
        if block not in EXPANSIONS:
            raise ModelFormatError(f"config.json: block is {block!r}; known are {', '.join(EXPANSIONS)}")
        if raw.get("sample_rate", SAMPLE_RATE) != SAMPLE_RATE:
            raise ModelFormatError(f"config.json: sample_rate is {raw['sample_rate']!r}; only {SAMPLE_RATE} is known")
        config = cls(
            n_mels=_whole("n_mels", raw.get("n_mels", cls.n_mels)),
            embedding_dim=_whole("embedding_dim", raw.get("embedding_dim", cls.embedding_dim)),
            layers=_four("layers", raw.get("layers", cls.layers)),
            channels=_four("channels", raw.get("channels", cls.channels)),
            block=block,
        )
        if config.n_mels % (1 << HALVINGS):
            raise ModelFormatError(f"config.json: n_mels is {config.n_mels}; a multiple of {1 << HALVINGS} is needed")
        if raw.get("pooling_output_dim", config.pooled) != config.pooled:
            raise ModelFormatError(
                f"config.json: pooling_output_dim is {raw['pooling_output_dim']!r}, but such a network has "
                f"{config.pooled}; use the config.json that was saved with the weights"
            )
        return config

    def to_dict(self) -> dict[str, Any]:
        """What `config.json` says of it, in the published folder's words; `block` only where it is not ResNet34's."""
        names = _SHALLOW if self.block == "basic" else _DEEP
        out: dict[str, Any] = {
            "model_type": f"{MODEL_TYPE}{names.get(self.layers, '')}",
            "sample_rate": SAMPLE_RATE,
            "n_mels": self.n_mels,
            "embedding_dim": self.embedding_dim,
            "layers": list(self.layers),
            "channels": list(self.channels),
            "pooling_output_dim": self.pooled,
        }
        return out if self.block == "basic" else {**out, "block": self.block}


_SHALLOW: dict[tuple[int, ...], str] = {(2, 2, 2, 2): "18", (3, 4, 6, 3): "34"}
_DEEP: dict[tuple[int, ...], str] = {
    (3, 4, 6, 3): "50",
    (3, 4, 23, 3): "101",
    (3, 8, 36, 3): "152",
    (6, 16, 48, 3): "221",
    (10, 20, 64, 3): "293",
}


def is_speaker(folder: Path) -> bool:
    """Whether the folder holds a network for voices."""
    return is_speaker_type(read_folder(folder).model_type)


def is_speaker_type(model_type: str) -> bool:
    """Whether a `config.json` with this model_type is of a network for voices."""
    return model_type.startswith(MODEL_TYPE)


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelFormatError(f"config.json: {name} is {value!r}; a positive whole number is needed")
    return value


def _four(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or len(value) != STAGES:
        raise ModelFormatError(f"config.json: {name} is {value!r}; {STAGES} numbers are needed, one for each stage")
    return tuple(_whole(name, one) for one in value)
