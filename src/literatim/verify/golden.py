"""The reference as a folder: JSON that says what was run, safetensors with what came out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from literatim.errors import ModelFormatError
from literatim.pipeline.shapes import PROMPT_BLOCK
from literatim.verify.deviation import Scale, Spread
from literatim.verify.positions import Positions
from literatim.verify.subject import Clip, Said

FORMAT, VERSION = "literatim golden", 1
INDEX, VALUES = "golden.json", "values.safetensors"
PLAIN, CONV, ALL = FLOORS = ("plain", "conv", "all")
TOP = 16  # likeliest tokens whose scores are kept at each choice
OUTPUT_ROWS = 400  # of the encoder's output, and of logits, that are kept whole
ROWS, FEW_ROWS = 48, 8  # rows of each result that are kept from the run left to itself, in memory and in a file


@dataclass(frozen=True)
class Entry:
    """One result of one call: `item` counts a call's results; `exact`: it has to be the same to the last bit."""

    index: int
    item: int
    site: str
    op: str
    stage: str
    shape: tuple[int, ...]
    dtype: str
    exact: bool

    @property
    def key(self) -> str:
        """Of its tensors."""
        return f"{self.index}.{self.item}"


@dataclass(frozen=True)
class Choice:
    """The tokens that were chosen at one step, for which clips, and the likeliest ones with their scores.

    `tokens` (B,), `ids` and `scores` (B, TOP), float64 after the rules; `floor` (F, B, TOP) the scores of the same
    dtype on the CPU, for each of the floors.
    """

    stage: str
    clips: tuple[int, ...]
    tokens: Tensor
    ids: Tensor
    scores: Tensor
    floor: Tensor


Floors = dict[tuple[str, str], Spread]
"""By the name of the floor and the key of the entry."""


@dataclass
class Golden:
    """A reference.

    `own` is the truth of each call on the reference's inputs, `through` that of the run left to itself; both by
    `Entry.key`, `through` in sampled rows (`sample`). The floors are the CPU's own errors in the dtype by the name of
    the floor: `plain`, and for float32 `conv` and `all`, in which convolutions or all products have factors of ten
    bits, as in TF32 and HF32. `own_floor` has a second one, `all`, for products alone. `outputs` has what leaves the
    encoder, in sampled rows, and the logits: `truth/KEY` and `FLOOR/KEY`; of a network for voices the vectors of all
    clips, of which those in `heard`, shortened, are watched.
    """

    about: dict[str, Any]
    clips: list[Clip]
    said: list[Said] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    own: dict[str, Tensor] = field(default_factory=dict)
    own_floor: Floors = field(default_factory=dict)
    through: dict[str, Tensor] = field(default_factory=dict)
    through_floor: Floors = field(default_factory=dict)
    choices: list[Choice] = field(default_factory=list)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    _scales: dict[tuple[str, str], Scale] = field(default_factory=dict, repr=False)

    @property
    def positions(self) -> Positions:
        """Which of the encoder's positions are kept of each result."""
        span = self.about.get("span") or self.clips[0].features.shape[1] // 2
        return Positions(span, self.about.get("block", PROMPT_BLOCK), self.about.get("positions"))

    @property
    def heard(self) -> list[Clip]:
        """The clips whose operations are watched: all, or the first of them, of so many frames as `about` says."""
        if "watched" not in self.about:
            return self.clips
        chosen = zip(self.clips, self.about["watched"], strict=False)
        return [replace(clip, features=clip.features[:, :frames].contiguous()) for clip, frames in chosen]

    @property
    def rows(self) -> int:
        """Rows of each result in `through`."""
        return ROWS if self.about.get("positions") is None else FEW_ROWS

    def scale(self, group: str, key: str) -> Scale:
        """The size of a truth in `own` or `through`, computed once."""
        if (group, key) not in self._scales:
            self._scales[group, key] = Scale.of((self.own if group == "own" else self.through)[key])
        return self._scales[group, key]

    def by_index(self) -> dict[int, list[Entry]]:
        """Entries by the call they belong to."""
        found: dict[int, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.index, []).append(entry)
        return found

    def save(self, folder: Path) -> None:
        """Write the folder; what was there under the same names is replaced."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in self._tensors()}, folder / VALUES)
        index = {
            "format": FORMAT,
            "version": VERSION,
            "about": self.about,
            "clips": [_clip_dict(clip) for clip in self.clips],
            "said": [asdict(item) for item in self.said],
            "entries": [list(asdict(entry).values()) for entry in self.entries],
            "choices": [{"stage": item.stage, "clips": item.clips} for item in self.choices],
        }
        (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")

    def _tensors(self) -> list[tuple[str, Tensor]]:
        found = [(f"clip.{at}", clip.features) for at, clip in enumerate(self.clips)]
        for name, values in (("own", self.own), ("through", self.through), ("outputs", self.outputs)):
            found += [(f"{name}/{key}", value) for key, value in values.items()]
        for name, floors in (("own_floor", self.own_floor), ("through_floor", self.through_floor)):
            for (floor, key), item in floors.items():
                found += [(f"{name}/{floor}/{key}/{part}", value) for part, value in item.to_tensors().items()]
        for at, choice in enumerate(self.choices):
            found += [(f"choice/{at}/{part}", getattr(choice, part)) for part in ("tokens", "ids", "scores", "floor")]
        return found

    @classmethod
    def load(cls, folder: Path) -> Golden:
        """Read a folder. Raises ModelFormatError where there is none, or one of another version."""
        index = _index(folder)
        try:
            values = load_file(folder / VALUES)
        except (OSError, SafetensorError) as error:
            raise ModelFormatError(
                f"{folder / VALUES} cannot be read ({error}); make the golden folder again"
            ) from error
        groups: dict[str, dict[str, Tensor]] = {"own": {}, "through": {}, "outputs": {}}
        spreads: dict[str, dict[tuple[str, str], dict[str, Tensor]]] = {"own_floor": {}, "through_floor": {}}
        for name, value in values.items():
            group, _, rest = name.partition("/")
            if group in groups:
                groups[group][rest] = value
            elif group in spreads:
                floor, key, part = rest.split("/")
                spreads[group].setdefault((floor, key), {})[part] = value
        choices = [
            Choice(
                item["stage"],
                tuple(item["clips"]),
                *(values[f"choice/{at}/{part}"] for part in ("tokens", "ids", "scores", "floor")),
            )
            for at, item in enumerate(index["choices"])
        ]
        clips = [_clip(item, values[f"clip.{at}"]) for at, item in enumerate(index["clips"])]
        return cls(
            index["about"],
            clips,
            [Said(tuple(item["tokens"]), item["text"]) for item in index["said"]],
            [_entry(item) for item in index["entries"]],
            groups["own"],
            {key: Spread.from_tensors(found) for key, found in spreads["own_floor"].items()},
            groups["through"],
            {key: Spread.from_tensors(found) for key, found in spreads["through_floor"].items()},
            choices,
            groups["outputs"],
        )


def sample(values: Tensor, most: int) -> Tensor:
    """Rows (vectors of the last dimension) of a tensor, `most` of them, evenly spread: (R, D)."""
    rows = values.reshape(-1, values.shape[-1]) if values.dim() > 1 else values.reshape(1, -1)
    if len(rows) <= most:
        return rows
    places = torch.linspace(0, len(rows) - 1, most).round().long()
    return rows[places.to(rows.device)]


def _index(folder: Path) -> dict[str, Any]:
    file = folder / INDEX
    if not file.is_file():
        raise ModelFormatError(f"{folder} has no {INDEX}; make a golden folder by `literatim verify --save-golden`")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFormatError(f"{file} is not JSON ({error}); make the golden folder again") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ModelFormatError(f"{file} is not a golden file; make one by `literatim verify --save-golden`")
    if found["version"] != VERSION:
        raise ModelFormatError(
            f"{file} is of version {found['version']}, and this literatim reads version {VERSION}; "
            "make the golden folder again with this literatim"
        )
    return found


def _clip_dict(clip: Clip) -> dict[str, Any]:
    return {"name": clip.name, "prompt": clip.prompt, "most": clip.most, "words": clip.words, "speaker": clip.speaker}


def _clip(found: dict[str, Any], features: Tensor) -> Clip:
    return Clip(found["name"], features, tuple(found["prompt"]), found["most"], found["words"], found.get("speaker"))


def _entry(found: list[Any]) -> Entry:
    index, item, site, op, stage, shape, dtype, exact = found
    return Entry(index, item, site, op, stage, tuple(shape), dtype, exact)
