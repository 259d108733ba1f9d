"""Entries of impossible names, as no restic writes them: each costs itself, and whoever rewrites refuses them."""

import json
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.gojson import escape
from pyrestic.format.snapshot import Snapshot
from pyrestic.handle import BlobType, FileType
from pyrestic.repository.repository import Repository
from tests.support.cli import PASSWORD, Caller

NAMES = ["../up", "", ".", "..", "a/b", "nul\\x00", "good", "good", '"']


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    """A repository with two good files in a folder of impossible ones, below the root, beside another folder."""
    call = Caller(tmp_path)
    call.create()
    repository = Repository.open(LocalBackend(str(call.repository)), PASSWORD)
    content = repository.saver.save(BlobType.DATA, b"content").id.hex()

    def tree(*nodes: dict[str, object]) -> str:
        data = escape(json.dumps({"nodes": list(nodes)}, separators=(",", ":")).encode())
        return repository.saver.save(BlobType.TREE, data + b"\n").id.hex()

    def file(name: str) -> dict[str, object]:
        return {"name": name, "type": "file", "mode": 0o644, "size": 7, "content": [content]}

    def folder(name: str, subtree: str) -> dict[str, object]:
        return {"name": name, "type": "dir", "mode": 0o755 | 1 << 31, "subtree": subtree}

    bad = tree(*map(file, NAMES), file("other"))
    root = tree(folder("bad", bad), folder("fine", tree(file("file"))))
    repository.flush()
    snapshot = Snapshot(time="2024-01-02T03:04:05Z", tree=root, paths=["/x"], hostname="host")
    repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    repository.close()
    return call


def test_a_restore_leaves_out_the_entries_and_tells_of_them(call: Caller, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "bad").mkdir(parents=True)
    (target / "bad" / "stranger").touch()
    outcome = call("restore", "latest", "--target", target, "--delete")
    assert outcome.code == 1
    assert "impossible name '../up' and 7 more like that" in outcome.err
    # What the folder should hold is not known, so nothing was removed.
    assert sorted(path.name for path in (target / "bad").iterdir()) == ["good", "other", "stranger"]
    assert [(target / name).read_text() for name in ("bad/good", "bad/other", "fine/file")] == ["content"] * 3
    assert sorted(path.name for path in target.iterdir()) == ["bad", "fine"]


def test_a_good_entry_of_such_a_folder_is_found_by_its_path(call: Caller, tmp_path: Path) -> None:
    assert call("restore", "latest:/bad/good", "--target", tmp_path / "one").code == 0
    assert (tmp_path / "one").read_text() == "content"
    assert call("dump", "latest", "/bad/other").out == "content"


def test_who_checks_or_rewrites_names_or_refuses_them(call: Caller) -> None:
    checked = call("check")
    assert checked.code == 1
    assert "impossible name '../up'" in checked.err
    before = sorted(path.name for path in (call.repository / "snapshots").iterdir())
    rewritten = call("rewrite", "--exclude", "other", "latest")
    assert rewritten.code == 1
    assert "unable to rewrite" in rewritten.err
    assert sorted(path.name for path in (call.repository / "snapshots").iterdir()) == before
