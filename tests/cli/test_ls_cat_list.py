"""ls, cat and list, on snapshots that our own backup makes."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from tests.support.cli import Caller


@pytest.fixture
def filled(made: Caller) -> Caller:
    """A repository with one snapshot of a small folder."""
    source = made.folder / "source"
    (source / "dir" / "sub").mkdir(parents=True)
    (source / "a.txt").write_bytes(b"hello\n")
    (source / "dir" / "b.md").write_bytes(b"x" * 2000)
    (source / "dir" / "sub" / "c.txt").write_bytes(b"")
    os.symlink("../a.txt", source / "dir" / "link")
    for number, path in enumerate(sorted(source.rglob("*")), 1):
        os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number), follow_symlinks=False)
    made.cwd = source
    assert made("backup", ".", "-q").code == 0
    return made


def names(call: Caller, *arguments: str) -> list[str]:
    """Return the listed locations."""
    outcome = call("ls", "-q", *arguments)
    assert outcome.code == 0
    return outcome.out.splitlines()


ALL = ["/a.txt", "/dir", "/dir/b.md", "/dir/link", "/dir/sub", "/dir/sub/c.txt"]


def test_all_files_are_listed_in_order(filled: Caller) -> None:
    assert names(filled, "latest") == ALL
    assert filled("ls", "latest").out.startswith("snapshot ")


def test_folders_are_listed_alone_or_with_all_below(filled: Caller) -> None:
    assert names(filled, "latest", "/dir") == ["/dir", "/dir/b.md", "/dir/link", "/dir/sub"]
    assert names(filled, "latest", "/dir", "--recursive") == ALL[1:]
    assert names(filled, "latest", "/dir/sub", "/a.txt") == ["/a.txt", "/dir/sub", "/dir/sub/c.txt"]
    assert names(filled, "latest", "/nothing") == []
    assert names(filled, "latest:dir/sub") == ["/c.txt"]


def test_files_are_sorted_by_what_is_asked_for(filled: Caller) -> None:
    assert names(filled, "latest", "--reverse") == ALL[::-1]
    assert names(filled, "latest", "-s", "size")[-1] == "/dir/b.md"
    assert names(filled, "latest", "--sort", "mtime") == names(filled, "latest", "--sort=time")
    assert names(filled, "latest", "--sort", "extension")[-2:] == ["/a.txt", "/dir/sub/c.txt"]


def test_long_lines_show_mode_owner_size_and_time(filled: Caller) -> None:
    line = names(filled, "latest", "-l")[3]
    assert line.startswith("Lrwxrwxrwx")
    assert line.endswith("/dir/link -> ../a.txt")
    assert " 1.953 KiB " in "\n".join(names(filled, "latest", "-l", "--human-readable"))


def test_nodes_in_json_come_one_to_a_line(filled: Caller) -> None:
    first, *nodes = [json.loads(line) for line in filled("ls", "latest", "--json").out.splitlines()]
    assert (first["message_type"], first["struct_type"]) == ("snapshot", "snapshot")
    assert [node["path"] for node in nodes] == ALL
    assert [node.get("size") for node in nodes] == [6, None, 2000, None, None, 0]


def test_the_export_for_ncdu_is_one_json_document(filled: Caller) -> None:
    major, minor, _, (root, *entries) = json.loads(filled("ls", "latest", "--ncdu").out)
    assert (major, minor, root) == (1, 2, {"name": "/"})
    assert entries[0]["name"] == "a.txt"
    folder, *below = entries[1]
    assert (folder["name"], below[0]["dsize"], below[-1][0]["name"]) == ("dir", 2048, "sub")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no snapshot ID specified"),
        (["latest", "dir"], "All path filters must be absolute"),
        (["latest", "--ncdu", "--json"], "only either '--json' or '--ncdu'"),
        (["latest", "--ncdu", "--sort", "size"], "--sort and --ncdu are mutually exclusive"),
        (["latest", "--ncdu", "--reverse"], "--reverse and --ncdu are mutually exclusive"),
        (["latest", "--sort", "colour"], 'invalid sort mode "colour"'),
        (["zz"], 'no matching ID found for prefix "zz"'),
        (["latest:nothing"], "path nothing: not found"),
        (["latest:a.txt"], "path a.txt: not a directory"),
        (["latest", "--host", "none"], "Hosts:[none]): no snapshot found"),
    ],
)
def test_ls_refuses_what_it_cannot_list(filled: Caller, arguments: list[str], message: str) -> None:
    outcome = filled("ls", *arguments)
    assert (outcome.code, message in outcome.err) == (1, True)


def files(call: Caller, kind: str) -> list[str]:
    """Return the IDs of the files of a kind."""
    return call("list", kind).out.split()


def test_every_kind_of_file_is_listed(filled: Caller) -> None:
    for kind, folder in (("packs", "data"), ("index", "index"), ("snapshots", "snapshots"), ("keys", "keys")):
        stored = [path.name for path in (filled.repository / folder).rglob("*") if path.is_file()]
        assert sorted(files(filled, kind)) == sorted(stored)
    assert files(filled, "locks") == []


def test_blobs_are_listed_with_their_kind(filled: Caller) -> None:
    lines = filled("list", "blobs").out.splitlines()
    assert f"data {hashlib.sha256(b'hello' + bytes([10])).hexdigest()}" in lines
    assert sum(line.startswith("tree ") for line in lines) == 3


def test_every_object_is_shown(filled: Caller) -> None:
    (snapshot,) = files(filled, "snapshots")
    assert filled("cat", "snapshot", snapshot[:9]).json["paths"] == [str(filled.folder / "source")]
    assert filled("cat", "index", files(filled, "index")[0]).json["packs"]
    assert filled("cat", "key", files(filled, "keys")[0]).json["kdf"] == "scrypt"
    assert list(filled("cat", "masterkey").json) == ["mac", "encrypt"]
    assert filled("cat", "config").out.startswith('{\n  "version": 2,\n')
    blob = hashlib.sha256(b"hello\n").hexdigest()
    assert filled("cat", "blob", blob).out == "hello\n"
    root = filled("cat", "tree", snapshot).json
    assert [node["name"] for node in root["nodes"]] == ["a.txt", "dir"]
    assert filled("cat", "tree", snapshot + ":dir/sub").json["nodes"][0]["name"] == "c.txt"


def test_a_damaged_pack_is_given_out_with_a_warning(filled: Caller) -> None:
    name = files(filled, "packs")[0]
    path: Path = filled.repository / "data" / name[:2] / name
    path.chmod(0o600)
    path.write_bytes(b"damage")
    outcome = filled("cat", "pack", name, "--no-cache")
    assert outcome.out == "damage"
    assert "hash of data does not match ID" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "type not specified"),
        (["colour"], 'invalid type "colour", must be one of [config|index|snapshot|key|masterkey|lock|pack|blob|tree]'),
        (["pack"], "ID not specified"),
        (["index", "abc"], 'unable to parse ID: invalid length for ID: "abc"'),
        (["snapshot", "newest"], 'could not find snapshot: no matching ID found for prefix "newest"'),
        (["tree", "newest"], "could not find snapshot"),
        (["blob", "00" * 32], "blob not found"),
    ],
)
def test_cat_refuses_what_it_cannot_show(filled: Caller, arguments: list[str], message: str) -> None:
    outcome = filled("cat", *arguments)
    assert (outcome.code, outcome.out, message in outcome.err) == (1, "", True)


def test_version_tells_a_program_what_it_is(call: Caller) -> None:
    message = call("version", "--json").json
    assert list(message) == ["message_type", "version", "go_version", "go_os", "go_arch"]
    assert call("version").out.startswith(f"pyrestic {message['version']} ")
