"""A draft model beside the main one: its cache, its ids, and what it hears."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from literatim import device as devices
from literatim.decode.network import Draft
from literatim.decode.rules import RowState, Rules
from literatim.models import draft as drafts
from literatim.models.folder import read_folder
from literatim.models.linear import pack
from literatim.models.native import NativeCache, NativeDecoder
from literatim.models.native_draft import NativeDraft
from literatim.models.native_head import NativeHead
from literatim.models.native_screen import AnyScreen, NativeScreen, screen
from literatim.models.whisper import Whisper
from literatim.native import choice
from literatim.pipeline.ids import Ids
from literatim.pipeline.steps import Cache, CachedDecoder, fastest
from literatim.text.tokenizer import WhisperTokenizer


class Assistant:
    """A loaded draft for one main model; `name` is for messages."""

    def __init__(self, model: drafts.Draft, name: str, main: Whisper, ids: Ids) -> None:
        self.name, self.shares, self.reason = name, model.shares, model.reason
        self.decoder, self.encoder, self.config = model.decoder, model.encoder, model.config
        self._cache: Cache | None = None
        self._unheard: dict[int, tuple[_Sound, int]] = {}  # of a slot what is to be in it, and which row of that
        self.screen: AnyScreen | None = None
        self._share_embedding(main)
        self.steps = fastest(self.decoder)
        self.propose_from(ids)
        weight = self._head
        if devices.packs_linear(weight.device, weight.dtype):
            pack(self.decoder)
            if self.encoder is not None:
                pack(self.encoder)

    def _share_embedding(self, main: Whisper) -> None:
        """One copy for both where the two are the same: in a small draft it is most of the weights."""
        own, other = self.decoder.tokens, main.decoder.tokens
        if own.weight.shape == other.weight.shape and torch.equal(own.weight, other.weight):
            own.weight = other.weight

    def propose_from(self, ids: Ids) -> None:
        """Say these ids and no others."""
        weight = self.decoder.tokens.weight if self.decoder.head is None else self.decoder.head
        self._ids = ids.to(weight.device)
        self._head = weight if self._ids.rows is None else weight[self._ids.rows]
        self._native_head: NativeHead | None = None
        if self.screen is not None:
            self.screen_by(self._mains, self._eot)

    def screen_by(self, main: AnyScreen | None, eot: int) -> None:
        """Choose by an int8 copy of the output matrix where the main model does, by `main` if that is of the same."""
        self._mains, self._eot = main, eot
        same = main is None or main.is_of(self._head)
        self.screen = main if same else screen(self._head, self._ids.text(eot))

    @property
    def n_mels(self) -> int | None:
        """Bands that its own encoder takes; None where it hears with the main model's."""
        return None if self.encoder is None else self.config.n_mels

    def beside(self) -> Assistant:
        """The same network with a cache of its own."""
        other = copy.copy(self)
        other._cache, other._unheard = None, {}
        return other

    def reserve(self, rows: int) -> None:
        """A cache for so many rows at least; what was in it is lost where it must grow."""
        if self._cache is None or self._cache.batch < rows:
            self._cache, self._unheard = None, {}  # free it before the larger one is made
            self._cache = self.steps.allocate(rows)

    def listen(self, hear: Callable[[], Tensor], rows: slice) -> None:
        """Have the encoder states (B, S, D) that `hear` gives in slots once they are needed.

        Where no proposal is asked for, they never are: speculation that does not pay costs little then.
        """
        sound = _Sound(hear)
        self._unheard |= {slot: (sound, row) for row, slot in enumerate(range(rows.start, rows.stop))}

    def forget(self) -> None:
        """Nothing is to be heard any more."""
        self._unheard.clear()

    def hear(self, first: int, last: int) -> None:
        """Put into the slots from `first` to `last`, not included, what is to be in them."""
        assert self._cache is not None, "reserve first"
        for slot in [slot for slot in self._unheard if first <= slot < last]:
            if slot not in self._unheard:
                continue  # with one before it
            sound, row = self._unheard[slot]
            end = slot
            while end < last and self._unheard.get(end) == (sound, row + end - slot):
                del self._unheard[end]
                end += 1
            self._cache.forget(slice(slot, end))
            self.steps.listen(sound.states[row : row + end - slot], self._cache, slice(slot, end))

    def move(self, source: int, target: int) -> bool:
        """What is to be in one slot is to be in another, too; False where it is there."""
        found = self._unheard.get(source)
        if found is None:
            self._unheard.pop(target, None)
        else:
            self._unheard[target] = found
        return found is not None

    def draft(self, rules: Rules) -> Draft:
        """What the decoding loop calls, under the main model's rules."""
        assert self._cache is not None, "reserve first"
        ids, own = self._ids, self._ids.rules(rules)
        network = _DraftDecoder(self, self._cache, self._head, own.suppressed)
        return Draft(network, own, self.config.target_positions, ids.to_main, ids.to_own, self._run(own))

    def _run(self, rules: Rules) -> Callable[[Tensor, RowState, Tensor, int], Tensor] | None:
        """All proposals in one call, where that can be."""
        steps, cache, head = self.steps, self._cache, self._fast_head()
        if not isinstance(steps, NativeDecoder) or not isinstance(cache, NativeCache) or head is None:
            return None
        begin = -1 if rules.timestamp_begin is None else rules.timestamp_begin
        bounds = choice.Bounds(rules.suppressed, rules.eot, begin, rules.timestamp_end)
        found = NativeDraft(steps, cache, head, bounds, self._ids.to_main, self._ids.to_own)

        def run(hidden: Tensor, state: RowState, lengths: Tensor, count: int) -> Tensor:
            return found.propose(hidden, choice.Said(state.stamp, state.last, state.penultimate), lengths, count)

        return run

    def _fast_head(self) -> NativeHead | NativeScreen | None:
        """The output matrix, or the screen of it, as the kernels take them."""
        if self.screen is not None:
            return self.screen if isinstance(self.screen, NativeScreen) else None
        if self._native_head is None and isinstance(self.steps, NativeDecoder):
            self._native_head = NativeHead(self._head, self.steps.kernels)
        return self._native_head


def load_assistant(folder: Path, name: str, main_folder: Path, main: Whisper, tokenizer: WhisperTokenizer) -> Assistant:
    """The draft in `folder`, for a model that is loaded from `main_folder`, in its dtype and on its device.

    Raises ModelNotFound, ModelFormatError or OptionError where it cannot serve this model.
    """
    like = main.decoder.positions
    found = drafts.load_draft(folder, main_folder, like.dtype, like.device)
    sizes = (main.config.vocab_size, found.config.vocab_size)
    if found.vocabulary is not None:
        ids = Ids.subset(found.vocabulary, tokenizer.eot, sizes[0])
    elif drafts.MARK in read_folder(folder).config:
        ids = Ids()
    else:
        read = read_folder(folder)
        own = WhisperTokenizer.from_folder(folder, read.generation_config, read.config)
        ids = Ids.by_meaning(tokenizer, own, sizes, name)
    return Assistant(found, name, main, ids)


class _Sound:
    """Encoder states (B, S, D), made when they are first asked for."""

    def __init__(self, hear: Callable[[], Tensor]) -> None:
        self._hear = hear

    @cached_property
    def states(self) -> Tensor:
        """They."""
        return self._hear()


class _DraftDecoder(CachedDecoder):
    """A draft hears its sound when it is first fed; its logits are for the choice alone, and may be of fewer ids."""

    def __init__(self, assistant: Assistant, cache: Cache, head: Tensor, allowed: Tensor) -> None:
        super().__init__(assistant.steps, cache, assistant.screen, allowed)
        self._assistant, self._head = assistant, head

    def feed(self, tokens: Tensor, lengths: Tensor, limit: int, start: int = 0) -> Tensor:
        """Hidden states (B, K, D)."""
        self._assistant.hear(start, start + len(tokens))
        return super().feed(tokens, lengths, limit, start)

    def move(self, source: int, target: int, positions: int) -> None:
        """Copy a row of the cache over another."""
        if not self._assistant.move(source, target):
            super().move(source, target, positions)

    def choose(self, hidden: Tensor) -> Tensor:
        """(N, D) -> (N, W)."""
        return F.linear(hidden, self._head).float() if self._screen is None else super().choose(hidden)
