"""Blobs stored again: with an engine or without, known ones only where that is wanted, all of them counted."""

from collections.abc import Callable

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import hash_id
from pyrestic.native.blob_batch import BlobCode
from pyrestic.operations.resave import Resaver
from pyrestic.report import NullReporter
from pyrestic.repository.batch_decoder import Batch
from pyrestic.repository.index import PackedBlob
from pyrestic.repository.repository import Repository
from tests.support.engines import GivenEngines, blob_code
from tests.support.repositories import PASSWORD, make_repository, open_again

BLOBS = [(BlobType.TREE if number % 5 == 0 else BlobType.DATA, b"%d " % number * 400) for number in range(2500)]
LONG = (BlobType.DATA, b"long" * 900_000)


def resave(repository: Repository, *, duplicate: bool) -> int:
    """Store all blobs as a loader delivers them; return how many were counted."""
    data, pieces = bytearray(), []
    for blob_type, plain in [*BLOBS, LONG]:
        place = PackedBlob(blob_type, hash_id(plain), bytes(32), 0, 0, len(plain))
        pieces.append((place, len(data), len(data) + len(plain)))
        data += plain
    resaver = Resaver(repository.saver, "stored", duplicate=duplicate)
    count = resaver.save(Batch(memoryview(data), pieces))
    more = PackedBlob(BlobType.DATA, hash_id(b"one more"), bytes(32), 0, 0, 8)
    count += resaver.save(Batch(memoryview(b"one more"), [(more, 0, 8)]))
    repository.flush()
    return count


@pytest.mark.slow
@pytest.mark.parametrize("find_code", [blob_code, lambda: None], ids=["engine", "none"])
def test_blobs_are_stored_once_or_again(find_code: Callable[[], BlobCode | None]) -> None:
    backend = MemoryBackend()
    make_repository(backend).close()
    count = len(BLOBS) + 2
    for duplicate, copies in ((False, 1), (False, 1), (True, 2)):
        repository = Repository.open(backend, PASSWORD, engines=GivenEngines(blobs=find_code))
        assert (repository.codec.engine is None) is (find_code is not blob_code)
        repository.load_index(NullReporter())
        assert resave(repository, duplicate=duplicate) == count
        assert sum(1 for _ in repository.index.blobs()) == copies * count
        repository.close()
    again = open_again(repository)
    for blob_type, plain in [BLOBS[0], BLOBS[2499], LONG]:
        assert again.load_blob(BlobHandle(blob_type, hash_id(plain))) == plain
