"""A small JSON document in this user's state folder, replaced as a whole under a lock.

It is believed, and changed, only where nobody else can write. It holds no secret. A document that cannot be read is put
aside and begun anew: it is bookkeeping, not a backup.
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
    """The document of this name in a folder, which is made when something is written.

    `parse` makes a value of the JSON and raises ValueError for what is no such document; `encode` goes the other way.
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
        """Return what it says, or the value for nothing; raise LocalFileError."""
        with self._translated():
            try:
                with open_private(self._folder) as folder:
                    return self._read(folder)
            except (FileNotFoundError, NotADirectoryError):
                return self._nothing()

    def change(self, change: Callable[[T], T]) -> None:
        """Replace what it says; nobody else writes meanwhile. Raises LocalFileError."""
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
        """Remove what killed processes were writing: nobody writes but who has the lock."""
        for name in os.listdir(folder.descriptor):
            if name.startswith(f"{self._name}{TEMPORARY_MARK}"):
                folder.remove(name)
