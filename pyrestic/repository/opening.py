"""What a repository is opened with."""

import importlib.util

from pyrestic.engines import Engines


def find_engines(folder: str, *, keep: bool) -> Engines:
    """Return compiled code, kept in a folder, as far as this installation can compile.

    Nothing else imports from pyrestic.native: a base install does without it. Without `keep` nothing is put into the
    folder, and "" is no folder.
    """
    if importlib.util.find_spec("llvmlite") is None:
        return Engines.none()
    from pyrestic.native.engines import CompiledEngines

    return CompiledEngines(folder, keep=keep)
