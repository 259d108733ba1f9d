"""pyrestic setup: from nothing to a proven backup, once; nothing that a person wrote is replaced."""

import importlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyrestic.profiles.load import load_profiles
from pyrestic.profiles.profile import Secret
from tests.support import usage
from tests.support.b2 import BUCKET, open_b2
from tests.support.cli import PASSWORD, Caller
from tests.support.private_bus import running_bus
from tests.support.restic import NEWEST, ROOT, find_restic
from tools.b2_server import B2Server

pytestmark = pytest.mark.process


def prepare(folder: Path) -> Caller:
    """Make a home, for a program that finds neither systemd nor cron."""
    home = folder / "home"
    for name, content in (("notes.txt", "text"), (".cache/x", "y" * 9000), ("VirtualBox VMs/disk", "z" * 9000)):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    call = Caller(folder)
    kept = {name: call.environment[name] for name in ("TZ", "XDG_CACHE_HOME")}
    call.environment = kept | {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "PATH": str(folder / "no programs"),
        "PYTHONPATH": str(ROOT),
    }
    return call


def settings_of(call: Caller) -> Path:
    return Path(call.environment["XDG_CONFIG_HOME"], "pyrestic")


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The files below a folder with their times."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A home that was set up without a question."""
    call = prepare(tmp_path_factory.mktemp("setup"))
    outcome = call("setup", "--yes", "--repo", str(call.folder / "backup"))
    assert outcome.code == 0, outcome
    assert "restored" in outcome.out
    assert "it is the same" in outcome.out
    assert "left out: " in outcome.out
    return call


def test_the_profile_has_what_was_chosen(done: Caller) -> None:
    profiles = load_profiles(done.environment)
    home = profiles.by_name["home"]
    folder = done.environment["HOME"]
    secret = f"{folder}/.config/pyrestic/secrets/home.password"
    assert (home.repo, home.password) == (str(done.folder / "backup"), Secret("file", secret))
    assert home.tasks["backup"].source == (folder,)
    assert home.tasks["backup"].flags == {"exclude": (f"{folder}/.cache",), "exclude-caches": True}
    for path in (Path(secret), Path(profiles.files[0]), *settings_of(done).glob("recovery-home-*.html")):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.restic
def test_restic_opens_the_repository_with_the_password_of_the_sheet(done: Caller, tmp_path: Path) -> None:
    password = (settings_of(done) / "secrets" / "home.password").read_text().strip()
    (sheet,) = settings_of(done).glob("recovery-home-*.html")
    assert password in sheet.read_text()
    assert len(password) == 35
    restic = find_restic(NEWEST, tmp_path)
    checked = restic.run("check", repository=done.folder / "backup", RESTIC_PASSWORD=password)
    assert checked.code == 0
    # The snapshot of the trial is not left behind.
    assert done("snapshots", "--json").json == []


def test_a_second_run_changes_nothing(done: Caller) -> None:
    before = everything(done.folder)
    again = done("setup", "--yes", "--repo", str(done.folder / "backup"))
    assert (again.code, again.err) == (0, "")
    assert again.out.endswith("nothing to do: everything is set up\n")
    changed = {path for path, now in everything(done.folder).items() if before.get(path) != now}
    assert {path for path in changed if not path.startswith(f"{done.folder}/cache/")} == set()
    assert before.keys() <= everything(done.folder).keys()


def test_a_second_run_for_another_repository_is_no_success(done: Caller) -> None:
    outcome = done("setup", "--yes", "--repo", str(done.folder / "other"))
    assert outcome.code == 1
    assert f"profile home exists, for {done.folder}/backup" in outcome.err


def test_remove_leaves_the_backups_and_the_password(done: Caller, tmp_path: Path) -> None:
    """With a copy of the settings, as other tests use the home."""
    subprocess.run(["cp", "-a", str(settings_of(done)), str(tmp_path)], check=True)
    variables = {"XDG_CONFIG_HOME": str(tmp_path)}
    removed = done("setup", "--remove", **variables)
    assert removed.code == 0
    profile = tmp_path / "pyrestic" / "profiles.d" / "home.toml"
    secret = tmp_path / "pyrestic" / "secrets" / "home.password"
    assert removed.out == (f"removed {profile}\n{secret} stays: without this password nobody can read the backups\n")
    assert not profile.exists()
    assert secret.exists()
    assert (done.folder / "backup" / "config").exists()
    assert f"there is no {profile}\n" in done("setup", "--remove", **variables).out


def test_remove_leaves_a_profile_that_was_changed(tmp_path: Path) -> None:
    call = prepare(tmp_path)
    file = settings_of(call) / "profiles.d" / "home.toml"
    file.parent.mkdir(parents=True)
    file.write_text("version = 1\n[profile.home]\nrepo = '/x'\n")
    assert call("setup", "--remove").out == f"{file} was changed since it was written, and stays\n"
    assert file.exists()


def test_on_b2_the_key_is_stored_and_the_bucket_examined(tmp_path: Path, b2: B2Server) -> None:
    call = prepare(tmp_path)
    open_b2(b2).create()
    keys = {"B2_ACCOUNT_ID": b2.master_id, "B2_ACCOUNT_KEY": b2.master_key}
    place = ["--repo", f"b2:{BUCKET}:laptop", "-o", f"b2.endpoint={b2.url}", "--limit-upload", "5000"]
    outcome = call("setup", "--yes", *place, **keys)
    assert outcome.code == 0, outcome
    # The service's master key can do everything, which `b2 doctor` advises against.
    assert "Problem: " in outcome.out or "Advice: " in outcome.out
    home = load_profiles(call.environment).by_name["home"]
    secret = settings_of(call) / "secrets" / "home.B2_ACCOUNT_KEY"
    assert home.env == {"B2_ACCOUNT_ID": b2.master_id, "B2_ACCOUNT_KEY": Secret("file", str(secret))}
    assert secret.read_text() == f"{b2.master_key}\n"
    assert home.flags == {"limit-upload": 5000, "option": (f"b2.endpoint={b2.url}",)}
    assert call("snapshots", "--json").json == []
    (sheet,) = settings_of(call).glob("recovery-home-*.html")
    assert b2.master_key in sheet.read_text()
    assert b2.master_key not in outcome.out + outcome.err
    removed = call("setup", "--remove")
    assert f"removed {secret}\n" in removed.out
    assert not secret.exists()
    assert (settings_of(call) / "secrets" / "home.password").exists()


def test_secrets_in_the_key_ring(existing: Caller, tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("secretstorage")
    place = ["--repo", str(existing.repository), "-p", str(existing.folder / "password"), "--keyring"]
    with running_bus(tmp_path_factory.mktemp("bus")) as bus:
        bus.start_keyring()
        existing.environment["DBUS_SESSION_BUS_ADDRESS"] = bus.address
        outcome = existing("setup", "--yes", *place)
        assert outcome.code == 0, outcome
        assert load_profiles(existing.environment).by_name["home"].password == Secret("keyring")
        assert not (settings_of(existing) / "secrets").exists()
        assert existing("snapshots", "--json").json == []
        bus.lock_keyring()
        locked = existing("snapshots", "--json")
        assert locked.code != 0
        assert "the key ring is locked" in locked.err


@pytest.fixture
def existing(tmp_path: Path) -> Caller:
    """A home, and a repository that is older than the profile."""
    call = prepare(tmp_path)
    call.create()
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "wrong").write_text("wrong")
    return call


def test_an_existing_repository_is_used_and_its_files_stay(existing: Caller) -> None:
    before = everything(existing.repository / "keys"), everything(existing.repository / "config")
    words = ["--repo", str(existing.repository), "-p", str(existing.folder / "password"), "--keep-all", "--every", "3h"]
    outcome = existing("setup", "work", "--yes", "--exclude", "*.tmp", "--source", existing.environment["HOME"], *words)
    assert outcome.code == 0, outcome
    assert "created" not in outcome.out
    assert (everything(existing.repository / "keys"), everything(existing.repository / "config")) == before
    work = load_profiles(existing.environment).by_name["work"]
    assert (settings_of(existing) / "secrets" / "work.password").read_text() == f"{PASSWORD}\n"
    assert "forget" not in work.tasks
    assert work.tasks["backup"].every_seconds == 3 * 3600
    assert work.tasks["backup"].flags["exclude"] == ("*.tmp",)


def test_a_wrong_password_ends_it_before_anything_is_written(existing: Caller) -> None:
    words = ["--repo", str(existing.repository), "-p", str(existing.folder / "wrong")]
    assert existing("setup", "--yes", *words).code == 12
    assert not settings_of(existing).exists()
    missing = existing("setup", "--yes", "--repo", str(existing.repository))
    assert (missing.code, missing.err.splitlines()[0]) == (1, "Fatal: --password-file is missing")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--repo is missing"),
        (["--repo", "b2:bucket:x"], "B2_ACCOUNT_ID is missing"),
        (["--repo", "/x", "--source", "/no/such"], "/no/such does not exist"),
        (["--repo", "/x", "--every", "soon"], "'soon' is not a duration"),
        (["--repo", "/x", "../x"], "'../x' is not a name"),
        (["a", "b"], "setup expects at most one name"),
        (["--config", "/x"], "setup writes to the usual folder"),
        (["--recovery-sheet", "/x", "--keyring", "--repo", "/x"], "the key ring|Secret|bus|no "),
    ],
)
def test_without_a_terminal_a_missing_answer_is_an_error(tmp_path: Path, words: list[str], message: str) -> None:
    call = prepare(tmp_path)
    outcome = call("setup", *words)
    assert outcome.code == 1
    assert any(one in outcome.err for one in message.split("|")), outcome
    assert not settings_of(call).exists()


def test_a_run_that_was_killed_continues_with_its_password(existing: Caller) -> None:
    secret = settings_of(existing) / "secrets" / "home.password"
    secret.parent.mkdir(parents=True)
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    outcome = existing("setup", "--yes", "--repo", str(existing.repository))
    assert outcome.code == 0, outcome
    assert secret.read_text() == f"{PASSWORD}\n"


def test_a_profile_that_a_person_wrote_is_used_as_it_is(existing: Caller) -> None:
    file = settings_of(existing) / "profiles.toml"
    file.parent.mkdir(parents=True)
    secret = existing.folder / "password"
    secret.chmod(0o600)
    text = f"version = 1\n[profile.home]\nrepo = '{existing.repository}'\npassword = {{ file = '{secret}' }}\n"
    file.write_text(text)
    outcome = existing("setup", "--yes")
    assert outcome.code == 0, outcome
    assert outcome.out.startswith(f"profile home exists and stays as it is: {existing.repository}\n")
    assert file.read_text() == text
    assert sorted(path.name for path in settings_of(existing).iterdir() if "recovery" not in path.name) == [file.name]
    assert existing("setup", "--yes").out.endswith("nothing to do: everything is set up\n")


def test_a_person_at_a_terminal_is_asked(existing: Caller) -> None:
    answers = [
        ("Where to store the backups", str(existing.repository)),
        ("What to back up", ""),
        ("The password of the repository", PASSWORD),
        ("Leave out caches", "n"),
        ("Leave out virtual machines", "y"),
        ("Time between two backups", "2h"),
    ]
    usage.note(usage.OURS, ["setup"], {})
    main, ours = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pyrestic", "setup"],
        env=existing.environment,
        stdin=ours,
        stdout=ours,
        stderr=ours,
        start_new_session=True,
    )
    os.close(ours)
    heard, said = b"", 0
    deadline = time.monotonic() + 120
    while process.poll() is None or select.select([main], [], [], 0)[0]:
        assert time.monotonic() < deadline, heard
        if select.select([main], [], [], 0.05)[0]:
            try:
                heard += os.read(main, 65536)
            except OSError:
                break
        if said < len(answers) and answers[said][0].encode() in heard and heard.rstrip().endswith((b":", b"]:")):
            os.write(main, f"{answers[said][1]}\n".encode())
            said += 1
            heard += b"\n"
    os.close(main)
    assert process.wait() == 0, heard
    backup = load_profiles(existing.environment).by_name["home"].tasks["backup"]
    assert backup.flags["exclude"] == (f"{existing.environment['HOME']}/VirtualBox VMs",)
    assert backup.every_seconds == 2 * 3600
    # The sheet is shown, the typed password was not.
    before, _, sheet = heard.decode().partition("Recovery sheet")
    assert PASSWORD not in before
    assert PASSWORD in sheet


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_kill_before_any_step_is_made_up_by_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run ends before one step more than the last; the next one completes what is there."""
    steps = 0
    left = -1

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **values: Any) -> Any:
            nonlocal steps, left
            steps += 1
            left -= 1
            if left == -1:
                raise KeyboardInterrupt
            return function(*arguments, **values)

        return step

    steps_of = {"run": ("create_file", "run_command", "load_profiles"), "proof": ("run_command",)}
    for module, name in [(module, name) for module, names in steps_of.items() for name in names]:
        function = getattr(importlib.import_module(f"pyrestic.cli.setup_{module}"), name)
        monkeypatch.setattr(f"pyrestic.cli.setup_{module}.{name}", counted(function))
    number = 0
    while True:
        call = prepare(tmp_path / str(number))
        words = ["setup", "--yes", "--repo", str(call.folder / "backup")]
        steps, left = 0, number
        killed = call(*words).code
        left = -1
        assert call(*words).code == 0, number
        assert call("snapshots", "--json").json == []
        sheets = list(settings_of(call).glob("recovery-home-*.html"))
        password = (settings_of(call) / "secrets" / "home.password").read_text().strip()
        assert [password in sheet.read_text() for sheet in sheets] == [True], number
        if killed == 0:
            break
        number += 1
    assert number > 8
