"""The package silero-vad itself, in a process of its own: its import sets torch's number of threads.

python silero.py QUESTIONS.npz QUESTIONS.json ANSWERS.json
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np


def ask(folder: Path, sounds: dict[str, np.ndarray], ways: list[dict[str, Any]], runs: list[list[float]]) -> Any:
    """Its answers: of each sound the `probabilities` and its `spans` each way, and the `spans` of each of `runs`.

    `ways` are arguments of its `get_speech_timestamps`; the probabilities in `runs` are used the way of their number,
    counted round.
    """
    np.savez(folder / "sounds.npz", **sounds)  # type: ignore[arg-type]
    (folder / "ways.json").write_text(json.dumps({"ways": ways, "runs": runs}))
    files = [str(folder / name) for name in ("sounds.npz", "ways.json", "answers.json")]
    subprocess.run([sys.executable, __file__, *files], check=True, timeout=600)
    return json.loads((folder / "answers.json").read_text())


def main(sounds_file: str, ways_file: str, answers_file: str) -> None:
    import torch
    from silero_vad import get_speech_timestamps_from_probs, load_silero_vad

    model = load_silero_vad()
    torch.set_grad_enabled(False)
    asked = json.loads(Path(ways_file).read_text())

    def spans(probabilities: list[float], way: dict[str, Any], total: int) -> list[list[int]]:
        found = get_speech_timestamps_from_probs(probabilities, audio_length_samples=total, **way)
        return [[span["start"], span["end"]] for span in found]

    answers: dict[str, Any] = {"sounds": {}}
    for name, samples in np.load(sounds_file).items():
        model.reset_states()
        frames = torch.nn.functional.pad(torch.from_numpy(samples), (0, -len(samples) % 512)).split(512)
        probabilities = [float(model(frame, 16_000)) for frame in frames]
        found = [spans(probabilities, way, len(samples)) for way in asked["ways"]]
        answers["sounds"][name] = {"probabilities": probabilities, "spans": found}
    ways = asked["ways"]
    answers["runs"] = [spans(run, ways[at % len(ways)], 512 * len(run)) for at, run in enumerate(asked["runs"])]
    Path(answers_file).write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
