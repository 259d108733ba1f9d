"""Every error pyrestic raises on purpose, as one tree.

PyresticError                   exit 1
├── UsageError                  1    the command line or a setting makes no sense
├── UnsupportedError            1    a repository version or feature that is not implemented
├── NoRepositoryError           10   nothing at this location
├── LockedError                 11   another process holds a lock that excludes us
├── WrongPasswordError          12   no key file opens with this password
├── BackendError                1    the place that holds the files failed
│   ├── NotFoundError                the file is not there
│   ├── AccessError                  credentials, permission, quota
│   ├── CancelledError          130  the program that called asked for the end
│   └── TransientError               may succeed when tried again
│       └── NoAnswerError            the connection failed before the answer was complete
│           ├── SilentError              the server accepted the connection and did not answer in time
│           └── UnreachedError           no connection yet, and none before in this run
├── DamageError                 1    stored bytes are not what they should be
│   ├── UnauthenticError             the message authentication code does not match
│   ├── HashMismatchError            the content has another SHA-256 than its name
│   ├── FormatError                  the bytes do not follow the format
│   └── MissingBlobError             no index names a place for this blob
└── LocalFileError              1    a source or target file could not be read or written
    └── UntrustedError               others can write where this program keeps things for itself

The message of an error is one sentence for a person: what happened and to which file. `hint` says what to do about it.
Neither ever contains a password, key material or a token.
"""


class PyresticError(Exception):
    """Base of all errors; `exit_code` is restic's exit code for it, `hint` one sentence of advice or ""."""

    exit_code: int = 1
    hint: str = ""

    def __init__(self, message: str, *more_lines: str, hint: str = "") -> None:
        super().__init__("\n".join((message, *more_lines)))
        self.lines = (message, *more_lines)
        """The message, line by line: within one of them a line break is part of a name."""
        if hint:
            self.hint = hint


class UsageError(PyresticError):
    """The command line or a setting makes no sense."""


class UnsupportedError(PyresticError):
    """A repository version or feature that is not implemented here."""

    hint = "A newer version of pyrestic may be able to read it."


class NoRepositoryError(PyresticError):
    """There is no repository at this location."""

    exit_code = 10


class LockedError(PyresticError):
    """Another process holds a lock that excludes this one."""

    exit_code = 11
    hint = "Wait for it, use --retry-lock, or remove a stale lock with the unlock command."


class WrongPasswordError(PyresticError):
    """No key file of the repository opens with this password."""

    exit_code = 12


class BackendError(PyresticError):
    """The place that holds the files failed."""


class NotFoundError(BackendError):
    """The file does not exist in the backend."""


class AccessError(BackendError):
    """Credentials, permissions or a quota forbid the operation; trying again does not help."""


class CancelledError(BackendError):
    """The program that called asked for the end before the work was done.

    It counts as a failure of the backend, since nothing more was asked of that: whoever cannot have a file now must
    not take it for lost.
    """

    exit_code = 130


class TransientError(BackendError):
    """The operation may succeed when tried again, not before `retry_after_seconds` if that is given.

    0.0 says that the first new attempt should be made at once: on another connection, or at another place. `attempts`
    says after how many such failures in a row waiting is no longer expected to help; None sets no limit but time.
    """

    def __init__(
        self, message: str, *, hint: str = "", retry_after_seconds: float | None = None, attempts: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds
        self.attempts = attempts


class NoAnswerError(TransientError):
    """The connection failed before the answer was complete: what was asked for may have been done or not."""


class SilentError(NoAnswerError):
    """The server accepted the connection and did not answer in the time allowed."""


class UnreachedError(NoAnswerError):
    """The server cannot be reached, and has not been before in this run: its name may be misspelt, the network down."""

    hint = "Check the location in --repo and the network connection."


class DamageError(PyresticError):
    """Stored bytes are not what they should be."""


class UnauthenticError(DamageError):
    """Sealed bytes whose message authentication code does not match: damaged, or sealed with another key."""


class HashMismatchError(DamageError):
    """Content whose SHA-256 differs from the ID it is stored under."""


class FormatError(DamageError):
    """Bytes that do not follow the repository format."""


class MissingBlobError(DamageError):
    """A blob that no index places in a pack."""


class LocalFileError(PyresticError):
    """A source or target file on this machine could not be read or written.

    A backup that goes on without such a file ends with 3; where the error itself ends a command there is no snapshot.
    """


class UntrustedError(LocalFileError):
    """A file or folder that this program keeps for itself belongs to another user, or others may write to it.

    Nothing in it is used and nothing is put there; the run goes on without.
    """
