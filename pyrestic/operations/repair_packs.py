"""Repair packs: stores the intact blobs of damaged packs again, and removes the packs.

New packs are stored before their index, then the index is rewritten without the old ones, and these are removed last.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pyrestic.errors import BackendError, NotFoundError, UsageError
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import BlobHandle, FileType, Handle
from pyrestic.ids import ID, ID_LENGTH, parse_id
from pyrestic.localfs.copies import keep_copy
from pyrestic.operations.removal import remove_files
from pyrestic.operations.repair_index import read_header
from pyrestic.operations.resave import Resaver
from pyrestic.operations.rewrite_index import rewrite_index
from pyrestic.report import Progress, Reporter
from pyrestic.repository.batch_decoder import Batch
from pyrestic.repository.index import PackedBlob
from pyrestic.repository.loader import split_ranges
from pyrestic.repository.repository import Repository


@dataclass(slots=True)
class PacksRepair:
    """The blobs of the packs that were stored again, and the lost ones."""

    saved: list[BlobHandle] = field(default_factory=list)
    lost: list[BlobHandle] = field(default_factory=list)
    kept: list[ID] = field(default_factory=list)
    """Packs that could not be removed: the next prune removes them."""

    def ensure_all_removed(self) -> None:
        """Raise BackendError if packs could not be removed."""
        if self.kept:
            raise BackendError(f"{len(self.kept)} packs could not be removed", hint="The next prune removes them.")


def parse_packs(texts: Sequence[str]) -> list[ID]:
    """Return the IDs of packs in order, each once; raise UsageError for an invalid ID, or if there are none."""
    packs = sorted({_parse_id(text) for text in texts})
    if not packs:
        raise UsageError("no ids specified")
    return packs


def _parse_id(text: str) -> ID:
    if len(text.encode("utf-8", "surrogateescape")) != 2 * ID_LENGTH:
        raise UsageError(f'invalid length for ID: "{text}"')
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise UsageError(f"invalid ID: {text} is not in hex") from error


def keep_pack(repository: Repository, pack: ID, folder: str, tell: Callable[[str], None]) -> str:
    """Copy a pack to a folder ("" for the working folder) and return the file's name, "" if the pack is gone.

    `tell` takes a line about one that is gone and will be left out of the index. Raises NotFoundError for one that the
    index does not name either, LocalFileError, BackendError.
    """
    try:
        data = repository.backend.load(Handle(FileType.PACK, pack.hex()))
    except NotFoundError as error:
        if pack not in repository.index.packs():
            raise NotFoundError(
                f"pack {pack.hex()} is neither stored nor named in the index",
                hint="An interrupted repair may have handled it; leave it out.",
            ) from error
        tell(f"pack {pack.hex()} is gone and will be removed from the index")
        return ""
    return keep_copy(os.path.join(folder, f"pack-{pack.hex()}"), data)


def repair_packs(
    repository: Repository, packs: Iterable[ID], report: Reporter, ensure_locked: Callable[[], None]
) -> PacksRepair:
    """Salvage the intact blobs of the packs and remove them; the index must be loaded.

    Missing packs are dropped from the index. Raises PyresticError, BackendError before anything is removed if a pack
    that may be intact cannot be read.
    """
    wanted = set(packs)
    result = PacksRepair()
    report.note("salvaging intact data from specified pack files")
    progress = Progress("pack files", "packs", len(wanted))
    with report.show(progress):
        headers = _read_headers(repository, wanted)
        named = {pack: entries for pack, entries in repository.index.by_pack() if pack in wanted}
        try:
            for pack in sorted(wanted):
                _salvage(repository, pack, named.get(pack, []), headers.get(pack), result, report)
                progress.done += 1
            repository.flush()
        except BaseException:
            repository.saver.abort()
            raise
    rewrite_index(repository, wanted, report, ensure_locked)
    report.note("removing salvaged pack files")
    ensure_locked()
    result.kept = remove_files(repository, FileType.PACK, wanted, report)
    return result


def _read_headers(repository: Repository, wanted: set[ID]) -> dict[ID, list[HeaderEntry]]:
    found = {}
    for info in repository.list_files(FileType.PACK):
        pack = parse_id(info.name)
        entries = read_header(repository, pack, info.length) if pack in wanted else None
        if entries is not None:
            found[pack] = entries
    return found


def _salvage(
    repository: Repository,
    pack: ID,
    named: list[HeaderEntry],
    held: list[HeaderEntry] | None,
    result: PacksRepair,
    report: Reporter,
) -> None:
    """Store the blobs of the pack from the index, then those from its header."""
    _store(repository, pack, named, result, report)
    if held is not None and sorted(held) != sorted(named):
        report.note(f"repairing incomplete index entry for pack {pack.hex()}", 0)
        saved = set(result.saved)
        _store(repository, pack, [entry for entry in held if (entry.type, entry.id) not in saved], result, report)
    if not named and not held:
        report.note(f"no blobs found for pack {pack.hex()}", 0)


def _store(repository: Repository, pack: ID, entries: list[HeaderEntry], result: PacksRepair, report: Reporter) -> None:
    resaver = Resaver(repository.saver, "repaired", duplicate=True, many=False)

    def store(batch: Batch) -> Batch:
        resaver.save(batch._replace(failed=()))
        return batch._replace(data=memoryview(b""))

    blobs = [
        PackedBlob(entry.type, entry.id, pack, entry.offset, entry.length, entry.plain_length)
        for entry in sorted(entries, key=lambda entry: entry.offset)
    ]
    for batch in repository.loader.load_many(split_ranges(blobs), store):
        result.saved += [blob.handle for blob, _, _ in batch.blobs]
        for handle, error in batch.failed:
            if isinstance(error, BackendError) and not isinstance(error, NotFoundError):
                # Nobody knows what the pack holds there, so it must not go.
                raise error
            report.note(f"failed to load blob {handle.id.hex()}: {error}", 0)
            result.lost.append(handle)
