"""Names above the snapshots, blobs kept for a while, and any part of a file."""

import random
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import FormatError, MissingBlobError
from pyrestic.format.node import Node
from pyrestic.format.pack import HeaderEntry
from pyrestic.format.snapshot import Snapshot
from pyrestic.handle import BlobType
from pyrestic.ids import ID, hash_id
from pyrestic.repository.index import Index
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.vfs.blob_cache import BlobCache
from pyrestic.vfs.namespace import NamespaceEntry, make_namespace
from pyrestic.vfs.reader import FileReader


def stored(number: int, time: str, host: str = "h", tags: Iterable[str] = ()) -> StoredSnapshot:
    snapshot = Snapshot(time=time, tree="00" * 32, paths=["/x"], hostname=host, username="u", tags=list(tags))
    return StoredSnapshot(ID(bytes([number]) * 32), snapshot)


def flat(place: NamespaceEntry, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, child in place.children.items():
        kind = f"-> {child.link}" if child.link else "snapshot" if child.snapshot else "folder"
        found[prefix + name] = kind
        found |= flat(child, f"{prefix}{name}/")
    return found


def test_the_usual_folders_are_there_without_any_snapshot() -> None:
    assert flat(make_namespace([])) == {"ids": "folder", "snapshots": "folder", "hosts": "folder", "tags": "folder"}


def test_names_that_collide_get_numbers_and_links_lead_to_the_latest() -> None:
    root = make_namespace(
        [
            stored(2, "2026-01-01T10:00:00Z"),
            stored(1, "2026-01-01T10:00:00Z"),
            stored(3, "2025-01-01T10:00:00Z", tags=["a/b", "."]),
        ],
        ["all/%T", "tags/%t/%i"],
    )
    assert flat(root) == {
        "all": "folder",
        "all/2025-01-01T10:00:00Z": "snapshot",
        "all/2026-01-01T10:00:00Z": "snapshot",
        "all/2026-01-01T10:00:00Z-1": "snapshot",
        "all/latest": "-> 2026-01-01T10:00:00Z-1",
        "tags": "folder",
        "tags/a_b": "folder",
        "tags/a_b/03030303": "snapshot",
        "tags/_": "folder",
        "tags/_/03030303": "snapshot",
    }


def test_without_links_the_latest_is_a_snapshot_like_others() -> None:
    root = make_namespace([stored(2, "2026-01-01T10:00:00Z"), stored(1, "2025-01-01T10:00:00Z")], ["%T"], links=False)
    assert flat(root) == {
        "2025-01-01T10:00:00Z": "snapshot",
        "2026-01-01T10:00:00Z": "snapshot",
        "latest": "snapshot",
    }
    latest = root.children["latest"].snapshot
    assert latest is not None
    assert latest.id == bytes([2]) * 32


@given(template=st.text(max_size=20), host=st.text(max_size=10), tag=st.text(max_size=10))
def test_no_template_leads_above_the_root(template: str, host: str, tag: str) -> None:
    root = make_namespace([stored(1, "2026-01-01T10:00:00Z", host, [tag])], [template])
    names = [name for path in flat(root) for name in path.split("/")]
    assert ".." not in names
    assert "." not in names


def make_file(lengths: list[int]) -> tuple[Node, Index, dict[ID, bytes], bytes]:
    dice = random.Random(str(lengths))
    blobs = [dice.randbytes(length) for length in lengths]
    ids = [hash_id(blob) for blob in blobs]
    index = Index()
    entries = [
        HeaderEntry(BlobType.DATA, identifier, 100 * number, len(blob) + 32, None)
        for number, (identifier, blob) in enumerate(dict(zip(ids, blobs, strict=True)).items())
    ]
    index.add_pack(ID(bytes(32)), entries)
    node = Node(name="f", type="file", content=[identifier.hex() for identifier in ids])
    return node, index, dict(zip(ids, blobs, strict=True)), b"".join(blobs)


@given(
    lengths=st.lists(st.integers(1, 50), max_size=12),
    reads=st.lists(st.tuples(st.integers(-2, 700), st.integers(0, 300)), max_size=12),
)
def test_any_part_is_that_of_the_whole(lengths: list[int], reads: list[tuple[int, int]]) -> None:
    node, index, blobs, whole = make_file(lengths)
    cache = BlobCache(blobs.__getitem__, 2, max_bytes=60)
    reader = FileReader(node, index, cache)
    assert reader.length == len(whole)
    for offset, length in reads:
        assert reader.read(offset, length) == (whole[offset : offset + length] if offset >= 0 else b"")
    cache.close()


def test_a_blob_that_no_index_knows_is_named() -> None:
    node, _, _, _ = make_file([10, 20])
    cache = BlobCache(lambda identifier: b"", 1)
    with pytest.raises(MissingBlobError, match="'f' is in no index"):
        FileReader(node, Index(), cache)
    with pytest.raises(FormatError, match="content list"):
        FileReader(Node(name="f", type="file", content=None), Index(), cache)
    cache.close()


def test_a_blob_shorter_than_the_index_says_is_damage_and_no_endless_loop() -> None:
    node, index, blobs, _ = make_file([10, 20])
    cache = BlobCache(lambda identifier: blobs[identifier][:5], 1)
    with pytest.raises(FormatError, match="shorter"):
        FileReader(node, index, cache).read(0, 30)
    cache.close()


def test_each_blob_is_loaded_once_whoever_asks() -> None:
    loads: list[ID] = []
    gate = threading.Event()

    def load(identifier: ID) -> bytes:
        loads.append(identifier)
        gate.wait(5)
        return bytes(100)

    cache = BlobCache(load, 4)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(cache.get, ID(bytes([number % 2]) * 32)) for number in range(8)]
        gate.set()
        assert all(future.result() == bytes(100) for future in futures)
    assert len(loads) == 2
    cache.close()


def test_memory_is_bounded_and_what_was_used_last_stays() -> None:
    loads: list[int] = []

    def load(identifier: ID) -> bytes:
        loads.append(identifier[0])
        return bytes(10)

    cache = BlobCache(load, 1, max_bytes=30)
    for number in (1, 2, 3, 1, 4, 1, 2):
        cache.get(ID(bytes([number]) * 32))
    assert loads == [1, 2, 3, 4, 2]
    assert len(cache._blobs) == 3
    cache.close()


def test_what_is_still_on_its_way_is_not_dropped_for_want_of_memory() -> None:
    gate = threading.Event()

    def load(identifier: ID) -> bytes:
        if identifier[0] == 1:
            gate.wait(5)
        return bytes(10)

    cache = BlobCache(load, 1, max_bytes=20)
    cache.prefetch([ID(bytes([1]) * 32)])
    for number in (2, 3, 4, 5):
        cache.get(ID(bytes([number]) * 32))
    assert [identifier[0] for identifier in cache._blobs] == [1, 4, 5]
    gate.set()
    assert cache.get(ID(bytes([1]) * 32)) == bytes(10)
    cache._pool.shutdown(wait=True)
    assert len(cache._blobs) == 2
    cache.close()


def test_a_load_that_failed_is_tried_again() -> None:
    answers: list[bytes | Exception] = [FormatError("damaged"), b"good"]

    def load(_: ID) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    cache = BlobCache(load, 1)
    with pytest.raises(FormatError):
        cache.get(ID(bytes(32)))
    assert cache.get(ID(bytes(32))) == b"good"
    cache.close()


def test_reading_in_order_fetches_ahead() -> None:
    node, index, blobs, whole = make_file([40] * 10)
    asked: list[ID] = []

    def load(identifier: ID) -> bytes:
        asked.append(identifier)
        return blobs[identifier]

    cache = BlobCache(load, 2)
    reader = FileReader(node, index, cache)
    assert reader.read(0, 10) == whole[:10]
    cache._pool.shutdown(wait=True)
    assert len(asked) == 10
    cache.close()
