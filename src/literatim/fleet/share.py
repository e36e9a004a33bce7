"""Who gets which recording: shared out one by one, and given out once more after the process that held it died."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

_NONE = object()


class Share:
    """Recordings by their place in the input, given out in that order.

    A process that dies may have been killed by any of the recordings it held. Each of them is tried again, alone, so
    that the one at fault fails and its neighbours do not; the second death is the recording's own.
    """

    def __init__(self, audios: Iterable[Any]) -> None:
        self._source = iter(enumerate(audios))
        self._ahead: Any = _NONE
        self._again: deque[tuple[int, Any]] = deque()
        self._suspects: set[int] = set()

    @property
    def waiting(self) -> bool:
        """Whether a recording is left to give out; reads one ahead."""
        if not self._again and self._ahead is _NONE:
            self._ahead = next(self._source, _NONE)
        return bool(self._again) or self._ahead is not _NONE

    def give(self, held: Iterable[int]) -> tuple[int, Any] | None:
        """The next recording for a process that holds those of `held`; None where it has to finish them first."""
        holding = set(held)
        if holding & self._suspects or not self.waiting:
            return None
        if self._again and not holding:
            return self._again.popleft()
        item, self._ahead = self._ahead if self._ahead is not _NONE else next(self._source, _NONE), _NONE
        return None if item is _NONE else item

    def lost(self, held: dict[int, Any]) -> list[int]:
        """Take back what a dead process held; returns those that are not tried again."""
        failed = [key for key in held if key in self._suspects]
        self._again.extend((key, audio) for key, audio in held.items() if key not in self._suspects)
        self._suspects |= set(held)
        return failed

    def rest(self) -> Iterator[int]:
        """All that is left, when no process is."""
        while self.waiting:
            item = self.give(())
            if item is not None:
                yield item[0]
