"""The door to compiled code: what it offers to the rest of the program, and nothing of it in a base install.

One value is made when a repository is opened (repository/opening.py decides which) and handed down. What it offers is
looked for when it is first asked for, and again as long as there is none: code may be compiled beside this process.
Whoever asks has another way that needs no compiled code.
"""

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # Short commands pay for neither numpy nor what only batches need.
    from pyrestic.engine_types import BatchCodecMaker, BatchReaderMaker, BatchWriter
    from pyrestic.format.keyfile import Scrypt
    from pyrestic.format.rabin import FirstCut

READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
"""How a source file is opened, by compiled code as well: what has become a link, pipe or device does no harm."""
WRITE_FLAGS: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
CREATE_FLAGS: Final = WRITE_FLAGS | os.O_CREAT | os.O_EXCL
"""How a new file is made by a restore."""


class Engines:
    """Compiled code for one run. This class is that of a base install: each part is None, now and later."""

    @classmethod
    def none(cls) -> "Engines":
        """Return what offers nothing."""
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
        """Compile and keep all that is not kept yet, and wait for it."""
