"""What was proven of a repository, as this user's state folder remembers it; trouble with that is noted, no more."""

import contextlib
import time
from collections.abc import Iterator

from pyrestic.cli.command import App
from pyrestic.cli.session import Session
from pyrestic.errors import LocalFileError, UntrustedError
from pyrestic.localfs.user_folders import find_state_folder
from pyrestic.localfs.verification_log import Drill, ProofBook, Proofs
from pyrestic.operations.check import Check


class Proven:
    """The book of one repository, none of one of the past: that says nothing about the files of the present.

    Where the command needs no book, --quiet hides that it cannot be written.
    """

    def __init__(self, app: App, session: Session, *, needed: bool = True) -> None:
        folder = "" if session.past else find_state_folder(app.settings.environment)
        self._terminal = app.terminal
        self._told = needed or app.terminal.verbosity > 0
        self._book = ProofBook(folder, session.repository.config.id) if folder else None

    def read(self) -> Proofs:
        """Return what is known; nothing if it cannot be read."""
        if self._book is not None:
            with self._noted():
                return self._book.read()
        return Proofs()

    @contextlib.contextmanager
    def kept(self, check: Check) -> Iterator[None]:
        """Enter in the end which packs a check has verified, also where it was interrupted."""
        try:
            yield
        finally:
            result = check.result
            if self._book is not None and (result.verified_packs or result.broken_packs):
                whole = check.all_packs().keys() - set(result.broken_packs)
                with self._noted():
                    self._book.add_packs(result.verified_packs, int(time.time()), whole)

    def add_drill(self, drill: Drill) -> None:
        """Enter a drill."""
        if self._book is not None:
            with self._noted():
                self._book.add_drill(drill)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except UntrustedError:
            # Told once for all that is kept, see session.
            pass
        except LocalFileError as error:
            if self._told:
                self._terminal.note_once(f"could not record the verification: {error}", 0)


def format_age(seconds: float) -> str:
    """Return an age in words, such as 3 days."""
    for unit, word in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{int(seconds / unit)} {word}"
    return f"{max(0, int(seconds))} seconds"
