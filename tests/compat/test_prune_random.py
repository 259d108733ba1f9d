"""Plans for repositories of every shape, beside the real restic: small packs, mixed packs, blobs in several packs."""

import random
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.format import index_file
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.index_file import IndexPack
from pyrestic.format.node import Node
from pyrestic.format.pack import HeaderEntry, encode_header, encode_trailer
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType, FileType, Handle
from pyrestic.ids import ID, hash_id
from pyrestic.repository.repository import Repository
from tests.compat.test_prune import blobs, counts, numbers
from tests.support.cli import Caller
from tests.support.prunable import used_blobs
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program

pytestmark = pytest.mark.restic

Blob = tuple[BlobType, bytes]

FLAGS = [
    "",
    "--max-unused 0 --repack-smaller-than 30k",
    "--max-unused 7% --repack-smaller-than 60000",
    "--max-unused 20% --repack-smaller-than 1",
    "--max-unused 100k --repack-smaller-than 50k",
    "--max-unused unlimited --repack-smaller-than 40k --repack-uncompressed",
    "--repack-cacheable-only --repack-smaller-than 90k",
]


def write_pack(repository: Repository, contents: list[Blob], *, compress: bool) -> IndexPack:
    """Store a pack of these blobs as they are, of whatever types."""
    sealed, entries, offset = [], [], 0
    for kind, content in contents:
        payload, compressed = repository.codec.pack_payload(kind, content) if compress else (content, False)
        sealed.append(repository.codec.seal(payload))
        plain_length = len(content) if compressed else None
        entries.append(HeaderEntry(kind, hash_id(content), offset, len(sealed[-1]), plain_length))
        offset += len(sealed[-1])
    header = repository.codec.seal(encode_header(entries))
    data = b"".join([*sealed, header, encode_trailer(len(header))])
    repository.backend.save(Handle(FileType.PACK, hash_id(data).hex()), data)
    return IndexPack(hash_id(data), entries)


def make(folder: Path, seed: int, *, doubled: bool) -> None:
    """Fill a repository with packs by chance; some index files name the same pack."""
    dice = random.Random(seed)
    repository = Repository.open(LocalBackend(str(folder)), PASSWORD)
    contents = [dice.randbytes(dice.randrange(1000, 20_000)) for _ in range(dice.randrange(20, 120))]
    trees = []
    for number in range(dice.randrange(1, 6)):
        names = [hash_id(content).hex() for content in dice.sample(contents, len(contents) // 5)]
        trees.append(encode_tree([Node(name=f"file {number}", type="file", mode=0o644, content=names)]))
    all_blobs: list[Blob] = [(BlobType.DATA, content) for content in contents]
    all_blobs += [(BlobType.TREE, tree) for tree in trees]
    dice.shuffle(all_blobs)
    if not seed % 3:
        all_blobs.sort(key=lambda blob: blob[0])
    if doubled:
        all_blobs += dice.sample(all_blobs, len(all_blobs) // 4)
    packs = []
    while all_blobs:
        count = dice.randrange(1, 9)
        part, all_blobs = dict.fromkeys(all_blobs[:count]), all_blobs[count:]
        packs.append(write_pack(repository, list(part), compress=dice.random() < 0.7))
    for start in range(0, len(packs), 5):
        repository.save_unpacked(FileType.INDEX, index_file.encode(packs[max(0, start - seed % 2) : start + 5]))
    for number, tree in enumerate(dice.sample(trees, len(trees) // 2 + 1)):
        root: ID = hash_id(tree)
        snapshot = Snapshot(time=f"2024-01-01T00:00:0{number}Z", tree=root.hex(), paths=["/"], hostname="h")
        repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    repository.close()


@pytest.mark.parametrize("doubled", [False, True], ids=["once", "doubled"])
@pytest.mark.parametrize("seed", range(8))
def test_a_plan_for_any_packs_has_the_same_numbers_and_its_execution_loses_nothing(
    seed: int, doubled: bool, newest: Program, tmp_path: Path
) -> None:
    repository = make_quick_repository(tmp_path / "repository")
    make(repository, seed, doubled=doubled)
    used = used_blobs(repository)
    call = Caller(tmp_path)

    def ours(*arguments: str) -> str:
        outcome = call(*arguments, RESTIC_REPOSITORY=str(repository), RESTIC_PASSWORD=PASSWORD)
        assert outcome.code == 0, outcome.err
        return outcome.out

    for flags in FLAGS:
        arguments = ["prune", "-n", "-v", *flags.split()]
        theirs, found = (
            numbers(text) for text in (newest.run(*arguments, repository=repository).text, ours(*arguments))
        )
        if doubled:
            # Which of several copies, perhaps of other lengths, counts as used is chance in restic.
            theirs, found = counts(theirs)[:3], counts(found)[:3]
        assert found == theirs, flags
    ours("prune", *FLAGS[seed % len(FLAGS)].split())
    newest.run("check", "--read-data", repository=repository)
    assert used_blobs(repository) == used
    ours("prune", "--max-unused", "0")
    newest.run("check", "--read-data", repository=repository)
    assert used_blobs(repository) == used
    assert blobs(newest, repository) == {name[1:5] + " " + name[-64:] for name in used}
