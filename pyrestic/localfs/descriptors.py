"""A bounded cache of open descriptors, closed when unused."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class OpenDescriptor:
    """A descriptor in use by `users`; `kept` while the cache may lend it again.

    Hold `writing` for long writes: if several threads write to a file, all but one would spend CPU time waiting in the
    kernel.
    """

    __slots__ = ("descriptor", "kept", "users", "writing")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.writing = threading.Lock()
        self.users = 1
        self.kept = True


class DescriptorCache(Generic[K]):
    """Keeps up to `limit` descriptors by key and closes the least recently used first. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: OrderedDict[K, OpenDescriptor] = OrderedDict()
        self._lock = threading.Lock()

    def acquire(self, key: K, open_it: Callable[[K], int]) -> OpenDescriptor:
        """Return the descriptor for a key, opened if necessary; the caller must release it."""
        found = self.find(key)
        if found is not None:
            return found
        fresh = OpenDescriptor(open_it(key))
        return self.add(key, fresh)

    def find(self, key: K) -> OpenDescriptor | None:
        """Return the descriptor for a key if it is open; the caller must release it."""
        with self._lock:
            found = self._open.get(key)
            if found is not None:
                found.users += 1
                self._open.move_to_end(key)
            return found

    def add(self, key: K, fresh: OpenDescriptor) -> OpenDescriptor:
        """Keep a new descriptor and return it, or the one that another thread has kept meanwhile."""
        with self._lock:
            found = self._open.get(key)
            if found is not None:
                os.close(fresh.descriptor)
                found.users += 1
                return found
            self._open[key] = fresh
            if len(self._open) > self._limit:
                self._shrink()
            return fresh

    def release(self, used: OpenDescriptor) -> None:
        """Release a descriptor from acquire."""
        with self._lock:
            used.users -= 1
            if not used.users and not used.kept:
                os.close(used.descriptor)

    def forget(self, key: K) -> None:
        """Close a key's descriptor as soon as it is unused."""
        with self._lock:
            if key in self._open:
                self._drop(key)

    def forget_tree(self: "DescriptorCache[bytes]", key: bytes) -> None:
        """Close the descriptors of a key and of keys below it (key, slash, more) as soon as they are unused."""
        prefix = key + b"/"
        with self._lock:
            for name in [name for name in self._open if name == key or name.startswith(prefix)]:
                self._drop(name)

    def close(self) -> None:
        """Close everything that is unused, and the rest on release."""
        with self._lock:
            for name in list(self._open):
                self._drop(name)

    def _shrink(self) -> None:
        for name in [name for name, entry in self._open.items() if not entry.users]:
            self._drop(name)
            if len(self._open) <= self._limit:
                return

    def _drop(self, name: K) -> None:
        entry = self._open.pop(name)
        entry.kept = False
        if not entry.users:
            os.close(entry.descriptor)
