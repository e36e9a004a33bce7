"""Which drafts are known to go with which model: decoders that were distilled beside its frozen encoder."""

from __future__ import annotations

from literatim.hub.names import SHORT_NAMES

# The cards of the distil-large models say that their encoders were frozen, the paper (arXiv 2311.00430) of all of
# them. Loading compares the weights regardless.
_KNOWN = {
    "demo": ("demo-draft",),
    "openai/whisper-small.en": ("distil-whisper/distil-small.en",),
    "openai/whisper-medium.en": ("distil-whisper/distil-medium.en",),
    "openai/whisper-large-v2": ("distil-whisper/distil-large-v2",),
    "openai/whisper-large-v3": ("distil-whisper/distil-large-v3.5", "distil-whisper/distil-large-v3"),
}


def assistants(name: str) -> tuple[str, ...]:
    """Names of drafts for the model of that name, the best first."""
    return _KNOWN.get(SHORT_NAMES.get(name, name), ())
