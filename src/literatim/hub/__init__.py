"""A model's name -> a verified local folder. The only part of the package that opens sockets.

A name is a local folder, a bundled model, a short name, or an id `owner/name` of a hub. What was downloaded
and verified once is used again without asking the server; `refresh=True` asks it.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from literatim import demo
from literatim.errors import ModelNotFound
from literatim.hub import huggingface, modelscope
from literatim.hub.assistants import assistants
from literatim.hub.explain import WAYS_ON, Unreachable
from literatim.hub.names import (
    BUNDLED,
    DEFAULT_MODEL,
    DEFAULT_SPEAKER_MODEL,
    SHORT_NAMES,
    TERMS,
    default_model,
    default_speaker_model,
    is_path,
    known_names,
    repository,
    speaker_model_beside,
)
from literatim.options import HubOptions

__all__ = [
    "BUNDLED",
    "DEFAULT_MODEL",
    "DEFAULT_SPEAKER_MODEL",
    "SHORT_NAMES",
    "TERMS",
    "assistants",
    "cached",
    "default_model",
    "default_speaker_model",
    "repository",
    "resolve",
    "speaker_model_beside",
]

_NO_OPTIONS = HubOptions()
_log = logging.getLogger(__name__)


def resolve(name: str | Path, options: HubOptions = _NO_OPTIONS, *, refresh: bool = False) -> Path:
    """The local folder of model `name`, downloaded and verified if need be.

    `options` matter only to names of a hub. `refresh` asks the server even if the model is there, and fails
    when it does not answer. Raises ModelNotFound (no such name, no network, no access), ModelFormatError (a
    checkpoint of another kind), ModelError (a damaged download; a full or read-only disk) and DependencyError
    (ModelScope without its package).
    """
    local = _local(name)
    if local is not None:
        return local
    repo = repository(str(name))
    if options.hub == "modelscope":
        if repo in TERMS and cached(repo, options) is None:
            _name_terms(repo)
        return modelscope.fetch(repo, options)
    source = huggingface.source(repo, options)
    folder, verified = huggingface.find(source)
    if folder is not None and verified and not refresh:
        return folder
    if options.local_files_only or huggingface.offline():
        if folder is not None:
            return folder
        raise ModelNotFound(f"{source} is not in {source.cache}, and the network is switched off. {WAYS_ON}")
    _name_terms(repo)
    try:
        return huggingface.download(source)
    except Unreachable as error:
        if folder is None or refresh:
            raise
        _log.warning("using the copy in %s, made by another program and not verified: %s", folder, error)
        return folder


def cached(name: str | Path, options: HubOptions = _NO_OPTIONS) -> Path | None:
    """The folder of `name` if it is complete on this machine, else None; never uses the network."""
    try:
        local = _local(name)
        if local is not None:
            return local
        repo = repository(str(name))
        if options.hub == "modelscope":
            return modelscope.fetch(repo, replace(options, local_files_only=True))
        return huggingface.find(huggingface.source(repo, options))[0]
    except ModelNotFound:
        return None


def find_assistant(asked: str | None, model: str, options: HubOptions = _NO_OPTIONS) -> tuple[str, Path] | None:
    """Name and folder of an assistant for the model of that name, None without one.

    `auto` takes a known one that is on this disk, and never downloads.
    """
    if asked in {None, "none"}:
        return None
    if asked != "auto":
        return str(asked), resolve(str(asked), options)
    known = ((name, cached(name, options)) for name in assistants(model))
    return next(((name, folder) for name, folder in known if folder is not None), None)


def _name_terms(repo: str) -> None:
    """Say under which terms a model is that is about to be fetched."""
    if repo in TERMS:
        _log.warning("%s is %s", repo, TERMS[repo])


def _local(name: str | Path) -> Path | None:
    """The folder that a path or the name of a bundled model means; None for what a hub must know."""
    text = str(name)
    if isinstance(name, str):
        if text in BUNDLED:
            return demo.model_path(text)
        if text in SHORT_NAMES or not text.strip():
            return None
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise ModelNotFound(
            f"{path} is a file: give the folder that holds the model ({path.parent}), or make one from a "
            "checkpoint of another kind with `literatim convert IN OUT`"
        )
    if isinstance(name, Path) or is_path(text):
        raise ModelNotFound(f"there is no folder {text!r}; {known_names(text)}")
    return None
