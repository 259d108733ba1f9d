"""Which files a backup takes and which files a restore gives back."""

import os
from collections.abc import Callable, Sequence

RejectPath = Callable[[bytes], bool]
RejectStatus = Callable[[bytes, os.stat_result], bool]


class BackupSelector:
    """Decides by path, then by stat; what any rule rejects is left out."""

    def __init__(self, by_path: Sequence[RejectPath] = (), by_status: Sequence[RejectStatus] = ()) -> None:
        self._by_path = by_path
        self._by_status = by_status

    @property
    def takes_all(self) -> bool:
        """There is no rule, so nobody needs to ask."""
        return not self._by_path and not self._by_status

    def by_path(self, path: bytes) -> bool:
        """Tell whether the absolute path is wanted, before anything is known of the file."""
        return not any(reject(path) for reject in self._by_path)

    def by_status(self, path: bytes, status: os.stat_result) -> bool:
        """Tell whether the file is wanted."""
        return not any(reject(path, status) for reject in self._by_status)
