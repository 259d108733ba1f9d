"""A home in which somebody else can write, as after `sudo` without `-H`: nothing in it is used or written."""

import os
from pathlib import Path

import pytest

from pyrestic.handle import FileType
from tests.support.cli import Caller
from tests.support.users import ORDINARY

VICTIM = b"a file of root's\n"


@pytest.fixture(params=["another user's", "open to others"])
def foreign(made: Caller, request: pytest.FixtureRequest) -> Caller:
    """A home with links planted at every name that the program is known to write to."""
    home, victims = made.folder / "home", made.folder / "victims"
    home.mkdir()
    victims.mkdir()
    made.environment |= {"HOME": str(home), "XDG_CACHE_HOME": "", "XDG_STATE_HOME": ""}
    identifier = made("cat", "config", "--no-cache").json["id"]
    state, own, cache = home / ".local/state/pyrestic", home / ".cache/pyrestic", home / ".cache/restic"
    planted = [
        *(state / name for name in ("costs.json", "costs.json.new", "costs.json.lock", "restores/note")),
        *(state / "proofs" / f"{identifier}.json{end}" for end in ("", ".new", ".lock")),
        *(own / "history" / f"{identifier}.sqlite{end}" for end in ("", "-journal", ".lock")),
        *(own / name for name in ("lock", "scrypt-x")),
        *(cache / identifier / name for name in ("version", "pyrestic-index")),
        cache / "CACHEDIR.TAG",
    ]
    for number, path in enumerate(planted):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(victims / str(number))
        # Every second link leads to nothing, which would be made.
        if number % 2:
            (victims / str(number)).write_bytes(VICTIM)
    if request.param == "open to others":
        home.chmod(0o757)
    elif os.geteuid() != 0:
        pytest.skip("only root can make what belongs to others")
    else:
        for folder, _, names in os.walk(home):
            os.chown(folder, ORDINARY, ORDINARY)
            for name in names:
                os.lchown(os.path.join(folder, name), ORDINARY, ORDINARY)
    return made


def everything(folder: Path) -> dict[str, object]:
    """All that is below a folder, with content, targets and times of change."""
    found: dict[str, object] = {}
    for where, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(where, name)
            status = path.lstat()
            link = path.is_symlink()
            content = os.readlink(path) if link else path.read_bytes() if path.is_file() else b""
            found[str(path)] = (content, status.st_ctime_ns, status.st_mode)
    return found


def test_no_command_reads_or_writes_anything_there(foreign: Caller) -> None:
    source = foreign.folder / "source"
    source.mkdir()
    (source / "file").write_bytes(b"content" * 1000)
    before = everything(foreign.folder / "home"), everything(foreign.folder / "victims")
    for words in (
        ["backup", str(source)],
        ["snapshots"],
        ["history", str(source / "file")],
        ["check", "--read-data"],
        ["check", "--with-cache", "--budget", "1M"],
        ["drill"],
        ["restore", "latest", "--target", str(foreign.folder / "target")],
        ["cost"],
        ["cache"],
        ["forget", "--keep-last", "1", "--prune"],
        ["snapshots", "--cleanup-cache"],
    ):
        outcome = foreign(*words)
        assert outcome.code == 0, (words, outcome)
        assert "nothing is stored in" not in outcome.out + outcome.err or words == ["cache"]
        told = foreign(*words, "-v")
        notes = [line for line in (told.out + told.err).splitlines() if "nothing is stored in" in line]
        assert len(notes) == 1, (words, told)
        assert str(foreign.folder / "home") in notes[0]
    assert (everything(foreign.folder / "home"), everything(foreign.folder / "victims")) == before
    assert (foreign.folder / "target" / source.relative_to("/") / "file").read_bytes() == b"content" * 1000


def test_cache_says_that_the_folder_is_left_alone(foreign: Caller) -> None:
    home = foreign.folder / "home"
    before = everything(home)
    base = home / ".cache" / "restic"
    outcome = foreign("cache")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"the cache folder {base} is left alone: nothing is stored in {home}: ")
    assert foreign("cache", "-q").out == outcome.out
    listed = foreign("cache", "--json")
    assert (listed.code, listed.json, listed.err) == (0, [], outcome.out)
    for words in (["cache", "--cleanup"], ["cache", "--cleanup-cache", "--max-age", "0"]):
        cleaned = foreign(*words)
        assert (cleaned.code, cleaned.out, cleaned.err) == (1, "", f"Fatal: {outcome.out}")
    assert everything(home) == before


def test_links_in_a_home_of_ones_own_are_not_written_through(made: Caller) -> None:
    made.environment |= {"HOME": str(made.folder), "XDG_CACHE_HOME": "", "XDG_STATE_HOME": ""}
    assert made("snapshots").code == 0
    (cache,) = (made.folder / ".cache" / "restic").glob("[0-9a-f]*")
    victim = made.folder / "victim"
    victim.write_bytes(VICTIM)
    for name in ("version", "pyrestic-index"):
        (cache / name).unlink(missing_ok=True)
        (cache / name).symlink_to(victim)
    (made.folder / "source").write_bytes(b"content")
    assert made("backup", str(made.folder / "source")).code == 0
    (stored,) = (made.repository / FileType.SNAPSHOT.value.rstrip("s")).parent.glob("snapshots/*")
    kept = cache / "snapshots" / stored.name[:2] / stored.name
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.unlink(missing_ok=True)
    kept.symlink_to(victim)
    assert made("snapshots").code == 0
    assert victim.read_bytes() == VICTIM


@pytest.mark.process
def test_the_runner_refuses_a_state_and_profiles_there(
    foreign: Caller, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = tmp_path_factory.mktemp("own") / "profiles.toml"
    text = f"version = 1\n[profile.home]\nrepo = '{foreign.repository}'\nbackup.source = ['{foreign.repository}']\n"
    own.write_text(text)
    theirs = Path(foreign.environment["HOME"], ".config", "pyrestic", "profiles.toml")
    theirs.parent.mkdir(parents=True)
    theirs.write_text(text)
    os.chown(theirs, ORDINARY, ORDINARY)
    before = everything(foreign.folder)
    for words in (["run", "home"], ["run", "--due"], ["status"], ["pause", "1h"]):
        refused = foreign(*words, "--config", own)
        assert refused.code == 1, words
        assert "Fatal: " in refused.err, words
    refused = foreign("profile", "check", "--config", theirs)
    assert refused.code == 1
    assert "others" in refused.err or "another user" in refused.err
    assert everything(foreign.folder) == before
