"""Makes a repository with thousands of hourly snapshots of one mail file that grows and changes, in seconds.

    python3 tools/make_history.py /tmp/history                       # 2,000 snapshots of 64 MiB
    python3 tools/make_history.py /tmp/history --snapshots 100 --size 8

The repository holds what that many hourly backups would have left: each stored its own packs and its own index file,
and the blobs of the file are the chunks that the chunker makes of it. They are found without cutting the whole file
each time. A chunk is cut by its own bytes alone, so those before the first changed byte stay, and so do those after the
first cut behind the change that falls on a cut of before. Beside the repository, FOLDER.json says of each version which
snapshot it is in, and its time, length and SHA-256. The same seed gives the same versions.
"""

import argparse
import base64
import bisect
import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from typing_extensions import Buffer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from pyrestic import __version__  # noqa: E402 - the checkout may not be installed
from pyrestic.backend.files import write_whole  # noqa: E402
from pyrestic.backend.local import LocalBackend  # noqa: E402
from pyrestic.engines import Engines  # noqa: E402
from pyrestic.format import snapshot as snapshots  # noqa: E402
from pyrestic.format.chunker import MAX_LENGTH, Chunker  # noqa: E402
from pyrestic.format.gojson import format_time  # noqa: E402
from pyrestic.format.keyfile import ScryptParams  # noqa: E402
from pyrestic.format.node import DIRECTORY, FILE, Node, mode_to_go  # noqa: E402
from pyrestic.format.snapshot import Snapshot  # noqa: E402
from pyrestic.format.tree import encode_tree  # noqa: E402
from pyrestic.handle import BlobType, FileType, Handle  # noqa: E402
from pyrestic.ids import ID  # noqa: E402
from pyrestic.operations.backup_progress import Tally  # noqa: E402
from pyrestic.repository.opening import find_engines  # noqa: E402
from pyrestic.repository.repository import Repository, RepositoryOptions  # noqa: E402

MIB = 1 << 20
SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
START_NS = 1_704_067_200 * SECOND_NS
"""2024-01-01, 00:00 UTC."""
POLYNOMIAL = 0x3DA3358B4DC173
FOLDER = "/home/ann/Mail"
LOCATION = FOLDER + "/inbox"
PASSWORD = "history"
_WINDOW = 2 * MIB
_BETWEEN = b"\n\nFrom someone"
_STATES = (b"O", b"RO", b"ROA")


class Edit(NamedTuple):
    """A change of the file: the new bytes are those from start to end, and what follows them has moved."""

    start: int
    end: int
    moved: int


@dataclass(frozen=True)
class Version:
    """The mail file as one snapshot has it."""

    snapshot: str
    time: str
    length: int
    sha256: str


class Mailbox:
    """A mailbox in one file. Each `step` appends messages; now and then one in the middle is marked or deleted."""

    def __init__(self, seed: int) -> None:
        self.data = bytearray()
        self._dice = random.Random(seed)
        self._text = _make_text(seed)
        self._noise = base64.encodebytes(np.random.default_rng(seed).bytes(4 * MIB))
        self._count = 0

    def step(self, length: int, *, changing: bool = True) -> Iterator[Edit]:
        """Make the next version, of about this length; what is done is told one by one, right after it was done."""
        die = self._dice.random()
        if changing and die < 0.12:
            yield from self._delete() if die < 0.03 else self._mark()
        start = len(self.data)
        self._fill(max(length, start + 1))
        yield Edit(start, len(self.data), len(self.data) - start)

    def _fill(self, length: int) -> None:
        while len(self.data) < length:
            self.data += self._message()

    def _message(self) -> bytes:
        dice = self._dice
        self._count += 1
        head = (
            f"From someone{dice.randrange(500)}@example.org {self._count}\nStatus: O\n"
            f"Message-ID: <{dice.getrandbits(64):016x}.{self._count}@example.org>\n"
            f"Subject: {dice.randrange(10_000)} things\n\n"
        )
        body = _slice(self._text, dice, dice.randrange(500, 12_000))
        if dice.random() < 0.1:
            body += b"\n" + _slice(self._noise, dice, dice.randrange(2_000, 40_000))
        return head.encode() + body + b"\n\n"

    def _somewhere(self) -> int:
        """Return a place in the file; recent messages are touched more often than old ones."""
        return int(len(self.data) * (1 - self._dice.random() ** 2) * 0.99)

    def _mark(self) -> Iterator[Edit]:
        start = self.data.find(b"\nStatus: ", self._somewhere()) + 9
        if start >= 9:
            end = self.data.index(b"\n", start)
            old = bytes(self.data[start:end])
            new = _STATES[(_STATES.index(old) + 1) % len(_STATES)]
            self.data[start:end] = new
            yield Edit(start, start + len(new), len(new) - len(old))

    def _delete(self) -> Iterator[Edit]:
        start = self.data.find(_BETWEEN, self._somewhere()) + 2
        end = self.data.find(_BETWEEN, start) + 2
        if start >= 2 and end >= 2:
            del self.data[start:end]
            yield Edit(start, start, start - end)


def _make_text(seed: int) -> bytes:
    """Return lines of words in the proportions of natural text."""
    source = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    words = ["".join(source.choice(letters, source.integers(2, 12))) for _ in range(20_000)]
    picks = np.minimum(source.zipf(1.2, 2_000_000) - 1, len(words) - 1).tolist()
    chosen = [words[pick] for pick in picks]
    return "\n".join(" ".join(chosen[start : start + 12]) for start in range(0, len(chosen), 12)).encode()


def _slice(pool: bytes, dice: random.Random, length: int) -> bytes:
    start = dice.randrange(len(pool) - length)
    return pool[start : start + length]


class ChunkList:
    """The chunks of a changing file, kept up to date: where each ends, and its blob once that is saved.

    Beside them the state of SHA-256 at the start of each chunk, so that the file's hash goes on from where it changed.
    """

    def __init__(self, chunker: Chunker, engines: Engines) -> None:
        self.ends: list[int] = []
        self.blobs: list[ID | None] = []
        self._chunker = chunker
        self._engines = engines
        self._hashes = [hashlib.sha256()]

    def update(self, data: bytearray, edit: Edit) -> None:
        """Cut again what an edit changed."""
        old, old_length = self.ends, len(data) - edit.moved
        # The last chunk ends with the file and not by its content: it goes on in what is appended.
        first = bisect.bisect_right(old[:-1] if edit.start == old_length else old, edit.start)
        again = {end + edit.moved: number for number, end in enumerate(old) if end + edit.moved >= edit.end}
        ends, same = old[:first], len(old)
        for end in self._cuts(data, old[first - 1] if first else 0):
            ends.append(end)
            if end in again:
                same = again[end] + 1
                break
        new = len(ends) - first
        self.ends = ends + [end + edit.moved for end in old[same:]]
        self.blobs[first:same] = [None] * new
        del self._hashes[first + 1 :]

    def unsaved(self) -> Iterator[tuple[int, int, int]]:
        """Iterate number, start and end of the chunks without a blob."""
        for number, blob in enumerate(self.blobs):
            if blob is None:
                yield number, self.ends[number - 1] if number else 0, self.ends[number]

    def sha256(self, data: bytearray) -> str:
        """Return the hash of the whole file."""
        known = len(self._hashes) - 1
        start = self.ends[known - 1] if known else 0
        with memoryview(data) as view:
            for end in self.ends[known:]:
                state = self._hashes[-1].copy()
                state.update(view[start:end])
                self._hashes.append(state)
                start = end
        return self._hashes[-1].hexdigest()

    def _cuts(self, data: bytearray, start: int) -> Iterator[int]:
        """Iterate the ends of the chunks from a place on where a chunk starts."""
        window = _WINDOW
        while start < len(data):
            piece = data[start : start + window]
            final = start + window >= len(data)
            found = self._chunker.cuts(piece, len(piece), final=final, engine=self._engines.chunker)
            yield from (start + end for end in found)
            start += found[-1] if found else 0
            window = _WINDOW if found else min(2 * window, MAX_LENGTH)


class QuickBackend(LocalBackend):
    """A folder whose files are not made to survive a loss of power while the history is made."""

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle."""
        write_whole(self._path(handle), data, handle, mode=0o400, durable=False)


class Historian:
    """Backs up the versions of the mailbox, each as a run of its own would."""

    def __init__(self, repository: Repository, seed: int) -> None:
        self._repository = repository
        self._saver = repository.saver
        self._chunks = ChunkList(Chunker(POLYNOMIAL), find_engines("", keep=False))
        self._parent: str | None = None
        dice = random.Random(seed)
        self._small = {
            name: "".join(dice.choices("etaoin shrdlu\n", k=dice.randrange(500, 5_000))).encode()
            for name in ("drafts", "filters", "notes", "signature", "templates")
        }

    def backup(self, mailbox: Mailbox, edits: Iterable[Edit], time_ns: int) -> Version:
        """Store the mailbox after the edits as the next snapshot."""
        for edit in edits:
            self._chunks.update(mailbox.data, edit)
        tally = Tally()
        self._save_chunks(mailbox.data, tally)
        tree = self._save_trees(len(mailbox.data), time_ns - 60 * SECOND_NS, tally)
        self._repository.flush()
        when = format_time(time_ns, 0)
        summary = tally.summary(when, format_time(time_ns + 3 * SECOND_NS, 0))
        snapshot = Snapshot(
            time=when,
            parent=self._parent,
            tree=tree,
            paths=[FOLDER],
            hostname="mailhost",
            username="ann",
            uid=os.getuid(),
            gid=os.getgid(),
            program_version=f"pyrestic {__version__}",
            summary=summary,
        )
        self._parent = self._repository.save_unpacked(FileType.SNAPSHOT, snapshots.encode(snapshot)).hex()
        return Version(self._parent, when, len(mailbox.data), self._chunks.sha256(mailbox.data))

    def _save_chunks(self, data: bytearray, tally: Tally) -> None:
        chunks = self._chunks
        # Slices are copies: the mailbox may not change its length while somebody looks at it.
        running = [
            (number, end - start, self._saver.submit(BlobType.DATA, data[start:end]))
            for number, start, end in chunks.unsaved()
        ]
        for number, length, future in running:
            saved = future.result()
            chunks.blobs[number] = saved.id
            tally.add_blob(saved, length, is_tree=False)

    def _save_trees(self, length: int, changed_ns: int, tally: Tally) -> str:
        """Save the mail's folder and those above it; return the ID of the uppermost tree."""
        above = FOLDER.strip("/").split("/")
        first = self._parent is None
        tally.files.update({"new": 6} if first else {"modified": 1, "unchanged": 5})
        tally.directories.update({"new": 3} if first else {"modified": 3})
        tally.total_bytes = length + sum(map(len, self._small.values()))
        nodes = [make_file_node("inbox", length, changed_ns, [blob for blob in self._chunks.blobs if blob is not None])]
        for name, content in self._small.items():
            saved = self._saver.save(BlobType.DATA, content)
            tally.add_blob(saved, len(content), is_tree=False)
            nodes.append(make_file_node(name, len(content), START_NS - HOUR_NS, [saved.id]))
        nodes.sort(key=lambda node: node.name)
        while True:
            data = encode_tree(nodes)
            saved = self._saver.save(BlobType.TREE, data)
            tally.add_blob(saved, len(data), is_tree=True)
            if not above:
                return saved.id.hex()
            nodes = [make_node(above.pop(), DIRECTORY, 0o40755, START_NS, saved.id.hex())]


def make_file_node(name: str, length: int, time_ns: int, blobs: list[ID]) -> Node:
    """Return the node of a file of `length` bytes made of these blobs."""
    node = make_node(name, FILE, 0o100600, time_ns)
    node.size, node.links, node.content = length, 1, [blob.hex() for blob in blobs]
    return node


def make_node(name: str, kind: str, mode: int, time_ns: int, subtree: str | None = None) -> Node:
    """Return the node of a file or folder that belongs to whoever runs this."""
    when = format_time(time_ns, 0)
    return Node(
        name=name,
        type=kind,
        mode=mode_to_go(mode),
        mtime=when,
        atime=when,
        ctime=when,
        uid=os.getuid(),
        gid=os.getgid(),
        user="ann",
        group="ann",
        inode=1000 + sum(name.encode()),
        device_id=2049,
        subtree=subtree,
    )


def make_history(
    folder: Path,
    *,
    count: int = 2000,
    length: int = 64 * MIB,
    seed: int = 1,
    password: str = PASSWORD,
    params: ScryptParams | None = ScryptParams(2, 8, 1),  # noqa: B008 - it cannot be changed
    on_version: Callable[[int], None] = lambda _: None,
) -> list[Version]:
    """Make the repository, the newest version being about `length` bytes long; return the versions, oldest first.

    The first version has three quarters of that length. `params` say what the key of the password costs, by default
    next to no time, None for what is usual.
    """
    created = format_time(START_NS, 0)
    repository = Repository.create(
        QuickBackend(str(folder)),
        password,
        polynomial=POLYNOMIAL,
        hostname="mailhost",
        username="ann",
        created=created,
        params=params,
        # What is saved here is checked by whoever reads it.
        options=RepositoryOptions(no_extra_verify=True),
    )
    try:
        return list(_make_versions(repository, count, length, seed, on_version))
    finally:
        repository.close()


def _make_versions(
    repository: Repository, count: int, length: int, seed: int, on_version: Callable[[int], None]
) -> Iterator[Version]:
    historian = Historian(repository, seed)
    mailbox = Mailbox(seed)
    first = length * 3 // 4
    for number in range(count):
        wanted = first + (length - first) * number // max(1, count - 1)
        edits = mailbox.step(wanted, changing=number > 0)
        yield historian.backup(mailbox, edits, START_NS + (number + 1) * HOUR_NS)
        on_version(number + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to make the repository; its password is " + PASSWORD)
    parser.add_argument("--snapshots", type=int, default=2000)
    parser.add_argument("--size", type=float, default=64, help="MiB of the newest version")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    versions = make_history(
        options.folder,
        count=options.snapshots,
        length=round(options.size * MIB),
        seed=options.seed,
        on_version=lambda number: None if number % 100 else print(f"{number} snapshots", flush=True),
    )
    manifest = options.folder.with_name(options.folder.name + ".json")
    document = {"seed": options.seed, "location": LOCATION, "versions": [asdict(version) for version in versions]}
    manifest.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{len(versions)} snapshots in {time.monotonic() - started:.1f} s; the versions are in {manifest}")


if __name__ == "__main__":
    main()
