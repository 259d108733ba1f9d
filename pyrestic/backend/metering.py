"""Usage of a billed service: calls by class, bytes in both directions, bytes stored and removed."""

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Protocol, runtime_checkable


class CallClass(Enum):
    """The price classes of B2: A is free, B reads files, C lists and manages."""

    A = "a"
    B = "b"
    C = "c"


@dataclass(slots=True)
class Sums:
    """Calls by class, and bytes of files, without headers and JSON responses."""

    class_a: int = 0
    class_b: int = 0
    class_c: int = 0
    uploaded_bytes: int = 0
    downloaded_bytes: int = 0
    stored_bytes: int = 0
    """Bytes of files stored minus bytes of files removed, if their lengths were known."""

    def add(self, other: "Sums") -> None:
        """Add usage of another time or location."""
        for field in fields(Sums):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def since(self, before: "Sums") -> "Sums":
        """Return what is more than before."""
        return Sums(*(getattr(self, field.name) - getattr(before, field.name) for field in fields(Sums)))


@dataclass(slots=True)
class Usage(Sums):
    """Return the usage since the start."""

    calls: Counter[str] = dataclasses.field(default_factory=Counter)
    """Number of calls by API name."""


@runtime_checkable
class Metered(Protocol):
    """Optional attribute of a backend of a billed service; check with isinstance."""

    @property
    def ledger(self) -> "Ledger | None":
        """Usage of the service so far, None if it is free."""


class Ledger:
    """Records the usage of a service; thread-safe. `watch` is called after each change that costs something."""

    def __init__(self) -> None:
        self.watch: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._usage = Usage()

    def call(self, name: str, call_class: CallClass, count: int = 1) -> None:
        """Record a call that is billed as `count` calls of a class."""
        with self._lock:
            usage = self._usage
            usage.calls[name] += 1
            if call_class is CallClass.A:
                usage.class_a += count
            elif call_class is CallClass.B:
                usage.class_b += count
            else:
                usage.class_c += count
        if call_class is not CallClass.A:
            self.watch()

    def moved(self, *, uploaded: int = 0, downloaded: int = 0, stored: int = 0) -> None:
        """Record bytes."""
        with self._lock:
            self._usage.uploaded_bytes += uploaded
            self._usage.downloaded_bytes += downloaded
            self._usage.stored_bytes += stored
        if downloaded or stored > 0:
            self.watch()

    def read(self) -> Usage:
        """Return a copy of the totals so far."""
        with self._lock:
            copy = Usage(calls=Counter(self._usage.calls))
            copy.add(self._usage)
            return copy
