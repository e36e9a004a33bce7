"""An n-gram model of the medical model's tokens, from lines of its grammar: absolute discounting (Ney et al., 1994).

    python -m literatim.train.medical.language_model src/literatim/demo/demo-medical

No line that is held out is counted. The file, lm.arpa.gz, spells tokens as google/medasr's lm_6.kenlm does.
"""

from __future__ import annotations

import argparse
import gzip
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from literatim.models.ngram import BEGIN, END, OTHER
from literatim.text.medasr import SPACE, MedasrTokenizer
from literatim.train.medical import grammar
from literatim.train.medical.vocabulary import BLANK, SPECIALS

FILE = "lm.arpa.gz"
ORDER, LINES = 4, 40_000
DISCOUNT, LEAST = 0.6, 2  # taken from each count; counts from which an n-gram above a pair is kept
FREE = 0.3  # share of the random lines that are counted: they are there to be heard, not to be expected

Gram = tuple[str, ...]


def dictations(count: int, seed: int) -> Iterator[str]:
    """Lines of the training side, one to four in a row, until there are `count`."""
    rng, made = random.Random(f"language-model-{seed}"), 0
    while made < count:
        lines: list[str] = []
        while len(lines) < rng.randint(1, 4):
            text, free = grammar.trained(rng)
            if not free or rng.random() < FREE:
                lines.append(text)
        made += len(lines)
        yield " ".join(lines)


def counted(texts: Iterable[list[str]], order: int) -> list[Counter[Gram]]:
    """How often each n-gram occurs, by its order; what is too rare is left out."""
    counts: list[Counter[Gram]] = [Counter() for _ in range(order)]
    for text in texts:
        words = [BEGIN, *text, END]
        for length in range(1, order + 1):
            counts[length - 1].update(tuple(words[at : at + length]) for at in range(len(words) - length + 1))
    return [
        Counter({gram: count for gram, count in part.items() if length <= 2 or count >= LEAST})
        for length, part in enumerate(counts, 1)
    ]


class Model:
    """Probabilities and weights of backing off."""

    def __init__(self, texts: Iterable[list[str]], vocabulary: Iterable[str], order: int = ORDER) -> None:
        self.order = order
        self.chances: dict[Gram, float] = {}
        self.weights: dict[Gram, float] = {}
        counts = counted(texts, order)
        single = {(word,): counts[0][(word,)] + 0.1 for word in (*vocabulary, END)}
        whole = sum(single.values())
        self.chances.update({gram: count / whole for gram, count in single.items()})
        for longer, shorter in zip(counts[1:], counts, strict=False):
            self._add(longer, shorter)

    def chance(self, gram: Gram) -> float:
        """P(last word | those before it)."""
        weight = 1.0
        while gram not in self.chances:
            weight *= self.weights.get(gram[:-1], 1.0)
            gram = gram[1:]
        return weight * self.chances[gram]

    def _add(self, counts: Counter[Gram], before: Counter[Gram]) -> None:
        """The n-grams of one order more; `before` counts those of the order below."""
        seen, kinds = Counter[Gram](), Counter[Gram]()
        for gram, count in counts.items():
            seen[gram[:-1]] += count
            kinds[gram[:-1]] += 1
        found: dict[Gram, float] = {}
        lower, taken = dict.fromkeys(seen, 0.0), dict.fromkeys(seen, 0.0)
        for gram, count in counts.items():
            head = gram[:-1]
            total = max(before[head], seen[head])
            left = (total - seen[head] + DISCOUNT * kinds[head]) / total
            shorter = self.chance(gram[1:])
            found[gram] = (count - DISCOUNT) / total + left * shorter
            lower[head] += shorter
            taken[head] += found[gram]
        self.weights.update({head: max(1e-9, 1 - taken[head]) / max(1e-9, 1 - lower[head]) for head in taken})
        self.chances.update(found)

    def arpa(self) -> Iterator[str]:
        """The lines of an ARPA file."""
        by_order = [[gram for gram in self.chances if len(gram) == order] for order in range(1, self.order + 1)]
        yield "\\data\\"
        for order, grams in enumerate(by_order, 1):
            yield f"ngram {order}={len(grams) + 2 * (order == 1)}"
        for order, grams in enumerate(by_order, 1):
            yield from ("", f"\\{order}-grams:")
            if order == 1:
                yield from (f"-99\t{BEGIN}\t{_log(self.weights.get((BEGIN,), 1.0))}", f"-7\t{OTHER}")
            for gram in grams:
                weight = f"\t{_log(self.weights[gram])}" if gram in self.weights else ""
                yield f"{_log(self.chances[gram])}\t{' '.join(gram)}{weight}"
        yield from ("", "\\end\\")


def _log(value: float) -> str:
    return f"{math.log10(value):.4f}"


def make(folder: Path, lines: int, seed: int) -> None:
    """Write the model of a folder's tokens into it."""
    tokenizer = MedasrTokenizer.from_folder(folder, BLANK)
    words = [(piece or "").replace(SPACE, "#") for piece in tokenizer.pieces]
    texts = ([words[token] for token in tokenizer.encode(text)] for text in dictations(lines, seed))
    model = Model(texts, words[len(SPECIALS) :])
    content = "\n".join(model.arpa()) + "\n"
    with (folder / FILE).open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(content.encode())


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    make(given.folder, given.lines, given.seed)


if __name__ == "__main__":
    main()
