"""Every error pyrestic raises on purpose, as one tree.

PyresticError                   exit 1
├── UsageError                  1    the command line or a setting is invalid
├── UnsupportedError            1    a repository version or feature that is not implemented
├── NoRepositoryError           10   nothing at this location
├── LockedError                 11   another process holds a lock that excludes us
├── WrongPasswordError          12   no key file opens with this password
├── BackendError                1    the backend failed
│   ├── NotFoundError                the file does not exist
│   ├── AccessError                  credentials, permission, quota
│   ├── CancelledError          130  the calling program cancelled the work
│   └── TransientError               may succeed when tried again
│       └── NoAnswerError            the connection failed before the response was complete
│           ├── SilentError              the server accepted the connection and did not respond in time
│           └── UnreachedError           no connection yet, and none before in this run
├── DamageError                 1    stored bytes are corrupt
│   ├── UnauthenticError             the message authentication code does not match
│   ├── HashMismatchError            the content has another SHA-256 than its name
│   ├── FormatError                  the bytes do not follow the format
│   └── MissingBlobError             the blob is missing from the index
├── DesktopError                1    a service of the desktop or system failed or did not answer
│   ├── NoServiceError               there is no bus, no such service, or no library for it
│   └── LockedKeyringError     75   the key ring is locked
├── BudgetError                 75   the month's budget for a billed service is used up
├── EndedEarlyError             1    a backup was asked to end early; its archive ends with what is complete
└── LocalFileError              1    a source or target file could not be read or written
    └── UntrustedError               others can write to pyrestic's own files

The message of an error is one sentence: what happened and to which file. `hint` suggests a remedy.
Neither ever contains a password, key material or a token.
"""


class PyresticError(Exception):
    """Base of all errors; `exit_code` is restic's exit code for it, `hint` a sentence of advice or ""."""

    exit_code: int = 1
    hint: str = ""

    def __init__(self, message: str, *more_lines: str, hint: str = "") -> None:
        super().__init__("\n".join((message, *more_lines)))
        self.lines = (message, *more_lines)
        """The message, line by line: within a line, a line break is part of a name."""
        if hint:
            self.hint = hint


class UsageError(PyresticError):
    """The command line or a setting is invalid."""


class UnsupportedError(PyresticError):
    """A repository version or feature that is not implemented."""

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
    """The backend failed."""


class NotFoundError(BackendError):
    """The file does not exist in the backend."""


class AccessError(BackendError):
    """Credentials, permissions or a quota forbid the operation; a retry does not help."""


class CancelledError(BackendError):
    """The calling program cancelled the work.

    It counts as a failure of the backend, because nothing more was requested from it: a file that was not read must not
    count as lost.
    """

    exit_code = 130


class TransientError(BackendError):
    """The operation may succeed when retried, not before `retry_after_seconds` if that is given.

    0.0 means that the first retry should be immediate: on another connection, or at another address. `attempts` is the
    number of such failures in a row after which a retry is no longer expected to help; None limits retries only by
    time.
    """

    def __init__(
        self, message: str, *, hint: str = "", retry_after_seconds: float | None = None, attempts: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds
        self.attempts = attempts


class NoAnswerError(TransientError):
    """The connection failed before the response was complete: the operation may or may not have happened."""


class SilentError(NoAnswerError):
    """The server accepted the connection and did not respond within the stall limit."""


class UnreachedError(NoAnswerError):
    """The server is unreachable, and was never reached in this run: its name may be misspelled, the network down."""

    hint = "Check the location in --repo and the network connection."


class DamageError(PyresticError):
    """Stored bytes are corrupt."""


class UnauthenticError(DamageError):
    """Sealed bytes whose message authentication code does not match: corrupt, or sealed with another key."""


class HashMismatchError(DamageError):
    """Content whose SHA-256 differs from its ID."""


class FormatError(DamageError):
    """Bytes that do not follow the repository format."""


class MissingBlobError(DamageError):
    """A blob that is missing from the index."""


class DesktopError(PyresticError):
    """A service of the desktop or the system failed or did not answer in time."""


class NoServiceError(DesktopError):
    """There is no message bus, nobody offers the service on it, or the library for it is not installed."""


class LockedKeyringError(DesktopError):
    """The key ring holds the secret, and is locked: it opens when its owner logs in."""

    exit_code = 75
    hint = "Log in, or unlock the key ring."


class BudgetError(PyresticError):
    """The month's budget for a billed service does not allow what the command would ask for."""

    exit_code = 75
    hint = "The free allowance of each day begins at midnight UTC. A larger --budget-month allows more."


class EndedEarlyError(PyresticError):
    """A backup was asked to end early.

    It ends reading on every thread; the archive then stores what is complete. No command ends with it.
    """


class LocalFileError(PyresticError):
    """A local source or target file could not be read or written.

    A backup that continues without such a file exits with 3; if the error itself ends a command, there is no snapshot.
    """


class UntrustedError(LocalFileError):
    """A state file or folder of pyrestic belongs to another user, or others may write to it.

    It is neither read nor written; the run continues without it.
    """
