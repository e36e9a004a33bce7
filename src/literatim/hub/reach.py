"""Whether the hub answers at all: one small question, the same way a download asks it."""

from __future__ import annotations

from literatim.hub.explain import explained
from literatim.hub.huggingface import source
from literatim.options import HubOptions

ASKED_FOR = "openai/whisper-tiny"  # public, and on every mirror that is of use here


def reach(seconds: float = 10.0) -> str:
    """The endpoint, when it answered a question about a model within `seconds`; else ModelNotFound says why."""
    from huggingface_hub import HfApi

    place = source(ASKED_FOR, HubOptions())
    with explained(place, "the description"):
        HfApi(endpoint=place.endpoint).model_info(place.repo, timeout=seconds)
    return place.endpoint
