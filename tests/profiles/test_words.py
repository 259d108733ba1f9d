"""Which flags and sources a profile adds to a command line."""

from pathlib import Path

import pytest

from pyrestic.profiles.load import load_profiles
from pyrestic.profiles.profile import Profile
from pyrestic.profiles.words import flag_words, flags_in, profile_words

TEXT = """
version = 1
[profile.home]
repo = "b2:bucket:x"
max-cpu = 50
quiet = true
option = ["b2.endpoint=x", "b2.connections=9"]
[profile.home.backup]
source = ["/a", "-b"]
exclude = ["x", "y"]
one-file-system = false
time-limit = "90s"
[profile.home.forget]
keep-daily = 3
keep-tag = ["a"]
unsafe-allow-remove-all = true
prune = true
"""
NAMES = """
repo max-cpu quiet verbose option exclude one-file-system partial checkpoint time-limit budget keep-daily keep-tag prune
unsafe-allow-remove-all
"""
KNOWN = NAMES.split()
GLOBAL = ["--repo=b2:bucket:x", "--max-cpu=50", "--quiet", "--option=b2.endpoint=x", "--option=b2.connections=9"]
ENDINGS = ["--partial", "--checkpoint=1800s", "--time-limit=90s"]
EXCLUDES = ["--exclude=x", "--exclude=y"]
SOURCES = ["--", "/a", "-b"]
RULES = ["--keep-daily=3", "--keep-tag=a", "--unsafe-allow-remove-all"]


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    file = tmp_path / "profiles.toml"
    file.write_text(TEXT)
    file.chmod(0o600)
    return load_profiles({}, str(file)).by_name["home"]


@pytest.mark.parametrize(
    ("command", "line", "words"),
    [
        ("snapshots", "", GLOBAL),
        ("backup", "", [*GLOBAL, *EXCLUDES, *ENDINGS, *SOURCES]),
        ("backup", "--exclude=z", [*GLOBAL, *ENDINGS, *SOURCES]),
        ("backup", "-- /c", [*GLOBAL, *EXCLUDES, *ENDINGS]),
        ("backup", "--stdin", [*GLOBAL, *EXCLUDES]),
        ("backup", "--stdin-from-command -- date", [*GLOBAL, *EXCLUDES]),
        ("backup", "--dry-run", [*GLOBAL, *EXCLUDES, *SOURCES]),
        ("backup", "--files-from-raw=x", [*GLOBAL, *EXCLUDES, *ENDINGS]),
        ("backup", "--partial=false", [*GLOBAL, *EXCLUDES, *ENDINGS[1:], *SOURCES]),
        ("check", "", [*GLOBAL, "--budget=1G"]),
        ("check", "--read-data", GLOBAL),
        ("check", "--verbose", [*GLOBAL[:2], *GLOBAL[3:], "--budget=1G"]),
        ("forget", "", [*GLOBAL, *RULES, "--prune"]),
        ("forget", "--tag=x", [*GLOBAL, *RULES, "--prune"]),
        ("forget", "--keep-last=1", [*GLOBAL, "--prune"]),
        ("forget", "-- 12345678", [*GLOBAL, "--prune"]),
        ("snapshots", "--repository-file=x", GLOBAL[1:]),
        ("snapshots", "--option=b2.as-of=1d,B2.connections=1", GLOBAL[:4]),
    ],
)
def test_the_command_line_wins(profile: Profile, command: str, line: str, words: list[str]) -> None:
    given, _, arguments = line.partition("-- ")
    assert profile_words(profile, command, flags_in(given.split()), arguments.split(), KNOWN) == words


def test_a_switch_that_is_off_has_no_word() -> None:
    assert [flag_words("x", value) for value in (True, False, 3, "", ("a", 2))] == [
        ["--x"],
        [],
        ["--x=3"],
        ["--x="],
        ["--x=a", "--x=2"],
    ]


def test_a_budget_of_the_month_is_a_global_flag(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text('version = 1\n[profile.home]\nrepo = "b2:bucket:x"\nbudget = "2 USD"\n')
    file.chmod(0o600)
    home = load_profiles({}, str(file)).by_name["home"]
    known = ["repo", "budget-month"]
    assert profile_words(home, "snapshots", {}, (), known) == ["--repo=b2:bucket:x", "--budget-month=2 USD"]
    assert profile_words(home, "check", {"budget-month": ["1 USD"]}, (), known) == ["--repo=b2:bucket:x"]
