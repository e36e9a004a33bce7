"""Models of a Hugging Face hub or a mirror of it, in the cache that other programs use too.

`model_dir` is another cache of the same layout (`refs`, `snapshots`, `blobs`; see
https://huggingface.co/docs/huggingface_hub/guides/manage-cache). In each repository's folder of the cache,
`literatim/<commit>.json` records the files that were verified, with their bytes. A revision points to a new
commit only once that is whole and verified, so an interrupted update leaves the model that was there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from literatim.errors import ModelError, ModelFormatError, ModelNotFound, OptionError
from literatim.hub.choose import INDEX, choose, complete, shards
from literatim.hub.explain import WAYS_ON, Source, Unreachable, explained, no_room
from literatim.options import HubOptions


class _File(NamedTuple):
    size: int | None  # bytes
    sha256: str | None  # the server knows it of files in large file storage only, as weights are


def source(repo: str, options: HubOptions) -> Source:
    """Where `repo` is fetched from and kept, by `options` and the variables that huggingface_hub reads."""
    from huggingface_hub import constants

    revision = options.revision or "main"
    if revision.startswith("/") or ".." in revision:
        raise OptionError(f"revision is {revision!r}; give a branch, a tag or a commit")
    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    return Source(repo, revision, endpoint, Path(options.model_dir or constants.HF_HUB_CACHE).expanduser())


def offline() -> bool:
    """Whether the environment forbids the network."""
    from huggingface_hub import constants

    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return bool(constants.HF_HUB_OFFLINE) or value.upper() in constants.ENV_VARS_TRUE_VALUES


def find(source: Source) -> tuple[Path | None, bool]:
    """The complete folder in the cache, if any, and whether its files are those that were verified."""
    reference = source.storage / "refs" / source.revision
    commit = reference.read_text().strip() if reference.is_file() else source.revision
    folder = source.storage / "snapshots" / commit
    if _verified(source, commit):
        return folder, True
    return (folder, False) if complete(folder) else (None, False)


def download(source: Source) -> Path:
    """Fetch the chosen files of the commit that the revision means now, and verify each."""
    commit, files = _listing(source)
    if not _verified(source, commit):
        names = choose(source.repo, files)
        _fetch_all(source, commit, {name: files[name] for name in names})
        folder = source.storage / "snapshots" / commit
        if names[-1] == INDEX:
            weights = shards(folder / INDEX)
            absent = [name for name in weights if name not in files]
            if absent:
                raise ModelFormatError(f"{source}: {INDEX} names weights that are absent: {', '.join(absent)}")
            _fetch_all(source, commit, {name: files[name] for name in weights})
            names += weights
        _record(source, commit, names)
    _point(source, commit)
    return source.storage / "snapshots" / commit


def _listing(source: Source) -> tuple[str, dict[str, _File]]:
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError

    wait = constants.HF_HUB_ETAG_TIMEOUT  # seconds
    with explained(source, "the list of files"):
        try:
            api = HfApi(endpoint=source.endpoint)
            info = api.model_info(source.repo, revision=source.revision, files_metadata=True, timeout=wait)
        except HFValidationError as error:
            raise ModelNotFound(f"{source.repo!r} cannot be the id of a model: {error}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise Unreachable(f"{source.endpoint} does not answer as a hub does ({error!r}). {WAYS_ON}") from error
    siblings = info.siblings or []
    return str(info.sha), {s.rfilename: _File(s.size, s.lfs.sha256 if s.lfs else None) for s in siblings}


def _fetch_all(source: Source, commit: str, files: dict[str, _File]) -> None:
    _check_room(source, commit, files)
    for name, expected in files.items():
        _fetch(source, commit, name, expected)


def _check_room(source: Source, commit: str, files: dict[str, _File]) -> None:
    snapshot, blobs = source.storage / "snapshots" / commit, source.storage / "blobs"
    absent = [f for name, f in files.items() if not ((snapshot / name).exists() or (blobs / str(f.sha256)).exists())]
    needed = sum(file.size or 0 for file in absent)
    cache = source.cache.absolute()
    free = shutil.disk_usage(next(folder for folder in (cache, *cache.parents) if folder.exists())).free
    if needed > free:
        raise no_room(source, f"{needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free")


def _fetch(source: Source, commit: str, name: str, expected: _File) -> None:
    from huggingface_hub import hf_hub_download

    where, server = source.cache, source.endpoint
    with explained(source, name), _bars_on_terminals_only():
        path = Path(hf_hub_download(source.repo, name, revision=commit, cache_dir=where, endpoint=server))
        problem = _mismatch(path, expected)
        if problem is None:
            return
        _remove(path)
    raise ModelError(
        f"{name} of {source} is damaged: {problem}. The file was removed; run again to download it afresh. "
        "If that does not help, a proxy or mirror alters files: choose another with HF_ENDPOINT."
    )


def _mismatch(path: Path, expected: _File) -> str | None:
    size = path.stat().st_size
    if expected.size is not None and size != expected.size:
        return f"it has {size} bytes, not {expected.size}"
    if expected.sha256 is None:
        return None
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != expected.sha256:
        return f"its SHA-256 is {digest.hexdigest()}, not {expected.sha256}"
    return None


def _remove(path: Path) -> None:
    """Remove a file of the cache with every link on the way to it, or the same bytes would be found again."""
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)


def _record_file(source: Source, commit: str) -> Path:
    return source.storage / "literatim" / f"{commit}.json"


def _verified(source: Source, commit: str) -> bool:
    """Whether this commit was recorded as verified and its files still have the recorded sizes."""
    record, folder = _record_file(source, commit), source.storage / "snapshots" / commit
    if not record.is_file():
        return False
    try:
        sizes: dict[str, int] = json.loads(record.read_text())
    except ValueError:  # a record cut short by a crash; it is written anew after the next verification
        return False
    paths = {folder / name: size for name, size in sizes.items()}
    return all(path.is_file() and path.stat().st_size == size for path, size in paths.items())


def _record(source: Source, commit: str, names: list[str]) -> None:
    folder = source.storage / "snapshots" / commit
    _write(_record_file(source, commit), json.dumps({name: (folder / name).stat().st_size for name in names}))


def _point(source: Source, commit: str) -> None:
    if source.revision != commit:
        _write(source.storage / "refs" / source.revision, commit)


def _write(path: Path, text: str) -> None:
    """Replace a small file at one stroke, if the cache can be written: a shared one may be read-only."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text)
        draft.replace(path)


@contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    # Where the environment variable is set, the library obeys it already and warns if it is contradicted.
    decided = constants.HF_HUB_DISABLE_PROGRESS_BARS is not None or are_progress_bars_disabled()
    if decided or sys.stderr.isatty():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
