"""Commands that write, each with a small repository to write to and the proof that it did what it was asked."""

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pyrestic.backend.local import LocalBackend
from pyrestic.format.snapshot import PARTIAL_TAG
from pyrestic.handle import BlobType
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from tests.support.damage import flip
from tests.support.prunable import packs, used_blobs
from tests.support.quick_repository import make_quick_repository, remove_empty_folders
from tests.support.repositories import QUICK
from tests.support.restic import PASSWORD, Program


@dataclass(frozen=True)
class State:
    """One copy of everything that a command works on."""

    folder: Path
    source: Path
    """What is backed up; all copies share it, since its path is in the snapshots."""
    pyrestic: Program
    restic: Program

    @property
    def repository(self) -> Path:
        """The repository that the command writes to."""
        return self.folder / "repository"

    @property
    def other(self) -> Path:
        """A repository that it reads."""
        return self.folder / "other"

    @property
    def target(self) -> Path:
        """Where files are restored."""
        return self.folder / "target"

    def snapshots(self) -> dict[str, str]:
        """Return the ID of each snapshot, and of the one it was first."""
        found = self.restic.snapshots(self.repository)
        return {str(one["id"]): str(one.get("original", one["id"])) for one in found}

    def tags(self) -> list[list[str]]:
        """Return the tags of all snapshots, in order."""
        return sorted(one.get("tags") or [] for one in self.restic.snapshots(self.repository))

    def names(self, folder: str) -> set[str]:
        """Return the names of all finished files in a folder of the repository."""
        return {path.name for path in (self.repository / folder).iterdir() if len(path.name) == 64}

    def copy(self, folder: Path) -> "State":
        """Return the same, copied to a new folder."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return replace(self, folder=folder)


@dataclass(frozen=True)
class Scenario:
    """A command: its words, how its repository is prepared, and what is true when it has done its work."""

    name: str
    words: Callable[[State], list[str | Path]]
    done: Callable[[State], bool]
    prepare: Callable[[State], object] = lambda _state: None
    intact: bool = True
    """Whether the repository is intact before the command, so that it has to be at every moment of it."""
    keeps: Callable[[str], bool] = lambda _tag: True
    """Whether a snapshot with this tag may never be lost."""
    then: Callable[[State], list[str | Path]] | None = None
    """What has to follow the same command to end the work of one that was interrupted, None for nothing."""
    code: int = 0
    """With which exit code it ends when it has done its work."""
    targets: bool = False
    """Whether the calls that count are those on the target, not those on the repository."""


def make_state(folder: Path, pyrestic: Program, restic: Program) -> State:
    """Make a repository with three snapshots, blobs that nothing uses, a pack that no index names; and a second one."""
    state = State(folder / "state", folder / "source", pyrestic, restic)
    state.folder.mkdir()
    make_quick_repository(state.repository)
    dice = random.Random(41)
    state.source.mkdir()
    for number in range(3):
        _change(state.source, dice, number)
        state.pyrestic.run("backup", "--tag", f"t{number}", state.source, repository=state.repository)
    _change(state.source, dice, 3)
    gone = state.pyrestic.run("backup", "--json", state.source, repository=state.repository).messages[-1]
    state.pyrestic.run("forget", str(gone["snapshot_id"]), repository=state.repository)
    orphan = state.repository / "data" / "ab" / ("ab" * 32)
    orphan.write_bytes(bytes(4321))
    # What the backup scenario stores was never stored before.
    _change(state.source, dice, 4)
    make_quick_repository(state.other)
    state.pyrestic.run("backup", "--tag", "other", state.source / "folder", repository=state.other)
    for repository in (state.repository, state.other):
        remove_empty_folders(repository)
    return state


def _change(source: Path, dice: random.Random, number: int) -> None:
    (source / "large").write_bytes(dice.randbytes(600_000))
    (source / "folder").mkdir(exist_ok=True)
    for each in range(3):
        (source / "folder" / f"small {number} {each}").write_bytes(dice.randbytes(3000))


def _used_packs_alone(state: State) -> bool:
    """Whether nothing is stored but what the snapshots use, once."""
    listed = state.restic.run("list", "blobs", "--no-lock", repository=state.repository).text.splitlines()
    in_index = {line for line in listed if line}
    return len(listed) == len(in_index) == len(used_blobs(state.repository)) and "ab" * 32 not in packs(
        state.repository
    )


def _restored(state: State) -> bool:
    snapshot = state.restic.snapshots(state.repository)[-1]
    wanted = state.folder / "wanted"
    if not wanted.exists():
        state.restic.run(
            "restore", "--no-lock", f"{snapshot['id']}:{state.source}", "--target", wanted, repository=state.repository
        )
    return _contents(wanted) == _contents(state.target)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _lose_index(state: State) -> None:
    min((state.repository / "index").iterdir()).unlink()


def _damage_unused_pack(state: State) -> None:
    """Damage a pack that no snapshot needs, and note its name."""
    name = _find_data_pack(state, used=False)
    (state.folder / "damaged").write_text(name)
    flip(state.repository / "data" / name[:2] / name)


def _damaged(state: State) -> str:
    return (state.folder / "damaged").read_text()


def _find_data_pack(state: State, *, used: bool) -> str:
    """Return the name of a pack of files' content that snapshots need, or that none needs."""
    needed = used_blobs(state.repository)
    opened = Repository.open(LocalBackend(str(state.repository)), PASSWORD)
    opened.load_index(NullReporter())
    found: dict[str, bool] = {}
    for blob in opened.index.blobs():
        if blob.handle.type is BlobType.DATA:
            name = str(blob.handle) + blob.handle.id.hex()
            found[blob.pack.hex()] = found.get(blob.pack.hex(), False) or name in needed
    opened.close()
    return min(pack for pack, is_needed in found.items() if is_needed == used)


def _lock_from_elsewhere(state: State) -> None:
    """Leave the lock of a real restic that was killed."""
    command = [*state.restic.command, "--repo", str(state.repository), "backup", "--stdin", "--stdin-filename", "x"]
    process = subprocess.Popen(
        command, env=state.restic.environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    folder = state.repository / "locks"
    while not any(len(path.name) == 64 for path in folder.iterdir()):
        os.stat(folder)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def _password_file(state: State) -> Path:
    path = state.folder / "new password"
    path.write_text("another password\n")
    return path


def _opens_with_new_password(state: State) -> bool:
    words: list[str | Path] = ["--password-file", state.folder / "new password", "cat", "config", "--no-lock"]
    return state.restic.run(*words, repository=state.repository, code=None).code == 0


def _second_key(state: State) -> None:
    _password_file(state)
    words: list[str | Path] = ["key", "add", "--new-password-file", state.folder / "new password"]
    state.restic.run(*words, repository=state.repository)


def _key_words(state: State) -> list[str | Path]:
    """The key that is not the one in use."""
    listed = state.restic.run("key", "list", "--json", "--no-lock", repository=state.repository).json
    others = [one["id"] for one in listed if not one["current"]]
    return ["key", "remove", others[0] if others else "ffffffff"]


def _first_version(state: State) -> None:
    shutil.rmtree(state.repository)
    Repository.create(
        LocalBackend(str(state.repository)),
        PASSWORD,
        version=1,
        hostname="host",
        username="user",
        created="2024-01-01T00:00:00Z",
        params=QUICK,
    ).close()
    state.restic.run("backup", "--tag", "t0", state.source, repository=state.repository)
    remove_empty_folders(state.repository)


def _version(state: State) -> int:
    config = state.restic.run("cat", "config", "--no-lock", repository=state.repository).json
    return int(config["version"])


def _lose_trees(state: State) -> None:
    for path in (state.repository / "snapshots").iterdir():
        path.unlink()


def _lose_data(state: State) -> None:
    """Lose a pack of files' content that snapshots need."""
    name = _find_data_pack(state, used=True)
    (state.repository / "data" / name[:2] / name).unlink()
    state.restic.run("repair", "index", repository=state.repository)


def _checks(state: State) -> bool:
    return state.restic.run("check", "--no-lock", "--read-data", repository=state.repository, code=None).code == 0


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "init",
        lambda _state: ["init"],
        lambda state: state.restic.run("cat", "config", "--no-lock", repository=state.repository, code=None).code == 0,
        lambda state: shutil.rmtree(state.repository),
        intact=False,
        keeps=lambda _tag: False,
    ),
    Scenario(
        "backup",
        lambda state: ["backup", "--tag", "new", state.source],
        lambda state: ["new"] in state.tags(),
    ),
    Scenario(
        "backup --checkpoint",
        # There is a checkpoint after each file; two are enough.
        lambda state: [
            *("backup", "--tag", "new", "--checkpoint", "1ns"),
            *(state.source / name for name in ("folder/small 4 0", "large")),
        ],
        lambda state: ["new"] in state.tags(),
        keeps=lambda tag: tag != PARTIAL_TAG,
    ),
    Scenario(
        "forget",
        lambda _state: ["forget", "--keep-last", "1"],
        lambda state: state.tags() == [["t2"]],
        keeps=lambda tag: tag == "t2",
    ),
    Scenario(
        "forget --prune",
        lambda _state: ["forget", "--keep-last", "1", "--prune", "--max-unused", "0"],
        lambda state: state.tags() == [["t2"]] and _used_packs_alone(state),
        keeps=lambda tag: tag == "t2",
        # As with restic, a forget that finds nothing to remove does not prune.
        then=lambda _state: ["prune", "--max-unused", "0"],
    ),
    Scenario("prune", lambda _state: ["prune", "--max-unused", "0"], _used_packs_alone),
    Scenario(
        "copy",
        lambda state: ["copy", "--from-repo", state.other, "--from-password-file", state.folder / "password"],
        lambda state: ["other"] in state.tags(),
        lambda state: (state.folder / "password").write_text("a test password\n"),
    ),
    Scenario(
        "tag",
        lambda _state: ["tag", "--add", "more"],
        lambda state: all("more" in tags for tags in state.tags()),
    ),
    Scenario(
        "rewrite",
        lambda _state: ["rewrite", "--forget", "--exclude", "large"],
        # Not in the latest alone: after a failure there may be an old and a new one of the same time.
        lambda state: not state.restic.run("find", "large", "--json", "--no-lock", repository=state.repository).json,
    ),
    Scenario(
        "repair index",
        lambda _state: ["repair", "index"],
        _checks,
        _lose_index,
        intact=False,
        # It tells of the pack that is none.
        code=3,
    ),
    Scenario(
        "repair packs",
        lambda state: ["repair", "packs", _damaged(state)],
        lambda state: _damaged(state) not in packs(state.repository) and _checks(state),
        _damage_unused_pack,
        intact=False,
        # It tells of a blob that is lost, though no snapshot needs it.
        code=3,
    ),
    Scenario(
        "repair snapshots",
        lambda _state: ["repair", "snapshots", "--forget"],
        _checks,
        _lose_data,
        intact=False,
        # It tells of files that have lost something.
        code=3,
        keeps=lambda _tag: False,
    ),
    Scenario("recover", lambda _state: ["recover"], lambda state: ["recovered"] in state.tags(), _lose_trees),
    Scenario(
        "migrate", lambda _state: ["migrate", "upgrade_repo_v2"], lambda state: _version(state) == 2, _first_version
    ),
    Scenario(
        "key add",
        lambda state: ["key", "add", "--new-password-file", state.folder / "new password"],
        _opens_with_new_password,
        _password_file,
    ),
    Scenario("key remove", _key_words, lambda state: not _opens_with_new_password(state), _second_key),
    Scenario(
        "unlock --remove-all",
        lambda _state: ["unlock", "--remove-all"],
        lambda state: not state.names("locks"),
        _lock_from_elsewhere,
    ),
    Scenario(
        "restore",
        lambda state: ["restore", f"latest:{state.source}", "--target", state.target],
        _restored,
        targets=True,
    ),
)
