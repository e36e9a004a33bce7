"""Prefix beam search beside all texts and all ways: what it finds, what it is worth, and where it lies."""

from __future__ import annotations

import gzip
import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from literatim.decode.beam_ctc import Beam, Search, align
from literatim.decode.ctc import Steps, collapse
from literatim.decode.hotwords import Hotwords
from literatim.errors import DependencyError, ModelFormatError, ModelNotFound
from literatim.models.ngram import Arpa, Kenlm, load_ngrams

EVERYTHING = Beam(width=100_000, alpha=0.7, beta=0.4, least=-math.inf, far=-math.inf)


def logprobs(rng: np.random.Generator, steps: int, vocabulary: int, sharpness: float = 1.5) -> np.ndarray:
    raw = rng.normal(0, sharpness, (steps, vocabulary))
    return np.asarray(raw - np.log(np.exp(raw).sum(-1, keepdims=True)))


def collapsed(way: Sequence[int], blank: int) -> tuple[int, ...]:
    return tuple(token for token, _ in itertools.groupby(way) if token != blank)


def all_texts(scores: np.ndarray, blank: int) -> dict[tuple[int, ...], float]:
    """ln P of every text: each of the V^S ways is added to its own."""
    found: dict[tuple[int, ...], float] = {}
    for way in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        text = collapsed(way, blank)
        found[text] = np.logaddexp(found.get(text, -math.inf), sum(scores[i, token] for i, token in enumerate(way)))
    return found


class Pairs:
    """An n-gram model that looks one token back."""

    def __init__(self, rng: np.random.Generator, vocabulary: int) -> None:
        self._table = logprobs(rng, vocabulary + 1, vocabulary + 1, 1.0)  # the last row begins, the last column ends

    def begin(self) -> int:
        return len(self._table) - 1

    def after(self, state: int, token: int) -> tuple[float, int]:
        return float(self._table[state, token]), token

    def end(self, state: int) -> float:
        return float(self._table[state, -1])

    def of(self, text: Sequence[int]) -> float:
        return float(sum(self._table[a, b] for a, b in itertools.pairwise([self.begin(), *text, len(self._table) - 1])))


def occurrences(text: Sequence[int], wanted: Sequence[Sequence[int]], weight: float) -> float:
    """By trying every place for every wanted text."""
    places = [(at, words) for words in {tuple(w) for w in wanted if w} for at in range(len(text))]
    return sum(weight * len(words) for at, words in places if tuple(text[at : at + len(words)]) == words)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("extras", ["alone", "model", "model and hotwords"])
def test_the_best_of_all_texts_is_found(seed: int, extras: str) -> None:
    """With nothing left out, text and score are those of adding up every way."""
    rng = np.random.default_rng(seed)
    steps, vocabulary = (6, 3) if seed % 2 else (5, 4)
    blank = int(rng.integers(vocabulary))
    scores = logprobs(rng, steps, vocabulary)
    model = Pairs(rng, vocabulary) if "model" in extras else None
    tokens = [token for token in range(vocabulary) if token != blank]
    wanted = [rng.choice(tokens, rng.integers(1, 4)).tolist() for _ in range(3)] if "hotwords" in extras else []

    def worth(text: tuple[int, ...], sound: float) -> float:
        told = EVERYTHING.alpha * model.of(text) if model else 0.0
        return sound + told + EVERYTHING.beta * len(text) + occurrences(text, wanted, 0.8)

    expected = max((worth(text, sound), text) for text, sound in all_texts(scores, blank).items())
    search = Search(EVERYTHING, blank, model, Hotwords(wanted, 0.8) if wanted else None)
    search.take(scores[:2])
    search.take(scores[2:])
    found, _, score = search.best(last=True)
    assert tuple(found) == expected[1]
    assert score == pytest.approx(expected[0], abs=1e-9)


def test_a_stretch_goes_on_where_the_last_one_ended() -> None:
    """Model and hotwords see over the cut: the scores of two stretches add up to that of their text."""
    rng = np.random.default_rng(5)
    scores, model = logprobs(rng, 8, 4, 6.0), Pairs(rng, 4)
    wanted = Hotwords([[1, 2, 3], [2, 1]], 0.5)
    first = Search(EVERYTHING, 0, model, wanted)
    first.take(scores[:4])
    head, state, head_score = first.best(last=False)
    second = Search(EVERYTHING, 0, model, wanted, state)
    second.take(scores[4:])
    tail, _, tail_score = second.best(last=True)
    sound = all_texts(scores[:4], 0)[tuple(head)] + all_texts(scores[4:], 0)[tuple(tail)]
    text = [*head, *tail]
    worth = sound + EVERYTHING.alpha * model.of(text) + EVERYTHING.beta * len(text)
    assert head_score + tail_score == pytest.approx(worth + occurrences(text, [[1, 2, 3], [2, 1]], 0.5), abs=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_hotwords_count_every_occurrence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = [rng.integers(0, 3, rng.integers(0, 5)).tolist() for _ in range(4)]
    text = rng.integers(0, 3, 12).tolist()
    hotwords, state, won = Hotwords(wanted, 2.0), 0, 0.0
    for token in text:
        more, state = hotwords.after(state, token)
        won += more
    assert won == pytest.approx(occurrences(text, wanted, 2.0))


def test_hotwords_promise_what_is_under_way() -> None:
    hotwords = Hotwords([[1, 2, 3], [2, 4]], 1.0)
    states = [0]
    for token in (1, 2, 4, 1):
        states.append(hotwords.after(states[-1], token)[1])
    assert [hotwords.promise(state) for state in states] == [0, 1, 2, 0, 1]
    assert [hotwords.after(states[2], token)[0] for token in (3, 4, 0)] == [3, 2, 0]


def test_a_narrow_beam_and_a_floor_still_find_what_is_clear() -> None:
    rng = np.random.default_rng(3)
    said = [0, 2, 2, 0, 2, 3, 0, 0, 1]
    scores = logprobs(rng, len(said), 5, 0.2)
    scores[range(len(said)), said] += 6
    for beam in (Beam(width=1, alpha=0, beta=0), Beam(width=8, alpha=0, beta=0), Beam(width=2, least=0.0, beta=0)):
        search = Search(beam, 0)
        search.take(scores)
        assert search.best(last=True)[0] == [2, 2, 3, 1]


@pytest.mark.parametrize("seed", range(20))
def test_the_likeliest_way_of_the_greedy_text_is_the_greedy_way(seed: int) -> None:
    """Times and confidences by alignment are those of collapsing."""
    rng = np.random.default_rng(seed)
    scores = logprobs(rng, 30, 6).astype(np.float32)
    steps = Steps(scores.argmax(-1), scores.max(-1))
    greedy = collapse(steps, 0, first=7)
    found = align(scores, [token.id for token in greedy], 0, first=7)
    assert [(t.id, t.start, t.end) for t in found] == [(t.id, t.start, t.end) for t in greedy]
    assert [t.logprob for t in found] == pytest.approx([t.logprob for t in greedy], abs=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_alignment_is_the_best_of_all_ways(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = logprobs(rng, 6, 3)
    text = [(1, 1), (1, 2, 1), (2,), (2, 1)][seed % 4]
    ways = [way for way in itertools.product(range(3), repeat=6) if collapsed(way, 0) == text]
    best = max(ways, key=lambda way: sum(scores[i, token] for i, token in enumerate(way)))
    found = align(scores, text, 0)
    assert [step for token in found for step in range(token.start, token.end)] == [i for i, t in enumerate(best) if t]
    assert align(scores, [], 0) == []


ARPA = """\\data\\
ngram 1=5
ngram 2=4
ngram 3=1

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.30
-0.7\t</s>
-0.5\t#a\t-0.20
-0.9\tb\t-0.10

\\2-grams:
-0.2\t<s> #a\t-0.05
-0.4\t#a b\t-0.15
-0.6\tb </s>
-0.8\tb #a

\\3-grams:
-0.1\t<s> #a b

\\end\\
"""
PIECES = (None, "▁a", "b", "▁c")


def arpa(folder: Path, text: str = ARPA) -> Path:
    path = folder / "lm.arpa"
    path.write_text(text, encoding="utf-8")
    return path


def total(model: Any, tokens: Sequence[int]) -> float:
    """log10 of a whole text."""
    state, found = model.begin(), 0.0
    for token in tokens:
        score, state = model.after(state, token)
        found += score
    return (found + model.end(state)) / math.log(10)


def test_arpa_by_hand(tmp_path: Path) -> None:
    """Sums of the entries above; an unknown token costs 10 more."""
    model = load_ngrams(arpa(tmp_path), PIECES)
    assert total(model, [1, 2]) == pytest.approx(-0.2 - 0.1 + (-0.15 - 0.6))  # <s> a b: trigram; </s>: back off a b
    assert total(model, [2]) == pytest.approx((-0.30 - 0.9) - 0.6)
    assert total(model, [1, 1]) == pytest.approx(-0.2 + (-0.05 - 0.20 - 0.5) + (-0.20 - 0.7))
    assert total(model, [3]) == pytest.approx((-0.30 - 1.0 - 10) - 0.7)
    assert total(model, []) == pytest.approx(-0.30 - 0.7)


def test_language_models_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="there is no n-gram model"):
        load_ngrams(tmp_path / "none.arpa", PIECES)
    for text, why in (
        ("", "no .end"),
        (ARPA.replace("\\end\\", ""), "not all of one"),
        (ARPA.replace("-0.2\t<s> #a", "x\t<s> #a"), "is no ARPA file"),
        (ARPA.replace("-0.4\t#a b", "-0.4\t#a b b b"), "an entry of order 2"),
        (ARPA.replace("#a", "other").replace("b\t", "word\t"), "made for others"),
    ):
        with pytest.raises(ModelFormatError, match=why):
            load_ngrams(arpa(tmp_path, text), PIECES)
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    with pytest.raises(ModelFormatError, match="is no ARPA file"):
        load_ngrams(tmp_path / "binary", PIECES)


def test_compressed_files_that_are_broken(tmp_path: Path) -> None:
    """Cut short, with other bytes inside, or not compressed at all; whole, it is read like the plain one."""
    path, packed = tmp_path / "lm.arpa.gz", gzip.compress(ARPA.encode())
    path.write_bytes(packed)
    assert total(load_ngrams(path, PIECES), [1, 2]) == pytest.approx(-1.05)
    for broken in (packed[:-20], packed[:12] + bytes([255] * 40) + packed[52:], ARPA.encode()):
        path.write_bytes(broken)
        with pytest.raises(ModelFormatError, match="is no ARPA file"):
            load_ngrams(path, PIECES)


def test_pieces_may_be_spelled_as_they_are(tmp_path: Path) -> None:
    plain = load_ngrams(arpa(tmp_path, ARPA.replace("#a", "▁a")), PIECES)
    assert total(plain, [1, 2]) == pytest.approx(-1.05)


def test_a_model_of_single_words(tmp_path: Path) -> None:
    """No state at all: each token by itself."""
    text = "\\data\\\nngram 1=3\n\n\\1-grams:\n-1\t</s>\n-0.5\t#a\n-0.9\tb\n\n\\end\\\n"
    assert total(load_ngrams(arpa(tmp_path, text), PIECES), [1, 2, 2]) == pytest.approx(-0.5 - 0.9 - 0.9 - 1)
    assert Arpa(arpa(tmp_path, text)).begin() == ()


def test_the_model_turns_the_text(tmp_path: Path) -> None:
    """Two tokens that sound alike: alpha decides whether the likelier text wins."""
    model = load_ngrams(arpa(tmp_path), PIECES)
    scores = np.log([[0.1, 0.46, 0.439, 0.001], [0.98, 0.01, 0.005, 0.005], [0.1, 0.46, 0.439, 0.001]])
    heard = {}
    for alpha in (0.0, 1.0):
        search = Search(Beam(alpha=alpha, beta=1.0), 0, model)
        search.take(scores)
        heard[alpha] = search.best(last=True)[0]
    assert heard == {0.0: [1, 1], 1.0: [1, 2]}


Table = dict[tuple[str, ...], tuple[float, float]]


def random_table(rng: np.random.Generator) -> Table:
    """Scores and back-offs of trigrams over four words; what has a longer entry has a shorter one too."""
    words = ["#a", "b", "#c", "d"]

    def figures(gram: Sequence[str], backs_off: bool) -> tuple[float, float]:
        score = -99.0 if gram == ("<s>",) else -round(rng.uniform(0.05, 2), 4)
        return score, -round(rng.uniform(0.05, 2), 4) if backs_off else 0.0

    pairs = [(a, b) for a in ["<s>", *words] for b in [*words, "</s>"] if rng.random() < 0.6]
    triples = [(a, b, c) for a, b in pairs for d, c in pairs if b == d and rng.random() < 0.5]
    singles = [(word,) for word in ("<unk>", "<s>", "</s>", *words)]
    table: Table = {gram: figures(gram, gram[0] not in {"<unk>", "</s>"}) for gram in singles}
    table |= {gram: figures(gram, gram[1] != "</s>") for gram in pairs}
    return table | {gram: figures(gram, False) for gram in triples}


def as_arpa(table: Table) -> str:
    parts = [[gram for gram in table if len(gram) == order] for order in (1, 2, 3)]
    counts = [f"ngram {order}={len(part)}" for order, part in enumerate(parts, 1)]
    blocks = [f"\\{order}-grams:\n" + "\n".join(entry(table, g) for g in part) for order, part in enumerate(parts, 1)]
    return "\n\n".join(["\n".join(["\\data\\", *counts]), *blocks, "\\end\\"]) + "\n"


def entry(table: Table, gram: tuple[str, ...]) -> str:
    score, backoff = table[gram]
    return f"{score:.4f}\t{' '.join(gram)}" + (f"\t{backoff:.4f}" if backoff else "")


def backed_off(table: Table, before: tuple[str, ...], word: str) -> float:
    """By definition (Katz, 1987), of all that was said before: its score, or what shorter memory costs and gives."""
    if len(before) > 2:
        return backed_off(table, before[-2:], word)
    if (*before, word) in table:
        return table[(*before, word)][0]
    return table.get(before, (0.0, 0.0))[1] + backed_off(table, before[1:], word)


def random_texts(rng: np.random.Generator) -> Iterator[list[str]]:
    for _ in range(1000):
        yield rng.choice(["#a", "b", "#c", "d", "unheard_of"], rng.integers(0, 9)).tolist()


def scored(model: Any, said: Sequence[str]) -> float:
    """log10 of a whole text, word by word."""
    state, found = model.begin(), 0.0
    for word in [*said, "</s>"]:
        more, state = model.after(state, word)
        found += more
    return found


def test_scores_are_those_of_the_definition(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    table = random_table(rng)
    model = Arpa(arpa(tmp_path, as_arpa(table)))
    for said in random_texts(rng):
        text = ["<s>", *(word if (word,) in table else "<unk>" for word in said), "</s>"]
        wanted = sum(backed_off(table, tuple(text[:at]), text[at]) for at in range(1, len(text)))
        assert scored(model, said) == pytest.approx(wanted, abs=1e-9)


def test_scores_are_those_of_kenlm(tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm")
    rng = np.random.default_rng(0)
    path = arpa(tmp_path, as_arpa(random_table(rng)))
    reference, ours = kenlm.Model(str(path)), [Arpa(path), Kenlm(path)]
    for said in random_texts(rng):
        for model in ours:
            assert scored(model, said) == pytest.approx(reference.score(" ".join(said), bos=True, eos=True), abs=1e-4)


class KenlmState:
    """As the package has it: empty until the model writes into it."""

    words: tuple[str, ...] | None = None


class KenlmModel:
    """The package's interface (kenlm 0.3, python/kenlm.pyx) over the entries of `ARPA`: it need not be installed."""

    def __init__(self, path: str) -> None:
        if Path(path).stat().st_size < 100:
            raise OSError("Cannot read model")
        lines = [line.split("\t") for line in ARPA.splitlines() if line.startswith("-")]
        self._table: Table = {tuple(g.split()): (float(p), float(*more or (0,))) for p, g, *more in lines}

    def __contains__(self, word: str) -> bool:
        return (word,) in self._table

    def BeginSentenceWrite(self, state: KenlmState) -> None:
        state.words = ("<s>",)

    def BaseScore(self, state: KenlmState, word: str, out: KenlmState) -> float:
        assert state.words is not None
        assert out is not state
        said = word if word in self else "<unk>"
        score, out.words = backed_off(self._table, state.words, said), (*state.words, said)
        return score


def test_binary_files_are_kenlms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their first bytes; states are kept apart, and scores and vocabulary are what the package says."""
    path = tmp_path / "lm_6.kenlm"
    path.write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(100))
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.raises(DependencyError, match=r"KenLM's binary files needs kenlm .*literatim\[lm\]"):
        load_ngrams(path, PIECES)
    monkeypatch.setitem(sys.modules, "kenlm", SimpleNamespace(Model=KenlmModel, State=KenlmState))
    binary, ours = load_ngrams(path, PIECES), load_ngrams(arpa(tmp_path), PIECES)
    for text in ([1, 2], [2], [1, 1], [3], [], [2, 1, 3, 2, 1, 2]):
        assert total(binary, text) == pytest.approx(total(ours, text))
    state = binary.begin()
    assert [binary.after(state, token)[0] for token in (1, 2, 1)] == [binary.after(state, t)[0] for t in (1, 2, 1)]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ModelFormatError, match="cannot be read by kenlm"):
        load_ngrams(path, PIECES)
