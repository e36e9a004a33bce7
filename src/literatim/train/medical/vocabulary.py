"""The medical model's vocabulary: 512 unigram pieces behind MedASR's four special tokens, blank first.

Commands such as `{period}` are ordinary pieces, or rows of them, as in the released tokenizer; digits stay single.
"""

from __future__ import annotations

import json
import math
import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

SPECIALS = ("<epsilon>", "<s>", "</s>", "<unk>")
SIZE = 512
BLANK, UNKNOWN = 0, 3
ALPHABET = list(string.ascii_letters + string.digits + ".-/'%{}[]")


def _splitter() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True),
        ]
    )


def train(texts: Iterable[str]) -> list[tuple[str, float]]:
    """Pieces with their scores (log shares), in the order of their ids.

    Byte-pair merges propose pieces; the least used are dropped by halves until the best segmentation has `SIZE` left.
    Single characters stay, so that no text is unknown.
    """
    words = Counter(word for text in texts for word in text.split())
    proposed = Tokenizer(models.BPE())
    proposed.pre_tokenizer = pre_tokenizers.Sequence([_splitter(), pre_tokenizers.Digits(individual_digits=True)])
    trainer = trainers.BpeTrainer(vocab_size=3 * SIZE, min_frequency=5, initial_alphabet=ALPHABET, show_progress=False)
    proposed.train_from_iterator((word for word, count in words.items() for _ in range(min(count, 2000))), trainer)
    pieces = sorted(proposed.get_vocab())
    scores = dict.fromkeys(pieces, -math.log(len(pieces)))
    while True:
        counts = Counter(dict.fromkeys(pieces, 0.1))
        model = _tokenizer(scores)
        for word, count in words.items():
            for piece in model.encode(word).tokens:
                counts[piece] += count
        total = sum(counts[piece] for piece in pieces)
        scores = {piece: math.log(counts[piece] / total) for piece in pieces}
        extra = len(pieces) + len(SPECIALS) - SIZE
        if extra <= 0:
            break
        rare = sorted((piece for piece in pieces if len(piece) > 1), key=lambda piece: counts[piece] * len(piece))
        pieces = sorted(set(pieces) - set(rare[: max(1, (extra + 1) // 2)]))
        scores = {piece: scores[piece] for piece in pieces}
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [(special, 0.0) for special in SPECIALS] + ordered


def _tokenizer(scores: dict[str, float]) -> Tokenizer:
    pieces = [(special, 0.0) for special in SPECIALS] + list(scores.items())
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=UNKNOWN, byte_fallback=False))
    tokenizer.pre_tokenizer = _splitter()
    return tokenizer


def save(pieces: list[tuple[str, float]], path: Path) -> None:
    """Write pieces and scores as JSON."""
    path.write_text(json.dumps(pieces, ensure_ascii=False, indent=0) + "\n", "utf-8")


def load(path: Path) -> Tokenizer:
    """The tokenizer of the pieces that `save` wrote."""
    return _tokenizer(dict(json.loads(path.read_text("utf-8"))[len(SPECIALS) :]))
