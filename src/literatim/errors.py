"""The exceptions a caller can catch.

LiteratimError
├── OptionError        an argument or a combination of arguments makes no sense
├── AudioError         a recording cannot be read
│   ├── AudioNotFound      no such file, or a folder
│   ├── AudioFormatError   not audio, no audio stream, a broken or refused container
│   ├── AudioLimitError    more seconds, bytes or channels, or another rate, than allowed
│   └── AudioContentError  empty, too short, or not a number
├── ModelError         a checkpoint cannot be used
│   ├── ModelNotFound      no such name, folder or file; or no network to fetch it
│   └── ModelFormatError   a folder of another kind, a pickle, a missing or misshapen tensor
├── SpeakerBookError   a book of voices is none, is damaged, is of another model, or lacks a voice
├── DeviceError        a device is absent or cannot do what is asked
└── DependencyError    an optional package is not installed
"""

from __future__ import annotations


class LiteratimError(Exception):
    """Base of every error raised on purpose; its message says what to do."""


class OptionError(LiteratimError):
    """An argument, or a combination of arguments, makes no sense."""


class AudioError(LiteratimError):
    """A recording cannot be read."""


class AudioNotFound(AudioError):
    """No such file, or a folder where a file is wanted."""


class AudioFormatError(AudioError):
    """Not audio, no audio stream, or a container that is broken or refused."""


class AudioLimitError(AudioError):
    """The recording exceeds a limit: seconds, decoded bytes, sampling rate or channels."""


class AudioContentError(AudioError):
    """The recording is empty, too short, or holds values that are not numbers."""


class ModelError(LiteratimError):
    """A checkpoint cannot be used."""


class ModelNotFound(ModelError):
    """No such model name, folder or file, or no network to fetch it."""


class ModelFormatError(ModelError):
    """A folder of another kind, a pickle, or tensors that are missing or misshapen."""


class SpeakerBookError(LiteratimError):
    """A book of voices is none, is damaged, is of another model, or lacks a voice."""


class DeviceError(LiteratimError):
    """A device is absent, or cannot do what is asked of it."""


class DependencyError(LiteratimError):
    """An optional package is needed and not installed; the message names the extra."""
