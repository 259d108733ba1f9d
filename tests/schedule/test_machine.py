"""The timer on a machine with the real systemd and the real cron."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support import usage
from tests.support.own_machine import OwnMachine, running_machine
from tests.support.private_bus import wait_until
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, ROOT

pytestmark = pytest.mark.process
PERSONS = "# my jobs\nMAILTO=me\n0 3 * * * /bin/true\n"


@contextmanager
def prepared_machine(folder: Path) -> Iterator[OwnMachine]:
    """Run a machine with the program, and a profile that waits."""
    with running_machine(folder) as machine:
        machine.start_user_manager()
        program = machine.home / "bin" / "pyrestic"
        program.parent.mkdir()
        program.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            "from pyrestic.__main__ import run\nrun()\n"
        )
        program.chmod(0o700)
        profiles = machine.home / ".config" / "pyrestic" / "profiles.toml"
        profiles.parent.mkdir(parents=True, mode=0o700)
        profiles.write_text("version = 1\n[profile.home]\nrepo = '/nowhere'\nif-missing = 'skip'\n")
        yield machine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMachine]:
    with prepared_machine(tmp_path_factory.mktemp("machine")) as machine:
        machine.start_cron()
        yield machine


def pyrestic(machine: OwnMachine, *words: str, code: int = 0, **variables: str) -> str:
    variables = {"XDG_CONFIG_HOME": str(machine.home / ".config"), **variables}
    done = machine.run(machine.home / "bin" / "pyrestic", *words, **variables)
    usage.note(usage.OURS, words, {}, done.returncode)
    assert done.returncode == code, done
    return done.stdout + done.stderr


def crontab(machine: OwnMachine) -> str:
    return machine.run("crontab", "-l").stdout


def active(machine: OwnMachine) -> str:
    return machine.run("systemctl", "--user", "is-active", "pyrestic.timer").stdout.strip()


def units(machine: OwnMachine) -> Path:
    return machine.home / ".config" / "systemd" / "user"


def test_systemd_then_cron_then_nothing(machine: OwnMachine) -> None:
    stored = machine.home / "crontab"
    stored.write_text(PERSONS)
    assert machine.run("crontab", stored).returncode == 0
    printed = pyrestic(machine, "schedule", "--print")
    assert f"ExecStart={machine.home}/bin/pyrestic run --due\n" in printed
    assert pyrestic(machine, "schedule", "--show", code=1) == "there is no timer\n"

    assert f"installed: {units(machine)}/pyrestic.timer\n" in pyrestic(machine, "schedule")
    assert active(machine) == "active"
    before = {path.name: path.read_bytes() for path in units(machine).glob("pyrestic.*")}
    assert sorted(before) == ["pyrestic.service", "pyrestic.timer"]
    pyrestic(machine, "schedule", "--install")
    assert {path.name: path.read_bytes() for path in units(machine).glob("pyrestic.*")} == before
    shown = pyrestic(machine, "schedule", "--show")
    assert shown.startswith(f"{units(machine)}/pyrestic.timer: active\n")
    assert "next start: n/a" not in shown
    assert crontab(machine) == PERSONS

    # A run now: the service starts this program, which finds the profile.
    assert machine.run("systemctl", "--user", "start", "pyrestic.service").returncode == 0
    assert "waiting" in (machine.home / ".local" / "state" / "pyrestic" / "runs.json").read_text()

    assert "removed: " in pyrestic(machine, "schedule", "--with", "cron")
    assert active(machine) == "inactive"
    assert list(units(machine).glob("pyrestic.*")) == []
    # Root's profiles would be in /etc without the variable.
    command = f"env XDG_CONFIG_HOME={machine.home}/.config {machine.home}/bin/pyrestic run --due"
    line = f"*/10 * * * * {command} >/dev/null # pyrestic\n"
    assert crontab(machine) == PERSONS + line
    assert pyrestic(machine, "schedule", "--show") == line
    pyrestic(machine, "schedule", "--with", "cron")
    assert crontab(machine) == PERSONS + line

    assert pyrestic(machine, "schedule", "--remove") == "removed: a line of your crontab\n"
    assert crontab(machine) == PERSONS
    assert pyrestic(machine, "schedule", "--remove") == "there is no timer\n"


def test_a_unit_that_a_person_wrote_stays(machine: OwnMachine) -> None:
    unit = units(machine) / "pyrestic.timer"
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text("[Timer]\nOnCalendar=daily\n")
    assert f"{unit} was not written by this program" in pyrestic(machine, "schedule", code=1)
    assert f"{unit} was not written by this program" in pyrestic(machine, "schedule", "--remove", code=1)
    assert unit.read_text() == "[Timer]\nOnCalendar=daily\n"
    unit.unlink()


def test_a_crontab_that_only_has_our_line_is_removed(machine: OwnMachine) -> None:
    machine.run("crontab", "-r")
    pyrestic(machine, "schedule", "--with", "cron")
    pyrestic(machine, "schedule", "--remove")
    wait_until(lambda: "no crontab for" in machine.run("crontab", "-l").stderr, "the crontab")


def test_set_up_on_a_bare_machine(machine: OwnMachine) -> None:
    """One command: the timer is installed and started, and a second run changes nothing."""
    (machine.home / ".config" / "pyrestic" / "profiles.toml").unlink()
    (machine.home / "notes.txt").write_text("text")
    words = ["setup", "--yes", "--source", str(machine.home / "notes.txt"), "--repo", str(machine.home / "backup")]
    first = pyrestic(machine, *words, "--with", "systemd")
    assert "it is the same\n" in first
    assert "pyrestic.service " in first
    assert active(machine) == "active"
    # The service that the timer starts makes the first whole backup.
    wait_until(lambda: '"paths"' in pyrestic(machine, "snapshots", "--json", "--no-lock"), "the backup")
    wait_until(lambda: "inactive" in machine.run("systemctl", "--user", "is-active", "pyrestic.service").stdout, "it")
    before = {str(path): path.read_bytes() for path in units(machine).parent.parent.rglob("*") if path.is_file()}
    assert pyrestic(machine, *words, "--with", "systemd").endswith("nothing to do: everything is set up\n")
    after = {str(path): path.read_bytes() for path in units(machine).parent.parent.rglob("*") if path.is_file()}
    assert after == before

    removed = pyrestic(machine, "setup", "--remove")
    assert f"removed {units(machine)}/pyrestic.timer\n" in removed
    assert list(units(machine).glob("pyrestic.*")) == []
    assert active(machine) == "inactive"
    assert (machine.home / "backup" / "config").exists()


def test_credentials_are_for_systemd_alone(machine: OwnMachine) -> None:
    file = machine.home / ".config" / "pyrestic" / "profiles.toml"
    file.write_text("version = 1\n[profile.home]\nrepo = '/nowhere'\npassword = { credential = 'x' }\n")
    printed = pyrestic(machine, "schedule", "--print", "--with", "systemd")
    assert f"LoadCredential=x:{file.parent}/credentials/x\n" in printed
    assert "only systemd has credentials" in pyrestic(machine, "schedule", "--print", "--with", "cron", code=1)
    assert "there is no credential 'x'" in pyrestic(machine, "-P", "home", "snapshots", code=1)
    file.unlink()


def test_a_service_gets_the_password_as_a_credential(tmp_path: Path) -> None:
    make_quick_repository(tmp_path / "vault")
    # systemd covers /dev/shm while it reads credentials.
    with TemporaryDirectory(dir="/var/tmp", prefix="pyrestic-test-") as home, prepared_machine(Path(home)) as machine:
        file = machine.home / ".config" / "pyrestic" / "profiles.toml"
        credential = file.parent / "credentials" / "vault-password"
        credential.parent.mkdir(mode=0o700)
        credential.write_text(f"{PASSWORD}\n")
        credential.chmod(0o600)
        file.write_text(
            f"version = 1\n[profile.vault]\nrepo = '{tmp_path}/vault'\nbackup.source = ['{file}']\n"
            "password = { credential = 'vault-password' }\ncheck.every = 'off'\ndrill.every = 'off'\n"
        )
        pyrestic(machine, "schedule", "--with", "systemd")
        started = machine.run("systemctl", "--user", "start", "pyrestic.service")
        assert started.returncode == 0, started
        state = json.loads((machine.home / ".local/state/pyrestic/runs.json").read_text())
        assert len(state["profiles"]["vault"]["tasks"]["backup"]["snapshot"]) == 64


@pytest.mark.nightly
def test_the_real_cron_starts_what_is_due(machine: OwnMachine) -> None:
    """With a line for every minute: ten would be long."""
    file = machine.home / ".config" / "pyrestic" / "profiles.toml"
    file.write_text("version = 1\n[profile.cron]\nrepo = '/nowhere'\nif-missing = 'skip'\n")
    # The home of a job is that of the system's list of users, not the one of these tests.
    pyrestic(machine, "schedule", "--with", "cron", XDG_STATE_HOME=str(machine.home / "state"))
    often = machine.home / "often"
    often.write_text(crontab(machine).replace("*/10 * * * *", "* * * * *"))
    assert machine.run("crontab", often).returncode == 0
    state = machine.home / "state" / "pyrestic" / "runs.json"
    deadline = time.monotonic() + 150
    while not state.exists() or '"cron"' not in state.read_text():
        assert time.monotonic() < deadline
        time.sleep(1)
    pyrestic(machine, "schedule", "--remove")
    file.unlink()
