"""A small JSON document in this user's state folder, replaced atomically under a lock.

It is read and written only if nobody else can write to it. It contains no secret. An unreadable document is moved aside
and replaced: it is bookkeeping, not a backup.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from pyrestic.backend.files import TEMPORARY_MARK
from pyrestic.backend.private_folder import PrivateFolder, open_private
from pyrestic.errors import LocalFileError

T = TypeVar("T")
_MAX_BYTES = 64 << 20


class StateFile(Generic[T]):
    """The document of this name in a folder, which is created on the first write.

    `parse` converts JSON to a value and raises ValueError for an invalid document; `encode` does the reverse.
    """

    def __init__(
        self,
        folder: str,
        name: str,
        parse: Callable[[object], T],
        encode: Callable[[T], object],
        nothing: Callable[[], T],
    ) -> None:
        self.path = os.path.join(folder, name)
        self._folder = folder
        self._name = name
        self._parse = parse
        self._encode = encode
        self._nothing = nothing

    def read(self) -> T:
        """Return its value, or the value of an empty document; raise LocalFileError."""
        with self._translated():
            try:
                with open_private(self._folder) as folder:
                    return self._read(folder)
            except (FileNotFoundError, NotADirectoryError):
                return self._nothing()

    def change(self, change: Callable[[T], T]) -> None:
        """Replace its value; no other process writes meanwhile. Raises LocalFileError."""
        with self._translated(), open_private(self._folder, create=True) as folder, folder.locked(f"{self._name}.lock"):
            self._remove_leftovers(folder)
            value = change(self._read(folder))
            folder.replace(self._name, (json.dumps(self._encode(value), indent=1).encode(),))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LocalFileError(f"{self.path}: {error.strerror}") from error

    def _read(self, folder: PrivateFolder) -> T:
        try:
            text = folder.read(self._name, _MAX_BYTES)
        except FileNotFoundError:
            return self._nothing()
        try:
            return self._parse(json.loads(text))
        except (ValueError, RecursionError):
            folder.rename(self._name, f"{self._name}.damaged")
            return self._nothing()

    def _remove_leftovers(self, folder: PrivateFolder) -> None:
        """Remove leftovers of killed processes: only the holder of the lock writes."""
        for name in os.listdir(folder.descriptor):
            if name.startswith(f"{self._name}{TEMPORARY_MARK}"):
                folder.remove(name)
