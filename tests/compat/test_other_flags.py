"""The flags of check, dump, ls, prune, unlock and version, by both programs on copies of one repository."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.both_programs import Beside, make_beside
from tests.support.compared_output import Said, SideBySide
from tests.support.restic import PASSWORD

pytestmark = pytest.mark.restic


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SideBySide]:
    """A repository with five snapshots of two hosts, with tags, and one folder as a path of its own."""
    folder = tmp_path_factory.mktemp("others")
    beside: Beside = make_beside(folder)
    side = SideBySide(folder, beside.repository)
    side.names = beside.names
    (folder / "password").write_text(f"{PASSWORD}\n")
    (folder / "wrong").write_text("another\n")
    yield side
    shutil.rmtree(folder)


LINES = [
    "check",
    "check --json",
    "check --quiet",
    "check -v",
    "check --check-unused",
    "check --with-cache",
    "check --no-cache",
    "check --read-data",
    "check --read-data --json",
    "check --read-data-subset=1/1",
    "check --read-data-subset=2/3",
    "check --read-data-subset=100%",
    "check --read-data-subset=0/3",
    "check --read-data-subset=4/3",
    "check --read-data-subset=0%",
    "check --read-data-subset=x",
    "check --read-data-subset=500M",
    "check --read-data --read-data-subset=1/2",
    "check {short1}",
    "check {short1} latest",
    "check ffffffff",
    "check --host=one",
    "check --host=one --host=two",
    "check --tag=a,b",
    "check --tag=c --read-data",
    "check --path={source}/dir",
    "check --host=nobody",
    "check --host=one --read-data --json",
    "dump latest --host=one {source}/new",
    "dump latest --path={source}/dir {source}/dir/link",
    "dump latest --tag=c {source}/new",
    "dump latest --tag=c --tag=a,b {source}/new",
    "dump latest --host=nobody {source}/new",
    "dump latest --target={folder}/dumped-{program} {source}/new",
    "dump latest --target={folder}/no/such/dumped-{program} {source}/new",
    "dump --archive=zip latest:{source} /nowhere",
    "dump --archive=rar latest {source}",
    "dump {s1}:{source}/dir empty",
    "ls latest --host=one",
    "ls latest -H two --long",
    "ls latest --path={source}/dir",
    "ls latest --tag=a,b --json",
    "ls latest --tag=nothing",
    "ls {s1} --recursive {source}/dir",
    "ls {s2} --sort=size --reverse",
    "ls {s2} --sort=nonsense",
    "ls {s2} --human-readable --long",
    "ls {s2} --ncdu",
    "prune --dry-run",
    "prune --dry-run --repack-cacheable-only",
    "prune --dry-run --repack-uncompressed",
    "prune --dry-run --repack-small",
    "prune --dry-run --repack-smaller-than=1M",
    "prune --dry-run --repack-smaller-than=x",
    "prune --dry-run --max-unused=unlimited",
    "prune --dry-run --max-unused=0%",
    "prune --dry-run --max-repack-size=1K",
    "prune --dry-run --repack-uncompressed --max-repack-size=0",
    "prune --unsafe-recover-no-free-space=x",
    "find --snapshot={short1} a.txt",
    "find -s {short1} -s {short2} --json new",
    "forget --keep-last=1 --prune --max-repack-size=1M --repack-smaller-than=1M",
    "forget --keep-last=1 --prune --repack-cacheable-only",
    "forget --keep-last=1 --prune --repack-small",
    "forget --keep-last=1 --prune --repack-uncompressed",
    "forget --keep-last=1 --prune --dry-run",
    "forget --hostname=one --keep-last=1 --dry-run",
    "repair snapshots --path={source}/dir",
    "repair snapshots --path={source}/dir --dry-run",
    "unlock",
    "unlock --remove-all",
    "snapshots --last",
    "list keys --key-hint=0",
    "list index --no-lock",
    "snapshots --insecure-no-password",
    "snapshots --limit-download=1000000 --limit-upload=1000000",
    "snapshots --limit-download=x",
    "snapshots --stuck-request-timeout=1m",
    "snapshots --stuck-request-timeout=x",
    "snapshots --retry-lock=1s --json",
    "snapshots --cleanup-cache",
    "snapshots --cache-dir={folder}/cache-{program}",
    "snapshots --cacert={folder}/nowhere.pem",
    "snapshots --tls-client-cert={folder}/nowhere.pem",
    "snapshots --http-user-agent=somebody",
    "snapshots --insecure-tls",
    "snapshots -o local.connections=1 -o=local.connections=3",
    "snapshots -o local.connections=x",
    "snapshots -o nonsense",
    "snapshots --option=local.nonsense=1",
    "snapshots -qv",
    "snapshots -vvv",
    "snapshots --verbose=9",
    "snapshots --verbose=x",
    "snapshots --json=false",
    "snapshots --json=maybe",
    "snapshots --compression=wild",
    "snapshots --pack-size=0",
    "snapshots --pack-size=999",
    "snapshots --pack-size=-1",
    "snapshots --password-file={folder}/password",
    "snapshots -p {folder}/wrong",
    "snapshots --password-command=cat\t{folder}/password",
    "snapshots --password-file={folder}/nowhere",
    "snapshots --password-command=false",
    "snapshots --password-file=x --password-command=y",
    "snapshots --repository-file={folder}/nowhere",
    "generate",
    "nonsense",
    "snapshots --nonsense",
    "snapshots -Z",
]


CHANGING = ("prune", "forget", "repair", "unlock", "generate")


def without_chance(said: Said) -> Said:
    """Return the same without lines that name a cache or what was chosen at random."""
    lines = [line for line in said.out if "cache" not in line]
    return Said(said.code, lines, said.messages, said.errors, said.snapshot)


@pytest.mark.parametrize("line", LINES)
def test_the_same_line_says_the_same(side: SideBySide, line: str) -> None:
    reading = line.split(" ")[0] not in CHANGING and "lock" not in line and "nonsense" not in line
    theirs, ours = (without_chance(said) for said in side.run(line, reading=reading))
    assert ours.code == theirs.code, (ours.errors, theirs.errors)
    if theirs.code == 0:
        assert ours.out == theirs.out
        assert ours.messages == theirs.messages
    dumped = [side.folder / f"dumped-{name}" for name in ("restic", "pyrestic")]
    assert dumped[0].exists() == dumped[1].exists()
    if dumped[0].exists():
        assert dumped[0].read_bytes() == dumped[1].read_bytes()
    for path in dumped:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RESTIC_CACHE_DIR", "elsewhere"),
        ("RESTIC_COMPRESSION", "max"),
        ("RESTIC_COMPRESSION", "wild"),
        ("RESTIC_PACK_SIZE", "16"),
        ("RESTIC_PACK_SIZE", "x"),
        ("RESTIC_KEY_HINT", "0123"),
        ("RESTIC_CACERT", "/nowhere.pem"),
        ("RESTIC_TLS_CLIENT_CERT", "/nowhere.pem"),
        ("RESTIC_HTTP_USER_AGENT", "somebody"),
        ("RESTIC_READ_CONCURRENCY", "x"),
        ("RESTIC_HOST", "two"),
        ("RESTIC_FEATURES", "device-id-for-hardlinks=false"),
        ("RESTIC_FEATURES", "nonsense"),
        ("RESTIC_PROGRESS_FPS", "nonsense"),
    ],
)
def test_variables_mean_the_same(side: SideBySide, variable: str, value: str) -> None:
    theirs, ours = (
        without_chance(said) for said in side.run("snapshots --json", environment={variable: value}, reading=True)
    )
    assert ours.code == theirs.code, (ours.errors, theirs.errors)
    assert (ours.out, ours.messages) == (theirs.out, theirs.messages)


def test_a_password_file_a_command_and_a_location_file_come_from_variables(side: SideBySide, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a test password\n")
    (tmp_path / "location").write_text(f"{side.repository}\n")
    file, command = str(tmp_path / "password"), "echo 'a test password'"
    cases: list[dict[str, str]] = [
        {"RESTIC_PASSWORD_FILE": file, "RESTIC_REPOSITORY": str(side.repository)},
        {"RESTIC_PASSWORD_COMMAND": command, "RESTIC_REPOSITORY_FILE": str(tmp_path / "location")},
        {"RESTIC_PASSWORD_FILE": file, "RESTIC_PASSWORD_COMMAND": command, "RESTIC_REPOSITORY": str(side.repository)},
        {"RESTIC_PASSWORD": "a test password", "RESTIC_REPOSITORY": str(tmp_path / "nowhere")},
        {"RESTIC_REPOSITORY": str(side.repository), "RESTIC_REPOSITORY_FILE": str(tmp_path / "location")},
        {"RESTIC_PASSWORD": "wrong", "RESTIC_REPOSITORY": str(side.repository)},
    ]
    for program in (side.theirs, side.process):
        found = program.run("--repository-file", tmp_path / "location", "snapshots", "--json", "--no-lock").json
        assert len(found) == 5
    for settings in cases:
        blank = {"RESTIC_PASSWORD": ""} | settings
        theirs = side.theirs.run("snapshots", "--json", code=None, **blank)  # type: ignore[arg-type]
        ours = side.process.run("snapshots", "--json", code=None, **blank)  # type: ignore[arg-type]
        assert ours.code == theirs.code, settings
        assert ours.stdout == theirs.stdout


def test_the_version_is_one_line_or_one_object(side: SideBySide) -> None:
    theirs, ours = side.run("version")
    assert (ours.code, len(ours.out)) == (theirs.code, len(theirs.out))
    theirs, ours = side.run("version --json")
    assert [message.keys() for message in ours.messages] == [message.keys() for message in theirs.messages]


def test_check_keeps_its_own_cache_where_temporary_files_go(side: SideBySide, tmp_path: Path) -> None:
    settings = {"TMPDIR": str(tmp_path)}
    for said in side.run("check", environment=settings, stdin=b"a process of its own, please"):
        assert said.code == 0
        named = [line for line in said.out if line.startswith("using temporary cache in ")]
        assert [line.startswith(f"using temporary cache in {tmp_path}/restic-check-cache-") for line in named] == [True]
    assert list(tmp_path.iterdir()) == []
