"""Makes a repository of millions of blobs, thousands of packs or thousands of snapshots, in seconds.

    python3 tools/make_scale.py /tmp/scale --named 1000000                  # a large index
    python3 tools/make_scale.py /tmp/scale --stored 20000 --snapshots 2000  # small packs that are there

Two kinds of blobs. Those that are `named` stand in index files alone, as blobs of packs that do not exist: enough to
measure what an index costs, and made at a million in three seconds. Those that are `stored` lie in packs and belong to
the files of snapshots, so that every command works on them, and without named ones `check` finds nothing wrong. The
same seed gives the same blobs.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from pyrestic import __version__  # noqa: E402 - the checkout may not be installed
from pyrestic.format import index_file  # noqa: E402
from pyrestic.format import snapshot as snapshots  # noqa: E402
from pyrestic.format.gojson import format_time  # noqa: E402
from pyrestic.format.index_file import IndexPack  # noqa: E402
from pyrestic.format.keyfile import ScryptParams  # noqa: E402
from pyrestic.format.node import DIRECTORY  # noqa: E402
from pyrestic.format.pack import HeaderEntry  # noqa: E402
from pyrestic.format.snapshot import Snapshot  # noqa: E402
from pyrestic.format.tree import encode_tree  # noqa: E402
from pyrestic.handle import BlobType, FileType  # noqa: E402
from pyrestic.ids import ID  # noqa: E402
from pyrestic.repository.repository import Repository, RepositoryOptions  # noqa: E402
from pyrestic.repository.saver import INDEX_BLOBS  # noqa: E402
from tools.make_history import HOUR_NS, POLYNOMIAL, START_NS, QuickBackend, make_file_node, make_node  # noqa: E402

PASSWORD = "scale"
FOLDER = "/srv/data"
_BLOBS_IN_PACK = 200
_FILE_BLOBS = 10


class Scale(NamedTuple):
    """What was made: a stored data blob and its content, and the snapshots, oldest first."""

    blob: ID
    content: bytes
    snapshots: list[ID]


def make_scale(
    folder: Path,
    *,
    named: int = 0,
    stored: int = 1,
    snapshot_count: int = 1,
    pack_length: int = 1 << 16,
    seed: int = 1,
    password: str = PASSWORD,
    params: ScryptParams | None = None,
) -> Scale:
    """Make the repository; `stored` blobs are shared out to the snapshots, at least one each.

    `pack_length` in bytes is that of stored packs. `params` say what the key costs, None for what is usual.
    """
    repository = Repository.create(
        QuickBackend(str(folder)),
        password,
        polynomial=POLYNOMIAL,
        hostname="scalehost",
        username="ann",
        created=format_time(START_NS, 0),
        params=params,
        # What is saved here is checked by whoever reads it.
        options=RepositoryOptions(no_extra_verify=True, pack_length=pack_length),
    )
    try:
        with ThreadPoolExecutor(os.cpu_count() or 1, "index") as pool:
            list(pool.map(lambda packs: _save_index(repository, packs), _name_packs(named, seed)))
        return _store_snapshots(repository, max(stored, snapshot_count), snapshot_count, seed)
    finally:
        repository.close()


def _name_packs(count: int, seed: int) -> Iterator[list[IndexPack]]:
    """Iterate the contents of index files that name `count` data and tree blobs in packs of 200."""
    dice = random.Random(seed)
    while count > 0:
        packs = []
        for _ in range(-(-min(INDEX_BLOBS, count) // _BLOBS_IN_PACK)):
            blobs = min(_BLOBS_IN_PACK, count)
            count -= blobs
            packs.append(IndexPack(dice.randbytes(32), _name_blobs(dice, blobs)))
        yield packs


def _name_blobs(dice: random.Random, count: int) -> list[HeaderEntry]:
    kind = BlobType.TREE if dice.random() < 0.1 else BlobType.DATA
    ids, offset = dice.randbytes(32 * count), 0
    blobs: list[HeaderEntry] = []
    for row in range(count):
        plain_length = dice.randrange(1000, 160_000)
        length = plain_length // 2 + 32
        blobs.append(HeaderEntry(kind, ids[32 * row : 32 * row + 32], offset, length, plain_length))
        offset += length
    return blobs


def _save_index(repository: Repository, packs: list[IndexPack]) -> None:
    repository.save_unpacked(FileType.INDEX, index_file.encode(packs))


def _store_snapshots(repository: Repository, stored: int, count: int, seed: int) -> Scale:
    dice = random.Random(seed)
    trees: list[str] = []
    first: tuple[ID, bytes] = (b"", b"")
    for number in range(count):
        blobs: list[tuple[ID, int]] = []
        # The remainder goes to the last ones.
        for _ in range(stored // count + (number >= count - stored % count)):
            data = b"%d %d " % (number, len(blobs)) + dice.randbytes(dice.randrange(50, 500))
            blobs.append((repository.saver.save(BlobType.DATA, data).id, len(data)))
            first = first if first[0] else (blobs[0][0], data)
        trees.append(_save_trees(repository, blobs, number))
    repository.flush()
    made: list[ID] = []
    for number, tree in enumerate(trees):
        made.append(_save_snapshot(repository, tree, number, made[-1].hex() if made else None))
    return Scale(*first, made)


def _save_trees(repository: Repository, blobs: list[tuple[ID, int]], number: int) -> str:
    """Save files of ten blobs each in one folder, and the folders above; return the ID of the root tree."""
    nodes = []
    for start in range(0, len(blobs), _FILE_BLOBS):
        ids, lengths = zip(*blobs[start : start + _FILE_BLOBS], strict=True)
        nodes.append(make_file_node(f"file-{start:09}", sum(lengths), START_NS + number * HOUR_NS, list(ids)))
    above = FOLDER.strip("/").split("/")
    while True:
        tree = repository.saver.save(BlobType.TREE, encode_tree(nodes)).id.hex()
        if not above:
            return tree
        nodes = [make_node(above.pop(), DIRECTORY, 0o40755, START_NS, tree)]


def _save_snapshot(repository: Repository, tree: str, number: int, parent: str | None) -> ID:
    snapshot = Snapshot(
        time=format_time(START_NS + number * HOUR_NS, 0),
        parent=parent,
        tree=tree,
        paths=[FOLDER],
        hostname="scalehost",
        username="ann",
        uid=os.getuid(),
        gid=os.getgid(),
        program_version=f"pyrestic {__version__}",
    )
    return repository.save_unpacked(FileType.SNAPSHOT, snapshots.encode(snapshot))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to make the repository; its password is " + PASSWORD)
    parser.add_argument("--named", type=int, default=0, help="blobs that stand in index files alone")
    parser.add_argument("--stored", type=int, default=1, help="blobs that are there")
    parser.add_argument("--snapshots", type=int, default=1)
    parser.add_argument("--pack-size", type=float, default=64, help="KiB of stored packs")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    made = make_scale(
        options.folder,
        named=options.named,
        stored=options.stored,
        snapshot_count=options.snapshots,
        pack_length=round(options.pack_size * 1024),
        seed=options.seed,
    )
    print(f"made in {time.monotonic() - started:.1f} s; a data blob: {made.blob.hex()}")


if __name__ == "__main__":
    main()
