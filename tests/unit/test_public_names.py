"""What `import literatim` offers: each name is there, documented and listed."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import pytest

import literatim
from literatim import errors

WANTED = {
    "AudioOptions",
    "Fleet",
    "HubOptions",
    "LoadOptions",
    "Segment",
    "Speculation",
    "TranscribeOptions",
    "Transcript",
    "Word",
    "__version__",
    "load",
}


def test_what_users_need_is_public() -> None:
    assert set(literatim.__all__) >= WANTED


def test_names_are_sorted_and_unique() -> None:
    assert literatim.__all__ == sorted(set(literatim.__all__))


@pytest.mark.parametrize("name", sorted(set(literatim.__all__) - {"__version__"}))
def test_name_is_there_and_documented(name: str) -> None:
    thing = getattr(literatim, name)
    if inspect.ismodule(thing):  # a package that is called, as `literatim.verify`
        assert callable(thing)
        assert thing.__name__ == f"literatim.{name}"
    else:
        assert inspect.isclass(thing) or inspect.isfunction(thing)
        assert thing.__module__.startswith("literatim")
    # A dataclass without a docstring gets its signature as one.
    assert thing.__doc__ is not None
    assert not thing.__doc__.startswith(f"{name}(")


def test_names_are_listed() -> None:
    assert set(literatim.__all__) <= set(dir(literatim))


def test_every_error_is_public() -> None:
    raised = {
        name
        for name, thing in vars(errors).items()
        if inspect.isclass(thing) and issubclass(thing, Exception) and thing.__module__ == errors.__name__
    }
    assert raised <= set(literatim.__all__)
    assert "LiteratimError" in raised


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        literatim.no_such_name  # noqa: B018


def test_version_is_that_of_the_package() -> None:
    assert literatim.__version__ == version("literatim")
