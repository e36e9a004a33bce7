"""How much of a recording is read: seconds, bytes, rate and channels, counted, not taken from its header."""

from __future__ import annotations

from literatim.errors import AudioLimitError
from literatim.options import AudioOptions


class Tally:
    """Counts what has been decoded and raises AudioLimitError as soon as one limit of `options` is passed."""

    def __init__(self, label: str, options: AudioOptions) -> None:
        self.label = label
        self.options = options
        self.seconds = 0.0
        self._decoded_bytes = 0
        self._kept_bytes = 0

    def check_format(self, rate: float, channels: int) -> None:
        """Refuse a sampling rate (Hz) or a number of channels before anything is resampled.

        A header that claims 1 Hz makes 16,000 samples of each one, and 655,350 Hz hides hours in seconds.
        """
        options = self.options
        if not options.min_rate <= rate <= options.max_rate:
            span = f"{options.min_rate} to {options.max_rate} Hz"
            raise AudioLimitError(f"{self.label}: its sampling rate is {rate:g} Hz; {span} can be read")
        if not 1 <= channels <= options.max_channels:
            raise AudioLimitError(f"{self.label}: it has {channels} channels; 1 to {options.max_channels} can be read")

    def check_seconds(self, seconds: float) -> None:
        """Refuse more seconds than the options allow."""
        if seconds > self.options.max_seconds:
            limit = f"{self.options.max_seconds:g} s"
            raise AudioLimitError(f"{self.label}: longer than {limit}; cut it, or raise max_seconds")

    def count(self, samples: int, rate: float, size: int) -> None:
        """Add decoded audio: samples per channel at `rate` Hz, and their size in bytes."""
        self.seconds += samples / rate
        self._decoded_bytes += size
        self.check_seconds(self.seconds)
        self._check_bytes(self._decoded_bytes)

    def keep(self, size: int) -> None:
        """Add bytes of finished 16 kHz samples: many channels at a low rate grow in resampling."""
        self._kept_bytes += size
        self._check_bytes(self._kept_bytes)

    def _check_bytes(self, size: int) -> None:
        limit = self.options.max_bytes
        if size > limit:
            raise AudioLimitError(f"{self.label}: more than {limit} bytes of decoded audio; cut it, or raise max_bytes")
