"""Writing the index anew without some packs: new files first, then the old ones are removed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from pyrestic.format import indexfile
from pyrestic.format.indexfile import IndexPack
from pyrestic.format.pack import MAX_ENTRIES
from pyrestic.handle import FileType
from pyrestic.ids import ID
from pyrestic.operations.removal import remove_files
from pyrestic.report import Progress, Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.saver import INDEX_BLOBS


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
    files = repository.index_files
    places = Counter(pack for file in files for pack in file.packs)
    obsolete: list[ID] = []
    moving: set[ID] = set()
    for file in files:
        full = INDEX_BLOBS <= file.blob_count < INDEX_BLOBS + MAX_ENTRIES
        if not full or not without.isdisjoint(file.packs) or any(places[pack] > 1 for pack in file.packs):
            obsolete.append(file.id)
            moving.update(file.packs)
    report.note("rebuilding index")
    progress = Progress("indexes processed", "files", len(files))
    with report.show(progress):
        save_index(repository, moving - without)
        progress.done = len(files)
    ensure_locked()
    remove_files(repository, FileType.INDEX, obsolete, report, label="old indexes deleted", stop_at_errors=True)


def save_index(repository: Repository, packs: set[ID]) -> None:
    """Store index files that say of these packs what the index in memory says."""
    chosen = (IndexPack(pack, entries) for pack, entries in repository.index.by_pack() if pack in packs)
    for part in _split(chosen):
        repository.save_unpacked(FileType.INDEX, indexfile.encode(part))


def _split(packs: Iterable[IndexPack]) -> Iterator[list[IndexPack]]:
    """Put packs together into files that are full."""
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
