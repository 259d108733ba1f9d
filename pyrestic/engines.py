"""The entrance to compiled code: its parts for the rest of the program, and none in a base install.

One value is made when a repository is opened (repository/opening.py selects it) and handed down. Each part is looked up
on first use, and again while it is missing, because code may be compiled in the background. Every caller has an
alternative without compiled code.
"""

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # Short commands import neither numpy nor modules for batches.
    from pyrestic.engine_types import BatchCodecMaker, BatchReaderMaker, BatchWriter
    from pyrestic.format.keyfile import Scrypt
    from pyrestic.format.rabin import FirstCut

READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
"""Flags for opening a source file, also for compiled code: a path that became a link, pipe or device is harmless."""
WRITE_FLAGS: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
CREATE_FLAGS: Final = WRITE_FLAGS | os.O_CREAT | os.O_EXCL
"""Flags for creating a file during a restore."""


class Engines:
    """Compiled code for one run. This class is that of a base install: each part is always None."""

    @classmethod
    def none(cls) -> "Engines":
        """Return engines without any part."""
        return Engines()

    @property
    def chunker(self) -> "FirstCut | None":
        """The inner loop of the chunker."""
        return None

    @property
    def scrypt(self) -> "Scrypt | None":
        """The derivation of expensive keys."""
        return None

    @property
    def blobs(self) -> "BatchCodecMaker | None":
        """What seals, opens and hashes batches of blobs."""
        return None

    @property
    def reader(self) -> "BatchReaderMaker | None":
        """What reads batches of small files."""
        return None

    @property
    def may_read_batches(self) -> bool:
        """Whether there may be a reader, now or later in this run."""
        return False

    @property
    def writer(self) -> "BatchWriter | None":
        """What writes batches of new small files."""
        return None

    def compile_all(self) -> None:
        """Compile and store all missing parts, and wait for them."""

    def stop_compiling(self) -> None:
        """Compile nothing more and end the compiling process; stored code stays."""
