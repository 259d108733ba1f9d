"""Reads and updates a repository's verification log in this user's state folder; errors are only noted."""

import contextlib
import time
from collections.abc import Callable, Iterator

from pyrestic.errors import LocalFileError, UntrustedError
from pyrestic.localfs.verification_log import Drill, ProofBook, Proofs
from pyrestic.operations.check import Check


class Proven:
    """The log of one repository in a state folder, none if that is ""; `note` receives write errors."""

    def __init__(self, folder: str, repository: str, note: Callable[[str], None]) -> None:
        self._note = note
        self._book = ProofBook(folder, repository) if folder else None

    def read(self) -> Proofs:
        """Return the log; an empty one if it cannot be read."""
        if self._book is not None:
            with self._noted():
                return self._book.read()
        return Proofs()

    @contextlib.contextmanager
    def kept(self, check: Check) -> Iterator[None]:
        """At the end, record the packs that a check has verified, even after an interrupt."""
        try:
            yield
        finally:
            result = check.result
            if self._book is not None and (result.verified_packs or result.broken_packs):
                whole = check.all_packs().keys() - set(result.broken_packs)
                with self._noted():
                    self._book.add_packs(result.verified_packs, int(time.time()), whole)

    def add_drill(self, drill: Drill) -> None:
        """Record a drill."""
        if self._book is not None:
            with self._noted():
                self._book.add_drill(drill)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except UntrustedError:
            # Opening the repository has reported this once for all state files.
            pass
        except LocalFileError as error:
            self._note(f"could not record the verification: {error}")
