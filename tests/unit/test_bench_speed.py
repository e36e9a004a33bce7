"""The course of a speed run and its figures; runners are in this process, and no time is ever asserted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from literatim.bench import plan as plans
from literatim.bench import rows, runners, shapes, speed, table
from literatim.bench.manifest import pair
from literatim.bench.plan import Plan, Sound
from literatim.bench.presets import PRESETS
from literatim.bench.protocol import Refused
from literatim.bench.rows import Row, Work
from literatim.bench.runners.base import Ids, Runner, Setting, Setup, Turn, Unmeasurable
from literatim.bench.speed_wer import Scorer
from literatim.bench.windows import Windows, babble, cut
from literatim.bench.worker import Inside
from literatim.errors import DeviceError, LiteratimError, OptionError

MICRO_SECONDS = 2.0  # 100 encoder positions of 20 ms


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes.write(shapes.SHAPES["micro"], tmp_path_factory.mktemp("bench") / "micro")


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "REST_SECONDS", 0.0)


def _setup(scratch: Path) -> Setup:
    return Setup(torch.device("cpu"), 1, scratch)


# ---- random folders and windows


def test_the_layout_is_that_of_the_released_vocabulary() -> None:
    ids = shapes._vocabulary(shapes.SHAPES["tiny"])
    # openai/whisper-tiny's generation_config.json and vocabulary size
    assert max(ids.values()) + 1 == 51865
    assert ids["<|endoftext|>"] == 50257
    assert ids["<|startoftranscript|>"] == 50258
    assert ids["<|en|>"] == 50259
    assert ids["<|transcribe|>"] == 50359
    assert ids["<|notimestamps|>"] == 50363


def test_windows(tmp_path: Path) -> None:
    sound = babble(2, 1.5, seed=3)
    assert sound.shape == (2, 24000)
    assert 0.01 < abs(sound).max() <= 1.0
    assert abs(sound).mean() > 0.005  # audible
    assert (sound == babble(2, 1.5, seed=3)).all()
    assert not (sound[0] == sound[1]).all()
    made = Windows.make(sound, 80)
    assert made.features.shape == (2, 80, 150)
    pieces = cut(sound[0], 3, 1.0)
    assert (pieces[1, :8000] == sound[0, 16000:]).all()
    assert (pieces[1, 8000:] == sound[0, :8000]).all()
    made.save(tmp_path / "w.npz")
    read = Windows.load(tmp_path / "w.npz")
    assert (read.samples == sound).all()
    assert torch.equal(read.features, made.features)


def test_what_reading_the_sound_of_a_batch_takes() -> None:
    sound = Sound("talk.flac", babble(1, 10.0, 0)[0], decode_seconds=0.5)
    assert sound.decode_ms(3, 2.0) == pytest.approx(300)  # 6 of 10 seconds, at 0.5 s for all
    assert Sound("made up").decode_ms(3, 2.0) is None


# ---- runners


def test_a_runner_is_a_file() -> None:
    assert runners.names() == ("literatim", "faster-whisper", "openvino", "transformers")
    for name in runners.names():
        kind = runners.find(name)
        assert kind.name == name
        assert {role for setting in kind.settings for role in setting.roles} == {"default", "best"}


def test_our_tokens_are_those_of_transformers(micro: Path, tmp_path: Path) -> None:
    windows = Windows.make(babble(3, MICRO_SECONDS, seed=1), 80)
    mine = runners.find("literatim")(micro, "float32", _setup(tmp_path))
    ours = mine.run(windows, 30)
    theirs = runners.find("transformers")(micro, "float32", _setup(tmp_path)).run(windows, 30)
    assert [len(row) for row in ours] == [30, 30, 30]
    assert len({token for row in ours for token in row}) > 10  # alive: not one token over and over
    assert ours[0] != ours[1]
    assert ours == theirs
    # the prompt of 4 and single tokens, both within the 64 positions of the cache; windows one by one on a CPU
    assert mine.shapes() == {"encoder": 1, "decoder": 2}
    turn = mine.turn(windows, 5)
    assert list(turn.stages) == ["features", "encoder", "decoder", "post"]
    assert turn.total == pytest.approx(turn.stages["encoder"] + turn.stages["decoder"])
    assert mine.shapes() == {"encoder": 1, "decoder": 2}


def test_eight_bits_are_refused_and_not_replaced(micro: Path, tmp_path: Path) -> None:
    with pytest.raises(Unmeasurable, match="literatim has no int8"):
        runners.find("literatim")(micro, "int8", _setup(tmp_path))


def test_windows_that_a_converter_does_not_take(micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        @staticmethod
        def get_supported_compute_types(_: str) -> set[str]:
            return {"float32"}

    monkeypatch.setitem(sys.modules, "ctranslate2", Library)
    with pytest.raises(Unmeasurable, match="30 s windows, not 2 s"):
        runners.find("faster-whisper").prepare(micro, "float32", _setup(tmp_path))
    with pytest.raises(Unmeasurable, match="no int8 on this cpu"):
        runners.find("faster-whisper").prepare(micro, "int8", _setup(tmp_path))
    with pytest.raises(Unmeasurable, match="does not run on mps"):
        runners.find("faster-whisper").prepare(micro, "float32", Setup(torch.device("mps"), 1, tmp_path))


def test_settings_of_the_peers() -> None:
    def chosen(which: str) -> list[tuple[str, str]]:
        made = speed._entries(Plan(dtypes=("float32",), peers=("faster-whisper", "transformers"), settings=which))
        return [(entry.kind.name, entry.setting.what) for entry in made]

    ours, theirs = ("literatim", "greedy"), ("transformers", "greedy")
    assert chosen("best") == [ours, ("faster-whisper", "greedy"), theirs]
    assert chosen("default") == [ours, ("faster-whisper", "beam 5"), theirs]
    assert chosen("both") == [ours, ("faster-whisper", "beam 5"), ("faster-whisper", "greedy"), theirs]


# ---- a run


def test_report_of_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    peers = ("transformers", "faster-whisper")
    plan = Plan(
        shape="micro", batches=(1, 2), dtypes=("float32", "bfloat16"), peers=peers, tokens=6, iterations=2, threads=1
    )
    found = speed.run(plan, launch=Inside)
    assert (found["schema"], found["kind"], found["model"], found["weights"]) == (2, "speed", "micro", "random")
    assert found["environment"]["torch_threads"] == found["settings"]["threads"] == 1
    assert {"date", "cpu", "cores", "torch", "packages"} <= set(found["environment"])
    names = [(row["batch"], row["dtype"], row["name"]) for row in found["rows"]]
    assert names == [
        (batch, dtype, name) for batch in (1, 2) for dtype in ("float32", "bfloat16") for name in ("literatim", *peers)
    ]
    for row in found["rows"]:
        if row["name"] == "faster-whisper":
            assert row["status"] == "absent"
            assert "literatim[bench]" in row["reason"]
            continue
        assert row["status"] == "measured", row["reason"]
        assert row["iterations"] == row["latency_ms"]["n"] == len(row["samples_ms"]["total"]) == 2
        assert set(row["start"]) == {"cold_ms", "load_ms", "first_run_ms"}
        assert row["memory"]["host"]["allocated"] > 1e6
        assert "device" not in row["memory"]  # a CPU has none of its own
        assert row["wer"] == {"wer": None, "reason": "no WER: random weights"}
        assert (row["stages_ms"] is None) == (row["name"] != "literatim")
        assert row["shapes"] == ({"encoder": 1, "decoder": 2, "total": 3} if row["name"] == "literatim" else None)
        if row["dtype"] == "float32":
            assert row["same_tokens"] == 1.0
    assert rows.differing(found) == []
    path = tmp_path / "deep" / "speed.json"
    table.save(found, path)
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(found))


class Noted(Runner):
    """Notes whose turn it is."""

    name, package = "noted", "torch"
    log: ClassVar[list[str]] = []
    seconds: ClassVar[tuple[float, float]] = (1.0, 2.0)

    def _load(self) -> None:
        self.log.append(f"load {self.name}")

    def encode(self, windows: Windows) -> None:
        """Nothing."""

    def run(self, windows: Windows, tokens: int) -> Ids:
        self.log.append(f"first {self.name}")
        return [[0] * tokens] * len(windows)

    def turn(self, windows: Windows, tokens: int) -> Turn:
        self.log.append(self.name)
        return Turn(*self.seconds)


class Ours(Noted):
    name = "literatim"
    seconds = (0.5, 0.6)


class Converted(Noted):
    name, converts = "converted", True

    @classmethod
    def prepare(cls, folder: Path, dtype: str, setup: Setup) -> None:
        cls.log.append("prepare")


class Broken(Noted):
    name = "broken"

    def run(self, windows: Windows, tokens: int) -> Ids:
        raise RuntimeError("out of luck\nand more")


class Short(Noted):
    name = "short"

    def run(self, windows: Windows, tokens: int) -> Ids:
        return [[0] * (tokens - 1)] * len(windows)


class Single(Noted):
    name = "single"
    most_rows = 1


class Brief(Noted):
    name = "brief"
    most_tokens = 3


class NotHere(Ours):
    def _load(self) -> None:
        raise DeviceError("no such device; use another")


class OursBroken(Ours):
    def turn(self, windows: Windows, tokens: int) -> Turn:
        raise ValueError("a sum does not add up")


@pytest.fixture
def cast(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let these classes be the runners; returns what they note."""

    def choose(*kinds: type[Runner]) -> list[str]:
        by_name = {kind.name: kind for kind in kinds}
        monkeypatch.setattr(speed, "find", by_name.__getitem__)
        log: list[str] = []
        monkeypatch.setattr(Noted, "log", log)
        return log

    return choose


def _plan(*peers: str, **options: Any) -> Plan:
    given = {"batches": (1,), "dtypes": ("float32",), "tokens": 10, "iterations": 3, "threads": 1}
    return Plan(shape="micro", peers=peers, **{**given, **options})


def test_turns_alternate(cast: Any) -> None:
    log = cast(Ours, Converted)
    mine, peer = speed.run(_plan("converted", warmup=2), launch=Inside)["rows"]
    assert log == [
        "load literatim", "prepare", "load converted", "first literatim", "literatim", "first converted", "converted",
        *["literatim", "converted"] * 3,
    ]  # fmt: skip
    assert mine["encoder_ms"] == pytest.approx(500)
    assert mine["latency_ms"]["mean"] == pytest.approx(600)
    assert mine["latency_ms"]["std"] == pytest.approx(0)
    assert mine["token_ms"] == pytest.approx(10)  # 100 ms for 10 tokens
    assert peer["ours_to_this"]["ours"] == "literatim float32"
    assert peer["ours_to_this"]["total"] == pytest.approx(0.6 / 2.0)
    assert peer["ours_to_this"]["encoder"] == pytest.approx(0.5)
    assert peer["ours_to_this"]["token"] == pytest.approx(0.1 / 1.0)


def test_a_model_is_converted_once_for_all_settings(cast: Any) -> None:
    class Twice(Converted):
        name = "twice"
        settings = (Setting("default", "slow", roles=("default",)), Setting("best", "fast", roles=("best",)))

    globals()["Twice"] = Twice
    log = cast(Ours, Twice)
    found = speed.run(_plan("twice", settings="both", iterations=1), launch=Inside)["rows"]
    assert [row["status"] for row in found] == ["measured"] * 3
    assert [item for item in log if item in {"prepare", "load twice"}] == ["prepare", "load twice", "load twice"]


def test_no_process_is_begun_for_a_dtype_that_is_not_there(cast: Any) -> None:
    begun: list[str] = []

    def launch(name: str, threads: int) -> Inside:
        begun.append(name)
        return Inside(name, threads)

    cast(Ours, Noted)
    found = speed.run(_plan("noted", dtypes=("float32", "int8")), launch=launch)["rows"]
    assert [row["reason"] for row in found] == [None, None, "literatim has no int8", "noted has no int8"]
    assert begun == ["literatim", "noted"]


def test_rates_by_arithmetic(cast: Any) -> None:
    cast(Ours)
    (row,) = speed.run(_plan(batches=(4,)), launch=Inside)["rows"]
    # 4 windows of 2 s with 10 tokens each, in 0.6 s
    assert row["samples_per_s"] == pytest.approx(4 / 0.6)
    assert row["rtfx"] == pytest.approx(8 / 0.6)
    assert row["rtf"] == pytest.approx(0.6 / 8)
    assert row["tokens_per_s"] == pytest.approx(40 / 0.6)
    assert row["window_ms"] == pytest.approx(150)
    assert row["tokens"] == 10


def test_what_a_peer_cannot_do_is_a_row_with_a_reason(cast: Any) -> None:
    cast(Ours, Broken, Short, Single, Brief)
    plan = _plan("broken", "short", "single", "brief", batches=(2,), tokens=4)
    mine, broken, short, single, brief = speed.run(plan, launch=Inside)["rows"]
    assert mine["status"] == "measured"
    assert (broken["status"], broken["reason"]) == ("failed", "RuntimeError: out of luck")
    assert (short["status"], short["reason"]) == ("not measurable", "it decoded 3 tokens instead of 4")
    assert (single["status"], single["reason"]) == ("not measurable", "it decodes no more than 1 recording at a time")
    assert brief["reason"] == "it decodes no more than 3 tokens of a window"
    assert "latency_ms" not in broken


class Dying(Inside):
    """A worker whose process ends at the second turn of a batch."""

    def __init__(self, name: str, threads: int) -> None:
        super().__init__(name, threads)
        self.turns, self.name = 0, name

    def ask(self, request: Any, seconds: float | None = None) -> dict[str, Any]:
        self.turns += request["do"] == "turn"
        if self.name == "noted" and self.turns > 1:
            raise Refused("failed", "its process ended (exit code -11)")
        return super().ask(request, seconds)


def test_a_peer_that_dies_is_out_of_all_later_batches(cast: Any) -> None:
    log = cast(Ours, Noted)
    first, dead, second, still = speed.run(_plan("noted", batches=(1, 2)), launch=Dying)["rows"]
    assert first["iterations"] == second["iterations"] == 3
    assert (dead["status"], dead["reason"]) == ("failed", "its process ended (exit code -11)")
    assert (still["status"], still["reason"]) == ("failed", "its process ended (exit code -11)")
    assert log.count("noted") == 1


def test_ours_may_not_fail(cast: Any) -> None:
    cast(NotHere)
    with pytest.raises(DeviceError, match=r"^no such device; use another$"):
        speed.run(_plan(), launch=Inside)
    cast(OursBroken)
    with pytest.raises(LiteratimError, match="literatim float32 failed: ValueError: a sum does not add up"):
        speed.run(_plan(), launch=Inside)


def test_no_new_round_begins_after_the_time_is_up(cast: Any) -> None:
    cast(Ours)
    assert speed.run(_plan(iterations=50, seconds=0.0), launch=Inside)["rows"][0]["iterations"] == 1


# ---- figures


def _row(name: str, dtype: str, total: float) -> Row:
    turns = [Turn(total / 2, total)]
    return Row(name, name, "1", "default", "greedy", dtype, 1, ids=[[1, 2]], turns=turns)


def test_eight_bit_peers_are_compared_with_our_fastest() -> None:
    given = [_row("literatim", "float32", 4.0), _row("literatim", "bfloat16", 2.0), _row("x", "int8", 1.0)]
    entry = rows.entries(given, Work(2, 30.0))[2]
    assert entry["ours_to_this"] == {"ours": "literatim bfloat16", "encoder": 2.0, "total": 2.0, "token": 2.0}


def test_the_share_of_equal_tokens() -> None:
    given = [_row("literatim", "float32", 1.0), _row("transformers", "float32", 1.0)]
    given[0].ids, given[1].ids = [[1, 2, 3, 4]], [[1, 2, 9, 9]]
    assert rows.entries(given, Work(4, 30.0))[1]["same_tokens"] == 0.5


def test_differing_tokens_fail_in_float32_only() -> None:
    row = {"name": "transformers", "dtype": "float32", "batch": 1, "same_tokens": 0.75}
    others = [{**row, "dtype": "bfloat16"}, {**row, "name": "openvino"}, {**row, "same_tokens": None}]
    assert rows.differing({"rows": [row, *others]}) == [
        "batch 1: 25.0% of the tokens differ from transformers in float32"
    ]
    assert rows.differing({"rows": [{**row, "same_tokens": 0.0}]}) == [
        "batch 1: 100.0% of the tokens differ from transformers in float32"
    ]


def test_published_rates_follow_from_published_latencies() -> None:
    table = PRESETS["whisper-tiny"].published
    assert len(table) == 6
    for item in table:
        assert item.latency_ms is not None
        assert item.samples_per_s == pytest.approx(1000 * item.batch / item.latency_ms, rel=1e-3)
    small = {(item.system, item.dtype, item.batch): item.rtfx for item in PRESETS["whisper-small"].published}
    assert small["faster-whisper", "int8", 8] == pytest.approx(780 / 51)


# ---- what is measured


def test_too_many_tokens_are_refused() -> None:
    with pytest.raises(OptionError, match="room for 60"):  # 64 positions, 4 of them the prompt
        speed.run(Plan(shape="micro", tokens=61, threads=1), launch=Inside)


def test_combinations_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="give one of them"):
        plans.check(Plan(model="demo", shape="tiny"))
    with pytest.raises(OptionError, match="name the recording by --audio"):
        plans.check(Plan(reference=tmp_path / "a.txt"))
    found = plans.subject(Plan(shape="micro", tokens=5), tmp_path)
    with pytest.raises(OptionError, match="random weights know no words"):
        plans.clips(Plan(audio=tmp_path / "a.wav", reference=tmp_path / "a.txt"), found)


def test_a_folder_is_measured_and_called_by_its_name(micro: Path, tmp_path: Path) -> None:
    found = plans.subject(Plan(model=str(micro), tokens=5), tmp_path)
    assert (found.name, found.weights, found.window_seconds) == ("micro", "given", MICRO_SECONDS)
    assert found.no_words == "no WER: no reference"
    assert plans.clips(Plan(model=str(micro), audio=tmp_path / "a.wav"), found) == []
    bundled = plans.subject(Plan(model="demo", tokens=5), tmp_path)
    clips = plans.clips(Plan(model="demo"), bundled)
    assert bundled.weights == "bundled"
    assert {clip.language for clip in clips} == {"en", "nl"}


# ---- words


def test_rate_of_a_runner(tmp_path: Path) -> None:
    words = tmp_path / "a.txt"
    words.write_text("One, two three four!", encoding="utf-8")
    scorer = Scorer.make([pair(tmp_path / "a.wav", words)], tmp_path, "none", wanted=True)
    found = scorer.score(lambda audio, language: "one too four")  # one word replaced, one left out, of four
    assert (found["wer"], found["substitutions"], found["deletions"], found["reason"]) == (0.5, 1, 1, None)


def test_a_rate_beside_the_speed(cast: Any, micro: Path, tmp_path: Path) -> None:
    class Talking(Ours):
        def transcribe(self, audio: Path, language: str | None) -> str:
            return "one two"

    from audio_builders import wav

    cast(Talking, Noted)
    globals()["Talking"] = Talking  # a worker finds it by its module and name
    audio, words = tmp_path / "a.wav", tmp_path / "a.txt"
    audio.write_bytes(wav((babble(1, 1.0, seed=2)[0] * 32767).astype("<i2").tobytes()))
    words.write_text("one two", encoding="utf-8")
    plan = Plan(
        model=str(micro), audio=audio, reference=words, peers=("noted",), batches=(1,), dtypes=("float32",),
        tokens=4, iterations=1, threads=1,
    )  # fmt: skip
    found = speed.run(plan, launch=Inside)
    mine, peer = found["rows"]
    assert found["settings"]["sound"] == "a.wav"
    assert (mine["wer"]["wer"], mine["wer"]["reason"]) == (0.0, None)
    assert peer["wer"]["wer"] is None
    assert peer["wer"]["reason"].startswith("no WER: noted is measured on single windows only")


def test_a_setting_is_given_to_its_runner(cast: Any) -> None:
    class Choosy(Noted):
        name = "choosy"
        settings = (Setting("default", "slow", {"n": 5}, ("default",)), Setting("best", "fast", {"n": 1}, ("best",)))

        def _load(self) -> None:
            self.log.append(f"n={self.setting.options['n']}")

    globals()["Choosy"] = Choosy
    log = cast(Ours, Choosy)
    found = speed.run(_plan("choosy", settings="both", iterations=1), launch=Inside)["rows"]
    assert [item for item in log if item.startswith("n=")] == ["n=5", "n=1"]
    assert [(row["name"], row["setting"], row["what"]) for row in found] == [
        ("literatim", "default", "greedy"), ("choosy", "default", "slow"), ("choosy", "best", "fast"),
    ]  # fmt: skip
