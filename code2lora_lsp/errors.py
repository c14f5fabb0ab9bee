"""Errors, sorted by who can act.

```
Code2LoraError
├── SetupError               the user can fix it; shown once, with the remedy
│   ├── ConfigError          a setting has a value we cannot use
│   ├── ModelMissing         no backbone or checkpoint at the given place
│   ├── ModelMismatch        it is there, but does not fit (format, hash, shapes, recipe)
│   ├── DeviceUnavailable    the requested device is not on this machine
│   └── NotARepository       the folder is not inside a git work tree
├── FollowError              one commit could not be followed; the last good adapter stays
│   ├── GitReadFailed        git did not answer, or answered with an error
│   ├── EmbeddingFailed      the encoder could not embed a diff or a snapshot
│   ├── AdapterRejected      the emitted adapter is not fit to be bound
│   └── StateUnreadable      a stored state is damaged; it is recomputed
├── EngineError              decoding failed; the engine restarts, completions pause
│   ├── OutOfMemory          the device has no room left
│   └── DecodeFailed         anything else that broke inside a decode
ShapeMismatch                a bug of ours; never caught below the boundary
```

Absence and lateness are not errors: see ``runtime.api.NoCompletion``.
"""


class Code2LoraError(Exception):
    """Base of everything this package raises on purpose."""


class SetupError(Code2LoraError):
    """The user can fix it. The message says what was seen and what to do."""


class ConfigError(SetupError):
    """A setting has a value we cannot use."""


class ModelMissing(SetupError):
    """No backbone or checkpoint at the given place."""


class ModelMismatch(SetupError):
    """A model file is there, but does not fit: format, hash, shapes, recipe or FIM tokens."""


class DeviceUnavailable(SetupError):
    """The requested device is not on this machine."""


class NotARepository(SetupError):
    """The folder is not inside a git work tree we can follow."""


class FollowError(Code2LoraError):
    """One commit could not be followed; the last good adapter stays in place."""


class GitReadFailed(FollowError):
    """Git did not answer, or answered with an error. Never treated as an empty diff."""


class EmbeddingFailed(FollowError):
    """The encoder could not embed a diff or a snapshot."""


class AdapterRejected(FollowError):
    """The emitted adapter has wrong shapes, non-finite numbers or an absurd norm."""


class StateUnreadable(FollowError):
    """A stored state is damaged. It is recomputed."""


class EngineError(Code2LoraError):
    """Decoding failed; the engine restarts, completions pause."""


class OutOfMemory(EngineError):
    """The device has no room left for weights or cache."""


class DecodeFailed(EngineError):
    """Anything else that broke inside a decode."""


class ShapeMismatch(AssertionError):
    """A bug of ours: a tensor reached a place with the wrong shape."""
