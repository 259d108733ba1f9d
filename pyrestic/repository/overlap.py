"""Start-up work that overlaps with two waits: for the key derivation, and for the second look of a lock.

The key derivation takes half a second of computing, during which nothing of the repository can be read. A lock is
confirmed by a second look 0.2 seconds after it was written, and until then the repository can be read.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from pyrestic.report import Reporter

if TYPE_CHECKING:
    from pyrestic.repository.index_copy import ReadIndex
    from pyrestic.repository.repository import Repository

T = TypeVar("T")


def import_machinery() -> None:
    """Import the modules for blobs, so that they are ready when needed."""
    import pyrestic.format.index_file
    import pyrestic.repository.index
    import pyrestic.repository.index_copy
    import pyrestic.repository.loader
    import pyrestic.repository.saver  # noqa: F401 - later imports find them loaded


class Overlap(Generic[T]):
    """The imports and first reads of one run. Code that waits calls the method named after its wait.

    `imports` runs while the lock waits, and without a lock during the key derivation. (With a lock it does not, because
    scrypt needs much memory of its own.) `look` reads the repository, after the index if that is loaded. Both run again
    each time the lock is tried; `found` is the last result of `look`.
    """

    def __init__(
        self, look: "Callable[[Repository], T] | None" = None, *, imports: Callable[[], None] = lambda: None
    ) -> None:
        self._look = look
        self._imports = imports
        self._read: Callable[[], None] | None = None
        self._index: list[ReadIndex] = []
        self._found: list[T] = []
        self._has_read = False
        self.loads_index = False
        """Whether the index is loaded."""
        self.waits_for_lock = False
        """Whether a lock will be taken."""

    @property
    def found(self) -> T:
        """The last result of `look`."""
        return self._found[0]

    @property
    def reads(self) -> bool:
        """Whether anything is read."""
        return self.loads_index or self._look is not None

    def while_key_is_derived(self) -> None:
        """Import, unless that can wait for the lock."""
        if not self.waits_for_lock:
            self._import()

    def opened(self, repository: "Repository", report: Reporter, *, anew: bool = False) -> None:
        """Set the repository to read; `anew` as in Repository.read_index."""

        def read() -> None:
            if self.loads_index:
                self._index = [repository.read_index(report, anew=anew)]
            if self._look is not None:
                self._found = [self._look(repository)]

        self._read = read

    def while_lock_waits(self, *, may_read: bool) -> None:
        """Import and, with `may_read`, read between the two looks for other locks, each time the lock is tried."""
        self._has_read = False
        self._import()
        if may_read:
            self._read_now()

    def read_rest(self) -> None:
        """Read now unless that is done: the lock is taken, or none is needed."""
        if not self._has_read:
            self._read_now()

    def use_index(self, repository: "Repository") -> None:
        """Hand the index to the repository, if it was loaded."""
        if self._index:
            repository.use_index(self._index.pop())

    def _import(self) -> None:
        if self.loads_index:
            import_machinery()
        self._imports()

    def _read_now(self) -> None:
        if self._read is not None:
            self._read()
        self._has_read = True
