"""The recipe of the bundled Whisper: what is kept out of training, what a window is, what the numbers mean."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
from functools import cache

import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from literatim.decode import align
from literatim.train import alignment, evaluate, grammar, sets, sounds, voices
from literatim.train.compose import IGNORED, Composer, Phase
from literatim.train.corpus import Corpus
from literatim.train.vocabulary import IDS, LANGUAGES, SPECIALS, TIMESTAMPS, load

# The sets were frozen before the first training run: whoever changes one makes every published number another's.
FROZEN = {
    "en-new-templates": "a80b303103b6a07313556c47b2bd0e732753390664ba6d214af5ac5d88b135ba",
    "en-noise-15db": "2fb2d08b607b34d1a976a465a9f32bc40ac1080ce380b237eb5a2c8cb696c5ef",
    "en-random-words": "a0785d915545086867441d6f23d43da6327302de877637767deb0ceec884b457",
    "en-templates": "4ed9b74d3d4408d04b8cde841fd91f298711d6dd0bef64dff5fd98c29945a969",
    "nl-new-templates": "3576d7744bcca6c2ac0f18d00685722b40a2beafed963ba19461bbc608131061",
    "nl-noise-15db": "ef67086042cbce84dcce1fdd6139fae26fdc04b3b4ae793ebacbacc967e4d93e",
    "nl-random-words": "5890b645529d24e386fd98ec3e9ead6bae8dd383dd9b553807987ca1db16df84",
    "nl-templates": "122b293a72f03a7b3994258ff94e1cd1721de4f32a36e8411225aa7faf220edc",
}


def kept_for_testing(sentence: str) -> bool:
    """The rule as documented: one in sixteen, by the first byte of the MD5."""
    return hashlib.md5(sentence.encode()).hexdigest()[0] == "0"


@cache
def rows(name: str) -> list[dict]:
    return [json.loads(row) for row in (sets.FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()]


def sentences(name: str) -> list[str]:
    return [line["text"] for row in rows(name) for line in row["lines"]]


def shape_of(template: str, slots: dict[str, tuple[str, ...]]) -> re.Pattern[str]:
    """What a template can say, whatever the case of its first letter."""
    parts = re.split(r"\{(\w+)\}", template)
    parts[::2] = [re.escape(part) for part in parts[::2]]
    parts[1::2] = ["(?:" + "|".join(map(re.escape, slots[name])) + ")" for name in parts[1::2]]
    return re.compile("".join(parts), re.IGNORECASE)


@pytest.mark.parametrize("language", LANGUAGES)
class TestGrammar:
    def test_training_never_draws_a_sentence_kept_for_testing(self, language):
        rng = random.Random(11)
        drawn = {grammar.trained(language, rng)[0] for _ in range(4000)}
        assert len(drawn) > 3000
        assert not any(map(kept_for_testing, drawn))
        assert not drawn & set(grammar.load(language).meeting)
        assert not drawn & {text for kind in sets.KINDS for text in sentences(f"{language}-{kind}")}

    def test_the_shares_that_the_card_states(self, language, monkeypatch):
        monkeypatch.setattr(grammar, "word_sequence", lambda *_: "words")
        monkeypatch.setattr(grammar, "splice", lambda *_: "spliced")
        rng = random.Random(12)
        drawn = [grammar.trained(language, rng) for _ in range(4000)]
        assert drawn.count(("words", True)) / len(drawn) == pytest.approx(0.4, abs=0.03)
        assert drawn.count(("spliced", True)) / len(drawn) == pytest.approx(0.2, abs=0.03)
        assert {free for text, free in drawn if text not in {"words", "spliced"}} == {False}

    def test_words_of_new_templates_alone_are_not_trained(self, language):
        whole = grammar.load(language)
        texts = [entry for entries in whole.slots.values() for entry in entries] + list(whole.templates)
        assert set(whole.words) <= {word for text in texts for word in re.split(r"[ ,.?]+", text)}

    def test_every_slot_is_known(self, language):
        whole = grammar.load(language)
        used = {slot for text in whole.templates + whole.new_templates for slot in re.findall(r"\{(\w+)\}", text)}
        assert used <= set(whole.slots)


class TestSets:
    @pytest.mark.parametrize("name", FROZEN)
    def test_are_frozen(self, name):
        assert hashlib.sha256((sets.FOLDER / f"{name}.jsonl").read_bytes()).hexdigest() == FROZEN[name]

    @pytest.mark.parametrize("name", FROZEN)
    def test_hold_300_windows_of_voices_kept_out_of_training(self, name):
        assert len(rows(name)) == 300
        spoken = [line["manner"]["voice"] for row in rows(name) for line in row["lines"]]
        assert {voice.partition("+")[2] for voice in spoken} == {"m5", "f4", "Andy"}

    @pytest.mark.parametrize("name", [name for name in FROZEN if "new" not in name])
    def test_sentences_are_kept_out_of_training(self, name):
        assert all(map(kept_for_testing, sentences(name)))

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_new_templates_say_nothing_a_trained_one_can(self, language):
        whole = grammar.load(language)
        said = sentences(f"{language}-new-templates")
        new = [shape_of(template, whole.slots) for template in whole.new_templates]
        trained = [shape_of(template, whole.slots) for template in whole.templates]
        assert all(any(shape.fullmatch(text) for shape in new) for text in said)
        assert not [text for text in set(said) if any(shape.fullmatch(text) for shape in trained)]


@pytest.mark.parametrize("language", LANGUAGES)
class TestVoices:
    def test_training_never_chooses_a_voice_kept_out(self, language):
        rng = random.Random(3)
        chosen = {voices.choose(rng, language, held_out=False).voice for _ in range(3000)}
        assert not {voice.partition("+")[2] for voice in chosen} & {"m5", "f4", "Andy"}
        assert len(chosen) > 25

    def test_testing_chooses_only_those(self, language):
        rng = random.Random(3)
        chosen = {voices.choose(rng, language, held_out=True).voice for _ in range(300)}
        assert {voice.partition("+")[2] for voice in chosen} == {"m5", "f4", "Andy"}


class TestVocabulary:
    def test_ids_are_places_in_the_list_of_tokens(self):
        names = ["eot", "sot", None, None, "translate", "transcribe", "startoflm", "startofprev"]
        names += ["no_speech", "no_timestamps"]
        placed = {name: 1300 + index for index, name in enumerate(names) if name}
        assert {name: getattr(IDS, name) for name in placed} == placed
        assert (IDS.language("en"), IDS.language("nl")) == (1302, 1303)
        assert SPECIALS[2:4] == ("<|en|>", "<|nl|>")
        assert SPECIALS[8:] == ("<|nospeech|>", "<|notimestamps|>")

    def test_timestamps_fill_the_end(self):
        assert IDS.timestamp(0) == 1310
        assert IDS.timestamp(800) == IDS.vocabulary - 1 == 1310 + 400
        assert IDS.timestamp(9999) == IDS.vocabulary - 1
        assert TIMESTAMPS == 8 / 0.02 + 1

    def test_a_saved_one_is_loaded(self, tmp_path):
        byte_tokenizer().save(str(tmp_path / "bpe.json"))
        assert load(tmp_path / "bpe.json").encode(" a").ids == byte_tokenizer().encode(" a").ids


def byte_tokenizer() -> Tokenizer:
    """One token a byte."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: id for id, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


TEXTS = {"en": ("We met.", "Ben, go on."), "nl": ("Ik ga.", "Nee, kom mee.")}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """Two utterances a language, 60 and 90 frames of made-up power, the first of them free."""
    folder = tmp_path_factory.mktemp("corpus")
    numbers = np.random.default_rng(0)
    for language, texts in TEXTS.items():
        described = [
            {
                "frames": 60 + 30 * index,
                "text": text,
                "voice": "made-up",
                "phonemes": "ab c",
                "starts": [0.2 * place for place in range(len(text.split()))],
                "free": index == 0,
            }
            for index, text in enumerate(texts)
        ]
        power = numbers.uniform(-6, 0, (150, 80)).astype(np.float16)
        np.save(folder / f"{language}-0-0.npy", power)
        (folder / f"{language}-0-0.json").write_text(json.dumps(described), "utf-8")
    return Corpus(folder)


PHASE = Phase(minutes=1, frames=800, batch=24, utterances=3, free=0.5, whole=True)


@pytest.fixture(scope="module")
def batches(corpus) -> list[dict[str, torch.Tensor]]:
    composer = Composer(corpus, byte_tokenizer(), ["<blank>", " ", *corpus.phoneme_set()], 0, 0.5)
    return [composer.batch(PHASE) for _ in range(6)]


def examples(batches) -> list[tuple[list[int], list[int]]]:
    """Decoder input and labels of each row, padding left out; both as long."""
    pairs = []
    for batch in batches:
        for tokens, labels in zip(batch["tokens"].tolist(), batch["labels"].tolist(), strict=True):
            end = labels.index(IDS.eot) + 1
            assert set(labels[end:]) <= {IGNORED}
            pairs.append((tokens[:end], labels[:end]))
    return pairs


class TestComposer:
    def test_the_corpus_gives_what_was_written(self, corpus):
        assert len(corpus) == 4
        assert [corpus[index].power.shape for index in range(4)] == [(60, 80), (90, 80)] * 2
        assert corpus.phoneme_set() == ["a", "b", "c"]
        assert corpus.texts() == [*TEXTS["en"], *TEXTS["nl"]]

    def test_features_are_in_whispers_range(self, batches):
        for batch in batches:
            mel = batch["mel"]
            assert mel.shape == (24, 80, 800)
            assert torch.isfinite(mel).all()
            # eight decades are two units; the padding of a recording's last window is 0
            sound = torch.where(mel == 0, mel.amin((1, 2), keepdim=True), mel)
            assert float((sound.amax((1, 2)) - sound.amin((1, 2))).max()) <= 2 + 1e-5

    def test_each_label_is_the_next_input(self, batches):
        for tokens, labels in examples(batches):
            start = tokens.index(IDS.sot)
            assert tokens[start + 2] == IDS.transcribe
            following = zip(tokens[start + 2 :][1:], labels[start + 2 :], strict=False)
            assert all(label in (token, IGNORED) for token, label in following)
            assert set(labels[:start]) <= {IGNORED}
            assert labels[start + 1] == IGNORED

    def test_prompts_come_before_the_start(self, batches):
        prompts = [tokens[: tokens.index(IDS.sot)] for tokens, _ in examples(batches)]
        given = [prompt for prompt in prompts if prompt]
        assert 0 < len(given) < len(prompts)
        assert all(prompt[0] == IDS.startofprev for prompt in given)
        said = {token for prompt in given for token in prompt[1:]}
        assert all(token < IDS.eot or token >= IDS.timestamp_begin for token in said)
        # as the transcriber gives them: with timestamps where the window is asked for with them, else without
        for tokens, _ in examples(batches):
            start = tokens.index(IDS.sot)
            timed = any(token >= IDS.timestamp_begin for token in tokens[:start])
            assert not (timed and IDS.no_timestamps in tokens)

    def test_the_first_label_is_the_language_or_silence(self, batches):
        kinds = set()
        for tokens, labels in examples(batches):
            start = tokens.index(IDS.sot)
            says_something = any(0 <= label < IDS.eot for label in labels)
            kinds.add(labels[start])
            if labels[start] == IDS.no_speech:
                assert not says_something
            else:
                assert labels[start] == tokens[start + 1]
        assert kinds == {IDS.no_speech, IDS.language("en"), IDS.language("nl")}

    def test_timestamps_come_in_pairs_and_never_go_back(self, batches):
        seen = 0
        for tokens, labels in examples(batches):
            body = [label for label in labels[tokens.index(IDS.sot) + 2 : -1] if label != IGNORED]
            stamps = [label for label in body if label >= IDS.timestamp_begin]
            assert stamps == sorted(stamps)
            if IDS.no_timestamps in tokens:
                assert not stamps
            else:
                seen += len(stamps) > 2
                assert body[0] == stamps[0]
        assert seen > 5

    def test_the_words_are_those_of_the_corpus(self, batches):
        tokenizer = byte_tokenizer()
        for tokens, labels in examples(batches):
            language = "en" if tokens[tokens.index(IDS.sot) + 1] == IDS.language("en") else "nl"
            said = tokenizer.decode([label for label in labels if 0 <= label < IDS.eot]).split()
            whole = [text.split() for text in TEXTS[language]]
            while said:  # the last utterance may be cut
                known = next((text for text in whole if said[: len(text)] == text[: len(said)]), None)
                assert known is not None
                said = said[len(known) :]

    def test_the_same_seed_gives_the_same_windows(self, corpus):
        phonemes = ["<blank>", " ", *corpus.phoneme_set()]
        first, second = (Composer(corpus, byte_tokenizer(), phonemes, 4, 0.5).batch(PHASE) for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in first)


class TestSounds:
    @pytest.mark.parametrize("kind", sounds.KINDS)
    def test_have_unit_variance(self, kind):
        made = kind(np.random.default_rng(1), 16_000)
        assert made.shape == (16_000,)
        assert made.dtype == np.float32
        assert float(made.std()) == pytest.approx(1, rel=1e-3)


STAMP = IDS.timestamp_begin


class TestEvaluate:
    @pytest.mark.parametrize(
        ("tokens", "spans"),
        [
            ([STAMP, 7, 8, STAMP + 50, IDS.eot, IDS.eot], ((0.0, 1.0, "7 8"),)),
            (
                [STAMP + 5, 7, STAMP + 50, STAMP + 100, 8, STAMP + 150, IDS.eot],
                ((0.1, 1.0, "7"), (2.0, 3.0, "8")),
            ),
            ([STAMP + 5, 7, STAMP + 50, STAMP + 50, 8, IDS.eot], ((0.1, 1.0, "7"), (1.0, 8.0, "8"))),
            ([STAMP + 5, 7, STAMP + 50, STAMP + 60, IDS.eot], ((0.1, 1.0, "7"),)),
            ([STAMP, IDS.eot], ()),
            ([], ()),
        ],
        ids=["one", "two", "unfinished", "begun only", "silence", "nothing"],
    )
    def test_segments_are_read_from_tokens(self, tokens, spans):
        found = evaluate.spans_of(tokens, lambda ids: " ".join(map(str, ids)))
        assert [span[2] for span in found] == [span[2] for span in spans]
        assert [span[:2] for span in found] == [pytest.approx(span[:2]) for span in spans]

    def test_segments_are_matched_by_overlap(self):
        reference = [(0.0, 2.0, "a"), (3.0, 5.0, "b"), (6.0, 7.0, "c")]
        heard = [(0.1, 1.9, "a"), (2.5, 4.9, "b")]
        assert evaluate.pairs(reference, heard) == [(reference[0], heard[0]), (reference[1], heard[1])]
        found = evaluate.times([reference, reference[:2]], [heard, heard])
        assert found["right_count"] == 0.5
        assert found["where_count_right"] == {"start_ms": 300.0, "end_ms": 100.0}
        assert found["all_matched"] == {"share": 0.8, "start_ms": 300.0, "end_ms": 100.0}

    def test_nothing_matched_has_no_error(self):
        found = evaluate.times([[(0.0, 1.0, "a")]], [[]])
        assert found["where_count_right"] == {"start_ms": None, "end_ms": None}
        assert found["all_matched"]["share"] == 0

    def test_words_are_compared_without_case_and_punctuation(self):
        assert evaluate.bare("Nee, om twee o'clock?") == "nee om twee o'clock"
        assert evaluate.error_rate(["a b c d"], ["a x c"]) == 0.5

    def test_windows_without_speech_are_of_every_kind(self):
        made = list(evaluate.non_speech())
        names = [name for name, _ in made]
        assert len(made) == 60
        assert {name: names.count(name) for name in names} == dict.fromkeys(
            ("silence", "noise", "hum", "tones", "coughs"), 12
        )
        assert all(samples.shape == (128_000,) and np.abs(samples).max() < 4 for _, samples in made)


def best_by_trial(scores: np.ndarray) -> float:
    """The largest sum over all ways from the first to the last cell."""
    rows, columns = scores.shape
    best = -np.inf

    def walk(row: int, column: int, total: float) -> None:
        nonlocal best
        total += scores[row, column]
        if (row, column) == (rows - 1, columns - 1):
            best = max(best, total)
        for down, right in ((1, 1), (1, 0), (0, 1)):
            if row + down < rows and column + right < columns:
                walk(row + down, column + right, total)

    walk(0, 0, 0.0)
    return best


class TestAlignment:
    @pytest.mark.parametrize("seed", range(6))
    def test_rows_start_where_a_best_path_enters_them(self, seed):
        scores = np.random.default_rng(seed).normal(size=(3, 5))
        starts = align.starts(scores.astype(np.float32)).tolist()
        assert starts[0] == 0
        # between two starts the path either turns at once or stays in the column where the next row begins
        ends = [range(start, following + 1) for start, following in itertools.pairwise([*starts, 4])]
        sums = [
            sum(scores[row, starts[row] : last + 1].sum() for row, last in enumerate(lasts))
            for lasts in itertools.product(*ends)
            if lasts[-1] == 4 and all(starts[row + 1] - last in (0, 1) for row, last in enumerate(lasts[:-1]))
        ]
        assert max(sums) == pytest.approx(best_by_trial(scores))

    def test_scores_are_whispers(self):
        attention = torch.rand(2, 5, 30).softmax(-1)
        values = attention.numpy().astype(np.float64)
        scores = (values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)
        wanted = median_filter(scores, size=(1, 1, 7), mode="mirror")
        found = torch.stack([align.sharpened(head.clone()) for head in attention])
        np.testing.assert_allclose(found, wanted, atol=1e-4)

    def test_the_head_that_follows_the_words_is_chosen(self):
        numbers = np.random.default_rng(2)
        scores = numbers.normal(0, 0.3, (4, 4, 40))
        for row, first in enumerate((0, 10, 20, 30)):
            scores[2, row, first : first + 10] += 3
        window = alignment.Attended(scores, (0, 1, 3), (0.0, 0.2, 0.6))
        chosen, own = alignment.choose([window], 4)
        assert min(own, key=lambda head: own[head]) == 2
        assert chosen == [2]
        assert own[2] == pytest.approx(0, abs=1e-9)
