"""The backend of a location and the wrapper that retries: the start of every program."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pyrestic.backend.base import Backend
from pyrestic.backend.location import Access, Location, deadline_seconds, open_backend
from pyrestic.backend.wrap.retry import RetryBackend


class Place(NamedTuple):
    """The backend of a location, and the wrapper that retries."""

    backend: Backend
    retry: RetryBackend


def reach(location: Location, options: Mapping[str, str], access: Access, on_retry: Callable[[str], None]) -> Place:
    """Return the backend of the location, with limits and retries; nothing is connected yet.

    `on_retry` receives the reason of each retry. Raises UsageError for an invalid option, UnsupportedError for a scheme
    that is not implemented.
    """
    backend = open_backend(location, options, access)
    return Place(backend, RetryBackend(backend, on_retry=on_retry, total_seconds=deadline_seconds(location, options)))
