"""numpy, imported when something of it is first used: it is a fifth of the CPU time of a small backup.

Modules that need it only for large numbers of blobs, or for files that changed, import it like this:

    if TYPE_CHECKING:
        import numpy as np
    else:
        from pyrestic import later_numpy as np

Their annotations are not evaluated (`from __future__ import annotations`).
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:  # noqa: ANN401 - anything that numpy has
    """Return an attribute of numpy; the next time, it is found without this call."""
    if name.startswith("__"):
        # Python asks modules for such names by itself.
        raise AttributeError(name)
    value = getattr(importlib.import_module("numpy"), name)
    globals()[name] = value
    return value
