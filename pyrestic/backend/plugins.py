"""Backends of other packages: those that an installed distribution names as entry points of `pyrestic.backends`.

The name of an entry point is the scheme; it leads to a function from the address after the colon, the extended options
of the scheme (without its name and dot) and the Access to a Backend. Nothing is looked up for the schemes that are
implemented here, so no package can take their place. `pyrestic.testing.backend_contract` has tests for such a backend.
"""

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyrestic.backend.base import Backend
from pyrestic.errors import UnsupportedError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "pyrestic.backends"
_is_scheme = re.compile(r"[a-z][a-z0-9+-]+", re.ASCII).fullmatch


def has_plugin(scheme: str) -> bool:
    """Tell whether an installed package has a backend for a scheme."""
    return _find(scheme) is not None


def load_plugin(scheme: str) -> Callable[..., Backend]:
    """Return the function that opens its backend; raise UnsupportedError if it cannot be loaded."""
    found = _find(scheme)
    if found is None:
        raise UnsupportedError(f"no package has a backend for {scheme}:")
    try:
        factory: Any = found.load()
    except Exception as error:
        raise UnsupportedError(f"the backend for {scheme}: could not be loaded from {found.value}: {error}") from error
    if not callable(factory):
        raise UnsupportedError(f"the backend for {scheme}: is not a function: {found.value}")
    return factory  # type: ignore[no-any-return]


@functools.cache
def _find(scheme: str) -> "EntryPoint | None":
    if not _is_scheme(scheme):
        return None
    # It takes its time, and few locations have a scheme that is not known here.
    from importlib.metadata import entry_points

    return next(iter(entry_points(group=GROUP, name=scheme)), None)
