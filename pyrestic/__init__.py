"""pyrestic: restic's repository format and command line in pure Python.

The names below are all that programs need; they are described in docs/python.md and loaded when they are first used.
"""

# Not from typing: nothing may be imported before __main__ has put the search path in order.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrestic.api.access import SnapshotName
    from pyrestic.api.backup import BackedUp
    from pyrestic.api.entry import Entry, EntryType, Location
    from pyrestic.api.history import PathVersion
    from pyrestic.api.inspecting import (
        BlobKind,
        BlobUse,
        Change,
        Difference,
        DifferenceSide,
        FoundEntries,
        FoundEntry,
        FoundUses,
        RepositoryStats,
        StatsMode,
        UnreadableTree,
    )
    from pyrestic.api.opening import CompressionMode, create_repository, open_repository
    from pyrestic.api.proving import (
        CheckFinding,
        CheckReport,
        Coverage,
        DrilledFile,
        DrillReason,
        DrillReport,
        FindingKind,
        Size,
    )
    from pyrestic.api.reporting import Failure
    from pyrestic.api.repository import OpenRepository
    from pyrestic.api.restore import Restored
    from pyrestic.api.restore_plan import LostFile, RestorePlan, RestoreSpace, WrongPack
    from pyrestic.api.snapshot import OpenSnapshot, Overwrite
    from pyrestic.api.summary import BackupSummary
    from pyrestic.errors import (
        AccessError,
        BackendError,
        CancelledError,
        DamageError,
        FormatError,
        HashMismatchError,
        LocalFileError,
        LockedError,
        MissingBlobError,
        NoAnswerError,
        NoRepositoryError,
        NotFoundError,
        PyresticError,
        SilentError,
        TransientError,
        UnauthenticError,
        UnreachedError,
        UnsupportedError,
        UntrustedError,
        UsageError,
        WrongPasswordError,
    )
    from pyrestic.report import Progress, Reporter
    from pyrestic.vfs.stream import ContentStream

__version__ = "0.2.0.dev0"

__all__ = [
    "AccessError",
    "BackedUp",
    "BackendError",
    "BackupSummary",
    "BlobKind",
    "BlobUse",
    "CancelledError",
    "Change",
    "CheckFinding",
    "CheckReport",
    "CompressionMode",
    "ContentStream",
    "Coverage",
    "DamageError",
    "Difference",
    "DifferenceSide",
    "DrillReason",
    "DrillReport",
    "DrilledFile",
    "Entry",
    "EntryType",
    "Failure",
    "FindingKind",
    "FormatError",
    "FoundEntries",
    "FoundEntry",
    "FoundUses",
    "HashMismatchError",
    "LocalFileError",
    "Location",
    "LockedError",
    "LostFile",
    "MissingBlobError",
    "NoAnswerError",
    "NoRepositoryError",
    "NotFoundError",
    "OpenRepository",
    "OpenSnapshot",
    "Overwrite",
    "PathVersion",
    "Progress",
    "PyresticError",
    "Reporter",
    "RepositoryStats",
    "RestorePlan",
    "RestoreSpace",
    "Restored",
    "SilentError",
    "Size",
    "SnapshotName",
    "StatsMode",
    "TransientError",
    "UnauthenticError",
    "UnreachedError",
    "UnreadableTree",
    "UnsupportedError",
    "UntrustedError",
    "UsageError",
    "WrongPack",
    "WrongPasswordError",
    "__version__",
    "create_repository",
    "open_repository",
]

_MODULES = {
    "AccessError": "pyrestic.errors",
    "BackedUp": "pyrestic.api.backup",
    "BackendError": "pyrestic.errors",
    "BackupSummary": "pyrestic.api.summary",
    "BlobKind": "pyrestic.api.inspecting",
    "BlobUse": "pyrestic.api.inspecting",
    "CancelledError": "pyrestic.errors",
    "Change": "pyrestic.api.inspecting",
    "CheckFinding": "pyrestic.api.proving",
    "CheckReport": "pyrestic.api.proving",
    "CompressionMode": "pyrestic.api.opening",
    "ContentStream": "pyrestic.vfs.stream",
    "Coverage": "pyrestic.api.proving",
    "DamageError": "pyrestic.errors",
    "Difference": "pyrestic.api.inspecting",
    "DifferenceSide": "pyrestic.api.inspecting",
    "DrillReason": "pyrestic.api.proving",
    "DrillReport": "pyrestic.api.proving",
    "DrilledFile": "pyrestic.api.proving",
    "Entry": "pyrestic.api.entry",
    "EntryType": "pyrestic.api.entry",
    "Failure": "pyrestic.api.reporting",
    "FindingKind": "pyrestic.api.proving",
    "FormatError": "pyrestic.errors",
    "FoundEntries": "pyrestic.api.inspecting",
    "FoundEntry": "pyrestic.api.inspecting",
    "FoundUses": "pyrestic.api.inspecting",
    "HashMismatchError": "pyrestic.errors",
    "LocalFileError": "pyrestic.errors",
    "Location": "pyrestic.api.entry",
    "LockedError": "pyrestic.errors",
    "LostFile": "pyrestic.api.restore_plan",
    "MissingBlobError": "pyrestic.errors",
    "NoAnswerError": "pyrestic.errors",
    "NoRepositoryError": "pyrestic.errors",
    "NotFoundError": "pyrestic.errors",
    "OpenRepository": "pyrestic.api.repository",
    "OpenSnapshot": "pyrestic.api.snapshot",
    "Overwrite": "pyrestic.api.snapshot",
    "PathVersion": "pyrestic.api.history",
    "Progress": "pyrestic.report",
    "PyresticError": "pyrestic.errors",
    "Reporter": "pyrestic.report",
    "RepositoryStats": "pyrestic.api.inspecting",
    "RestorePlan": "pyrestic.api.restore_plan",
    "RestoreSpace": "pyrestic.api.restore_plan",
    "Restored": "pyrestic.api.restore",
    "SilentError": "pyrestic.errors",
    "Size": "pyrestic.api.proving",
    "SnapshotName": "pyrestic.api.access",
    "StatsMode": "pyrestic.api.inspecting",
    "TransientError": "pyrestic.errors",
    "UnauthenticError": "pyrestic.errors",
    "UnreachedError": "pyrestic.errors",
    "UnreadableTree": "pyrestic.api.inspecting",
    "UnsupportedError": "pyrestic.errors",
    "UntrustedError": "pyrestic.errors",
    "UsageError": "pyrestic.errors",
    "WrongPack": "pyrestic.api.restore_plan",
    "WrongPasswordError": "pyrestic.errors",
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
