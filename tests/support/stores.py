"""An object store in memory, with pages of a few names."""

from collections.abc import Callable

import pytest

from pyrestic.backend.http import Answer
from pyrestic.backend.objects import ListedObject, ObjectPage, ObjectStore
from pyrestic.errors import NotFoundError, TransientError


class MemoryStore:
    """The least that a store has to do; see ObjectStore."""

    def __init__(self, *, page: int = 7) -> None:
        self.objects: dict[str, bytes] = {}
        self.archivable: dict[str, bool] = {}
        self.interrupted = self.closed = 0
        self._page = page

    def prepare(self) -> None:
        pass

    def put(self, key: str, data: memoryview, *, archivable: bool) -> None:
        self.objects[key] = bytes(data)
        self.archivable[key] = archivable

    def get(self, key: str, range_text: str, max_length: int) -> Answer:
        data = self._find(key)
        if not range_text:
            return Answer(200, {}, data)
        first, _, last = range_text.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1 if last else None]
        if not part:
            return Answer(416, {}, b"")
        assert len(part) <= max_length
        return Answer(206, {"content-range": f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"}, part)

    def find_length(self, key: str) -> int:
        return len(self._find(key))

    def list_page(self, prefix: str, marker: str) -> ObjectPage:
        keys = sorted(key for key in list(self.objects) if key.startswith(prefix) and key > marker)
        shown = keys[: self._page]
        listed = [ListedObject(key, len(self.objects[key])) for key in shown]
        return ObjectPage(listed, shown[-1] if len(keys) > len(shown) else "")

    def delete(self, key: str) -> None:
        self._find(key)
        del self.objects[key]

    def interrupt(self) -> None:
        self.interrupted += 1

    def close(self) -> None:
        self.closed += 1

    def _find(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFoundError(f"{key} does not exist")
        return self.objects[key]


def check_that_nothing_is_absent(store: ObjectStore, call: str) -> None:
    """Check that a call fails with an error that is retried a few times."""
    calls: dict[str, Callable[[], object]] = {
        "prepare": store.prepare,
        "put": lambda: store.put("a", memoryview(b"x"), archivable=True),
        "get": lambda: store.get("a", "", 10),
        "find_length": lambda: store.find_length("a"),
        "list_page": lambda: store.list_page("a", ""),
        "delete": lambda: store.delete("a"),
    }
    with pytest.raises(TransientError, match="did not come from") as caught:
        calls[call]()
    assert caught.value.attempts
