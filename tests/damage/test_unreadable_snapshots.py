"""A snapshot that cannot be read is never passed over where it may be the one that is meant."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrestic.api.opening import open_repository
from pyrestic.errors import DamageError, UsageError
from pyrestic.repository.snapshots import DAMAGED_SNAPSHOT_HINT
from tests.support.cli import PASSWORD
from tests.support.damage import flip
from tests.support.stage import Stage

pytestmark = pytest.mark.slow

CHOOSING = (
    "restore latest --target {target}",
    "restore latest:/file --target {target}",
    "restore latest~1 --target {target}",
    "restore @now --host none --target {target}",
    "ls latest",
    "ls latest~1",
    "ls @now",
    "dump latest /file",
    "dump latest /",
    "cat snapshot latest",
    "cat tree latest",
    "diff latest~1 latest",
    "drill",
    "mount {folder}/empty",
    "serve --listen 127.0.0.1:0",
    "backup --parent latest file",
    "restore --all-versions /file --target {target}",
)
"""Commands in which a name may mean the snapshot that cannot be read."""

CHANGING = (
    "forget --keep-last 1",
    "forget --keep-last 1 --dry-run",
    "forget --host none --keep-last 1",
    "forget latest",
    "forget {good} latest",
    "forget {damaged}",
    "forget {good} {damaged}",
    "forget --keep-last 1 --prune",
    "prune",
    "prune --dry-run",
    "tag --add x",
    "tag --add x --host none",
    "tag --add x latest",
    "rewrite --exclude file",
    "rewrite --forget --exclude file",
    "rewrite --exclude file latest",
    "repair snapshots",
    "repair snapshots --forget",
    "repair snapshots latest",
    "repair snapshots {damaged}",
)
"""Commands that would decide on what is changed or removed."""

LISTING = (
    "snapshots",
    "snapshots --json",
    "snapshots --latest 1",
    "snapshots latest {good}",
    "stats",
    "stats --json",
    "stats {damaged} {good}",
    "find file",
    "find --json file",
    "find --snapshot {damaged} file",
    "history /file",
    "check",
    "check {damaged}",
    "copy",
)
"""Commands that show what can be read, and name what cannot."""


class Damaged(Stage):
    """Two snapshots, the newest of which is damaged."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "empty").mkdir()
        self.ids: list[str] = []
        for text in ("old", "new"):
            (self.source / "file").write_text(text)
            before = self.stored()
            self.call.cwd = self.source
            assert self.call("backup", "file").code == 0
            self.ids += self.stored() - before
        self.good, self.damaged = self.ids
        flip(self.call.repository / "snapshots" / self.damaged)
        shutil.rmtree(folder / "cache", ignore_errors=True)

    def stored(self) -> set[str]:
        """Return the names of the snapshot files."""
        return {path.name for path in (self.call.repository / "snapshots").iterdir()}

    def names(self) -> dict[str, str | Path]:
        """Return what stands in braces in a command line."""
        ids = {"good": self.good, "damaged": self.damaged}
        return {**super().names(), **ids, "target": self.folder / "target"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    return Damaged(tmp_path_factory.mktemp("stage"))


@pytest.fixture
def stage(made: Damaged) -> Iterator[Damaged]:
    kept = made.folder / "kept"
    shutil.copytree(made.call.repository, kept)
    yield made
    shutil.rmtree(made.call.repository)
    kept.rename(made.call.repository)
    target = made.folder / "target"
    shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)


@pytest.mark.parametrize("line", CHOOSING)
def test_a_name_that_may_mean_it_is_an_error_that_names_the_file(stage: Damaged, line: str) -> None:
    outcome = stage.call(*stage.arguments(line))
    assert outcome.code == 1
    assert stage.damaged[:8] in outcome.err
    assert "hash" in outcome.err
    assert not (stage.folder / "target").exists()
    assert outcome.out in ("", "Loading snapshots...\n")


@pytest.mark.parametrize("line", CHANGING)
def test_nothing_is_decided_on_an_incomplete_list(stage: Damaged, line: str) -> None:
    before = stage.stored()
    outcome = stage.call(*stage.arguments(line))
    assert outcome.code == 1
    assert stage.damaged[:8] in outcome.err or "nothing" in outcome.err
    assert stage.stored() == before


@pytest.mark.parametrize(
    "line",
    [
        "forget {damaged}",
        "forget {good} {damaged}",
        "tag --add x {damaged}",
        "rewrite --exclude x {damaged}",
        "repair snapshots {damaged}",
        "restore {damaged} --target {target}",
        "ls {damaged}",
        "dump {damaged} /file",
        "diff {good} {damaged}",
        "drill {damaged}",
    ],
)
def test_who_names_it_learns_how_to_get_rid_of_it(stage: Damaged, line: str) -> None:
    outcome = stage.call(*stage.arguments(line))
    first, *more = outcome.err.splitlines()
    assert outcome.code == 1
    assert stage.damaged[:8] in first
    assert more == [DAMAGED_SNAPSHOT_HINT]


@pytest.mark.parametrize(
    "line", ["forget latest", "prune", "tag --add x", "rewrite --exclude x", "repair snapshots", "check"]
)
def test_no_consent_is_taken_for_what_changes_something(stage: Damaged, line: str) -> None:
    outcome = stage.call(*stage.arguments(line), "--skip-damaged")
    assert outcome.code == 1
    assert "unknown flag: --skip-damaged" in outcome.err


@pytest.mark.parametrize("line", LISTING)
def test_lists_name_what_is_missing_from_them_and_end_with_1(stage: Damaged, line: str) -> None:
    outcome = stage.call(*stage.arguments(line))
    assert outcome.code == 1
    assert stage.damaged[:8] in outcome.err
    if line in ("snapshots", "snapshots --json", "snapshots latest {good}"):
        assert stage.good[:8] in outcome.out


@pytest.mark.parametrize(
    "line",
    [
        "restore latest --target {target}",
        "restore --all-versions /file --target {target}",
        "ls @now",
        "dump latest /file",
        "drill",
        "backup --parent latest file",
        "snapshots",
        "snapshots latest {good}",
        "stats",
        "find file",
        "history /file",
        "copy",
    ],
)
def test_consent_leaves_it_out_with_a_note(stage: Damaged, line: str) -> None:
    outcome = stage.call(*stage.arguments(line), "--skip-damaged")
    assert outcome.code == 0, outcome.err
    assert stage.damaged[:8] in outcome.err
    if line.startswith("dump"):
        assert outcome.out == "old"


def test_mount_and_serve_take_consent_and_fail_for_other_reasons_alone(stage: Damaged) -> None:
    missing = stage.folder / "missing"
    for words, reason in (
        (("mount", missing), str(missing)),
        (("serve", "--listen", "no-such-host.invalid:0"), "no-such-host.invalid"),
    ):
        outcome = stage.call(*words, "--skip-damaged")
        assert outcome.code == 1
        assert reason in outcome.err
        assert stage.damaged not in outcome.err


def test_other_snapshots_can_be_used_by_their_ids(stage: Damaged) -> None:
    for line in ("ls {good}", "dump {good} /file", "restore {good} --target {target}", "check {good}", "stats {good}"):
        assert stage.call(*stage.arguments(line)).code == 0
    assert (stage.folder / "target" / "file").read_text() == "old"


def test_a_backup_is_stored_all_the_same_and_says_why_it_does_not_end_with_0(stage: Damaged) -> None:
    before = stage.stored()
    outcome = stage.call("backup", "file")
    assert outcome.code == 1
    assert stage.damaged[:8] in outcome.err
    assert "the new snapshot is stored" in outcome.err.lower()
    (new,) = stage.stored() - before
    assert stage.call("dump", new, "/file").out == "new"
    outcome = stage.call("backup", "--skip-damaged", "file")
    assert outcome.code == 0
    assert stage.damaged[:8] in outcome.err


def test_the_file_can_be_removed_by_name_after_its_content_was_recovered(stage: Damaged) -> None:
    recovered = stage.call("recover")
    assert recovered.code == 0
    assert "saved new snapshot" in recovered.out
    outcome = stage.call("repair", "snapshots", "--forget", stage.damaged[:10])
    assert outcome.code == 0, outcome.err
    assert f"removed unreadable snapshot {stage.damaged}" in outcome.err
    assert stage.damaged not in stage.stored()
    assert stage.good in stage.stored()
    assert stage.call("check").code == 0
    assert "new" in [stage.call("dump", "latest", f"/{folder}/file").out for folder in _folders(stage)]


def _folders(stage: Damaged) -> list[str]:
    return [line.strip("/") for line in stage.call("ls", "latest").out.splitlines()[1:] if line.count("/") == 1]


def test_the_python_api_raises_as_well(stage: Damaged) -> None:
    with open_repository(str(stage.call.repository), password=PASSWORD, cache_dir="") as repository:
        for name in ("latest", "latest~1", "@now"):
            with pytest.raises(DamageError, match=stage.damaged[:8]):
                repository.snapshot(name)
        with pytest.raises(DamageError, match=stage.damaged[:8]):
            repository.snapshots()
        with pytest.raises(DamageError, match=stage.damaged[:8]):
            repository.history("/file")
        assert [one.id for one in repository.snapshots(skip_damaged=True)] == [stage.good]
        assert repository.snapshot("latest", skip_damaged=True).id == stage.good
        assert repository.snapshot(stage.good).id == stage.good
        with pytest.raises(UsageError):
            repository.snapshot("latest~1", skip_damaged=True)
