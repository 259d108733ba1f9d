"""A repository in an object store: what ObjectBackend adds to the requests."""

import pytest

from pyrestic.backend.http import Answer
from pyrestic.backend.objects import MAX_SHORT_PAGES, ListedObject, ObjectBackend, ObjectPage, find_length
from pyrestic.errors import BackendError, FormatError, TransientError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.stores import MemoryStore

NAME = hash_id(b"some").hex()
PACK = Handle(FileType.PACK, NAME)


@pytest.mark.parametrize(
    ("prefix", "key"), [("", f"data/{NAME[:2]}/{NAME}"), ("a/b", f"a/b/data/{NAME[:2]}/{NAME}"), ("/", "/data/")]
)
def test_keys_are_below_the_prefix(prefix: str, key: str) -> None:
    assert ObjectBackend(MemoryStore(), prefix).key(PACK).startswith(key)


def test_foreign_names_are_skipped_in_listings() -> None:
    store = MemoryStore()
    backend = ObjectBackend(store, "p")
    backend.save(PACK, b"some")
    for key in (f"data/{NAME}", f"data/00/{NAME}", "data/x", f"data/{NAME[:2]}/{NAME}.tmp", "datax/y"):
        store.objects[f"p/{key}"] = b"foreign"
    store.objects[f"q/data/{NAME[:2]}/{NAME}"] = b"another repository"
    assert [info.name for info in backend.list(FileType.PACK)] == [NAME]


def test_only_packs_of_file_content_may_be_archived() -> None:
    store = MemoryStore()
    backend = ObjectBackend(store, "")
    for file_type in (FileType.PACK, FileType.INDEX, FileType.SNAPSHOT, FileType.KEY, FileType.LOCK):
        backend.save(Handle(file_type, NAME), b"x")
    backend.save(Handle(FileType.CONFIG, ""), b"x")
    assert [key for key, archivable in store.archivable.items() if archivable] == [f"data/{NAME[:2]}/{NAME}"]
    backend.save_metadata(PACK, b"x")
    assert not any(store.archivable.values())


class EndlessStore(MemoryStore):
    """Its pages repeat, or bring nothing."""

    def __init__(self, markers: list[str]) -> None:
        super().__init__()
        self.markers = markers
        self.asked = 0

    def list_page(self, prefix: str, marker: str) -> ObjectPage:
        self.asked += 1
        names = [ListedObject(f"{prefix}{number}", 1) for number in range(20)]
        return ObjectPage(names if len(self.markers) < 5 else [], self.markers[self.asked % len(self.markers)])


@pytest.mark.parametrize("markers", [["a"], ["a", "b"], [str(number) for number in range(1000)]])
def test_a_listing_ends_whatever_the_service_answers(markers: list[str]) -> None:
    store = EndlessStore(markers)
    with pytest.raises(BackendError, match="do not end"):
        list(ObjectBackend(store, "").list(FileType.SNAPSHOT))
    assert store.asked <= MAX_SHORT_PAGES + 1


class LyingStore(MemoryStore):
    """It answers a range in its own way."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer

    def get(self, key: str, range_text: str, max_length: int) -> Answer:
        return self.answer


@pytest.mark.parametrize(
    ("offset", "length", "answer", "error"),
    [
        (0, None, Answer(206, {"content-range": "bytes 0-3/4"}, b"some"), TransientError),
        (1, 2, Answer(200, {}, b"some"), TransientError),
        (1, 2, Answer(206, {"content-range": "bytes 0-1/4"}, b"so"), TransientError),
        (1, 2, Answer(206, {}, b"om"), TransientError),
        (1, 3, Answer(206, {"content-range": "bytes 1-2/4"}, b"om"), FormatError),
        (1, 2, Answer(416, {}, b""), TransientError),
        (1, None, Answer(206, {"content-range": "bytes 1-2/4"}, b"om"), TransientError),
        (1, None, Answer(206, {"content-range": "bytes 1"}, b"ome"), TransientError),
    ],
)
def test_a_download_that_is_not_what_was_asked_for_is_refused(
    offset: int, length: int | None, answer: Answer, error: type[Exception]
) -> None:
    store = LyingStore(answer)
    backend = ObjectBackend(store, "")
    backend.save(PACK, b"some")
    with pytest.raises(error):
        backend.load(PACK, offset, length)


def test_an_open_range_of_unknown_length_is_taken() -> None:
    for text in ("bytes 1-3/4", "bytes 1-3/*"):
        store = LyingStore(Answer(206, {"content-range": text}, b"ome"))
        assert ObjectBackend(store, "").load(PACK, 1) == b"ome"


class StrayStore(MemoryStore):
    """It lists what lies elsewhere, as a service does that takes the prefix for something else."""

    def list_page(self, prefix: str, marker: str) -> ObjectPage:
        return ObjectPage([ListedObject(f"{prefix}{NAME}", 1), ListedObject(f"else/{NAME}", 1)], "")


def test_a_listing_of_another_place_is_an_error() -> None:
    with pytest.raises(BackendError, match=f"the server lists 'else/{NAME}'"):
        list(ObjectBackend(StrayStore(), "").list(FileType.SNAPSHOT))


def test_a_length_that_is_not_reported_is_an_error() -> None:
    assert find_length(Answer(200, {"content-length": "12"}, b""), "looking") == 12
    with pytest.raises(TransientError, match="length"):
        find_length(Answer(200, {}, b""), "looking")


def test_interrupting_and_closing_reach_the_store() -> None:
    store = MemoryStore()
    backend = ObjectBackend(store, "")
    backend.interrupt()
    backend.close()
    assert (store.interrupted, store.closed) == (1, 1)
