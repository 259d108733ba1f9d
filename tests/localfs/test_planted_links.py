"""Links that lie where something is kept: nothing is read or written through any of them."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrestic.backend.metering import Sums
from pyrestic.errors import LocalFileError
from pyrestic.ids import hash_id
from pyrestic.localfs.restore_journal import RestoreNote
from pyrestic.localfs.tree_facts import FolderSummary, HistoryIndex
from pyrestic.localfs.usage_log import CostBook
from pyrestic.localfs.verification_log import ProofBook
from pyrestic.native.code_files import file_name
from pyrestic.native.code_store import find_code

VICTIM = b'{"version": 1, "days": {"2026-11-23": {"b2:x:": {"class_a": 5}}}, "drills": [], "packs": {}}'
TREE = hash_id(b"tree")


def keep_costs(folder: Path) -> bool:
    book = CostBook(str(folder))
    book.add("2026-11-24", "b2:x:", Sums(class_b=1))
    return "2026-11-23" in book.read()


def keep_proofs(folder: Path) -> bool:
    book = ProofBook(str(folder), "name")
    book.add_packs([TREE], 1, [TREE])
    return TREE not in book.read().packs


def keep_note(folder: Path) -> bool:
    note = RestoreNote(str(folder), ("what",))
    known = len(note)
    note.add([(b"file", 1, 1)])
    note.close(done=False)
    return known > 0


def keep_history(folder: Path) -> bool:
    index = HistoryIndex(str(folder / "index"))
    index.add_folders({TREE: FolderSummary(b"d" * 32, 1, 1, 1)})
    index.close()
    return False


def keep_code(folder: Path) -> bool:
    return find_code(str(folder), "scrypt", keep=False) is not None


def code_name(_folder: Path) -> str:
    pytest.importorskip("numba")
    return file_name("scrypt")


def note_name(folder: Path) -> str:
    return f"restores/{Path(RestoreNote(str(folder), ('what',)).path).name}"


@pytest.mark.parametrize(
    ("keep", "name"),
    [
        (keep_costs, "costs.json"),
        (keep_costs, "costs.json.lock"),
        (keep_costs, "costs.json.new"),
        (keep_costs, "costs.json.damaged"),
        (keep_proofs, "proofs/name.json"),
        (keep_proofs, "proofs/name.json.lock"),
        (keep_note, note_name),
        (keep_history, "index"),
        (keep_history, "index.lock"),
        (keep_history, "index-journal"),
        (keep_history, "index-wal"),
        (keep_code, code_name),
    ],
)
@pytest.mark.parametrize("hard", [False, True], ids=["link", "other name"])
def test_nothing_is_kept_or_believed_through_a_link(
    tmp_path: Path, keep: Callable[[Path], bool], name: str | Callable[[Path], str], hard: bool
) -> None:
    folder, victim = tmp_path / "own", tmp_path / "victim"
    victim.write_bytes(VICTIM)
    path = folder / (name if isinstance(name, str) else name(folder))
    path.parent.mkdir(parents=True)
    if hard:
        path.hardlink_to(victim)
    else:
        path.symlink_to(victim)
    before = victim.stat()
    # Some say that they cannot be kept.
    with contextlib.suppress(LocalFileError):
        assert not keep(folder)
    assert victim.read_bytes() == VICTIM
    after = victim.stat()
    assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)
