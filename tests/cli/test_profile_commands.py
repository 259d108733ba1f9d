"""pyrestic profile: list, show, check; no output contains a secret."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from pyrestic.profiles.show import NOT_IN_RESTIC
from tests.support.cli import PASSWORD, Caller
from tests.support.restic import NEWEST, ROOT, find_restic

TEXT = """
version = 1
[defaults]
max-cpu = 50
[profile.home]
default = true
repo = "rest:https://me:hunter2@example.org/x"
password = { file = "~/password" }
env.B2_ACCOUNT_ID = "0021f"
env.B2_ACCOUNT_KEY = "hunter2"
env.api_token = "hunter2"
env.TOKEN = { command = ["echo", "hunter2"] }
[profile.home.backup]
source = ["~", "/no such place"]
exclude = ["a b", "c"]
at = ["13:00", "sat 03:05"]
[profile.home.backup.when]
metered = true
[profile.home.forget]
keep-daily = 3
prune = true
[profile.home.hooks]
before = [["echo", "a b"], "true; false"]
[profile.disk]
repo = "/mnt/disk"
password = { keyring = true }
overdue = "never"
"""


@pytest.fixture
def configured(call: Caller) -> Caller:
    file = call.folder / "config" / "pyrestic" / "profiles.toml"
    file.parent.mkdir(parents=True)
    file.write_text(TEXT)
    file.chmod(0o600)
    secret = call.folder / "password"
    secret.write_text("hunter2")
    secret.chmod(0o600)
    call.environment["XDG_CONFIG_HOME"] = str(call.folder / "config")
    return call


def file_of(call: Caller) -> Path:
    return call.folder / "config" / "pyrestic" / "profiles.toml"


def test_list(configured: Caller) -> None:
    listed = configured("profile", "list")
    assert (listed.code, listed.err) == (0, "")
    assert [line.split("  ")[0] for line in listed.out.splitlines()] == [
        "Profile",
        listed.out.splitlines()[1],
        "home*",
        "disk",
        listed.out.splitlines()[1],
        f"2 profiles in {file_of(configured)}",
    ]
    assert "hunter2" not in listed.out
    assert configured("profile", "list", "--json").json == [
        {
            "name": "home",
            "default": True,
            "repository": "rest:https://me:***@example.org/x",
            "sources": [str(configured.folder), "/no such place"],
            "tasks": [
                {"name": "backup", "rhythm": "at 13:00, sat 03:05"},
                {"name": "forget", "rhythm": "every 1d"},
                {"name": "check", "rhythm": "every 30d"},
                {"name": "drill", "rhythm": "every 30d"},
            ],
        },
        {
            "name": "disk",
            "default": False,
            "repository": "/mnt/disk",
            "sources": [],
            "tasks": [{"name": "check", "rhythm": "every 30d"}, {"name": "drill", "rhythm": "every 30d"}],
        },
    ]


def test_list_without_profiles(call: Caller) -> None:
    call.environment["XDG_CONFIG_HOME"] = str(call.folder)
    assert call("profile", "list").out.endswith("0 profiles in no files\n")
    assert call("profile", "list", "--json").json == []


def test_show_has_each_value_its_origin_and_the_lines_of_restic(configured: Caller) -> None:
    shown = configured("profile", "show", "--json").json
    assert shown["name"] == "home"
    values = {one["key"]: (one["value"], one["origin"]) for one in shown["values"]}
    file = file_of(configured)
    assert values["repo"] == ("rest:https://me:***@example.org/x", f"{file} [profile.home]")
    assert values["password"] == (f"*** (file {configured.folder}/password)", f"{file} [profile.home]")
    assert values["env.B2_ACCOUNT_ID"] == ("0021f", f"{file} [profile.home.env]")
    assert values["env.B2_ACCOUNT_KEY"] == ("***", f"{file} [profile.home.env]")
    assert values["env.api_token"][0] == "***"
    assert values["env.TOKEN"] == ("*** (command echo)", f"{file} [profile.home.env]")
    assert values["max-cpu"] == ("50", f"{file} [defaults]")
    assert values["backup.at"] == ("13:00, sat 03:05", f"{file} [profile.home.backup]")
    assert values["backup.checkpoint"] == ("30m", "default")
    assert values["backup.exclude"] == ("a b, c", f"{file} [profile.home.backup]")
    assert values["backup.when.metered"] == ("true", f"{file} [profile.home.backup.when]")
    assert values["when.metered"] == ("false", "default")
    assert values["when.window"] == ("00:00-24:00", "default")
    assert "backup.when.power" not in values
    assert values["overdue"] == ("2d", "default")
    assert values["hooks.before"] == ("echo 'a b'; true; false", f"{file} [profile.home.hooks]")
    variables = "B2_ACCOUNT_ID=0021f B2_ACCOUNT_KEY='***' api_token='***' TOKEN=***"
    restic = ["restic", "--repo=rest:https://me:***@example.org/x", f"--password-file={configured.folder}/password"]
    assert [line for line in shown["restic"] if not line.startswith("#")] == [
        f"{variables} {shlex.join([*restic, *words])}"
        for words in (
            ["backup", "--exclude=a b", "--exclude=c", "--", str(configured.folder), "/no such place"],
            ["forget", "--keep-daily=3", "--prune"],
            ["check"],
        )
    ]
    assert shown["restic"][0] == "# restic has no --max-cpu=50 --partial --checkpoint=1800s"
    text = configured("profile", "show", "home")
    assert text.code == 0
    assert "hunter2" not in text.out + str(shown)
    assert "\nThe same with restic:\n# restic has no --max-cpu=50" in text.out


def test_show_names_the_profiles_that_there_are(configured: Caller) -> None:
    done = configured("profile", "show", "hom")
    assert (done.code, done.err) == (1, "Fatal: there is no profile 'hom'\nDid you mean home?\n")
    assert configured("profile", "show", "home", "disk").code == 1


@pytest.mark.process
def test_check_reads_secrets_flags_and_sources(configured: Caller) -> None:
    done = configured("profile", "check", DBUS_SESSION_BUS_ADDRESS="unix:path=/nowhere")
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[0] == "profile home, backup: /no such place does not exist"
    assert lines[-1] == "2 profiles, 2 problems"
    assert "hunter2" not in done.out + done.err
    (configured.folder / "password").chmod(0o644)
    problems = configured("profile", "check", "--json", DBUS_SESSION_BUS_ADDRESS="unix:path=/nowhere").json["problems"]
    assert problems[0] == f"profile home, password: others may read {configured.folder}/password"


def test_check_finds_a_wrong_flag_in_any_table(configured: Caller) -> None:
    file = file_of(configured)
    file.write_text(f"{TEXT}[profile.disk.prune]\nmax-repack-siz = '1G'\n")
    done = configured("profile", "check")
    assert (done.code, done.err.splitlines()) == (
        1,
        [
            f"Fatal: {file}: [profile.disk.prune] max-repack-siz: there is no such key or flag",
            "Did you mean max-repack-size or pack-size?",
        ],
    )
    file.write_text(f"{TEXT}[profile.disk.check]\nread-data = 3\n")
    assert "[profile.disk.check] read-data: must be true or false" in configured("profile", "check").err


def test_flags_that_restic_lacks_are_those_of_the_table_of_flags() -> None:
    page = (ROOT / "docs" / "compat.md").read_text()
    found = set()
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        if section.partition("\n")[0] in ("global flags", "backup", "forget", "prune", "check"):
            found |= set(re.findall(r"^\| `--([a-z-]+)`[^|]*\| pyrestic alone", section, re.MULTILINE))
    assert found - {"profile", "config"} <= NOT_IN_RESTIC


@pytest.mark.restic
def test_the_lines_of_restic_do_the_same(made: Caller, tmp_path: Path) -> None:
    source = made.folder / "a source"
    source.mkdir()
    for name in ("a", "b.tmp"):
        (source / name).write_text(name)
    secret = made.folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    file = made.folder / "profiles.toml"
    file.write_text(
        f"version = 1\n[profile.home]\nrepo = '{made.repository}'\npassword = {{ file = '{secret}' }}\n"
        f"[profile.home.backup]\nsource = ['{source}']\nexclude = ['*.tmp', 'x y']\ntag = ['t']\nhost = 'laptop'\n"
    )
    file.chmod(0o600)
    restic = find_restic(NEWEST, tmp_path)
    assert made("--config", str(file), "-P", "home", "backup").code == 0
    lines = made("--config", str(file), "profile", "show", "home", "--json").json["restic"]
    (line,) = [one for one in lines if " backup " in one]
    done = subprocess.run(
        ["sh", "-c", line.replace("restic", shlex.quote(str(restic.command[0])), 1)],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = made("snapshots", "--json").json
    for key in ("paths", "excludes", "tags", "hostname"):
        assert ours[key] == theirs[key]
    listed = [made("ls", one["id"]).out.splitlines()[1:] for one in (ours, theirs)]
    assert listed[0] == listed[1]
    assert listed[0][-2:] == [str(source), f"{source}/a"]
