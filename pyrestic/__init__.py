"""pyrestic: restic's repository format and command line in pure Python.

The names below are all that programs need; they are described in docs/python.md and loaded when they are first used.
"""

# Not from typing: nothing may be imported before __main__ has put the search path in order.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrestic.api.entry import Entry
    from pyrestic.api.history import PathVersion
    from pyrestic.api.opening import create_repository, open_repository
    from pyrestic.api.repository import OpenRepository
    from pyrestic.api.snapshot import OpenSnapshot
    from pyrestic.errors import PyresticError
    from pyrestic.report import Reporter

__version__ = "0.2.0.dev0"

__all__ = [
    "Entry",
    "OpenRepository",
    "OpenSnapshot",
    "PathVersion",
    "PyresticError",
    "Reporter",
    "__version__",
    "create_repository",
    "open_repository",
]

_MODULES = {
    "Entry": "pyrestic.api.entry",
    "OpenRepository": "pyrestic.api.repository",
    "OpenSnapshot": "pyrestic.api.snapshot",
    "PathVersion": "pyrestic.api.history",
    "PyresticError": "pyrestic.errors",
    "Reporter": "pyrestic.report",
    "create_repository": "pyrestic.api.opening",
    "open_repository": "pyrestic.api.opening",
}


def __getattr__(name: str) -> object:
    """Load a name's module when it is first used, so that what needs none of them starts quickly."""
    if name not in _MODULES:
        raise AttributeError(f"module 'pyrestic' has no attribute {name!r}")
    import importlib

    found: object = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = found
    return found
