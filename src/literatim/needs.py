"""Optional packages, asked for where they are used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from literatim.errors import DependencyError


def need(module: str, extra: str, purpose: str) -> Any:
    """Import `module`, or say which extra brings it: DependencyError."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise DependencyError(
            f"{purpose} needs {package} ({error}); install it with: pip install 'literatim[{extra}]'"
        ) from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' remarks and progress bars on standard error; its settings are put back."""
    logging = need("transformers.utils.logging", "eval", "comparing with transformers")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
