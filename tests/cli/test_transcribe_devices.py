"""What `literatim transcribe` says of the device it runs on, and how several are used."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from literatim import api, fleet
from literatim import device as devices
from literatim.api import Outcome
from literatim.cli.transcribe import transcribe
from literatim.device import choose
from literatim.types import Transcript

REMARK = "Ascend option jit_compile is not set (refused)"


class Recognizer:
    """Both a recognizer and a fleet, as the command sees them."""

    made: list[dict[str, Any]]
    assistant = None
    name = "model"
    model_type = "whisper"

    def __init__(self, model: str | None, **options: Any) -> None:
        self.made.append(options)
        first, *_ = devices.several(options["device"], options["device_index"])
        self.device, self.devices = first, (first,)
        self.warnings: tuple[str, ...] = (REMARK,) if first.type == "cuda" else ()
        for remark in self.warnings:
            warnings.warn(remark, devices.DeviceWarning, stacklevel=2)

    def __enter__(self) -> Recognizer:
        return self

    def __exit__(self, *_: object) -> None: ...

    def transcribe(self, audio: str, **_: Any) -> Transcript:
        return Transcript(f"text of {audio}", "en", 1.0, 1.0, ())

    def transcribe_many(self, audios: Iterable[str], **_: Any) -> Iterator[Outcome]:
        index = 0
        for index, audio in enumerate(audios):
            yield Outcome(index, self.transcribe(audio))
        if index > 0:
            self.warnings += ("device cuda:1 was given up: lost",)


class Fleet(Recognizer):
    """The same, told apart."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    """The arguments that recognizers and fleets were made with, where there are two cuda devices."""
    Recognizer.made, Fleet.made = [], []
    monkeypatch.setattr(choose, "available", lambda kind: {"cpu": 1, "cuda": 2}.get(kind, 0))
    monkeypatch.setattr(api, "load", Recognizer)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H200")

    def start(model: str | None, **options: Any) -> Recognizer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", devices.DeviceWarning)
            return Fleet(model, **options)

    monkeypatch.setattr(fleet, "Fleet", start)
    return {"recognizers": Recognizer.made, "fleets": Fleet.made}


def run(*arguments: str) -> Result:
    done = CliRunner().invoke(transcribe, [*arguments, "--verbose", "False"], catch_exceptions=False)
    assert done.exit_code == 0
    return done


def test_auto_says_what_it_came_to(made: dict[str, list[dict[str, Any]]]) -> None:
    done = run("a.wav")
    assert done.stderr.splitlines() == ["device: cuda:0 (H200)", f"literatim: {REMARK}"]
    assert done.stdout == "text of a.wav\n"


def test_auto_that_came_to_the_cpu_says_nothing(
    made: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "available", lambda kind: int(kind == "cpu"))
    assert run("a.wav").stderr == ""


def test_a_device_asked_for_is_not_told(made: dict[str, list[dict[str, Any]]]) -> None:
    assert run("a.wav", "--device", "cuda:1").stderr.splitlines() == [f"literatim: {REMARK}"]


def test_several_devices_take_several_recordings(made: dict[str, list[dict[str, Any]]]) -> None:
    done = run("a.wav", "b.wav", "--device", "cuda", "--device_index", "0,1", "--precision", "highest")
    assert made["recognizers"] == []
    assert [item["device_index"] for item in made["fleets"]] == ["0,1"]
    assert made["fleets"][0]["precision"] == "highest"
    assert done.stdout == "text of a.wav\ntext of b.wav\n"
    assert done.stderr.splitlines() == [f"literatim: {REMARK}", "literatim: device cuda:1 was given up: lost"]


def test_one_recording_uses_the_first_and_says_so(made: dict[str, list[dict[str, Any]]]) -> None:
    done = run("a.wav", "--device", "cuda", "--device_index", "1,0")
    assert made["fleets"] == []
    assert [item["device_index"] for item in made["recognizers"]] == ["1"]
    assert done.stderr.splitlines()[0] == "one recording uses one device: index 1"


def test_one_index_is_one_recognizer(made: dict[str, list[dict[str, Any]]]) -> None:
    run("a.wav", "b.wav", "--device", "cuda", "--device_index", "1")
    assert made["fleets"] == []
    assert [item["device_index"] for item in made["recognizers"]] == ["1"]
