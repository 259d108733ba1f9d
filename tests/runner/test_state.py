"""The state of the runner on disk."""

import json
import os
from pathlib import Path

import pytest

from pyrestic.errors import LocalFileError
from pyrestic.localfs.online import has_default_route
from pyrestic.localfs.power import read_power
from pyrestic.runner import state
from pyrestic.runner.quiet import holds, is_quiet, watch_files
from pyrestic.runner.records import Hold, Runs, TaskRecord
from pyrestic.runner.state import RunStore, append_to_log
from tests.support.profiles import make_profile
from tests.support.users import ORDINARY

NOW = 1_780_056_000.0
HOME, DISK = make_profile("home"), make_profile("disk")


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path / "state"), lambda: NOW)


def begin(record: TaskRecord) -> None:
    record.started = NOW


def test_a_change_is_there_for_the_next_reader(store: RunStore) -> None:
    store.change_task(HOME, "backup", begin)
    record = RunStore(store.folder).read().profiles["home"]
    assert (record.first_seen, record.tasks) == (NOW, {"backup": TaskRecord(started=NOW)})
    assert os.stat(os.path.join(store.folder, "runs.json")).st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 2}',
        '{"version": 1, "profiles": 3}',
        "\0" * 100,
        '{"version": 1, "paused_until": 1e999}',
        '{"version": 1, "profiles": {"home": {"first_seen": 1, "tasks": {"backup": {"good_started": NaN}}}}}',
    ],
)
def test_a_broken_state_begins_anew_and_the_old_one_is_kept(text: str, store: RunStore) -> None:
    store.change_task(HOME, "backup", begin)
    path = Path(store.folder, "runs.json")
    path.write_text(text)
    store.change_task(DISK, "backup", begin)
    assert list(store.read().profiles) == ["disk"]
    assert path.with_name("runs.json.damaged").read_text() == text


def test_a_field_of_a_newer_version_is_ignored(store: RunStore) -> None:
    store.change_task(HOME, "backup", begin)
    path = Path(store.folder, "runs.json")
    document = json.loads(path.read_text())
    document["profiles"]["home"]["tasks"]["backup"]["weather"] = "rain"
    path.write_text(json.dumps(document))
    assert store.read().profiles["home"].tasks["backup"].started == NOW


def test_a_full_disk_is_an_error_and_keeps_the_state(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.change_task(HOME, "backup", begin)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyrestic.backend.private_folder.write_all", refuse)
    with pytest.raises(LocalFileError, match="No space left on device"):
        store.change_task(HOME, "backup", lambda record: setattr(record, "ended", NOW))
    assert store.read().profiles["home"].tasks["backup"].ended is None
    assert sorted(os.listdir(store.folder)) == ["runs.json", "runs.json.lock"]


def test_a_full_log_is_renamed_and_one_old_one_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_MOST_LOG_BYTES", 100)
    for number in range(25):
        append_to_log(str(tmp_path), "runs.log", b"%09d\n" % number)
    assert (tmp_path / "runs.log").read_bytes().split() == [b"%09d" % number for number in range(20, 25)]
    assert (tmp_path / "runs.log.1").read_bytes().split() == [b"%09d" % number for number in range(10, 20)]


class Quiet:
    """A state that says that nothing is due, and the files that it depends on."""

    def __init__(self, folder: Path) -> None:
        self.profiles = folder / "config"
        self.profiles.mkdir()
        self.file = self.profiles / "profiles.toml"
        self.file.write_text("version = 1")
        self.state = folder / "state" / "runs.json"
        self.store = RunStore(str(self.state.parent), lambda: NOW)
        self.write(NOW + 600)

    def write(self, until: float, *facts: Hold) -> None:
        def change(runs: Runs) -> None:
            runs.quiet_until = until
            runs.holds = list(facts)
            runs.watched = watch_files([str(self.file)], str(self.profiles))

        self.store.change(change)

    def at(self, now: float) -> bool:
        return is_quiet(str(self.state), str(self.profiles), now)


@pytest.fixture
def quiet(tmp_path: Path) -> Quiet:
    return Quiet(tmp_path)


def test_a_tick_is_quiet_until_something_is_due(quiet: Quiet) -> None:
    assert [quiet.at(NOW + seconds) for seconds in (0, 599, 600)] == [True, True, False]


def test_a_tick_is_quiet_while_the_facts_hold(quiet: Quiet) -> None:
    quiet.write(NOW + 600, ("battery", ""), ("offline", ""))
    wrong = [("battery", ""), ("offline", ""), ("", "")]
    for fact in wrong:
        quiet_now = is_quiet(str(quiet.state), str(quiet.profiles), NOW, lambda *one: one != fact)  # noqa: B023
        assert quiet_now is (fact == ("", ""))


def test_the_facts_are_looked_up_on_this_machine(tmp_path: Path) -> None:
    assert holds("missing", str(tmp_path))
    (tmp_path / "config").touch()
    assert not holds("missing", str(tmp_path))
    assert holds("battery", "") is not read_power().on_mains
    assert holds("offline", "") is not has_default_route()
    assert not holds("until", "1")
    assert holds("until", "1e12")
    assert not holds("weather", "")


def test_a_clock_that_was_set_back_proves_nothing(quiet: Quiet) -> None:
    assert not quiet.at(NOW - 1)


def test_a_changed_file_of_profiles_is_looked_at(quiet: Quiet) -> None:
    quiet.file.write_text("version = 1\n")
    assert not quiet.at(NOW + 1)


def test_a_new_file_of_profiles_is_looked_at(quiet: Quiet) -> None:
    (quiet.profiles / "profiles.d").mkdir()
    assert not quiet.at(NOW + 1)
    quiet.write(NOW + 600)
    assert quiet.at(NOW + 1)
    (quiet.profiles / "profiles.d" / "more.toml").touch()
    assert not quiet.at(NOW + 1)


def test_profiles_elsewhere_are_looked_at(quiet: Quiet, tmp_path: Path) -> None:
    assert not is_quiet(str(quiet.state), str(tmp_path / "other"), NOW + 1)


def test_every_other_change_of_the_state_ends_the_quiet(quiet: Quiet) -> None:
    quiet.store.change_task(HOME, "backup", begin)
    assert not quiet.at(NOW + 1)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"quiet_until": "x"}', "[" * 100_000])
def test_a_state_that_cannot_be_read_is_not_quiet(text: str, quiet: Quiet) -> None:
    quiet.state.write_text(text)
    assert not quiet.at(NOW + 1)


def test_a_state_that_others_may_write_is_not_quiet(quiet: Quiet) -> None:
    quiet.state.chmod(0o666)
    assert not quiet.at(NOW + 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_state_of_somebody_else_is_not_quiet(quiet: Quiet) -> None:
    os.chown(quiet.state, ORDINARY, ORDINARY)
    assert not quiet.at(NOW + 1)
