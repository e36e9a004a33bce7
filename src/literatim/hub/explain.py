"""What went wrong between this machine and a hub, and what can be done about it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from literatim.errors import LiteratimError, ModelError, ModelNotFound
from literatim.hub.names import TERMS, known_names

WAYS_ON = (
    "Ways on: set HF_ENDPOINT to a mirror that you can reach; or copy the model's folder from another "
    "machine and give its path; or try a bundled model, small and for demonstration, which needs no network: "
    "`--model demo`, for voices `demo-speaker`."
)


class Unreachable(ModelNotFound):
    """The server cannot be asked; a copy on this machine may still serve."""


@dataclass(frozen=True)
class Source:
    """One repository at one revision, on one server, with its place in one cache."""

    repo: str
    revision: str
    endpoint: str
    cache: Path

    @property
    def storage(self) -> Path:
        """The folder of the repository in the cache."""
        return self.cache / f"models--{self.repo.replace('/', '--')}"

    def __str__(self) -> str:
        return f"{self.repo} (revision {self.revision}) from {self.endpoint}"


def no_room(source: Source, why: str) -> ModelError:
    """The error for a disk that is too full."""
    return ModelError(f"no room for {source.repo} in {source.cache}: {why}. Make room, or change --model_dir.")


@contextmanager
def explained(source: Source, what: str) -> Iterator[None]:
    """Turn errors of huggingface_hub, its HTTP client and the disk into ours, while `what` is fetched."""
    from huggingface_hub.errors import HfHubHTTPError

    # The library has changed its HTTP client more than once; its own error always derives from the client's.
    client_error: Any = HfHubHTTPError.__bases__[0]
    try:
        yield
    except (client_error, OSError) as error:
        raise _explain(error, source, what) from error


def _explain(error: BaseException, source: Source, what: str) -> LiteratimError:
    from huggingface_hub.errors import LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # why the request failed, before the cache was looked at in vain
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_room(source, f"the disk is full ({error.strerror})")
    if isinstance(error, OSError) and error.filename is not None:
        return ModelError(f"cannot write {error.filename}: {error.strerror}; choose another --model_dir")
    refusal = _refusal(error, source, what, status)
    if refusal is not None:
        return ModelNotFound(refusal)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return Unreachable(f"cannot fetch {what} of {source}: {f'it answers {status}' if status else reason}. {WAYS_ON}")


def _refusal(error: BaseException, source: Source, what: str, status: int | None) -> str | None:
    """The message for a server that answers and says no; None if that is not what happened."""
    from huggingface_hub import errors

    page = f"{source.endpoint}/{source.repo}"
    gated = TERMS.get(source.repo, "gated")
    if isinstance(error, errors.GatedRepoError) and status == 401:
        return (
            f"{source.repo} is {gated}, and you are not logged in: accept its licence at {page}, then log in "
            "with `hf auth login` or set HF_TOKEN"
        )
    if isinstance(error, errors.GatedRepoError):
        return (
            f"{source.repo} is {gated}, and your account may not read it yet: accept its licence at {page} with "
            "the account of your token (HF_TOKEN or `hf auth login`), wait for approval, and try again"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{source.repo} has no revision {source.revision!r}; choose a branch, tag or commit of {page}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"{source.endpoint} has no model {source.repo!r}, or it is private (then log in with "
            f"`hf auth login` or set HF_TOKEN); {known_names(source.repo)}"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return f"{source} lists {what} but does not have it; choose another revision or mirror"
    if status in (401, 403):
        return (
            f"{source.endpoint} refuses {source.repo} ({status}): the token in HF_TOKEN or of "
            "`hf auth login` is not valid, or may not read this model"
        )
    return None
