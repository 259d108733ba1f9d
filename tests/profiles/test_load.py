"""Files of profiles: what they mean, and the errors of those that mean nothing."""

import os
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.profiles.load import find_profile_files, load_profiles
from pyrestic.profiles.profile import DayTime, Profile, Profiles, Secret, Value
from tests.support.users import ORDINARY

HOME = """
version = 1
[profile.home]
repo = "b2:mu-backup:laptop"
password = { keyring = true }
[profile.home.backup]
source = ["~", "/etc"]
"""
Load = Callable[..., Profiles]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a file of profiles and reads it."""

    def call(text: str, **options: Any) -> Profiles:
        file = tmp_path / "profiles.toml"
        file.write_text(text)
        file.chmod(0o600)
        return load_profiles({"HOME": "/home/me", "KIND": "daily"}, str(file), host="laptop", **options)

    return call


def home_of(profiles: Profiles) -> Profile:
    return profiles.by_name["home"]


def test_a_short_profile_has_the_defaults(load: Load) -> None:
    profiles = load(HOME)
    home = home_of(profiles)
    assert (home.name, home.repo, home.password) == ("home", "b2:mu-backup:laptop", Secret("keyring"))
    assert (home.flags, home.env, home.skips_missing, home.overdue_seconds) == ({}, {}, False, 86_400.0)
    assert list(home.tasks) == ["backup", "check", "drill"]
    backup, check, drill = home.tasks.values()
    assert (backup.source, backup.every_seconds, backup.at) == (("/home/me", "/etc"), 3600.0, ())
    assert (backup.partial, backup.checkpoint_seconds, backup.time_limit_seconds) == (True, 1800.0, None)
    assert backup.low_priority
    assert (check.every_seconds, check.flags) == (86_400.0, {"budget": "1G"})
    assert (drill.every_seconds, drill.flags) == (30 * 86_400.0, {})
    when = backup.when
    assert (when.power, when.battery_min, when.metered, when.networks) == ("mains", 30, False, ())
    assert (when.window, when.command, when.grace_seconds, when.insist_after_seconds) == ((0, 1440), (), 120.0, None)
    assert home.is_default
    assert profiles.default is home
    assert profiles.notify.on == ("failed", "overdue", "recovered")
    assert (profiles.notify.desktop, profiles.notify.ping, profiles.notify.apprise) == (True, "", ())


def test_a_check_of_another_place_is_monthly_and_reads_no_data(load: Load) -> None:
    check = home_of(load(HOME.replace("b2:mu-backup:laptop", "/mnt/disk"))).tasks["check"]
    assert (check.every_seconds, check.flags) == (30 * 86_400.0, {})


@pytest.mark.parametrize("key", ["budget", "read-data-subset"])
def test_a_check_on_b2_reads_what_the_profile_says(load: Load, key: str) -> None:
    check = home_of(load(f'{HOME}[profile.home.check]\n{key} = "5G"\n')).tasks["check"]
    assert (check.every_seconds, check.flags) == (86_400.0, {key: "5G"})


def test_every_key_arrives(load: Load) -> None:
    profiles = load(
        """
version = 1
[profile.home]
repo = "/mnt/${host}/${profile}"
password = { command = ["pass", "backup"] }
env.B2_ACCOUNT_ID = "0021f"
env.B2_ACCOUNT_KEY = { file = "~/b2.key" }
max-cpu = 50
if-missing = "skip"
overdue = "3d"
budget = "2 USD"
default = false
[profile.home.backup]
source = ["~/${KIND}", "${ELSE:-/srv}"]
exclude = ["~/.cache", "!~/.cache/keep", "$${x}"]
one-file-system = true
at = ["13:00", "Sat 03:05", "monday 24:00", "sun 00:00"]
partial = false
checkpoint = "off"
time-limit = "1h30m"
priority = "normal"
[profile.home.backup.when]
metered = true
[profile.home.when]
power = "any"
battery-min = 50
networks = ["Home"]
window = "22:00-06:00"
command = ["~/bin/go"]
grace = "5m"
insist-after = "7d"
[profile.home.forget]
keep-hourly = 48
keep-tag = ["a", "b"]
[profile.home.prune]
max-repack-size = "2G"
[profile.home.drill]
every = "off"
[profile.home.hooks]
before = [["echo", "~", "${x}"], "echo ~ ${x}"]
finally = ["true"]
timeout = "1m"
[notify]
on = ["success"]
desktop = false
ping = { file = "/run/ping" }
ntfy = "https://ntfy.example/x"
apprise = ["a://b", { credential = "c" }]
mail = "me@example.org"
metrics-file = "~/metrics"
""".replace('"monday 24:00", ', "")
    )
    home = home_of(profiles)
    assert home.repo == "/mnt/laptop/home"
    assert home.password == Secret("command", ("pass", "backup"))
    assert home.env == {"B2_ACCOUNT_ID": "0021f", "B2_ACCOUNT_KEY": Secret("file", "/home/me/b2.key")}
    assert (home.flags, home.skips_missing, home.overdue_seconds) == ({"max-cpu": 50}, True, 3 * 86_400.0)
    assert (home.budget, home.is_default, profiles.default) == ("2 USD", False, None)
    backup = home.tasks["backup"]
    assert backup.source == ("/home/me/daily", "/srv")
    exclude = ("/home/me/.cache", "!/home/me/.cache/keep", "${x}")
    assert backup.flags == {"exclude": exclude, "one-file-system": True}
    assert (backup.every_seconds, backup.at) == (None, (DayTime(None, 13, 0), DayTime(5, 3, 5), DayTime(6, 0, 0)))
    assert (backup.partial, backup.checkpoint_seconds, backup.time_limit_seconds) == (False, None, 5400.0)
    assert not backup.low_priority
    assert (backup.when.power, backup.when.metered) == ("any", True)
    forget, drill = home.tasks["forget"], home.tasks["drill"]
    assert (forget.every_seconds, forget.flags) == (86_400.0, {"keep-hourly": 48, "keep-tag": ("a", "b")})
    assert (home.tasks["prune"].every_seconds, home.tasks["prune"].flags) == (604_800.0, {"max-repack-size": "2G"})
    assert drill.every_seconds is None
    when = forget.when
    assert (when.power, when.battery_min, when.metered, when.networks) == ("any", 50, False, ("Home",))
    assert (when.window, when.command) == ((22 * 60, 6 * 60), ("/home/me/bin/go",))
    assert (when.grace_seconds, when.insist_after_seconds) == (300.0, 604_800.0)
    # A shell fills in what it finds; lists are run as they are.
    assert home.hooks.before == (("echo", "~", "${x}"), "echo ~ ${x}")
    assert (home.hooks.finally_, home.hooks.timeout_seconds) == (("true",), 60.0)
    notify = profiles.notify
    assert (notify.on, notify.desktop, notify.ping) == (("success",), False, Secret("file", "/run/ping"))
    assert (notify.ntfy, notify.webhook, notify.mail) == ("https://ntfy.example/x", "", "me@example.org")
    assert notify.apprise == ("a://b", Secret("credential", "c"))
    assert notify.metrics_file == "/home/me/metrics"


def test_no_secret_or_command_is_in_a_repr(load: Load) -> None:
    text = (
        HOME.replace("{ keyring = true }", '{ command = ["echo", "hunter2"] }') + '[notify]\nping = "https://x/hunter2"'
    )
    profiles = load(text.replace("[profile.home.backup]", 'env.X = "hunter2"\n[profile.home.backup]'))
    assert "hunter2" not in repr(profiles)


INHERITED = """
version = 1
[defaults]
max-cpu = 50
[defaults.backup]
exclude = ["a"]
every = "2h"
[profile.base]
inherit = "root"
[profile.base.backup]
extend-exclude = ["c"]
checkpoint = "5m"
[profile.root]
env.A = "root"
env.B = "root"
password = { file = "/p" }
[profile.root.backup]
extend-exclude = ["b"]
[profile.home]
inherit = "base"
repo = "/r"
env.B = "home"
password = { keyring = true }
[profile.home.backup]
extend-exclude = ["d"]
at = ["13:00"]
source = ["/x"]
[profile.other]
inherit = "base"
repo = "/o"
[profile.other.backup]
exclude = ["z"]
source = ["/y"]
"""


def test_tables_merge_lists_replace_and_extend_appends(load: Load) -> None:
    profiles = load(INHERITED)
    home, other = profiles.by_name["home"], profiles.by_name["other"]
    assert profiles.bases == {"base", "root"}
    assert list(profiles.by_name) == ["home", "other"]
    assert profiles.default is None
    assert (home.env, home.password) == ({"A": "root", "B": "home"}, Secret("keyring"))
    assert (other.env, other.password) == ({"A": "root", "B": "root"}, Secret("file", "/p"))
    assert home.flags == other.flags == {"max-cpu": 50}
    assert home.tasks["backup"].flags == {"exclude": ("a", "b", "c", "d")}
    assert other.tasks["backup"].flags == {"exclude": ("z",)}
    assert (home.tasks["backup"].every_seconds, home.tasks["backup"].at) == (None, (DayTime(None, 13, 0),))
    assert (other.tasks["backup"].every_seconds, other.tasks["backup"].at) == (7200.0, ())
    assert home.tasks["backup"].checkpoint_seconds == 300.0


def test_each_value_remembers_its_file_and_table(load: Load, tmp_path: Path) -> None:
    origins = load(INHERITED).by_name["home"].origins
    file = tmp_path / "profiles.toml"
    assert origins["max-cpu"] == f"{file} [defaults]"
    assert origins["backup.checkpoint"] == f"{file} [profile.base.backup]"
    assert origins["env.A"] == f"{file} [profile.root.env]"
    assert origins["env.B"] == f"{file} [profile.home.env]"
    assert "backup.every" not in origins


@pytest.mark.parametrize(
    ("rhythm", "seconds"),
    [
        ('every = "1h"', 86_400.0),
        ('every = "2d"', 10 * 86_400.0),
        ('every = "off"', None),
        ('at = ["13:00"]', 2 * 86_400.0),
        ('at = ["sat 03:00"]', 14 * 86_400.0),
        ('at = ["mon 00:00", "fri 12:00"]', 2 * 4.5 * 86_400.0),
    ],
)
def test_a_backup_is_overdue_after_several_that_were_missed(load: Load, rhythm: str, seconds: float | None) -> None:
    assert home_of(load(f"{HOME}{rhythm}\n")).overdue_seconds == seconds


def test_the_one_that_says_so_is_the_default(load: Load) -> None:
    more = HOME + "[profile.b]\nrepo = '/b'\n"
    assert load(more).default is None
    profiles = load(more + "default = true\n")
    assert profiles.default is profiles.by_name["b"]
    with pytest.raises(UsageError, match=r"\[profile.c\] default: 'b' is the default profile already"):
        load(more + "default = true\n[profile.c]\nrepo = '/c'\ndefault = true\n")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[profile.home.when]\nbatery-min = 3", "[profile.home.when] batery-min: there is no such key"),
        ("[profile.home.when]\nbattery-min = 101", "[profile.home.when] battery-min: must be a number <= 100"),
        ("[profile.home.when]\npower = 'sun'", "[profile.home.when] power: there is no value 'sun'"),
        ("[profile.home.when]\nwindow = '25:00-26:00'", "[profile.home.when] window: '25:00-26:00' is not a window"),
        ("[profile.home.when]\nmetered = 1", "[profile.home.when] metered: must be true or false, not a number"),
        ("[profile.home.forget]\nevery = '1d'", "[profile.home.forget]: a rule such as keep-daily = 30 is missing"),
        ("[profile.home.forget]", "a rule such as keep-daily = 30 is missing"),
        ("[profile.home.prune]\nevery = 'soon'", "[profile.home.prune] every: 'soon' is not a duration"),
        ("[profile.home.prune]\nat = 'soon'", "[profile.home.prune] at: must be a list, not a text"),
        ("[profile.home.prune]\nat = ['soon']", "[profile.home.prune] at: 'soon' is not a moment"),
        ("[profile.home.prune]\nx = [[1]]", "[profile.home.prune] x: the value of a flag is a text"),
        ("[profile.home.prune]\nx = 2020-01-01", "[profile.home.prune] x: the value of a flag is a text"),
        ("[profile.home.hooks]\nbefore = [[]]", "[profile.home.hooks] before: a command is empty"),
        ("[profile.home.hooks]\nafter = 'x'", "[profile.home.hooks] after: must be a list, not a text"),
        ("[profile.home.env]\nRESTIC_PASSWORD = 'hunter2'", "[profile.home.env] RESTIC_PASSWORD: the keys repo and"),
        ("[profile.home.env]\nX = { fil = '/x' }", "[profile.home.env] X: there is no source 'fil' of secrets"),
        ("[profile.home.env]\nX = { file = 'x' }", "[profile.home.env] X: file must be an absolute path"),
        ("[profile.home.env]\nX = { command = 'x' }", "[profile.home.env] X: command must be a list of words"),
        ("[profile.home.env]\nX = { keyring = 1 }", "[profile.home.env] X: keyring must be true"),
        ("[profile.home.env]\nX = { credential = '../x' }", "[profile.home.env] X: credential must be a name"),
        ("[profile.home.env]\n'a=b' = 'x'", "[profile.home.env] a=b: is not the name of a variable"),
        ("[profile.b]\nrepo = '/b'\npassword = 'hunter2'", "[profile.b] password: a secret is not written into this"),
        ("[profile.b]\nrepo = '/b'\nbackup = 3", "[profile.b] backup: must be a table"),
        ("[profile.b]\nrepo = '${NONE}'", "[profile.b] repo: the variable NONE is not set"),
        ("[profile.b]\nrepo = '${'", "[profile.b] repo: '${' does not name a variable"),
        ("[profile.b]\ninherit = 'hom'", "[profile.b] inherit: there is no profile 'hom'"),
        ("[profile.b]\ninherit = 'b'", "[profile.b] inherit: 'b' inherits from itself"),
        ("[profile.b]\nrepo = '/b'\nextend-x = 1", "[profile.b] extend-x: must be a list"),
        ("[profile.b]", "[profile.b]: the key repo is missing"),
        ("[profile.b]\nrepo = '/b'\nbackup = {}", "[profile.b]: the key source of backup is missing"),
        ("[profile.b]\nrepo = '/b'\nbudget = 'much'", "[profile.b] budget: 'much' is not an amount"),
        ("[profile.'../x']\nrepo = '/b'", "[profile]: '../x' is not a name"),
        ("[profile]\nb = 3", "[profile] b: must be a table"),
        ("[defaults]\ninherit = 'x'", "[defaults] inherit: belongs to a profile"),
        ("[notify]\npign = 'x'", "[notify] pign: there is no such key"),
        ("[notify]\non = ['x']", "[notify] on: there is no value 'x'"),
        ("[notify]\nping = 3", "[notify] ping: must be a table"),
        ("[profil.x]", "profil: there is no such key"),
        ("x = ", "is not valid TOML"),
        ("x = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_an_error_names_file_table_and_key(load: Load, tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(HOME + more)
    said = str(caught.value)
    assert said.startswith(str(tmp_path / "profiles.toml"))
    assert message in said
    assert "hunter2" not in said + caught.value.hint


def test_errors_suggest_the_nearest_key(load: Load) -> None:
    with pytest.raises(UsageError) as caught:
        load(HOME + "[profile.home.when]\nbatery-min = 3\n")
    assert caught.value.hint == "Did you mean battery-min?"


@pytest.mark.parametrize("line", ["", "version = 2", "version = '1'", "version = true"])
def test_another_version_is_an_error(load: Load, line: str) -> None:
    with pytest.raises(UsageError, match="version"):
        load(HOME.replace("version = 1", line))


def test_flags_are_checked_where_the_caller_knows_them(load: Load) -> None:
    seen: list[tuple[str, str, Value]] = []

    def check(command: str, name: str, value: Value) -> None:
        seen.append((command, name, value))
        if name == "exclud":
            raise UsageError("there is no such flag", hint="Did you mean exclude?")

    load(HOME + "exclude = ['x']\n[defaults]\nmax-cpu = 3", check_flag=check)
    assert sorted(seen) == [("", "max-cpu", 3), ("backup", "exclude", ("x",))]
    with pytest.raises(UsageError, match=r"\[profile.home.backup\] exclud: there is no such flag") as caught:
        load(HOME + "exclud = ['x']", check_flag=check)
    assert caught.value.hint == "Did you mean exclude?"


class TestFiles:
    """Which files are read."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "pyrestic"
        folder.mkdir(mode=0o700)
        return folder

    def load(self, folder: Path) -> Profiles:
        return load_profiles({"HOME": "/home/me", "XDG_CONFIG_HOME": str(folder.parent)})

    def test_none(self, tmp_path: Path) -> None:
        profiles = self.load(tmp_path / "pyrestic")
        assert (profiles.by_name, profiles.files, profiles.default) == ({}, (), None)

    def test_later_ones_win(self, folder: Path) -> None:
        (folder / "profiles.d").mkdir()
        main, late, early = folder / "profiles.toml", folder / "profiles.d/2.toml", folder / "profiles.d/1.toml"
        main.write_text(HOME + "exclude = ['a']\n")
        early.write_text("version = 1\n[profile.home]\nrepo = '/1'\n[profile.home.backup]\nextend-exclude = ['b']\n")
        late.write_text("version = 1\n[profile.home]\nrepo = '/2'\n[profile.disk]\nrepo = '/d'\n")
        (folder / "profiles.d/3.toml~").write_text("broken")
        profiles = self.load(folder)
        assert profiles.files == (str(main), str(early), str(late))
        assert home_of(profiles).repo == "/2"
        assert home_of(profiles).tasks["backup"].flags == {"exclude": ("a", "b")}
        assert list(profiles.by_name) == ["home", "disk"]

    def test_a_named_file_that_is_missing(self, folder: Path) -> None:
        with pytest.raises(UsageError, match=r"x\.toml does not exist"):
            load_profiles({}, str(folder / "x.toml"))

    def test_a_link_to_a_file_of_ones_own(self, folder: Path, tmp_path: Path) -> None:
        real = tmp_path / "dotfiles" / "p.toml"
        real.parent.mkdir()
        real.write_text(HOME)
        (folder / "profiles.toml").symlink_to("../dotfiles/p.toml")
        assert home_of(self.load(folder)).repo == "b2:mu-backup:laptop"

    def test_a_link_to_itself(self, folder: Path) -> None:
        (folder / "profiles.toml").symlink_to("profiles.toml")
        with pytest.raises(UsageError, match="symbolic links"):
            self.load(folder)

    @pytest.mark.parametrize("mode", [0o602, 0o622])
    def test_a_file_that_others_can_write_is_refused(self, folder: Path, mode: int) -> None:
        file = folder / "profiles.toml"
        file.write_text(HOME)
        file.chmod(mode)
        with pytest.raises(UsageError, match=r"profiles\.toml is not read, because it names commands to run"):
            self.load(folder)

    @pytest.mark.parametrize("name", [".", "profiles.d"])
    def test_a_folder_that_others_can_write_is_refused(self, folder: Path, name: str) -> None:
        (folder / "profiles.d").mkdir()
        (folder / "profiles.d/x.toml").write_text(HOME)
        (folder / name).chmod(0o777)
        with pytest.raises(UsageError, match=r"x\.toml is not read"):
            self.load(folder)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to others")
    def test_a_file_of_another_user_is_refused(self, folder: Path) -> None:
        file = folder / "profiles.toml"
        file.write_text(HOME)
        os.chown(file, ORDINARY, ORDINARY)
        with pytest.raises(UsageError, match=r"profiles\.toml is not read"):
            self.load(folder)

    def test_a_secret_in_a_file_that_others_can_read_is_refused(self, folder: Path) -> None:
        file = folder / "profiles.toml"
        file.write_text(HOME + "[profile.home.env]\nB2_ACCOUNT_KEY = 'hunter2'\n")
        file.chmod(0o644)
        with pytest.raises(UsageError, match=r"B2_ACCOUNT_KEY: others may read this file") as caught:
            self.load(folder)
        assert "hunter2" not in str(caught.value) + caught.value.hint
        file.chmod(0o600)
        assert home_of(self.load(folder)).env == {"B2_ACCOUNT_KEY": "hunter2"}

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            ("api_token", HOME + "[profile.home.env]\napi_token = 'hunter2'\n"),
            ("repo", HOME.replace("b2:mu-backup:laptop", "rest:https://me:hunter2@example.org/x")),
        ],
    )
    def test_so_is_one_of_another_kind(self, key: str, text: str, folder: Path) -> None:
        file = folder / "profiles.toml"
        file.write_text(text)
        file.chmod(0o644)
        with pytest.raises(UsageError, match=f"{key}: .*others may read this file") as caught:
            self.load(folder)
        assert "hunter2" not in str(caught.value) + caught.value.hint

    def test_a_password_that_a_variable_replaces_is_in_no_file(self, folder: Path) -> None:
        file = folder / "profiles.toml"
        file.write_text(HOME.replace("b2:mu-backup:laptop", "rest:https://me:${HOME}@example.org/x"))
        file.chmod(0o644)
        assert home_of(self.load(folder)).repo == "rest:https://me:/home/me@example.org/x"

    def test_no_pipe_and_no_huge_file_is_read(self, folder: Path) -> None:
        file = folder / "profiles.toml"
        os.mkfifo(file)
        with pytest.raises(UsageError, match="it is not a regular file"):
            self.load(folder)
        file.unlink()
        file.write_bytes(b"#" * (2 << 20))
        with pytest.raises(UsageError, match="larger than 1 MiB"):
            self.load(folder)

    def test_root_has_the_systems_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(os.path, "lexists", lambda path: path == "/etc/pyrestic/profiles.toml")
        assert find_profile_files({"HOME": "/root"})[:1] == ["/etc/pyrestic/profiles.toml"]


TEXTS = st.text(string.printable + "ä€\0\x1b${}~", max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.floats(allow_nan=False) | TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3),
    max_leaves=6,
)
NAMES = """
repo password env backup when hooks forget check inherit default every at source extend-exclude exclude window before
file command keyring overdue budget
"""
KEYS = st.sampled_from(NAMES.split())
TABLES = st.recursive(VALUES, lambda below: st.dictionaries(KEYS, below, max_size=5), max_leaves=12)


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{as_toml(key)} = {as_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, bool) or value is None:
        return str(bool(value)).lower()
    if isinstance(value, str):
        escaped = "".join(one if one.isalnum() or one in " -~${}:/" else f"\\U{ord(one):08x}" for one in value)
        return f'"{escaped}"'
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def load_or_refuse(file: Path) -> Profiles | None:
    """Read a file; None if it is refused by an error that names it."""
    try:
        return load_profiles({"HOME": "/home/me"}, str(file))
    except UsageError as error:
        if str(file) not in str(error):
            raise
        return None


@given(st.dictionaries(st.sampled_from(["home", "base", "x"]), TABLES, max_size=3), TABLES, TABLES)
def test_any_tables_give_profiles_or_a_usage_error(
    tmp_path_factory: pytest.TempPathFactory, profiles: dict[str, Any], defaults: Any, notify: Any
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    document = {"profile": profiles, "defaults": defaults, "notify": notify}
    file.write_text("version = 1\n" + "".join(f"{key} = {as_toml(value)}\n" for key, value in document.items()))
    loaded = load_or_refuse(file)
    assert loaded is None or loaded.by_name.keys() <= profiles.keys()


@given(st.binary(max_size=200) | TEXTS.map(lambda text: f"version = 1\n{text}".encode()))
def test_any_bytes_give_profiles_or_a_usage_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes.toml"
    file.write_bytes(content)
    loaded = load_or_refuse(file)
    assert loaded is None or loaded.files == (str(file),)
