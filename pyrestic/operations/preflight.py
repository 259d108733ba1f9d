"""Preflight: the plan of a restore, with all writes, requests and missing data, before it writes a byte.

One walk through the trees collects the same files in the same batches as the restore does, and plans the same requests,
so the numbers match the restore, with two exceptions. An existing file of the same length and time counts as present,
while the restore may compare its content; and the restore keeps intact blobs of other existing files, so it may fetch
less. Then each required pack is checked in the backend (see StoredLengths).
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pyrestic.backend.metering import Sums
from pyrestic.errors import DamageError, LocalFileError, PyresticError
from pyrestic.format.node import DIRECTORY, FILE, SOCKET, Node
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID
from pyrestic.localfs.free_space import Space, Spaces
from pyrestic.localfs.restore_metadata import CAPABILITY, DEVICES, SET_ID
from pyrestic.localfs.select import Select
from pyrestic.localfs.write import TargetWriter
from pyrestic.operations.cost import Prices, full_price
from pyrestic.operations.existing import Existing, Overwrite, looks_the_same
from pyrestic.operations.restore_files import BATCH_BLOBS, BATCH_FILES, FilePlan, make_plan
from pyrestic.repository.bulk_lookup import Fetch, find_places, plan_fetch
from pyrestic.repository.loader import plan_places
from pyrestic.repository.pack_lengths import StoredLengths, indexed_lengths
from pyrestic.repository.repository import Repository
from pyrestic.repository.trail import check_depth
from pyrestic.repository.tree_walk import walk
from pyrestic.units import format_bytes

MAX_NAMED = 10_000
"""Number of failed files that are named; all are counted."""


class WrongPack(NamedTuple):
    """A pack whose length differs from the index, in bytes; `length` is None if it is missing."""

    pack: ID
    length: int | None
    indexed_length: int


class Lost(NamedTuple):
    """A file, or a folder with unknown content, and the reason."""

    location: bytes
    error: PyresticError


@dataclass(slots=True)
class RestorePlan:
    """The plan of a restore. Lengths are in bytes; `others` are folders, links, devices and pipes."""

    files: int = 0
    others: int = 0
    bytes_to_write: int = 0
    files_there: int = 0
    bytes_there: int = 0
    spaces: list[Space] = field(default_factory=list)
    """The file systems to be written to, the target's first; they need space for the growth of files."""
    devices: int = 0
    set_id_files: int = 0
    capability_files: int = 0
    """Devices, files with set-user-ID or set-group-ID bits, files with capabilities, including omitted ones."""
    packs: int = 0
    requests: int = 0
    bytes_to_fetch: int = 0
    asked: Sums = field(default_factory=Sums)
    """Requests of the preflight itself to learn the lengths of packs."""
    pack_ids: frozenset[ID] = field(default=frozenset(), repr=False)
    wrong_packs: list[WrongPack] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    """Files and folders that cannot be fully restored, MAX_NAMED at most."""
    lost_count: int = 0

    @property
    def whole(self) -> bool:
        """Whether all required data is present."""
        return not (self.wrong_packs or self.lost_count)

    @property
    def rights(self) -> list[str]:
        """The entries that grant privileges, by kind with their number."""
        kinds = (
            (self.devices, "devices"),
            (self.set_id_files, "files with set-user-ID or set-group-ID bits"),
            (self.capability_files, "files with capabilities"),
        )
        return [f"{count} {kind}" for count, kind in kinds if count]

    @property
    def space_bytes(self) -> int:
        """Growth of the files to be written."""
        return sum(space.needed_bytes for space in self.spaces)

    @property
    def free_bytes(self) -> int | None:
        """Free space on the target itself, None if unknown."""
        return self.spaces[0].free_bytes if self.spaces else None

    @property
    def fits(self) -> bool:
        """Whether there is enough free space on each file system, as far as known."""
        return all(space.fits for space in self.spaces)

    def measure_space(self) -> None:
        """Query the free space of the file systems again."""
        for space in self.spaces:
            space.measure()

    def check_space(self) -> None:
        """Raise LocalFileError if there is too little free space on a file system."""
        for space in self.spaces:
            if not space.fits:
                raise LocalFileError(
                    f"{os.fsdecode(space.path)} has room for {format_bytes(space.free_bytes or 0)}, and"
                    f" {format_bytes(space.needed_bytes)} are needed: nothing was restored",
                    hint="Choose another target or fewer files, or continue anyway with --ignore-free-space.",
                )

    def check_whole(self) -> None:
        """Raise DamageError if data is missing; a real run restores the rest and fails at the end, as restic's."""
        if not self.whole:
            raise DamageError(
                f"{self.lost_count} files or folders cannot be restored, {len(self.wrong_packs)} packs are missing or"
                " have the wrong length",
                hint="Everything else can be restored. Run `check` for repair instructions.",
            )

    @property
    def has_work(self) -> bool:
        """Whether anything is selected that the target lacks, or that cannot be read."""
        return bool(self.files or self.others or self.files_there or self.lost_count)

    @property
    def usage(self) -> Sums:
        """Billed usage of the restore, if packs are billed."""
        return Sums(class_b=self.requests, downloaded_bytes=self.bytes_to_fetch)


def make_restore_plan(
    repository: Repository,
    tree: ID,
    writer: TargetWriter,
    overwrite: Overwrite,
    *,
    select: Select | None = None,
    prices: Prices | None = None,
    load: Callable[[ID], list[Node]] | None = None,
) -> RestorePlan:
    """Return the plan of a restore of what is selected below a tree; nothing is written.

    `load` loads trees, see walk. Raises PyresticError when the tree itself cannot be read, when the place cannot be
    asked, or when something else than a folder stands where the target should be.
    """
    prices = prices or Prices()
    single, listing = full_price(Sums(class_b=1), prices), full_price(Sums(class_c=1), prices)
    stored = StoredLengths(repository, listing / single if single else 10.0)
    preflight = _Preflight(repository, writer, overwrite, select, stored, load)
    writer.open(create=False)
    try:
        preflight.collect(tree)
        preflight.check_packs(tree)
    finally:
        writer.close()
    preflight.plan.asked = Sums(class_b=stored.asked, class_c=stored.listed_calls)
    return preflight.plan


class _Wanted(NamedTuple):
    """A file to write, and the space that it already occupies, in bytes."""

    location: bytes
    node: Node
    kept: int
    space: Space


class _Preflight:
    """Creates one plan."""

    def __init__(
        self,
        repository: Repository,
        writer: TargetWriter,
        overwrite: Overwrite,
        select: Select | None,
        stored: StoredLengths,
        load: Callable[[ID], list[Node]] | None,
    ) -> None:
        self.plan = RestorePlan()
        self._repository = repository
        self._writer = writer
        self._existing = Existing(writer, overwrite)
        self._spaces = Spaces(writer.root)
        self._select = select
        self._stored = stored
        self._load = load
        self._packs: set[ID] = set()
        self._batch: list[_Wanted] = []
        self._batch_blobs = 0

    def collect(self, tree: ID) -> None:
        """Add all files, and plan their requests."""
        for location, node, has_content in self._nodes(tree, self._lose):
            self._count_privileged(node)
            if not has_content:
                self.plan.others += 1
                continue
            try:
                kept = self._find_kept(location, node)
            except PyresticError as error:
                self._lose(location, error)
                continue
            if kept is None:
                self.plan.files_there += 1
                self.plan.bytes_there += node.size
                continue
            self._batch.append(_Wanted(location, node, kept, self._spaces.here))
            self._batch_blobs += len(node.content or ())
            if len(self._batch) >= BATCH_FILES or self._batch_blobs >= BATCH_BLOBS:
                self._plan_batch()
        self._plan_batch()
        self.plan.packs = len(self._packs)
        self.plan.pack_ids = frozenset(self._packs)
        self.plan.spaces = self._spaces.used()

    def check_packs(self, tree: ID) -> None:
        """Compare the required packs with the stored ones; name the files that need missing data."""
        indexed = indexed_lengths(self._repository.index)
        stored = self._stored.find(self._packs)
        wrong = sorted(pack for pack, length in stored.items() if length != indexed[pack])
        self.plan.wrong_packs = [WrongPack(pack, stored[pack], indexed[pack]) for pack in wrong]
        if wrong:
            self._name_lost_files(tree)

    def _name_lost_files(self, tree: ID) -> None:
        for location, node, has_content in self._nodes(tree, lambda _, __: None):
            if not has_content:
                continue
            try:
                if self._find_kept(location, node) is None:
                    continue
                blobs = make_plan(self._repository, location, node).blobs
            except PyresticError:
                # It has already been named.
                continue
            lost = next((handle for handle in blobs if not self._is_stored(handle)), None)
            if lost is not None:
                self._lose(location, DamageError(f"the pack of blob {lost} is missing or too short"))

    def _is_stored(self, handle: BlobHandle) -> bool:
        """Tell whether some copy of a blob lies within the stored length of its pack."""
        places = self._repository.index.find_all(handle)
        stored = self._stored.find({place.pack for place in places})
        return any(place.offset + place.length <= (stored[place.pack] or 0) for place in places)

    def _plan_batch(self) -> None:
        batch, self._batch, self._batch_blobs = self._batch, [], 0
        try:
            identifiers = bytes.fromhex("".join(text for wanted in batch for text in wanted.node.content or ()))
        except ValueError:
            fetch = None
        else:
            fetch = plan_fetch(self._repository.index, BlobType.DATA, identifiers)
        if fetch is None:
            fetch = self._plan_one_by_one(batch)
        else:
            for wanted in batch:
                self._count(wanted, wanted.node.size)
        self._packs |= fetch.packs
        self.plan.requests += fetch.requests
        self.plan.bytes_to_fetch += fetch.length

    def _plan_one_by_one(self, batch: list[_Wanted]) -> Fetch:
        """Plan files with unknown blobs or blobs in several packs."""
        files: list[FilePlan] = []
        for wanted in batch:
            try:
                file = make_plan(self._repository, wanted.location, wanted.node)
            except PyresticError as error:
                self._lose(wanted.location, error)
                continue
            self._count(wanted, file.length)
            files.append(file)
        blobs = list(dict.fromkeys(handle.id for file in files for handle in file.blobs))
        places = find_places(self._repository.index, BlobType.DATA, blobs)
        ranges = plan_places([place for place in places if place is not None])
        return Fetch({each.pack for each in ranges}, len(ranges), sum(each.length for each in ranges))

    def _count(self, wanted: _Wanted, length: int) -> None:
        self.plan.files += 1
        self.plan.bytes_to_write += length
        wanted.space.needed_bytes += max(0, length - wanted.kept)

    def _count_privileged(self, node: Node) -> None:
        self.plan.devices += node.type in DEVICES
        if node.type == FILE:
            self.plan.set_id_files += bool(node.st_mode & SET_ID)
            self.plan.capability_files += any(each.name == CAPABILITY for each in node.extended_attributes or ())

    def _nodes(self, tree: ID, on_error: Callable[[bytes, PyresticError], None]) -> Iterator[tuple[bytes, Node, bool]]:
        """Iterate the entries to restore, and whether each is a file that needs content, not another link to one."""
        enter = True
        first_links: set[tuple[int, int]] = set()
        visits = walk(
            self._repository, tree, load=self._load, enter=lambda _, __: enter, on_error=on_error, leaving=True
        )
        for location, node, leaving in visits:
            if leaving:
                self._existing.forget(location)
                self._spaces.leave(location)
                continue
            selected = enter = True
            if self._select is not None:
                selected, enter = self._select(location, node.type == DIRECTORY)
            if enter and node.type == DIRECTORY:
                try:
                    check_depth(location, "restored")
                except PyresticError as error:
                    on_error(location, error)
                    enter = False
                    continue
                self._enter(location)
            if not selected or node.type == SOCKET:
                continue
            has_content = node.type == FILE
            if has_content and node.links > 1:
                key = (node.inode, node.device_id)
                has_content = key not in first_links
                first_links.add(key)
            yield location, node, has_content

    def _enter(self, location: bytes) -> None:
        try:
            status = self._existing.status(location)
        except PyresticError:
            status = None
        self._spaces.enter(location, self._writer.path(location), status)

    def _find_kept(self, location: bytes, node: Node) -> int | None:
        """Return the space that a file to write already occupies, None if it exists and stays."""
        status = self._existing.status(location)
        if status is None:
            return 0
        if not self._existing.may_overwrite(location, node) or looks_the_same(status, node, node.size):
            return None
        # A file with several links is replaced by a new one, and one with holes occupies less than its length.
        return min(status.st_size, status.st_blocks * 512) if status.st_nlink == 1 else 0

    def _lose(self, location: bytes, error: PyresticError) -> None:
        self.plan.lost_count += 1
        if len(self.plan.lost) < MAX_NAMED:
            self.plan.lost.append(Lost(location, error))
