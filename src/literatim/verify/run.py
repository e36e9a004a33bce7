"""`verify`: a model on a device, beside a reference that was made elsewhere, to a report."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from literatim import device as devices
from literatim import hub
from literatim.declare import build
from literatim.errors import ModelFormatError, OptionError
from literatim.models.medasr_config import is_medasr
from literatim.models.speaker_config import is_speaker
from literatim.options import HubOptions, VerifyOptions
from literatim.provenance.fingerprint import fingerprint
from literatim.provenance.model_hash import model_hash
from literatim.verify import independent, material, reference, verdict, voices
from literatim.verify.checks import Chosen, Own, Through
from literatim.verify.drafted import drafted
from literatim.verify.end_to_end import FLOAT64, Measured, end_to_end
from literatim.verify.family import Speaks, Subject, load_subject
from literatim.verify.golden import FLOORS, Choice, Golden
from literatim.verify.independent_medasr import replay as replay_medasr
from literatim.verify.medasr import MedasrSubject
from literatim.verify.sites import ENCODED
from literatim.verify.subject import CPU, WhisperSubject
from literatim.verify.tokens import Judge, compare
from literatim.verify.types import FAIL, Call, Drafted, EndToEnd, Report, TokenFigures
from literatim.verify.verdict import Expectation
from literatim.verify.voices import VoiceSubject
from literatim.verify.zoom import zoom

_PACKAGES = ("torch", "numpy", "safetensors", "transformers")

STEPS = 10  # of decoding whose operations are compared
MAILED, MAILED_STEPS = 6, 2  # positions of each result, and steps, that a saved reference has


@dataclass
class Prepared:
    """A reference in memory, and the folder of the model that it is of; good for any number of checks."""

    name: str
    folder: Path
    golden: Golden
    made: str
    subjects: dict[torch.device, Subject] = field(default_factory=dict)
    assistant: tuple[str, Path] | None = None  # name and folder

    @property
    def dtype(self) -> torch.dtype:
        """What the reference is rounded to."""
        found: torch.dtype = getattr(torch, self.golden.about["dtype"])
        return found

    def subject(self, device: torch.device) -> Subject:
        """The model on a device, loaded once."""
        if device not in self.subjects:
            self.subjects[device] = load_subject(self.folder, self.dtype, device)
        return self.subjects[device]

    def own_way(self) -> Subject:
        """The model on the CPU as transcription runs it there."""
        return load_subject(self.folder, self.dtype, CPU, own_way=True)


def verify(model: str | Path | None = None, *, audio: Sequence[Any] = (), **options: Any) -> Report:
    """Whether a device computes what it should for a model: a short name, a Hugging Face id, a folder or `demo`.

    `audio` are recordings (paths, bytes, arrays), else bundled clips. Keyword arguments are the fields of
    `VerifyOptions` and `HubOptions`. Raises LiteratimError where it cannot be run.
    """
    how, where = _options(options)
    if how.strict_device:
        devices.forbid_fallbacks()
    device = devices.pick(how.device)
    prepared = prepare(model, device, how, audio, where)
    if how.save_golden is not None:
        prepared.golden.save(Path(how.save_golden))
    report = check(prepared, device, how)
    return replace(report, zoom=_zoom(prepared, device, how, report))


def only_reference(model: str | Path | None = None, *, audio: Sequence[Any] = (), **options: Any) -> bool:
    """Write the reference to `save_golden` and verify nothing, where that is to be done elsewhere; whether it was.

    That is on a CPU, which would be its own noise floor. Arguments and errors as for `verify`.
    """
    how, where = _options(options)
    device = devices.pick(how.device)
    if device != CPU or how.save_golden is None:
        return False
    prepare(model, device, how, audio, where).golden.save(Path(how.save_golden))
    return True


def subject_of(model: str | Path | None = None, **options: Any) -> tuple[str, str]:
    """The SHA-256 of the weights and the dtype that `verify` would take; arguments and errors as there."""
    how, where = _options(options)
    _, folder, dtype = _subject(model, devices.pick(how.device), how, where)
    return model_hash(folder)["sha256"], dtype


def _options(given: Mapping[str, Any]) -> tuple[VerifyOptions, HubOptions]:
    hub_names = set(HubOptions.__dataclass_fields__)
    where = build(HubOptions, {name: value for name, value in given.items() if name in hub_names})
    return build(VerifyOptions, {name: value for name, value in given.items() if name not in hub_names}), where


def _subject(
    model: str | Path | None, device: torch.device, how: VerifyOptions, where: HubOptions
) -> tuple[str, Path, str]:
    """Name, folder and dtype."""
    name = str(model) if model is not None else hub.default_model()
    folder = hub.resolve(name, where)
    dtype = str(devices.dtype_of(how.dtype, device)).removeprefix("torch.")
    if device == CPU and dtype == "float16" and how.save_golden is None:
        raise OptionError("on a CPU float16 is computed in float32; verify --dtype float32 or bfloat16 there")
    return name, folder, dtype


def _independent(how: VerifyOptions, device: torch.device) -> bool:
    """Whether transformers is to be compared with."""
    return how.against == "transformers" or (how.against == "auto" and device == CPU)


def prepare(
    model: str | Path | None,
    device: torch.device,
    how: VerifyOptions,
    audio: Sequence[Any] = (),
    where: HubOptions | None = None,
) -> Prepared:
    """The reference for a device: made by a child process now, or read from the folder that `how.golden` names."""
    name, folder, dtype = _subject(model, device, how, where or HubOptions())
    if is_medasr(folder):
        _refuse(how, "MedASR says all tokens of a clip at once, without a draft")
    if is_speaker(folder):
        _refuse(how, "a network for voices says no tokens")
        if how.against == "transformers":
            raise OptionError("transformers has no network for voices to compare with; leave against out")
    elif _independent(how, device):
        independent.required()
    assistant = _assistant(how.assistant, name, where or HubOptions())
    if how.golden is not None:
        golden = Golden.load(Path(how.golden))
        _belongs(golden, folder, dtype, Path(how.golden))
        return Prepared(name, folder, golden, f"read from {Path(how.golden).name}", assistant=assistant)
    clips = material.clips(folder, audio, how.batch, how.max_new_tokens)
    about = {
        "dtype": dtype,
        "steps": how.steps or (STEPS if how.save_golden is None else MAILED_STEPS),
        "model": model_hash(folder),
        "positions": None if how.save_golden is None else MAILED,
        **material.about(folder, how.batch),
    }
    job = Golden(about, clips)
    with tempfile.TemporaryDirectory(prefix="literatim-") as work:
        golden = reference.make(folder, job, Path(work))
    return Prepared(
        name, folder, golden, "made now, by a process without an accelerator's backend", assistant=assistant
    )


def _refuse(how: VerifyOptions, why: str) -> None:
    """OptionError for what has no meaning where tokens are not said one by one."""
    for name in ("assistant", "max_new_tokens", "steps"):
        if getattr(how, name) is not None:
            raise OptionError(f"{why}; leave {name} out")


def _assistant(asked: str | None, name: str, where: HubOptions) -> tuple[str, Path] | None:
    """Name and folder of the draft that is asked for."""
    found = hub.find_assistant(asked, name, where)
    if asked == "auto" and found is None:
        raise OptionError(f"no draft for {name} is on this disk; name one by --assistant, or leave that away")
    return found


def check(prepared: Prepared, device: torch.device, how: VerifyOptions | None = None) -> Report:
    """Run the model on the device and compare."""
    how, golden, dtype = how or VerifyOptions(), prepared.golden, str(prepared.dtype).removeprefix("torch.")
    subject = prepared.subject(device)
    with ExitStack() as stack:
        stack.enter_context(devices.precision(how.precision, device))
        flags = devices.precision_flags(device)
        expectation = Expectation.of(dtype, flags, how.expect)
        through, own = Through(golden, expectation.floor), Own(golden, expectation.floor)
        subject.watch(through, golden.heard)
        subject.watch(own, golden.heard, steps=golden.about["steps"])
        if isinstance(subject, VoiceSubject):
            whole = [_voices(subject, golden, through)]
        else:
            tokens = _tokens(subject, golden, through.chosen, expectation.floor)
            whole = [_whole(golden, through, expectation.floor, tokens)]
        beside = _drafted(prepared, device, expectation.floor)
        environment = fingerprint(str(device), [dtype], _PACKAGES, prepared.folder)
    apart = None
    if _independent(how, device) and not isinstance(subject, VoiceSubject):
        other, apart = _independently(prepared)
        whole.append(other)
    places = verdict.modules(own.calls, through.calls, expectation)
    settings = {name: getattr(how, name) for name in VerifyOptions.__dataclass_fields__ if "golden" not in name}
    return Report(
        model=prepared.name,
        device=str(device),
        dtype=dtype,
        settings={**settings, "expected": {"matmul": expectation.matmul, "conv": expectation.conv}},
        environment=environment,
        reference={"made": prepared.made, **golden.about},
        verdict=verdict.verdict(places, through.calls, whole, expectation, how.rule, apart, beside),
        end_to_end=tuple(whole),
        modules=places,
        drafted=beside,
    )


def _zoom(prepared: Prepared, device: torch.device, how: VerifyOptions, report: Report) -> tuple[Call, ...]:
    """The operations inside the worst call of the likeliest suspect, where its own error is what is wrong with it."""
    worst = {item.name: item.worst for item in report.modules if item.status == FAIL}
    first = next((worst[suspect.module] for suspect in report.verdict.suspects if suspect.module in worst), None)
    if first is None:
        return ()
    with devices.precision(how.precision, device):
        expectation = Expectation.of(report.dtype, devices.precision_flags(device), how.expect)
        return zoom(prepared.subject(device), prepared.golden, expectation.floor, first.index)


def _belongs(golden: Golden, folder: Path, dtype: str, place: Path) -> None:
    """ModelFormatError where a golden folder is of another model or dtype."""
    if golden.about["dtype"] != dtype:
        raise OptionError(f"{place} was made for {golden.about['dtype']}; add --dtype {golden.about['dtype']}")
    if golden.about["model"] != model_hash(folder):
        raise ModelFormatError(f"{place} was made from another model than {folder.name}; name the one it was made from")


def _voices(subject: VoiceSubject, golden: Golden, through: Through) -> EndToEnd:
    """Vectors of many windows against the reference."""
    got, speakers = subject.vectors(golden.clips), [clip.speaker for clip in golden.clips]
    watched = max(call.deviation.error for call in through.calls.values() if call.module == voices.EMBEDDING)
    truth, floor = golden.outputs[voices.TRUTH], golden.outputs[voices.FLOOR]
    return voices.end_to_end(Measured(got, floor, truth), watched, speakers)


def _tokens(subject: Speaks, golden: Golden, chosen: Sequence[Chosen], floor: str) -> tuple[TokenFigures, ...]:
    """What the device would have said: the reference's tokens where every choice is the same, else a run of its own."""
    same = all(bool((item.tokens == item.choice.tokens).all()) for item in chosen)
    said = golden.said if same else subject.work(golden.clips)
    return tuple(
        compare(
            clip.name,
            golden.said[at].tokens,
            said[at].tokens,
            end=subject.end,
            decode=subject.decode,
            special=subject.special,
            judge=_judge(golden.choices, at, subject.config.vocab_size, floor),
            truth=clip.words,
        )
        for at, clip in enumerate(golden.clips)
    )


def _drafted(prepared: Prepared, device: torch.device, floor: str) -> tuple[Drafted, ...]:
    """The draft that was asked for, beside the model as transcription runs it."""
    if prepared.assistant is None:
        return ()
    golden, name = prepared.golden, prepared.assistant[0]
    subject = prepared.own_way() if device == CPU else prepared.subject(device)
    assert isinstance(subject, WhisperSubject)  # `prepare` has refused it for another
    judges = [_judge(golden.choices, at, subject.config.vocab_size, floor) for at in range(len(golden.clips))]
    return (drafted(subject, name, prepared.assistant[1], golden, judges, subject.special),)


def _judge(choices: Sequence[Choice], clip: int, vocabulary: int, floor: str) -> Judge:
    """The scores of a clip's likeliest tokens, position by position; all others count as forbidden."""
    mine = [(choice, row) for choice in choices for row, owner in enumerate(choice.clips) if owner == clip]
    truth, noisy = (torch.full((len(mine), vocabulary), -torch.inf, dtype=torch.float64) for _ in range(2))
    for at, (choice, row) in enumerate(mine):
        truth[at, choice.ids[row]] = choice.scores[row]
        noisy[at, choice.ids[row]] = choice.floor[FLOORS.index(floor), row]
    return Judge(truth, noisy)


def _whole(golden: Golden, through: Through, floor: str, tokens: tuple[TokenFigures, ...]) -> EndToEnd:
    """The whole way against the reference."""
    encoder = [entry.key for entry in golden.entries if entry.site == ENCODED]
    logits = [key for key in through.outputs if key not in encoder]
    return end_to_end(
        FLOAT64, _measured(golden, through, floor, encoder), _measured(golden, through, floor, logits), tokens
    )


def _measured(golden: Golden, through: Through, floor: str, keys: Sequence[str]) -> Measured:
    def joined(tensors: dict[str, Tensor], prefix: str) -> Tensor:
        return torch.cat([tensors[f"{prefix}{key}"].double() for key in keys])

    outputs = golden.outputs
    return Measured(joined(through.outputs, ""), joined(outputs, f"{floor}/"), joined(outputs, "truth/"))


def _independently(prepared: Prepared) -> tuple[EndToEnd, independent.Place | None]:
    """The CPU's own way, as transcription takes it, beside transformers; and where they first part."""
    subject = prepared.own_way()
    assert not isinstance(subject, VoiceSubject)  # `check` has not asked
    clips = prepared.golden.clips
    dtype = str(prepared.dtype).removeprefix("torch.")
    answer = independent.ask(prepared.folder, clips, subject.timestamps, subject.config.vocab_size, dtype)
    said = [item.tokens for item in subject.work(clips)]
    plain = load_subject(prepared.folder, prepared.dtype, CPU)
    if isinstance(subject, WhisperSubject):
        assert isinstance(plain, WhisperSubject)
        modules = independent.replay(plain.model, clips, answer)
        found = independent.replay(subject.model, clips, answer, subject.engine.steps)
    else:
        assert isinstance(plain, MedasrSubject)
        modules, found = (replay_medasr(model, clips) for model in (plain.model, subject.model))
    parts = [independent.first_apart(independent.compare(places, answer)) for places in (modules, found)]
    apart = next((place for place in parts if place is not None), None)
    whole = independent.against_transformers(found, answer, clips, said, subject.decode, subject.end, subject.special)
    return whole, apart
