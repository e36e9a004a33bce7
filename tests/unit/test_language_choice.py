"""Languages: which are asked for, detected among some, or anew for each window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from literatim.api import Recognizer, load
from literatim.bench.windows import babble
from literatim.errors import OptionError
from literatim.pipeline.language import several
from reference.languages import tell_apart
from whisper_builders import random_whisper_folder

LANGUAGES = ("en", "nl", "de", "zh")


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return load(random_whisper_folder(tmp_path_factory.mktemp("x"), 5, languages=LANGUAGES), device="cpu")


def sounds(count: int) -> list[np.ndarray]:
    """Of two seconds, which is a window."""
    return [babble(1, 2.0, seed)[0] * (1 + seed) for seed in range(count)]


@pytest.mark.parametrize(
    ("given", "codes"),
    [(None, ()), ("en", ("en",)), ("nl, English,en", ("nl", "en")), ("mandarin,ja", ("zh", "ja"))],
)
def test_languages_are_codes_or_names(given: str | None, codes: tuple[str, ...]) -> None:
    assert several(given) == codes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"languages": ","}, "names none"),
        ({"languages": "en,klingon"}, "klingon"),
        ({"languages": "en,fr"}, "does not know fr"),
        ({"languages": "en", "language": "en"}, "nothing to detect"),
        ({"multilingual": True, "language": "nl"}, "nothing to detect"),
        ({"multilingual": "yes"}, "True or False"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], said: str, recognizer: Recognizer) -> None:
    with pytest.raises(OptionError, match=said):
        recognizer.transcribe(sounds(1)[0], **options)


def test_the_language_is_the_likeliest_of_those_allowed(recognizer: Recognizer) -> None:
    """The probabilities of the others are those of all, made to add up to one."""
    engine, sound = recognizer._engine, sounds(1)[0]
    recognizer.transcribe(sound)
    every = {code: engine.languages(1, among=(code, "en"))[0] for code in LANGUAGES}
    best, share = engine.languages(1)[0]
    others = tuple(code for code in LANGUAGES if code != best)
    second, _ = engine.languages(1, among=others)[0]
    assert second in others
    assert engine.languages(1, among=(best, second))[0][0] == best
    assert engine.languages(1, among=(best,))[0] == (best, pytest.approx(1.0))
    assert 0 < share < engine.languages(1, among=(best, second))[0][1] < 1
    assert every["en"] == ("en", pytest.approx(1.0))
    found = recognizer.transcribe(sound, languages=",".join(others), no_speech_threshold=None, temperature=0.0)
    assert found.language == second


def test_each_window_has_its_own_language(tmp_path: Path) -> None:
    """That of its sound, in any batch; what it is told of is also what its tokens are decoded in."""
    english, dutch = sounds(2)
    recognizer = load(tell_apart(random_whisper_folder(tmp_path, 80, end_gain=1.0), english, dutch), device="cpu")
    parts = [english, dutch, dutch, english]
    kept: dict[str, Any] = {"no_speech_threshold": None, "temperature": 0.0, "strategy": "sequential"}
    kept["condition_on_previous_text"] = False
    tokenizer = recognizer._engine.tokenizer
    stamps = ",".join(map(str, range(tokenizer.timestamp_begin, tokenizer.timestamp_end)))  # each would cut a window
    kept |= {"without_timestamps": True, "temperature": 0.0, "suppress_tokens": f"-1,{stamps}"}
    whole = recognizer.transcribe(np.concatenate(parts), multilingual=True, **kept)
    heard = {segment.seek: (segment.language, segment.language_probability) for segment in whole.segments}
    assert [language for language, _ in heard.values()] == ["en", "nl", "nl", "en"]
    assert whole.language == "en"
    assert all(0.5 < (probability or 0) <= 1 for _, probability in heard.values())
    told = [recognizer.transcribe(np.concatenate(parts), language=code, **kept).segments for code in ("en", "nl")]
    decoded = [told[language == "nl"][at].tokens for at, (language, _) in enumerate(heard.values())]
    assert [segment.tokens for segment in whole.segments] == decoded
    assert [segment.tokens for segment in told[0]] != decoded
    assert {"language", "language_probability"} <= set(whole.segments[0].to_dict())
    for outcome in recognizer.transcribe_many([np.concatenate(parts)] * 3, multilingual=True, batch_size=3, **kept):
        assert outcome.transcript is not None
        assert outcome.transcript.segments == whole.segments
    plain = recognizer.transcribe(np.concatenate(parts), **kept)
    assert all(segment.language is None for segment in plain.segments)


@pytest.mark.parametrize(("layers", "refused"), [((4, 1), True), ((3, 1), False), ((2, 2), False)])
def test_a_decoder_that_was_cut_down_cannot_translate(layers: tuple[int, int], refused: bool, tmp_path: Path) -> None:
    """turbo has 32 and 4 layers, distil-large 32 and 2; the others as many of both."""
    shape = {"encoder_layers": layers[0], "decoder_layers": layers[1]}
    recognizer = load(random_whisper_folder(tmp_path, 1, **shape), device="cpu")
    if refused:
        with pytest.raises(OptionError, match="transcribe only"):
            recognizer.transcribe(sounds(1)[0], task="translate", language="nl")
    else:
        recognizer.transcribe(sounds(1)[0], task="translate", language="nl")


@pytest.mark.parametrize("option", [{"task": "translate"}, {"multilingual": True}, {"languages": "nl"}])
def test_a_model_of_english_only_says_so(option: dict[str, Any], tmp_path: Path) -> None:
    recognizer = load(random_whisper_folder(tmp_path, 1, multilingual=False), device="cpu")
    with pytest.raises(OptionError, match="English only"):
        recognizer.transcribe(sounds(1)[0], **option)
