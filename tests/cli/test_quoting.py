"""Foreign text on a terminal and in messages: no command lets it through as it is."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.local import LocalBackend
from pyrestic.cli.quoting import escape_json, quote
from pyrestic.cli.table import format_table
from pyrestic.cli.terminal import encode_json
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.lock import LockFile
from pyrestic.format.lock import encode as encode_lock
from pyrestic.handle import FileType
from pyrestic.report import NullReporter
from pyrestic.repository.keys import add_key
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter, find_snapshot
from tests.support.cli import FAST, PASSWORD, Caller
from tests.support.forked import KEPT, TERMINAL, Ended, Forker

EVIL = "a\x1b]0;owned\x07b\x9b31mc\u202ed\u2066e\u200ef\u200b\ufeff\u2028g\rh\x7fi\nsnapshot forged\x08"
FORGED = re.compile(
    "[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\udc80-\udcff]"
)
"""What may not come out; line ends are our own, and looked at separately."""


@given(st.text(alphabet=st.characters(codec=None)))
def test_a_quoted_text_is_one_line_without_control_characters(text: str) -> None:
    shown = quote(text)
    assert not FORGED.search(shown)
    assert len(shown.splitlines()) <= 1
    assert quote(shown) == shown


@given(st.text(alphabet=st.characters(min_codepoint=0x20, exclude_categories=["C", "Z"])))
def test_an_honest_text_stays_as_it_is(text: str) -> None:
    assert quote(text) == text


def test_escapes_are_those_of_go() -> None:
    assert quote("\x1b[0m\n\u202e\x85\udc85\U000e0041\ttab") == "\\x1b[0m\\n\\u202e\\u0085\\x85\\U000e0041\ttab"


@given(st.dictionaries(st.text(), st.text()))
def test_json_on_a_terminal_means_the_same(value: dict[str, str]) -> None:
    shown = escape_json(encode_json(value))
    assert not FORGED.search(shown)
    assert json.loads(shown) == value


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_a_cell_cannot_forge_rows(texts: list[str]) -> None:
    lines = format_table(["A"], [[text] for text in texts], quoted=True)
    assert len(lines) == len(texts) + 3
    assert not any(FORGED.search(line) or "\n" in line for line in lines)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Caller, Forker]]:
    """A repository in which everything that others name is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    call = Caller(folder)
    call.create()
    source = folder / f"so{EVIL}urce"
    (source / f"folder{EVIL}").mkdir(parents=True)
    (source / f"folder{EVIL}" / f"file{EVIL}").write_text("one")
    os.symlink(f"target{EVIL}", source / f"link{EVIL}")
    with open(os.fsencode(source) + b"/bytes\x9b\xff", "w") as file:
        file.write("x")
    assert call("backup", source).code == 0
    (source / f"folder{EVIL}" / f"file{EVIL}").write_text("two")
    assert call("backup", "--tag", f"tag{EVIL}", "--host", f"host{EVIL}", source).code == 0
    _make_worse(call)
    forker = Forker(folder, {**call.environment, "PYTHONPATH": os.environ["PYTHONPATH"], "COLUMNS": "200"})
    yield call, forker
    forker.close()


def _make_worse(call: Caller) -> None:
    backend = LocalBackend(str(call.repository))
    repository = Repository.open(backend, PASSWORD)
    stored = find_snapshot(repository, "latest", SnapshotFilter(), NullReporter())[0]
    worse = msgspec.structs.replace(
        stored.snapshot,
        username=f"user{EVIL}",
        hostname=f"host{EVIL}",
        tags=[f"one{EVIL}", f"two{EVIL}"],
        program_version=f"restic{EVIL}",
    )
    repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(worse))
    add_key(
        backend,
        repository.key,
        "other",
        hostname=f"host{EVIL}",
        username=f"user{EVIL}",
        created="2024-01-02T03:04:05Z",
        params=FAST,
    )
    repository.close()


COMMANDS = [
    ["snapshots"],
    ["snapshots", "--compact"],
    ["snapshots", "--group-by", "host,paths,tags"],
    ["snapshots", "--json"],
    ["snapshots", f"id{EVIL}"],
    ["ls", "latest"],
    ["ls", "-l", "latest"],
    ["ls", "--json", "latest"],
    ["ls", "--ncdu", "latest"],
    ["ls", f"latest:/{EVIL}"],
    ["find", "*"],
    ["find", "-l", "*"],
    ["find", "--json", "*"],
    ["find", "--tree", f"00{EVIL}"],
    ["diff", "latest~1", "latest"],
    ["diff", "latest~2", "latest", "--json"],
    ["diff", "--metadata", "latest~2", "latest"],
    ["cat", "snapshot", "latest"],
    ["cat", "tree", "latest"],
    ["key", "list"],
    ["key", "list", "--json"],
    ["stats", "latest"],
    ["history", "{source}/folder" + EVIL + "/file" + EVIL],
    ["history", "--json", "{source}/folder" + EVIL + "/file" + EVIL],
    ["forget", "-v", "--dry-run", "--keep-last", "1"],
    ["forget", "--dry-run", "--keep-last", "1", "--compact", "--group-by", ""],
    ["backup", "-vv", "--dry-run", "{source}"],
    ["backup", "-vv", "{source}"],
    ["backup", "{source}" + EVIL],
    ["backup", "--exclude-file", f"/{EVIL}", "{source}"],
    ["backup", "--exclude", f"[{EVIL}", "{source}"],
    ["restore", "-vv", "latest", "--target", "{target}"],
    ["restore", "-vv", "latest", "--target", "{target}", "--dry-run"],
    ["restore", "latest", "--target", f"/dev/null/{EVIL}"],
    ["restore", "latest", "--target", "{target}", "--include", f"none{EVIL}"],
    ["restore", f"latest:/{EVIL}", "--target", "{target}"],
    ["restore", "--all-versions", "{source}/folder" + EVIL, "--target", "{target}", "-v"],
    ["dump", "latest", f"/{EVIL}"],
    ["dump", "latest", "/"],
    ["rewrite", "-vv", "--dry-run", "--exclude", "file*", "--new-host", f"x{EVIL}"],
    ["tag", "-v", "--add", f"more{EVIL}"],
    ["drill", "-v"],
    ["check"],
    ["repair", "snapshots", "--dry-run"],
    ["copy", "-vv", "--from-repo", f"/tmp/{EVIL}", "--from-insecure-no-password"],
    ["mount", f"/{EVIL}"],
    ["serve", "--listen", EVIL],
    ["snapshots", "--repo", f"/{EVIL}"],
    ["snapshots", "--password-command", f"/{EVIL}"],
    ["snapshots", "--option", f"{EVIL}={EVIL}"],
    ["snapshots", f"--{EVIL}"],
    ["snapshots", "--json", f"--{EVIL}"],
    [EVIL],
    ["cat", EVIL],
    ["list", EVIL],
    ["migrate", EVIL],
    ["--cacert", f"/{EVIL}", "snapshots"],
]


@pytest.mark.process
@pytest.mark.parametrize("arguments", COMMANDS, ids=[f"{number}-{one[0][:9]!a}" for number, one in enumerate(COMMANDS)])
def test_nothing_hostile_reaches_a_terminal(hostile: tuple[Caller, Forker], arguments: list[str]) -> None:
    call, forker = hostile
    ended = _run(call, forker, arguments, (KEPT, TERMINAL, TERMINAL))
    assert "report it" not in ended.out
    assert not FORGED.search(ended.out), FORGED.search(ended.out)
    assert not re.search("^ *snapshot forged", ended.out, re.MULTILINE)
    piped = _run(call, forker, arguments, (KEPT, KEPT, KEPT))
    assert "Traceback" not in piped.err
    assert not FORGED.search(piped.err.replace("\r", "")) or "--json" in arguments
    if "-vv" in arguments and "--json" not in arguments:
        assert not FORGED.search(piped.out)


def _run(call: Caller, forker: Forker, arguments: list[str], streams: tuple[str, str, str]) -> Ended:
    words = {"{source}": str(call.folder / f"so{EVIL}urce"), "{target}": str(call.folder / "target")}
    filled = arguments
    for word, value in words.items():
        filled = [argument.replace(word, value) for argument in filled]
    return forker.run(*filled, streams=streams)


@pytest.mark.process
def test_a_hostile_lock_is_told_in_lines_of_our_own(hostile: tuple[Caller, Forker]) -> None:
    call, forker = hostile
    repository = Repository.open(LocalBackend(str(call.repository)), PASSWORD)
    lock = LockFile(time="2099-01-02T03:04:05Z", exclusive=True, hostname=f"h{EVIL}", username=f"u{EVIL}", pid=1)
    identifier = repository.save_unpacked(FileType.LOCK, encode_lock(lock))
    repository.close()
    try:
        for streams in ((KEPT, TERMINAL, TERMINAL), (KEPT, KEPT, KEPT)):
            ended = forker.run("prune", streams=streams)
            text = ended.out + ended.err
            assert ended.code == 11
            assert not FORGED.search(text)
            assert "locked exclusively by PID 1 on ha\\x1b]0;owned" in text
            assert not re.search("^snapshot forged", text, re.MULTILINE)
    finally:
        Path(call.repository / "locks" / identifier.hex()).unlink()
