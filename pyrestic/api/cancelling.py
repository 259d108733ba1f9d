"""Ending an operation on request of the program: nothing is asked of the repository after that."""

import contextlib
import threading
from collections.abc import Iterator

from pyrestic.backend.base import Backend
from pyrestic.backend.wrap.cancel import CancelBackend, make_cancellable
from pyrestic.errors import CancelledError, PyresticError


@contextlib.contextmanager
def cancellable(backend: Backend, cancel: threading.Event | None) -> Iterator[CancelBackend]:
    """Yield the backend for an operation in a with block; raise CancelledError if it was cancelled."""
    gate = make_cancellable(backend, cancel or threading.Event())
    try:
        with contextlib.nullcontext() if cancel is None else gate.watched():
            yield gate
    except PyresticError as error:
        if gate.refused and not isinstance(error, CancelledError):
            raise CancelledError(f"canceled by the program: {error}") from error
        raise
    if gate.refused:
        # The rejected request became part of a result, as an unreadable file.
        gate.ensure_wanted()
