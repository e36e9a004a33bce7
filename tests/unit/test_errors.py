"""The exception tree: as drawn, under one root, ready to cross a process border."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from literatim import errors

CLASSES = {name: thing for name, thing in vars(errors).items() if inspect.isclass(thing)}


def _drawn_parents() -> dict[str, str]:
    """Each class of the drawing -> the class it hangs from."""
    above: list[str] = []
    parents: dict[str, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([│├└─ ]*)([A-Z]\w+(?:Error|NotFound))\b", line)
        if match is not None:
            above[len(match[1]) // 4 :] = [match[2]]
            parents[match[2]] = above[-2] if len(above) > 1 else "Exception"
    return parents


def test_the_drawing_is_the_tree() -> None:
    assert _drawn_parents() == {name: thing.__bases__[0].__name__ for name, thing in CLASSES.items()}


def test_there_is_one_root() -> None:
    assert [name for name, thing in CLASSES.items() if not issubclass(thing, errors.LiteratimError)] == []


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_error_survives_pickling(name: str) -> None:
    before = CLASSES[name]("give another file")
    after = pickle.loads(pickle.dumps(before))
    assert type(after) is CLASSES[name]
    assert str(after) == "give another file"
