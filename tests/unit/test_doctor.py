"""What answers of children become: findings, the page and the exit code."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from literatim import demo
from literatim.doctor import backends, child, inside_models, models, packages, run, voices, work
from literatim.doctor.child import Answer, Look, Ran
from literatim.doctor.findings import FAIL, INFO, OK, WARN, Finding, as_dict, exit_code, split
from literatim.doctor.packages import Need
from literatim.doctor.page import page
from literatim.doctor.run import Plan, collect

GIB = 2**30
TORCH = {"version": "2.13.0+cpu", "file": "torch/__init__.py", "cuda": None, "hip": None, "threads": 1, "cores": 2}
AUTOLOAD = (
    "RuntimeError: Failed to load the backend extension: torch_npu. You can disable extension auto-loading with "
    "TORCH_DEVICE_BACKEND_AUTOLOAD=0."
)
HCCL = "ImportError: libhccl.so: cannot open shared object file: No such file or directory"


def test_exit_codes() -> None:
    def of(*states: str) -> int:
        return exit_code([Finding("a", "b", state, "c") for state in states])

    assert of() == of(OK, INFO) == of(OK, WARN) == 0
    assert of(OK, WARN, FAIL) == 1


def test_a_reason_is_split_before_its_command() -> None:
    assert split("it is gone; `bring it back`; or not") == ("it is gone", "`bring it back`; or not")
    assert split("it is gone; `bring it back`") == ("it is gone", "bring it back")
    assert split("it is gone; nothing helps") == ("it is gone; nothing helps", None)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (Answer(TORCH), OK, "2.13.0+cpu (without CUDA)"),
        (Answer({**TORCH, "cuda": "12.6"}), OK, "for CUDA 12.6"),
        (Answer(None, "x", ("ModuleNotFoundError: No module named 'torch'",)), FAIL, "not installed"),
        (Answer(None, "x", ("ImportError: libgomp.so.1: cannot open",)), FAIL, "libgomp.so.1"),
        (Answer(None, AUTOLOAD, (AUTOLOAD, HCCL)), FAIL, "loads torch_npu by itself, and that fails: ImportError"),
        (Answer(None, "was killed by SIGILL (an instruction that this processor lacks)"), FAIL, "SIGILL"),
    ],
)
def test_torch(answer: Answer, state: str, words: str) -> None:
    found = backends.torch_itself(answer)
    assert found.state == state
    assert words in found.text
    assert (found.mend is not None) == (state == FAIL)


def device(**changes: Any) -> dict[str, Any]:
    one = {"name": "Ascend910B4", "memory": {"free": 20 * GIB, "total": 32 * GIB}, "dtypes": ["float32", "float16"]}
    return {**one, **changes}


def present(*devices: dict[str, Any], conv: str = "float32") -> Answer:
    versions = {"torch": "2.9.0", "backend": "2.9.0.post1", "toolkit": "8.5.1", "driver": None}
    precision = {"matmul": "float32", "conv": conv}
    return Answer({"count": len(devices), "versions": versions, "precision": precision, "devices": list(devices)})


def test_a_device_that_is_here() -> None:
    devices, dtypes = backends.findings("npu", present(device(), device(), conv="hf32"), wanted=True)
    assert devices.state == dtypes.state == OK
    assert devices.text == "2 x Ascend910B4, 20.0 of 32.0 GiB free on the first (backend 2.9.0.post1, toolkit 8.5.1)"
    assert dtypes.text == "float32, float16; float32 is hf32 in convolutions, unless --precision highest is given"


def states(found: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in found}


def test_devices_in_trouble() -> None:
    full = backends.findings("npu", present(device(memory={"free": GIB, "total": 32 * GIB})), wanted=True)
    assert states(full) == {"devices": WARN, "dtypes": OK}
    wrong = backends.findings("npu", present(device(dtypes=[])), wanted=True)
    assert states(wrong) == {"devices": OK, "dtypes": FAIL}
    one = backends.findings("npu", present({"error": ["RuntimeError: 507899"]}, device()), wanted=True)
    assert states(one) == {"devices": OK, "npu:0": FAIL, "dtypes": OK}
    untold = backends.findings("npu", present(device(memory={"free": None, "total": None})), wanted=True)
    assert states(untold) == {"devices": OK, "dtypes": OK}


def test_an_absent_device_is_a_problem_only_where_it_is_wanted() -> None:
    answer = Answer({"count": 0, "why_not": "the driver is not loaded; install it (`nvidia-smi` shows it)"})
    (told,) = backends.findings("cuda", answer, wanted=False)
    assert (told.section, told.name, told.state) == (backends.ABSENT, "cuda", INFO)
    (failed,) = backends.findings("cuda", answer, wanted=True)
    assert (failed.section, failed.state, failed.mend) == ("cuda", FAIL, "install it (`nvidia-smi` shows it)")
    also = Answer({"count": 0, "why_not": "CANN is missing; `source it`; also, torch differs; `pip install it`"})
    assert backends.findings("npu", also, wanted=True)[0].mend == "source it"


@pytest.mark.parametrize("trouble", ["did not answer within 180 s", "was killed by SIGSEGV (a crash)"])
def test_a_look_that_fails(trouble: str) -> None:
    assert states(backends.findings("xpu", Answer(None, trouble), wanted=False)) == {"devices": WARN}
    assert states(backends.findings("npu", Answer(None, trouble), wanted=True)) == {"devices": FAIL}


def test_a_crash_is_laid_at_the_door_of_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_probe: str, *kinds: str, look: Look) -> Answer:
        if "npu" in kinds:
            return Answer(None, "was killed by SIGSEGV")
        return Answer({kind: {"count": 0, "why_not": "no"} for kind in kinds})

    monkeypatch.setattr(child, "ask", ask)
    found = child.ask_each("devices", ["cpu", "npu", "xpu"], Look())
    assert [found[kind].result is None for kind in ("cpu", "npu", "xpu")] == [False, True, False]


def test_a_package_that_crashes_on_import_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_probe: str, *names: str, look: Look) -> Answer:
        return Answer(None, "was killed by SIGILL") if "soxr" in names else Answer({"av": {"version": "18"}})

    monkeypatch.setattr(child, "ask", ask)
    found = child.ask_each("packages", ["av", "soxr"], Look())
    assert found["av"].result == {"version": "18"}
    assert found["soxr"].trouble == "was killed by SIGILL"


def needed(monkeypatch: pytest.MonkeyPatch, installed: str | None, answer: Answer) -> Finding:
    monkeypatch.setattr(packages, "version", lambda _name: installed)
    return packages._one(Need("soxr", "0.5", None), answer)


def test_needed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = Answer({"version": "1.1.0", "file": None}), Answer(None, "ImportError: GLIBC_2.38 not found")
    assert needed(monkeypatch, "1.1.0", good).state == OK
    assert needed(monkeypatch, "0.5", good).state == OK
    assert needed(monkeypatch, "0.4.9", good).mend == "pip install 'soxr>=0.5' --upgrade"
    assert needed(monkeypatch, None, bad).text == "is not installed"
    broken = needed(monkeypatch, "1.1.0", bad)
    assert "GLIBC_2.38" in broken.text
    assert broken.mend == "pip install 'soxr>=0.5' --force-reinstall"


def test_requirements_are_those_of_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["torch>=2.7", "huggingface_hub>=0.34", 'literatim[eval]; extra == "bench"', 'jiwer>=4; extra == "eval"']
    monkeypatch.setattr(packages.metadata, "requires", lambda _name: lines)
    monkeypatch.setattr(packages, "version", lambda name: None if name == "jiwer" else "1")
    needs = packages.requirements()
    assert needs[:2] == [Need("torch", "2.7", None), Need("huggingface_hub", "0.34", None)]
    here, away = packages.extras(needs)
    assert here.text.startswith("bench (")
    assert "lacks jiwer" in away.text


def test_every_extra_that_is_told_of_is_one_of_the_package() -> None:
    there = {need.extra for need in packages.requirements()}
    assert there - set(packages.BRINGS) == {"test", "lint", None}
    assert set(packages.BRINGS) <= there


def test_what_mends_something_is_a_command_that_exists() -> None:
    """Every `literatim ...` that doctor advises is a command of this version."""
    from literatim.cli.main import cli

    sources = [file.read_text("utf-8") for file in Path(run.__file__).parent.glob("*.py")]
    advised = {name for source in sources for name in re.findall(r"(?:`|f\")literatim (\w+)", source)}
    assert advised >= {"transcribe", "models", "doctor"}  # the pattern finds them
    assert {name for name in advised if cli.get_command(None, name) is None} == set()


def test_without_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> None:
        raise packages.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packages.metadata, "requires", requires)
    found = packages.findings(Finding("python", "torch", OK, "1"), Look())
    assert states(found)["packages"] == WARN


CACHE = {
    "path": "/c",
    "exists": True,
    "refused": None,
    "free": 50 * 10**9,
    "models": 2,
    "bytes": 10**9,
    "counted": True,
}
MODELS = {
    "endpoint": "https://huggingface.co",
    "offline": False,
    "cache": CACHE,
    "model": {"name": "openai/whisper-small", "path": None, "error": None},
}


def told(monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], network: Answer | None = None, **variables: str) -> Any:
    answers = {"models": Answer({**MODELS, **said}), "network": network}
    monkeypatch.setattr(models, "ask", lambda name, look: answers[name])
    return {finding.name: finding for finding in models.findings(Look(), variables, network is not None)}


def test_models_of_a_healthy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(monkeypatch, {}, Answer({"endpoint": "x", "seconds": 0.25}))
    assert {name: finding.state for name, finding in found.items()} == {
        "demo": OK,
        "default": INFO,
        "cache": OK,
        "hub": INFO,
        "network": OK,
    }
    assert found["cache"].text == "/c: 2 models, 1.0 GB, 50.0 GB free"


def test_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is not asked: `network` has no answer to give."""
    found = told(monkeypatch, {"offline": True}, Answer(None, "asked"), HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE=1" in found["hub"].text
    assert found["default"].state == WARN
    assert "not asked" in found["network"].text


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = "Unreachable: cannot fetch it of x from https://huggingface.co: Name or service not known. Ways on: set"
    network = told(monkeypatch, {}, Answer(None, trouble, (trouble,)))["network"]
    assert network.state == WARN
    assert network.text == "https://huggingface.co does not answer: Name or service not known"
    hanging = told(monkeypatch, {}, Answer(None, "did not answer within 5 s"))["network"]
    assert "did not answer within 5 s" in hanging.text


def test_a_mirror_and_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(
        monkeypatch,
        {"endpoint": "https://mirror", "cache": {**CACHE, "free": 10**8, "counted": False}},
        HF_ENDPOINT="https://mirror",
        HF_TOKEN="secret",
    )
    assert found["hub"].text == "https://mirror (HF_ENDPOINT), with HF_TOKEN"
    assert found["cache"].state == WARN
    assert "more than 1.0 GB" in found["cache"].text


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(monkeypatch, {"cache": {**CACHE, "refused": "/c: Read-only file system"}})
    assert found["cache"].state == WARN
    assert "Read-only file system" in found["cache"].text


def test_names_that_no_hub_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nonsense", "./no/such/folder", "a/b/c"):
        monkeypatch.setenv("LITERATIM_MODEL", name)
        assert name in inside_models.models()["model"]["error"]
    monkeypatch.setenv("LITERATIM_MODEL", "demo")
    said = inside_models.models()["model"]
    assert said["error"] is None
    assert Path(said["path"]).is_dir()


def test_a_cache_as_it_lies_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models--a--b" / "blobs").mkdir(parents=True)
    (tmp_path / "models--a--b" / "blobs" / "1").write_bytes(b"x" * 1000)
    (tmp_path / "models--a--b" / "link").symlink_to("nowhere")
    found = inside_models._cache(tmp_path)
    assert (found["models"], found["bytes"], found["refused"]) == (1, 1000 + len("nowhere"), None)
    assert found["free"] > 0
    (tmp_path / "file").write_text("")
    assert inside_models._cache(tmp_path / "file" / "cache")["exists"] is False
    monkeypatch.setattr(inside_models, "MOST_SECONDS", -1.0)
    assert inside_models._cache(tmp_path)["counted"] is False


def test_a_wrong_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(monkeypatch, {"model": {"name": "nonsense", "path": None, "error": "no model is called 'nonsense'"}})
    assert found["default"].state == FAIL


def test_a_missing_bundled_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo, "_HERE", tmp_path)
    assert models._bundled().state == FAIL
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "config.json").write_text("{}")
    damaged = models._bundled()
    assert damaged.state == FAIL
    assert "model.safetensors, tokenizer.json" in damaged.text
    assert damaged.mend is not None


def heard(**texts: str) -> Answer:
    runs = {dtype: {"dtype": dtype, "load": 0.5, "seconds": 1.0, "text": text} for dtype, text in texts.items()}
    if "auto" in runs:
        runs["auto"]["dtype"] = "float16"
    return Answer({"recording": "meeting.flac", "audio_seconds": 8.0, "runs": runs})


@pytest.mark.parametrize(
    ("cpu", "own", "state", "words"),
    [
        (heard(float32=" hello"), heard(float32=" hello", auto=" hello"), OK, "both texts are the CPU's"),
        (heard(float32=" hello"), heard(float32=" hallo", auto=" hello"), FAIL, '"hallo" for "hello"'),
        (heard(float32=" hello"), heard(float32=" hello", auto=" hullo"), WARN, "another in float16"),
        (Answer(None, "crash"), heard(float32=" hello", auto=" hello"), WARN, "no text to compare with"),
        (heard(float32=" hello"), Answer(None, "did not answer within 180 s"), FAIL, "did not answer within 180 s"),
    ],
)
def test_text_of_a_device(monkeypatch, cpu: Answer, own: Answer, state: str, words: str) -> None:
    monkeypatch.setattr(work, "ask", lambda *_arguments, look: own)
    found = work.on_device(work.BUNDLED[0], "npu:1", cpu, Look())
    assert (found.section, found.state) == ("npu", state)
    assert words in found.text


def test_a_device_that_may_still_compile_is_given_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "ask", lambda *_arguments, look: Answer(None, "did not answer", late=True))
    mend = work.on_device(work.BUNDLED[1], "npu", heard(float32=" hello"), Look()).mend
    assert mend is not None
    assert "--timeout" in mend


@pytest.mark.parametrize(
    ("answer", "state"),
    [(heard(float32=" hello"), OK), (heard(float32=" "), FAIL), (Answer(None, "ModelNotFound: gone"), FAIL)],
)
def test_text_of_the_cpu(answer: Answer, state: str) -> None:
    assert [work.on_cpu(bundled, answer).state for bundled in work.BUNDLED] == [state] * 2


ONE, AGAIN, OTHER = (1.0, 0.0), (0.8, 0.6), (0.0, 1.0)


def vectors(**runs: tuple[tuple[float, float], ...]) -> Answer:
    made = {name: {"dtype": "float16", "load": 0.1, "seconds": 0.2, "vectors": found} for name, found in runs.items()}
    return Answer({"recording": "meeting.flac", "audio_seconds": 9.0, "runs": made})


RIGHT = (ONE, AGAIN, OTHER)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (vectors(float32=RIGHT), OK),
        (vectors(float32=(ONE, OTHER, AGAIN)), FAIL),
        (vectors(float32=((math.nan, 0.0), AGAIN, OTHER)), FAIL),
        (Answer(None, "ModelNotFound: gone"), FAIL),
    ],
)
def test_voices_of_the_cpu(answer: Answer, state: str) -> None:
    assert voices.on_cpu(answer).state == state


@pytest.mark.parametrize(
    ("cpu", "own", "state", "words"),
    [
        (vectors(float32=RIGHT), vectors(float32=RIGHT, auto=RIGHT), OK, "to the CPU's 1.000000 and 1.000000"),
        (vectors(float32=RIGHT), vectors(float32=(ONE, OTHER, OTHER), auto=RIGHT), FAIL, "cosine 0.60000, wanted"),
        (vectors(float32=RIGHT), vectors(float32=((math.nan, 0.0), AGAIN, OTHER), auto=RIGHT), FAIL, "nan"),
        (vectors(float32=RIGHT), vectors(float32=RIGHT, auto=(ONE, ONE, OTHER)), WARN, "in float16 at cosine 0.8000"),
        (Answer(None, "crash"), vectors(float32=RIGHT, auto=RIGHT), WARN, "no vectors to compare with"),
        (vectors(float32=RIGHT), Answer(None, "did not answer", late=True), FAIL, "did not answer"),
    ],
)
def test_voices_of_a_device(monkeypatch, cpu: Answer, own: Answer, state: str, words: str) -> None:
    monkeypatch.setattr(voices, "ask", lambda *_arguments, look: own)
    found = voices.on_device("npu:1", cpu, Look())
    assert (found.section, found.state) == ("npu", state)
    assert words in found.text


def test_products(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Answer({"rates": {"float32": 2e12, "float16": 5e11}, "errors": {}})
    monkeypatch.setattr(work, "ask", lambda *_arguments, look: answer)
    assert work.matmul("cuda", Look()).text.startswith("float32 2, float16 0.5 TFLOP/s (rough")
    answer = Answer({"rates": {"float32": 2e9}, "errors": {"bfloat16": ["RuntimeError: no"]}})
    found = work.matmul("cuda", Look())
    assert (found.state, found.text) == (WARN, "float32 2 GFLOP/s; bfloat16 fails (RuntimeError: no)")


EXAMPLE = [
    Finding("python", "torch", OK, "2.13.0 " + "and more words " * 10),
    Finding("npu", "devices", FAIL, "no device", "`npu-smi info`"),
    Finding("npu", "blocking", WARN, "slow", "unset IT"),
    Finding("other devices", "mps", INFO, "not here"),
]


def test_page_and_json_say_the_same() -> None:
    said = json.loads(json.dumps(as_dict(EXAMPLE, "1.0")))
    assert said["exit_code"] == 1
    assert [Finding(**finding) for finding in said["findings"]] == EXAMPLE
    shown = " ".join(page(EXAMPLE, "title", 100).split())
    for finding in said["findings"]:
        assert " ".join(finding["text"].split()) in shown
        assert (finding["mend"] or "") in shown


@pytest.mark.parametrize("width", [20, 60, 80, 120, 300])
def test_the_page_keeps_to_its_width(width: int) -> None:
    lines = page(EXAMPLE, "title", width).splitlines()
    assert max(map(len, lines)) <= max(60, min(width, 120))


def test_problems_are_numbered_at_the_end_the_worst_first() -> None:
    end = page(EXAMPLE, "title", 100).split("1 thing does not work, and 1 could be better:")[1].splitlines()
    assert end[1:] == [
        "  1. fail: npu, devices: no device",
        "     -> `npu-smi info`",
        "  2. warn: npu, blocking: slow",
        "     -> unset IT",
    ]


def test_long_paths_stay_whole() -> None:
    path = "/a-b" * 60
    assert path in page([Finding("models", "cache", OK, f"at {path} it is")], "t", 80)


def asked(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Answer]) -> list[tuple[str, ...]]:
    """Let every look be answered from a table; returns the list that the questions are noted in."""
    questions: list[tuple[str, ...]] = []

    def ask(probe: str, *arguments: str, look: Look) -> Answer:
        questions.append((probe, *arguments))
        return answers.get(probe, Answer(None, "no answer"))

    for module in (run, child, models, work):
        monkeypatch.setattr(module, "ask", ask)
    for module in (run.cuda, run.npu):
        monkeypatch.setattr(module, "driver", lambda: Ran(None, "", ""))
    return questions


def test_without_torch_no_device_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = asked(monkeypatch, {"models": Answer(MODELS)})
    found = collect(Plan(variables={}))
    assert ("torch",) in questions
    assert not {"devices", "matmul", "speech"} & {probe for probe, *_ in questions}
    assert exit_code(found) == 1
    assert "cpu" in {finding.section for finding in found}


def test_quick_asks_for_no_work_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = {"count": 1, "versions": {}, "precision": {}, "devices": [device(name=None)]}
    answers = {"torch": Answer(TORCH), "devices": Answer({"cpu": cpu, "cuda": {"count": 0, "why_not": "none"}})}
    questions = asked(monkeypatch, answers)
    found = collect(Plan("cuda", quick=True, variables={}))
    assert {probe for probe, *_ in questions} == {"torch", "packages", "models", "devices"}
    assert ("devices", "cpu", "cuda") in questions
    assert [finding.state for finding in found if finding.section == "cuda"] == [FAIL]


def test_an_error_of_doctor_itself_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    asked(monkeypatch, {"torch": Answer({"version": "1"}), "devices": Answer({"cpu": {"count": 1}})})

    def fails(*_arguments: object) -> list[Finding]:
        raise KeyError("flags")

    monkeypatch.setattr(run.machine, "findings", fails)
    found = collect(Plan("cpu", quick=True, variables={}))
    texts = [finding.text for finding in found if finding.section == "machine"]
    assert texts == ["doctor itself failed at it: KeyError: 'flags'"]
    assert [finding.name for finding in found if finding.section == "warnings"] == []


def test_a_reason_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = run.npu.ascend.visible_problem("1,0")
    kinds = {"cpu": {"count": 0, "why_not": "x"}, "npu": {"count": 0, "why_not": reason}}
    asked(monkeypatch, {"torch": Answer(TORCH), "devices": Answer(kinds)})
    found = collect(Plan("npu", quick=True, variables={"ASCEND_RT_VISIBLE_DEVICES": "1,0"}))
    assert [finding.name for finding in found if finding.section == "npu" and finding.state == FAIL] == ["visible"]
