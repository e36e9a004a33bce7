"""`literatim bench long`: its recordings, its figures, and a small run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from literatim.bench.long import report, run, sound
from literatim.bench.long.figures import score, words
from literatim.bench.long.rows import Row, Turn, entries
from literatim.bench.protocol import Refused
from literatim.errors import LiteratimError

RATE = 16_000


def tone(seconds: float, text: str) -> sound.Clip:
    return sound.Clip(np.full(round(seconds * RATE), 0.5, np.float32), text)


def test_parts_stand_in_their_order_a_second_and_more_apart() -> None:
    parts = [tone(1.0, "one"), tone(2.0, "two words"), tone(0.5, "three")]
    made = sound.in_room_tone(parts, 12, 3)
    assert made.seconds == 12
    assert made.text == "one two words three"
    loud = np.flatnonzero(np.diff(np.concatenate([[0], (made.samples > 0.25).astype(int), [0]])))
    begins, ends = loud[::2], loud[1::2]
    assert list(ends - begins) == [len(part.samples) for part in parts]
    assert min([begins[0], *(begins[1:] - ends[:-1])]) >= RATE


def test_a_talk_is_full_of_clips_and_its_words_are_theirs() -> None:
    made = sound.talk("en", 60, 0)
    assert made.seconds == 60
    texts = {clip.text: len(clip.samples) / RATE for clip in sound.clips("en")}
    spoken, rest = 0.0, made.text
    while rest:
        text = max((text for text in texts if rest.startswith(text)), key=len)
        spoken, rest = spoken + texts[text], rest[len(text) :].lstrip()
    assert 0.45 * 60 < spoken <= sound.SPEECH * 60
    assert made.text != sound.talk("en", 60, 1).text


def test_a_mixed_talk_has_languages_in_turn() -> None:
    clips = [(language, clip.text) for language in ("en", "nl") for clip in sound.clips(language)]
    rest, heard = sound.mixed(("en", "nl"), 60, 0).text, []
    while rest:
        language, text = max((item for item in clips if rest.startswith(item[1])), key=lambda item: len(item[1]))
        heard.append(language)
        rest = rest[len(text) :].lstrip()
    assert heard == ["en", "nl"] * (len(heard) // 2) + ["en"] * (len(heard) % 2)
    assert len(heard) > 4


def test_the_sounds_without_speech_are_soft_and_loud() -> None:
    made = dict(sound.silences(4.0))
    assert set(made) == {"silence", "white", "room", "noise", "hum", "tones", "coughs"}
    assert not made.pop("silence").any()
    for samples in made.values():
        assert len(samples) == 4 * RATE
        soft, loud = (float(half.std()) for half in np.split(samples, 2))
        assert loud > 10 * soft > 0


def test_a_file_holds_the_samples_so_many_times(tmp_path: Path) -> None:
    from literatim.audio.decode import decode

    samples = np.linspace(-0.9, 0.9, RATE, dtype=np.float32)
    read = decode(sound.write(tmp_path / "a.wav", samples, 3)).samples[0]
    assert np.abs(read - np.tile(samples, 3)).max() < 1e-4


def test_coverage_counts_words_at_their_place() -> None:
    found = score("The cat sat, on the mat!", "the cat on on a mat mat")
    # the / cat / sat -> on / on / the -> a / mat, and a mat too much
    assert (found["words"], found["substitutions"], found["deletions"], found["insertions"]) == (6, 2, 0, 1)
    assert found["coverage"] == pytest.approx(4 / 6)
    assert found["wer"] == pytest.approx(3 / 6)
    nothing = score("two words", "")
    assert (nothing["coverage"], nothing["wer"], nothing["deletions"]) == (0, 1, 2)
    assert words(" Hello, there! ") == ["hello", "there"]
    assert words(" . ") == []


def rows() -> list[Row]:
    made = [Row("literatim", "sequential", "sequential", "float32"), Row("literatim", "batched-8", "b", "float32")]
    made += [Row("peer", "batched-8", "b", "float32"), Row("peer", "chunked-8", "c", "float32", status="absent")]
    for row, seconds in zip(made, ((10.0, 20.0, 12.0), (4.0, 5.0, 3.0), (8.0, 5.0, 12.0)), strict=False):
        row.turns = [Turn(each, 2 * each, {"decoder": each / 2}) for each in seconds]
        row.tokens, row.text, row.loaded, row.peaks = 120, "a b", 100, [150, None, 170]
        row.silences = {"hum": "", "coughs": " Thank you."}
    made[1].tokens = 90
    return made


def test_figures_of_the_turns() -> None:
    talk = sound.Spoken(np.zeros(100 * RATE, np.float32), "a b c d", ())
    first, ours, peer, absent = entries(rows(), talk, random=False)
    assert (first["seconds"], first["rtf"], first["tokens_per_s"], first["decoder_tokens_per_s"]) == (12, 0.12, 10, 20)
    assert ours["speed_up"]["tokens_per_s"] == pytest.approx((90 / 4) / (120 / 12))
    assert ours["speed_up"]["decoder_tokens_per_s"] == pytest.approx((90 / 2) / (120 / 6))
    assert ours["speed_up"]["total"] == 4  # the middle one of 2.5, 4 and 4
    assert peer["ours_to_this"] == {"ours": "literatim b float32", "seconds": 0.5, "cpu": 0.5}  # of .5, 1 and .25
    assert peer["hallucinated"] == {"hum": 0, "coughs": 2}
    assert peer["words"]["coverage"] == 0.5
    assert peer["memory"] == {"loaded": 100, "peak": 170, "beyond": 70}
    assert absent["status"] == "absent"
    assert "seconds" not in absent
    assert "words" not in entries(rows(), talk, random=True)[0]


class Scripted:
    """Workers of which those named in `broken` refuse to hear."""

    def __init__(self, broken: str) -> None:
        self.broken, self.heard = broken, list[str]()

    def __call__(self, name: str, _threads: int) -> Any:
        return _Answers(name, self)


class _Answers:
    def __init__(self, name: str, script: Scripted) -> None:
        self._name, self._script = name, script

    def ask(self, request: Mapping[str, Any], _seconds: float | None = None) -> dict[str, Any]:
        memory = {"host": {"allocated": 10, "peak": 20}}
        if request["do"] != "hear":
            return {"version": "1", "memory": memory}
        if self._name == self._script.broken:
            raise Refused("failed", "it broke")
        self._script.heard.append(self._name)
        assert Path(request["audio"]).is_file()
        return {"text": "hello", "tokens": 5, "stages": {}, "seconds": 1.0, "cpu_seconds": 1.0, "memory": memory}

    def close(self) -> None:
        """Nothing is open."""


PLAN = run.Plan(model="demo", minutes=0.4, silence=2.0, peers=("faster-whisper",), ways=("batched-8",), rounds=2)


def test_a_peer_that_breaks_is_a_row_without_figures() -> None:
    script = Scripted("faster-whisper")
    found = run.run(PLAN, launch=script)
    ours, peer = found["rows"]
    assert (peer["status"], peer["reason"]) == ("failed", "it broke")
    assert ours["turns"] == [{"seconds": 1.0, "cpu_seconds": 1.0}] * 2
    assert script.heard == ["literatim"] * (1 + 2 + 7)  # a warm-up, the rounds, and what is no speech
    assert ours["hallucinated"] == dict.fromkeys(ours["hallucinated"], 1)
    lines = "\n".join(table.plain() for table in report.tables(found))
    assert "faster-whisper batched 8 float32: failed: it broke" in lines


def test_ours_may_not_break() -> None:
    with pytest.raises(LiteratimError, match="literatim batched 8 float32 failed: it broke"):
        run.run(PLAN, launch=Scripted("literatim"))


@pytest.mark.slow
def test_a_minute_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The command: with the demo model, whose words are known, and with random weights."""
    out = tmp_path / "long.json"
    command = [sys.executable, "-m", "literatim.cli.main", "bench", "long", "--peer", "none", "--threads", "1"]
    words_known = ["--minutes", "1", "--silence", "2", "--way", "batched-8", "--out", str(out)]
    subprocess.run([*command, *words_known], check=True, capture_output=True, timeout=600)
    (row,) = json.loads(out.read_text("utf-8"))["rows"]
    assert row["words"]["coverage"] > 0.7
    assert row["words"]["wer"] < 0.35
    assert set(row["hallucinated"].values()) == {0}
    assert row["memory"]["beyond"] < 1.5e9
    shape = ["--shape", "micro", "--tokens", "7", "--minutes", "0.5", "--out", str(out)]
    subprocess.run([*command, *shape], check=True, capture_output=True, timeout=600)
    sequential, *batched = json.loads(out.read_text("utf-8"))["rows"]
    assert sequential["tokens"] == 7 * 15  # windows of two seconds
    for row in batched:
        assert row["tokens"] % 7 == 0
        assert row["tokens"] > 0
    assert out.with_suffix(".svg").is_file()
