"""Rewrites the index without some packs: new files first, then the old ones are removed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from pyrestic.format import index_file
from pyrestic.format.index_file import IndexPack
from pyrestic.format.pack import MAX_ENTRIES
from pyrestic.handle import FileType
from pyrestic.ids import ID
from pyrestic.operations.removal import remove_files
from pyrestic.report import Progress, Reporter
from pyrestic.repository.index import Index
from pyrestic.repository.repository import IndexFileInfo, Repository
from pyrestic.repository.saver import INDEX_BLOBS


def packs_named_twice(files: Iterable[IndexFileInfo]) -> set[ID]:
    """Return the packs that are in several index files, as after a kill before the old files were removed."""
    places = Counter(pack for file in files for pack in file.packs)
    return {pack for pack, count in places.items() if count > 1}


def rewrite_index(
    repository: Repository,
    without: set[ID],
    report: Reporter,
    ensure_locked: Callable[[], None],
) -> None:
    """Replace the index files that name packs to leave out, are not full, or name packs that others name, too.

    The files are those from which the index in memory was loaded, and those saved since. At every moment the stored
    index names all blobs of all other packs. Raises BackendError.
    """
    replace_index(repository, repository.index, repository.index_files, without, report, ensure_locked)


def replace_index(
    repository: Repository,
    index: Index,
    files: Sequence[IndexFileInfo],
    without: set[ID],
    report: Reporter,
    ensure_locked: Callable[[], None],
    *,
    unusable: Sequence[ID] = (),
) -> None:
    """Do the same for some files, with `index` as their content, and remove the unusable ones as well."""
    touched = without | packs_named_twice(files)
    obsolete = list(unusable)
    moving: set[ID] = set()
    for file in files:
        full = INDEX_BLOBS <= file.blob_count < INDEX_BLOBS + MAX_ENTRIES
        if not full or not touched.isdisjoint(file.packs):
            obsolete.append(file.id)
            moving.update(file.packs)
    report.note("rebuilding index")
    progress = Progress("indexes processed", "files", len(files))
    with report.show(progress):
        moving -= without
        store_packs(repository, (IndexPack(pack, blobs) for pack, blobs in index.by_pack() if pack in moving))
        progress.done = len(files)
    ensure_locked()
    remove_files(repository, FileType.INDEX, obsolete, report, label="old indexes deleted", stop_at_errors=True)


def save_index(repository: Repository, packs: set[ID]) -> None:
    """Store index files with the in-memory entries of these packs."""
    store_packs(repository, (IndexPack(pack, blobs) for pack, blobs in repository.index.by_pack() if pack in packs))


def store_packs(repository: Repository, packs: Iterable[IndexPack]) -> None:
    """Store index files with these entries of packs."""
    for part in _split(packs):
        repository.save_unpacked(FileType.INDEX, index_file.encode(part))


def _split(packs: Iterable[IndexPack]) -> Iterator[list[IndexPack]]:
    """Group packs into full files."""
    part: list[IndexPack] = []
    blobs = 0
    for pack in packs:
        part.append(pack)
        blobs += len(pack.blobs)
        if blobs >= INDEX_BLOBS:
            yield part
            part, blobs = [], 0
    if part:
        yield part
