"""Models of ModelScope, by its own package, which verifies what it downloads."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

from literatim.errors import DependencyError, ModelFormatError, ModelNotFound
from literatim.hub.choose import INDEX, SIDE_FILES, WEIGHTS, choose, complete
from literatim.hub.explain import WAYS_ON
from literatim.options import HubOptions

_WANTED = [*SIDE_FILES, WEIGHTS, INDEX, "model-?????-of-?????.safetensors"]
_UNWANTED = [r"\.(bin|pt|h5|msgpack|onnx)$", r"\.fp32[.-]"]  # regular expressions
# How a release of the package filters files: the best way first, then what older ones have.
_FILTERS = (("allow_patterns", _WANTED), ("allow_file_pattern", _WANTED), ("ignore_file_pattern", _UNWANTED))


def fetch(repo: str, options: HubOptions) -> Path:
    """The folder of `repo`, downloaded to ModelScope's cache, or to `model_dir`, if it is not there yet."""
    try:
        from modelscope import snapshot_download
    except ImportError as error:
        raise DependencyError("--hub modelscope needs its package: pip install 'literatim[modelscope]'") from error
    wanted: dict[str, Any] = {"cache_dir": options.model_dir, "revision": options.revision}
    if options.local_files_only:
        wanted["local_files_only"] = True
    accepted = signature(snapshot_download).parameters
    wanted.update([pair for pair in _FILTERS if pair[0] in accepted][:1])
    given = {key: value for key, value in wanted.items() if key in accepted and value is not None}
    try:
        folder = Path(snapshot_download(repo, **given))
    except Exception as error:  # releases raise unrelated types; here each means that the model cannot be had
        raise ModelNotFound(f"cannot fetch {repo} from ModelScope: {error}. {WAYS_ON}") from error
    choose(repo, (file.relative_to(folder).as_posix() for file in folder.rglob("*")))
    if not complete(folder):
        raise ModelFormatError(f"{repo} on ModelScope lacks weights that its {INDEX} names")
    return folder
