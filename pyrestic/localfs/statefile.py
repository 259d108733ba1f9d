"""A small JSON document in this user's state folder, replaced as a whole under a lock.

It holds no secret. A document that cannot be read is put aside and begun anew: it is bookkeeping, not a backup.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

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
        self._parse = parse
        self._encode = encode
        self._nothing = nothing

    def read(self) -> T:
        """Return what it says, or the value for nothing; raise LocalFileError."""
        with self._translated():
            return self._read()

    def change(self, change: Callable[[T], T]) -> None:
        """Replace what it says; nobody else writes meanwhile. Raises LocalFileError."""
        with self._translated():
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            with self._locked():
                self._write(change(self._read()))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LocalFileError(f"{self.path}: {error.strerror}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from writing."""
        descriptor = os.open(f"{self.path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> T:
        try:
            with open(self.path, "rb") as file:
                text = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return self._nothing()
        try:
            return self._parse(json.loads(text))
        except (ValueError, RecursionError):
            os.replace(self.path, f"{self.path}.damaged")
            return self._nothing()

    def _write(self, value: T) -> None:
        temporary = f"{self.path}.new"
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(self._encode(value), file, indent=1)
        os.replace(temporary, self.path)
