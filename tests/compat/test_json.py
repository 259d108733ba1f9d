"""docs/json.md beside what both programs print: each field is in its tables, and restic's are alike in both."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.cli import backup_output, restore_output
from pyrestic.cli.options import make_settings
from pyrestic.cli.terminal import Terminal
from pyrestic.format.keyfile import ScryptParams
from pyrestic.format.snapshot import PARTIAL_TAG
from pyrestic.handle import FileType
from pyrestic.operations.backup_progress import BackupProgress
from pyrestic.operations.restore_progress import RestoreProgress
from pyrestic.report import Progress
from pyrestic.repository.repository import Repository
from tests.support import usage
from tests.support.b2 import BUCKET, open_b2
from tests.support.both_programs import Beside, make_beside
from tests.support.cli import Caller, Outcome
from tests.support.damage import find_file, flip
from tests.support.json_reference import Found, read_reference
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, find_pyrestic
from tests.support.users import ordinary_user
from tools.b2_server import B2Server

pytestmark = pytest.mark.restic
REFERENCE = read_reference()
OURS, THEIRS = "pyrestic", "restic"
WEAK = ScryptParams(2, 8, 1)
CREATED = "2024-01-01T00:00:00Z"
CHANCE = {"seconds_elapsed", "seconds_remaining", "current_files"}
"""Fields whose presence depends on how fast something goes."""
OWN = {"preflight", "wrong pack", "lost"}
"""What ours prints beside the messages of restic."""
OWN_CODES = {"snapshots no-such-snapshot": 1, "snapshots no-such-snapshot {s1}": 1}
"""Lines that end with 0 in restic and with this code in ours, see docs/differences.md; ours tells that code as well."""
RARE = {
    ("restore", "summary", "seconds_elapsed"): "a second is long",
    ("backup", "summary", "partial"): "see tests/cli/test_partial.py, which ends backups early",
    ("backup", "summary", "ended_early"): "likewise",
    ("backup", "summary", "repository_snapshots"): "see tests/cli/test_run.py, which uses a profile",
    ("backup", "summary", "repository_bytes"): "likewise",
    ("find", "match", "error"): "restic 0.19 does not store nodes with errors",
    ("restore", "preflight", "dollars"): "see what is printed on B2",
    ("restore", "preflight", "dollars_beyond_allowance"): "see what is printed on B2",
    ("restore", "preflight", "file_systems"): "see tests/operations/test_preflight.py, which mounts some",
    ("restore", "file system", "path"): "likewise",
    ("restore", "file system", "space_needed"): "likewise",
    ("restore", "file system", "space_free"): "likewise",
}


@dataclass
class Heard:
    """What a program printed for a command line."""

    program: str
    command: str
    line: str
    code: int
    values: list[Any] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""

    def read(self) -> None:
        """Take the JSON out of both streams and compare it with the reference."""
        form = REFERENCE.forms[self.command][0]
        text = [self.stdout] if form == "document" else self.stdout.splitlines() if form == "lines" else []
        self.values = [json.loads(part) for part in text if part.strip()]
        self.values += [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]
        for value in self.values:
            wrong, found = REFERENCE.check(self.command, value)
            self.wrong += [f"{self.program} {self.line}: {complaint}" for complaint in wrong]
            self.found += found

    def shapes(self) -> set[tuple[str, tuple[str, ...]]]:
        """Return the objects as their names and keys, without what is there by chance."""
        kept = [one for one in self.found if one.table != "status" and one.table not in OWN]
        return {(one.table, tuple(key for key in one.keys if key not in CHANCE)) for one in kept}


class Listener:
    """Runs command lines with --json, each on a copy of a repository unless it only reads, and keeps what is said."""

    def __init__(self, beside: Beside) -> None:
        self.beside = beside
        self.heard: list[Heard] = []

    def read_only(self, *lines: str) -> None:
        """Run lines that change nothing with both programs, without a lock, which takes a while."""
        for line in lines:
            self._both(f"--no-lock {line}", lambda: self.beside.repository)

    def changing(self, *lines: str, damage: Callable[[Path], object] = lambda _: None, ours_only: bool = False) -> None:
        """Run lines with both programs, or with ours, on copies, damaged before."""

        def prepare() -> Path:
            repository = self.fresh()
            damage(repository)
            return repository

        for line in lines:
            self._both(line, prepare, ours_only=ours_only)

    def fresh(self) -> Path:
        """Return a new copy of the repository."""
        repository = Path(tempfile.mkdtemp(dir=self.beside.folder)) / "repository"
        shutil.copytree(self.beside.repository, repository)
        for path in repository.rglob("*"):
            path.chmod(0o700)
        return repository

    def _both(self, line: str, prepare: Callable[[], Path], *, ours_only: bool = False) -> None:
        repository = prepare()
        self.ours(line, repository=repository, out=str(self.beside.folder / "out ours"))
        if not ours_only:
            words = self._words(line, out=str(self.beside.folder / "out theirs"))
            repository = prepare()
            theirs = self.beside.theirs.run("--json", *words, repository=repository, code=None, TZ="Europe/Berlin")
            self._note(THEIRS, line, words, theirs.code, theirs.text, theirs.stderr.decode("utf-8", "replace"))

    def ours(self, line: str, *, repository: Path, **names: str) -> Heard:
        """Run a line with ours alone."""
        words = self._words(line, **names)
        outcome = self.beside.pyrestic("--json", *words, RESTIC_REPOSITORY=str(repository))
        return self.note(line, words, outcome)

    def note(self, line: str, words: list[str], outcome: Outcome) -> Heard:
        """Keep what ours said."""
        return self._note(OURS, line, words, outcome.code, outcome.out, outcome.err)

    def _note(self, program: str, line: str, words: list[str], code: int, out: str, err: str) -> Heard:
        heard = Heard(program, usage.parse(words)[0], line, code, stdout=out, stderr=err)
        heard.read()
        self.heard.append(heard)
        return heard

    def _words(self, line: str, **names: str) -> list[str]:
        return [word.format(**self.beside.names, **names) for word in line.split(" ")]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """A repository with five snapshots."""
    beside = make_beside(tmp_path_factory.mktemp("json"))
    # A file that the first snapshot has, of one blob.
    blob = hashlib.sha256(b"hello\n").hexdigest()
    shown = beside.restic("find", "--show-pack-id", "--blob", blob).text
    pack = next(line for line in shown.splitlines() if "belongs to pack" in line).split()[-1]
    beside.names |= {"blob": blob, "pack": pack, "folder": str(beside.folder)}
    beside.names["whole"] = store_whole_snapshot(beside)
    return beside


def store_whole_snapshot(beside: Beside) -> str:
    """Store a snapshot that has each field that there is; return its ID."""
    repository = Repository.open(LocalBackend(str(beside.repository)), PASSWORD)
    document = json.loads(repository.load_unpacked(FileType.SNAPSHOT, bytes.fromhex(beside.names["s1"])))
    ours = {"parent": beside.names["s1"], "uid": 1, "gid": 2, "excludes": ["x"], "tags": ["y"], "hostname": "whole"}
    names = ("time", "parent", "tree", "paths", "hostname", "username", "uid", "gid", "excludes", "tags", "original")
    document |= ours | {"original": beside.names["s2"], "time": "2022-01-01T00:00:00Z"}
    ordered = {name: document[name] for name in (*names, "program_version", "summary")}
    identifier = repository.save_unpacked(FileType.SNAPSHOT, json.dumps(ordered).encode())
    repository.close()
    return identifier.hex()


READING = [
    "check --read-data",
    "diff {s1} {s5}",
    "diff --metadata {s2} {s3}",
    "find a.txt bad* pipe link new",
    "find --tree {t1}",
    "find --blob {blob}",
    "find --pack {pack}",
    "find no-such-name",
    "key list",
    "ls {s2}",
    "ls {whole}",
    "ls --sort size {s5}:{source}",
    "snapshots",
    "snapshots no-such-snapshot",
    "snapshots no-such-snapshot {s1}",
    "snapshots --group-by host,paths,tags",
    "stats",
    "stats --mode raw-data",
    "stats --mode blobs-per-file",
    "version",
    "snapshots --no-such-flag",
    "forget --keep-daily=7 --group-by= --dry-run --prune",
    "restore {s1} --target=/dev/null/below",
    "dump {s1} {source}/a.txt --target=/dev/null/below",
    "generate --man /dev/null",
]
CHANGING = [
    "backup -v --tag=x --exclude=y {source}",
    "backup --dry-run -vv --host=two {source}",
    "backup {source}/dir /proc/self/mem {source}/no-such-file",
    "backup {source}/no-such-file",
    "backup --stdin-from-command /no/such/command",
    "forget --keep-last=1",
    "forget {s1}",
    "restore {s4} --target={out} -vv",
    "restore {s1} --target={out} -vv --delete",
    "restore {s1} --target={folder}/nothing/there --dry-run",
    "tag --add=x",
    "unlock",
    "key remove no-such-key",
]


def lose_data(repository: Path) -> None:
    """Take away the largest pack, which has file contents."""
    find_file(repository, "data pack").unlink()


def lose(repository: Path, pack: str) -> None:
    """Take away a pack."""
    next(repository.rglob(pack)).unlink()


def damage_much(repository: Path) -> None:
    """Damage an index file, take away another and a pack, cut a pack, and add one that is none."""
    first, second, *_ = sorted((repository / "index").iterdir())
    flip(first)
    second.unlink()
    packs = sorted((repository / "data").rglob("*/*"), key=lambda path: path.stat().st_size)
    packs[0].unlink()
    stranger = repository / "data" / "ab" / ("ab" * 32)
    stranger.parent.mkdir(exist_ok=True)
    stranger.write_bytes(b"x" * 1000)


def damage_snapshot(repository: Path) -> None:
    flip(find_file(repository, "snapshot"))


def forget_all(repository: Path) -> None:
    for path in (repository / "snapshots").iterdir():
        path.unlink()


def store_move(beside: Beside, repository: Path, name: str = "moved") -> Path:
    """Store two snapshots of a folder in which a file gets another name between them; return the repository."""
    folder = beside.folder / name
    folder.mkdir()
    (folder / "from").write_bytes(b"moved")
    for name in ("from", "to"):
        (folder / "from").rename(folder / name)
        assert beside.pyrestic("backup", "-q", folder, RESTIC_REPOSITORY=str(repository)).code == 0
    return repository


def store_loss(beside: Beside, repository: Path) -> Path:
    """Store two snapshots of a folder that loses a file and a folder between them, and in which a file changes."""
    folder = beside.folder / "losing"
    (folder / "gone").mkdir(parents=True)
    for name in ("gone/file", "file", "changed"):
        (folder / name).write_bytes(b"content")
    assert beside.pyrestic("backup", "-q", folder, RESTIC_REPOSITORY=str(repository)).code == 0
    shutil.rmtree(folder / "gone")
    (folder / "file").unlink()
    (folder / "changed").write_bytes(b"other content")
    assert beside.pyrestic("backup", "-q", folder, RESTIC_REPOSITORY=str(repository)).code == 0
    return repository


@pytest.fixture(scope="module")
def restics(beside: Beside) -> list[Heard]:
    """What both programs say to the commands that have JSON in restic."""
    listener = Listener(beside)
    listener.read_only(*READING)
    listener.changing(*CHANGING)
    listener.changing("check", "restore {s1} --target={out}/damaged", damage=lose_data)
    listener.changing(
        "restore {s1} --target={out}/lost", damage=lambda repository: lose(repository, beside.names["pack"])
    )
    listener.changing("check", "snapshots", damage=lambda repository: (repository / "config").unlink())
    listener.changing("init", damage=shutil.rmtree)
    return listener.heard


@pytest.fixture(scope="module")
def own(beside: Beside, tmp_path_factory: pytest.TempPathFactory) -> list[Heard]:
    """What ours says to the commands that have JSON in it alone."""
    listener = Listener(beside)
    target = make_quick_repository(tmp_path_factory.mktemp("target") / "repository")
    old = tmp_path_factory.mktemp("old") / "repository"
    beside.names |= {"repository": str(beside.repository)}
    for line in ("copy --from-repo={repository} {s1} {s2}", "copy --from-repo={repository}"):
        words = [word.format(**beside.names) for word in line.split()]
        places = {"RESTIC_REPOSITORY": str(target), "RESTIC_FROM_PASSWORD": PASSWORD}
        listener.note(line, words, beside.pyrestic("--json", *words, **places))
    profiles = beside.folder / "profiles.toml"
    profiles.write_text("version = 1\n[profile.x]\nrepo = '/x'\n[profile.x.backup]\nsource = ['/no/such']\n")
    for line in ("profile list", "profile show x", "profile check"):
        listener.ours(f"--config={profiles} {line}", repository=beside.repository)
    listen_to_runner(listener)
    place = LocalBackend(str(old))
    Repository.create(place, PASSWORD, version=1, hostname="h", username="u", created=CREATED, params=WEAK).close()
    listener.ours("migrate", repository=old)
    listener.ours("migrate upgrade_repo_v2", repository=old)
    listener.changing("doctor --size=1M", ours_only=True)
    listener.changing("drill --seed=1", ours_only=True)
    lost = beside.names["pack"]
    listener.changing("drill {s1} --seed=1", ours_only=True, damage=lambda repository: lose(repository, lost))
    listener.changing("check --budget=1K", "check --budget=1G", ours_only=True)
    listener.changing("cache", "cost --offline", "features", "options", ours_only=True)
    listener.ours("history --follow {folder}/moved/to", repository=store_move(beside, listener.fresh()))
    losing = store_loss(beside, listener.fresh())
    for line in ("history --deleted", "back --in-place", "back"):
        listener.ours(f"{line} {{folder}}/losing{'/changed' if 'in-place' in line else ''}", repository=losing)
    beside.names |= {"dated": str(tmp_path_factory.mktemp("dated"))}
    for date in ("2026-03-01", "2026-03-02"):
        Path(beside.names["dated"], date).mkdir()
        Path(beside.names["dated"], date, "notes").write_text(date)
    repository = listener.fresh()
    for line in ("--dry-run {dated}", "{dated}", "{dated}"):
        listener.ours(f"import --path=/home/me {line}", repository=repository)
    partial = store_move(beside, listener.fresh(), "partial")
    for line in (
        f"tag --add={PARTIAL_TAG}",
        "snapshots",
        "ls latest",
        "history {folder}/partial/to",
        "forget --keep-last=1",
    ):
        listener.ours(line, repository=partial)
    listener.changing("--no-lock prune --dry-run", "prune", ours_only=True)
    listener.changing("recover", ours_only=True)
    listener.changing("recover", "prune", ours_only=True, damage=forget_all)
    listener.changing("repair index", "rebuild-index", ours_only=True, damage=damage_much)
    listener.changing("--no-lock snapshots", "--no-lock ls latest", ours_only=True, damage=damage_snapshot)
    everything = ["rewrite --exclude=*", "rewrite --exclude=a.txt", "rewrite --dry-run --new-host=other"]
    listener.changing(*everything, ours_only=True)
    repository = listener.fresh()
    pack = Path(next((repository / "data").rglob(beside.names["pack"])))
    pack.write_bytes(bytes(pack.stat().st_size))
    beside.ours.cwd = tmp_path_factory.mktemp("kept")
    for line in (f"repair packs {pack.name}", "repair snapshots --dry-run", "repair snapshots"):
        listener.ours(line, repository=repository)
    return listener.heard


RUNS = """
version = 1
[defaults]
password = {{ file = "{folder}/runs.password" }}
when.power = "any"
when.battery-min = 0
[profile.good]
repo = "{repository}"
backup.source = ["{source}"]
hooks.after = ["exit 1"]
[profile.bad]
repo = "/no/such"
backup.source = ["{source}"]
[profile.late]
repo = "{repository}"
backup.source = ["{source}"]
backup.when.command = ["sh", "-c", "exit 75"]
"""


def listen_to_runner(listener: Listener) -> None:
    """Listen to what `run` and `status` say; they start processes, so they run in one of their own."""
    folder = listener.beside.folder
    password, profiles = folder / "runs.password", folder / "runs.toml"
    password.write_text(PASSWORD)
    source = folder / "runs source"
    source.mkdir()
    profiles.write_text(RUNS.format(folder=folder, repository=listener.fresh(), source=source))
    for path in (password, profiles):
        path.chmod(0o600)
    program = find_pyrestic(folder / "runs")
    for line in ("run --due --task=backup", "status --online"):
        words = [f"--config={profiles}", *line.split()]
        done = program.run("--json", *words, code=None)
        listener.note(line, words, Outcome(done.code, done.text, done.stderr.decode()))


def test_each_command_has_a_section_in_the_order_of_the_alphabet() -> None:
    names = sorted([*(name for name, _ in usage.commands()), "rebuild-index"])
    assert list(REFERENCE.forms) == names
    assert [name for name in REFERENCE.sections if name in names] == names
    for name, (form, _) in REFERENCE.forms.items():
        assert bool(REFERENCE.section(name).tables) == (form in ("lines", "document")), name


ID = "ab" * 32


@pytest.mark.parametrize(
    ("command", "value", "complaint"),
    [
        ("tag", {"message_type": "changed", "old_snapshot_id": ID, "new_snapshot_id": ID}, None),
        ("tag", {"message_type": "summary", "changed_snapshots": 1, "more": 1}, "unknown field more"),
        ("tag", {"message_type": "summary"}, "lacks changed_snapshots"),
        ("tag", {"changed_snapshots": 1, "message_type": "summary"}, "in another order"),
        ("tag", {"message_type": "summary", "changed_snapshots": 1.5}, "is no integer"),
        ("tag", {"message_type": "changed", "old_snapshot_id": "ab", "new_snapshot_id": ID}, "is no id"),
        ("tag", {"message_type": "other"}, "nothing is known"),
        ("recover", {"message_type": "summary", "roots": None, "snapshot_id": None}, "is no list"),
        ("recover", {"message_type": "summary", "roots": [], "snapshot_id": None}, None),
        ("snapshots", {}, "is no list"),
        ("snapshots", [{"group_key": {"hostname": ""}, "snapshots": []}], "lacks paths"),
    ],
)
def test_what_is_not_as_documented_is_noticed(command: str, value: Any, complaint: str | None) -> None:
    wrong, _ = REFERENCE.check(command, value)
    assert bool(wrong) == (complaint is not None)
    assert complaint is None or any(complaint in line for line in wrong), wrong


def test_what_both_print_is_documented_in_that_order_and_with_those_types(restics: list[Heard]) -> None:
    assert [line for heard in restics for line in heard.wrong] == []
    assert {heard.program for heard in restics} == {OURS, THEIRS}


def test_what_only_ours_prints_is_documented_in_that_order_and_with_those_types(own: list[Heard]) -> None:
    assert [line for heard in own for line in heard.wrong] == []


def test_the_same_line_gets_objects_with_the_same_keys_of_both(restics: list[Heard]) -> None:
    for ours, theirs in zip(restics[::2], restics[1::2], strict=True):
        assert (ours.line, ours.program, theirs.program) == (theirs.line, OURS, THEIRS)
        own_code = OWN_CODES.get(ours.line.removeprefix("--no-lock "))
        if own_code is not None:
            assert (theirs.code, ours.code) == (0, own_code)
            *same, last = ours.values
            assert (same, ours.stdout) == (theirs.values, theirs.stdout)
            assert (last["message_type"], last["code"]) == ("exit_error", own_code)
            assert ours.stderr.splitlines()[:-1] == theirs.stderr.splitlines()
            continue
        assert (ours.code, ours.line) == (theirs.code, theirs.line), ours.stderr + theirs.stderr
        assert ours.shapes() == theirs.shapes(), ours.line
        assert ours.values or theirs.code == 0, ours.line
        assert bool(ours.stdout.strip()) == bool(theirs.stdout.strip()), ours.line


def test_each_documented_field_is_printed_by_some_line(restics: list[Heard], own: list[Heard]) -> None:
    seen = {(heard.command, one.table, key) for heard in [*restics, *own] for one in heard.found for key in one.keys}
    missing = []
    for command, (form, _) in REFERENCE.forms.items():
        tables = REFERENCE.section(command).tables if form in ("lines", "document") else {}
        for name, table in tables.items():
            missing += [(command, name, one.name) for one in table if name != "status"]
    for name in ("exit_error", "error", "error text", "snapshot", "snapshot summary"):
        keys = {one[2] for one in seen if one[1] == name}
        assert {one.name for one in REFERENCE.sections["Common rules"].tables[name]} <= keys
    on_b2 = {"b2 doctor", "cost"}
    assert [one for one in missing if one not in seen and one not in RARE and one[0] not in on_b2] == []


def test_the_state_of_backup_and_restore_is_documented() -> None:
    terminal = Terminal(make_settings({"json": True}, {}))
    saving = BackupProgress("backup", "B", 2_000_000, 1_000_000)
    saving.total_files, saving.files_done, saving.total_bytes = 2, 1, 2_000_000
    saving.error_count, saving.current_files, saving.scan_finished = 1, {1: b"/a"}, True
    giving = RestoreProgress("restore", "B", 2_000_000, 1_000_000)
    giving.total_files, giving.files_restored, giving.files_skipped = 2, 1, 1
    giving.files_deleted, giving.bytes_skipped = 1, 1000
    backup_output.attach(terminal, saving)
    check_states(terminal, "backup", saving, BackupProgress("backup", "B"))
    restore_output.RestoreReporter(terminal, giving)
    check_states(terminal, "restore", giving, RestoreProgress("restore", "B"))


def check_states(terminal: Terminal, command: str, busy: Progress, idle: Progress) -> None:
    """See that a state with everything has all fields, and one with nothing those that are always there."""
    table = REFERENCE.section(command).tables["status"]
    attach: Any = backup_output.attach if command == "backup" else restore_output.RestoreReporter
    for progress, expected in ((busy, table), (idle, [one for one in table if one.always])):
        attach(terminal, progress)
        assert terminal.status_fields is not None
        state = terminal.status_fields(progress, 3.0 if progress is busy else 0.0)
        assert REFERENCE.check(command, state)[0] == []
        assert list(state) == [one.name for one in expected]


def test_what_the_scan_cannot_read_is_told_of_as_documented_and_in_text_with_v_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = PermissionError(13, "Permission denied")
    said = []
    for flags, path in (({"json": True, "quiet": True}, "/a\udcff"), ({"verbose": 1}, "/a"), ({}, "/a")):
        backup_output.ScanOutput(Terminal(make_settings(flags, {}))).scan_failed(path, "open", error)
        said.append(capsys.readouterr().err)
    assert said[1:] == ["scan: open /a: permission denied\n", ""]
    message = json.loads(said[0])
    assert REFERENCE.check("backup", message)[0] == []
    assert (message["during"], message["item"]) == ("scan", "/a\ufffd")


def test_what_a_backup_cannot_read_is_an_error_and_the_exit_code_is_3(tmp_path: Path) -> None:
    # Imports what a backup needs, which another user may not be allowed to read.
    made = Caller(tmp_path)
    made.create()
    assert made("backup", "-v", tmp_path / "not there").code == 1
    assert made("backup", "--json", __file__).code == 0
    with ordinary_user() as folder:
        (folder / "source" / "shut").mkdir(parents=True, mode=0)
        (folder / "source" / "shut").chmod(0)
        make_quick_repository(folder / "repository")
        call = Caller(folder)
        outcome = call("backup", "--json", "--quiet", folder / "source")
        verbose, plain = call("backup", "-v", folder / "source"), call("backup", folder / "source")
    heard = Heard(OURS, "backup", "backup", outcome.code, stdout=outcome.out, stderr=outcome.err)
    heard.read()
    assert heard.wrong == []
    errors = [value for value in heard.values if value["message_type"] == "error"]
    # A backup that is quick stops the scan.
    assert {"archival"} <= {error["during"] for error in errors} <= {"archival", "scan"}
    assert {error["item"] for error in errors} == {f"{folder}/source/shut"}
    assert heard.values[-1]["code"] == outcome.code == verbose.code == plain.code == 3
    denied = f"open {folder}/source/shut: permission denied"
    last = "Warning: at least one source file could not be read"
    assert [line for line in verbose.err.splitlines() if line != f"scan: {denied}"] == [f"error: {denied}", last]
    assert plain.err.splitlines() == [f"error: {denied}", last]


TEXT = [
    "cat config",
    "cat snapshot {s1}",
    "dump {s1} {source}/a.txt",
    "list snapshots",
    "list blobs",
    "generate --zsh-completion -",
]


@pytest.mark.parametrize("line", TEXT)
def test_what_is_text_is_the_same_with_json(beside: Beside, line: str) -> None:
    words = ["--no-lock", *(word.format(**beside.names) for word in line.split())]
    plain, with_json = beside.pyrestic(*words), beside.pyrestic("--json", *words)
    assert (with_json.code, with_json.out) == (plain.code, plain.out)
    if words[1] != "generate":
        theirs = beside.restic("--json", *words).text
        assert sorted(with_json.out.splitlines()) == sorted(theirs.splitlines())


def test_where_nothing_takes_the_place_of_text_nothing_is_printed(beside: Beside, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("second")
    folder = make_quick_repository(tmp_path / "repository")
    place = {"RESTIC_REPOSITORY": str(folder)}
    added = beside.pyrestic("--json", "key", "add", "--new-password-file", tmp_path / "password", **place)
    for words in (["unlock"], ["key", "remove", added.out.split()[-1]], ["generate", "--man", str(tmp_path)]):
        assert REFERENCE.forms[usage.parse(words)[0]][0] == "nothing"
        outcome = beside.pyrestic("--json", *words, **place)
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_what_is_printed_on_b2_is_documented_and_summaries_have_the_bill(b2: B2Server, tmp_path: Path) -> None:
    backend = open_b2(b2, f"{BUCKET}:some")
    backend.create()
    Repository.create(backend, PASSWORD, hostname="h", username="u", created=CREATED, params=WEAK).close()
    backend.close()
    (tmp_path / "file").write_bytes(b"content")
    call = Caller(tmp_path)
    seen: set[tuple[str, str]] = set()
    lines = ["check", "cost", "b2 doctor", "tag --add=x", "snapshots --no-such-flag"]
    for line in (f"backup {tmp_path}/file", f"restore latest --target={tmp_path}/back", *lines):
        words = ["--json", "-o", f"b2.endpoint={b2.url}", *line.split(" ")]
        outcome = call(*words, RESTIC_REPOSITORY=f"b2:{BUCKET}:some", **b2.environment())
        heard = Heard(OURS, usage.parse(words)[0], line, outcome.code, stdout=outcome.out, stderr=outcome.err)
        heard.read()
        assert heard.wrong == []
        for value in heard.values:
            if value.get("message_type") == "summary":
                assert list(value)[-1] == "b2"
        seen |= {(one.table, key) for one in heard.found for key in one.keys}
    assert {("preflight", "dollars"), ("preflight", "dollars_beyond_allowance")} <= seen
    for command in ("b2 doctor", "cost"):
        for name, table in REFERENCE.section(command).tables.items():
            assert {(name, one.name) for one in table} <= seen
