"""Settings for opening a repository."""

import importlib.util

from pyrestic.engines import Engines


def find_engines(folder: str, *, keep: bool) -> Engines:
    """Return compiled code, cached in a folder, if this installation can compile.

    Nothing else imports from pyrestic.native, so that a base install works without it. Without `keep` nothing is added
    to the folder; "" means no folder.
    """
    if importlib.util.find_spec("llvmlite") is None:
        return Engines.none()
    from pyrestic.native.engines import CompiledEngines

    return CompiledEngines(folder, keep=keep)
