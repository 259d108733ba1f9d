"""The file that remembers trees for histories."""

import os
import sqlite3
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyrestic.format.node import FILE, Node
from pyrestic.ids import ID, hash_id
from pyrestic.localfs.tree_facts import FolderSummary, HistoryIndex, Removed, Step

TREES = [hash_id(bytes([number])) for number in range(20)]
NODE = Node(name="a", type=FILE, size=3, content=["ab" * 32])
SUMMARY = FolderSummary(b"d" * 32, 10, 2, -5)


def fill(path: str) -> None:
    index = HistoryIndex(path)
    index.add(b"a", {TREES[0]: NODE, TREES[1]: NODE, TREES[2]: None})
    index.add_folders({TREES[0]: SUMMARY})
    index.close()


def read(path: str) -> tuple[dict[ID, Node | None], dict[ID, FolderSummary]]:
    index = HistoryIndex(path)
    try:
        return index.find(b"a", TREES), index.find_folders(TREES)
    finally:
        index.close()


FULL = ({TREES[0]: NODE, TREES[1]: NODE, TREES[2]: None}, {TREES[0]: SUMMARY})
EMPTY: tuple[dict[ID, Node | None], dict[ID, FolderSummary]] = ({}, {})


def test_what_was_added_is_found_by_name_and_tree(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "folder" / "index")
    fill(path)
    assert read(path) == FULL
    index = HistoryIndex(path)
    assert index.find(b"b", TREES) == {}
    assert index.find(b"a", []) == {}
    index.close()
    assert index.find(b"a", TREES) == {}
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "new" / "folder").st_mode) == 0o700


def test_many_trees_are_asked_for_at_once(tmp_path: Path) -> None:
    trees = [hash_id(number.to_bytes(4, "big")) for number in range(2500)]
    index = HistoryIndex(str(tmp_path / "index"))
    index.add(b"a", dict.fromkeys(trees, NODE))
    assert index.find(b"a", trees) == dict.fromkeys(trees, NODE)
    index.close()


def test_a_file_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "index")
    fill(path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert read(path) == EMPTY
    fill(path)
    assert read(path) == FULL


def test_missing_tables_and_wrong_rows_begin_the_file_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "index")
    for statement in (
        "DROP TABLE nodes",
        "UPDATE nodes SET node = x'7b7d'",
        "UPDATE nodes SET node = 'text'",
        "UPDATE folders SET summary = substr(summary, 2)",
        "UPDATE folders SET tree = 1",
        "DELETE FROM nodes",
    ):
        fill(path)
        with sqlite3.connect(path) as database:
            database.execute(statement)
        database.close()
        nodes, folders = read(path)
        assert (nodes, folders) != FULL, statement
        assert nodes.items() <= FULL[0].items(), statement
        assert folders.items() <= FULL[1].items(), statement
        fill(path)
        assert read(path) == FULL, statement
        os.unlink(path)


@example(content=b"\x80", offset=3801)
@given(content=st.binary(max_size=200), offset=st.integers(0, 30_000))
def test_damage_of_any_kind_gives_what_is_true_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, offset: int
) -> None:
    path = tmp_path_factory.mktemp("index") / "index"
    fill(str(path))
    data = bytearray(path.read_bytes())
    offset %= len(data)
    data[offset : offset + len(content)] = content
    path.write_bytes(data if len(content) % 2 else data[:offset] + content)
    nodes, folders = read(str(path))
    assert nodes.items() <= FULL[0].items()
    assert folders.items() <= FULL[1].items()
    fill(str(path))
    nodes, folders = read(str(path))
    assert nodes.items() <= FULL[0].items()


def test_a_file_that_others_may_read_or_a_link_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "index"
    fill(str(path))
    path.chmod(0o644)
    assert read(str(path)) == EMPTY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = tmp_path / "other"
    fill(str(other))
    path.unlink()
    path.symlink_to(other)
    fill(str(path))
    assert not path.is_symlink()
    assert read(str(path)) == FULL


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "index", tmp_path / "folder"):
        fill(str(path))
        assert read(str(path)) == EMPTY
    assert (tmp_path / "folder").is_dir()


def test_a_full_file_is_begun_anew_and_stays_within_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = HistoryIndex(str(path), max_bytes=100_000)
    for number in range(300):
        node = Node(name="a", type=FILE, content=[hash_id(bytes([number % 256, part])).hex() for part in range(20)])
        index.add(b"a", {hash_id(number.to_bytes(4, "big")): node})
        assert path.stat().st_size <= 100_000
    index.add(b"a", {TREES[0]: NODE})
    assert index.find(b"a", TREES) == {TREES[0]: NODE}
    index.close()


def add_some(path: str, number: int) -> None:
    index = HistoryIndex(path)
    for tree in TREES:
        index.add(b"a", {tree: NODE})
        index.add_folders({tree: SUMMARY})
        index.add(str(number).encode(), {tree: None})
    index.close()


@pytest.mark.process
def test_several_processes_share_it(tmp_path: Path) -> None:
    path = str(tmp_path / "index")
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(add_some, [path] * 8, range(8)))
    assert read(path) == (dict.fromkeys(TREES, NODE), dict.fromkeys(TREES, SUMMARY))


def test_a_file_that_somebody_keeps_locked_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrestic.localfs.tree_facts._BUSY_SECONDS", 0.01)
    path = str(tmp_path / "index")
    fill(path)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    assert read(path) == EMPTY
    fill(path)
    database.execute("COMMIT")
    database.close()
    assert read(path) == FULL


def test_steps_and_names_are_kept_and_a_damaged_one_is_forgotten(tmp_path: Path) -> None:
    path = str(tmp_path / "index")
    pair = (TREES[0], TREES[1])
    step = Step(
        [Removed(b"\xff", "file", 3, -1, None), Removed(b"d", "dir", 0, 5, TREES[2])],
        [(b"new", TREES[3])],
        [(b"changed", TREES[4], TREES[5])],
    )
    index = HistoryIndex(path)
    index.add_steps({pair: step})
    index.add_names(TREES[0], {b"a": NODE, b"\xfe": None})
    assert index.find_steps([pair, (TREES[1], TREES[0])]) == {pair: step}
    assert index.find_names(TREES[0], [b"a", b"\xfe", b"other"]) == {b"a": NODE, b"\xfe": None}
    assert index.find(b"a", TREES) == {TREES[0]: NODE}
    index.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE steps SET step = x'93909090'")
    index = HistoryIndex(path)
    assert index.find_steps([pair]) == {}
    assert index.find(b"a", TREES) == {}
    index.close()
