"""Finds and indexes packs that a killed run stored but did not index.

This costs one listing of all packs and one small read for each unknown one, so it only runs if a process of this
machine left its lock behind. Then nothing that was uploaded before the kill is uploaded again. Another machine may be
storing some of these packs right now, which is harmless: nobody removes packs while both hold their locks.
"""

from pyrestic.errors import BackendError, DamageError
from pyrestic.format.index_file import PackRows
from pyrestic.format.pack_columns import columns_of
from pyrestic.handle import FileType
from pyrestic.ids import ID, parse_id
from pyrestic.report import Reporter
from pyrestic.repository.pack_header import load_header
from pyrestic.repository.repository import Repository


def salvage(repository: Repository, report: Reporter) -> list[ID]:
    """Index every complete pack that is missing from the loaded index; return those packs.

    A pack with an unreadable header is skipped with a note: check examines it.
    """
    known = repository.index.packs()
    found: list[ID] = []
    for info in repository.list_files(FileType.PACK):
        pack = parse_id(info.name)
        if pack in known:
            continue
        try:
            entries = load_header(repository, pack, info.length)
        except (DamageError, BackendError) as error:
            report.note(f"pack {info.name[:8]} is in no index and could not be used: {error}")
            continue
        repository.index.add_pack(pack, entries)
        repository.index_writer.add(PackRows(pack, columns_of(entries)))
        found.append(pack)
    repository.index_writer.flush()
    if found:
        report.note(f"took over {len(found)} packs that an interrupted run had stored")
    return found
