"""Commands with a profile: --profile, --config, and the default profile."""

import json
import os
from pathlib import Path
from unittest import mock

import pytest

from tests.support.cli import PASSWORD, Caller, Outcome


@pytest.fixture
def home(made: Caller) -> Caller:
    """A repository, a source, and a file with a profile for both; nothing in the environment names a repository."""
    source = made.folder / "source"
    source.mkdir()
    for name in ("a", "b", "c.tmp"):
        (source / name).write_text(name)
    (made.folder / "password").write_text(f"{PASSWORD}\n")
    (made.folder / "password").chmod(0o600)
    made.environment = {name: value for name, value in made.environment.items() if not name.startswith("RESTIC_")} | {
        "XDG_CONFIG_HOME": str(made.folder / "config")
    }
    write(
        made,
        f"""
version = 1
[profile.home]
repo = "{made.repository}"
password = {{ file = "~/password" }}
no-cache = true
[profile.home.backup]
source = ["~/source"]
exclude = ["*.tmp"]
tag = ["one", "two"]
host = "laptop"
[profile.home.forget]
keep-last = 2
""",
    )
    return made


def write(call: Caller, text: str, name: str = "profiles.toml") -> Path:
    file = call.folder / "config" / "pyrestic" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)
    return file


def backup(call: Caller, *words: str) -> list[str]:
    """Back up and return the paths in the snapshot."""
    done = call("backup", "--json", *words)
    assert done.code == 0, done
    summary = json.loads(done.out.splitlines()[-1])
    listed = call("ls", summary["snapshot_id"])
    return [line for line in listed.out.splitlines() if line.startswith(str(call.folder) + "/")]


def snapshots(call: Caller, *words: str) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = call("snapshots", "--json", *words).json
    return listed


def test_a_backup_has_the_sources_and_flags_of_the_profile(home: Caller) -> None:
    source = str(home.folder / "source")
    assert home("-P", "home", "backup").code == 0
    (snapshot,) = snapshots(home, "--profile", "home")
    assert (snapshot["paths"], snapshot["tags"], snapshot["hostname"]) == ([source], ["one", "two"], "laptop")
    assert snapshot["excludes"] == ["*.tmp"]


def test_the_command_line_wins(home: Caller) -> None:
    other = home.folder / "other"
    other.mkdir()
    (other / "x.tmp").write_text("x")
    assert backup(home, str(other), "--tag", "three", "--exclude", "*.x") == [str(other), str(other / "x.tmp")]
    (snapshot,) = snapshots(home)
    assert (snapshot["tags"], snapshot["hostname"], snapshot["paths"]) == (["three"], "laptop", [str(other)])


def test_sources_of_a_list_replace_those_of_the_profile(home: Caller) -> None:
    listed = home.folder / "list"
    listed.write_text(str(home.folder / "source" / "a"))
    assert backup(home, "--files-from", str(listed)) == [
        str(home.folder / "source"),
        str(home.folder / "source" / "a"),
    ]


@pytest.mark.parametrize("variable", ["RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE"])
def test_no_file_is_read_if_a_variable_names_a_repository(home: Caller, variable: str) -> None:
    write(home, "broken")
    (home.folder / "place").write_text(str(home.repository))
    value = str(home.folder / "place" if variable.endswith("FILE") else home.repository)
    with mock.patch("pyrestic.profiles.load.read_trusted", side_effect=AssertionError):
        done = home("snapshots", "--json", **{variable: value}, RESTIC_PASSWORD=PASSWORD)
    assert (done.code, done.json) == (0, [])


@pytest.mark.parametrize("variable", ["RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE"])
def test_an_empty_variable_leads_to_no_other_repository(home: Caller, variable: str) -> None:
    """As in a script with a misspelt name: it must not forget what another repository has."""
    done = home("forget", "--keep-last", "1", "--prune", **{variable: ""}, RESTIC_PASSWORD=PASSWORD)
    assert done.code == 1
    assert "specify repository location" in done.err


@pytest.mark.parametrize("words", [["-r", "PLACE"], ["--repository-file", "FILE"], ["--repo=PLACE", "--config=FILE"]])
def test_no_file_is_read_if_a_flag_names_a_repository(home: Caller, words: list[str]) -> None:
    write(home, "broken")
    (home.folder / "place").write_text(str(home.repository))
    known = {
        "PLACE": str(home.repository),
        "FILE": str(home.folder / "place"),
        "--repo=PLACE": f"--repo={home.repository}",
    }
    done = home("snapshots", "--json", *(known.get(word, word) for word in words), RESTIC_PASSWORD=PASSWORD)
    assert (done.code, done.json) == (0, [])


@pytest.mark.parametrize(
    "words", [["version"], ["cache"], ["options"], ["snapshots", "--help"], ["generate", "--help"]]
)
def test_no_file_is_read_by_a_command_without_a_repository(home: Caller, words: list[str]) -> None:
    write(home, "broken")
    assert home(*words).code == 0


def test_without_a_default_profile_the_error_is_as_before(home: Caller) -> None:
    write(home, "version = 1\n[profile.a]\nrepo = '/a'\n[profile.b]\nrepo = '/b'\n")
    done = home("snapshots")
    assert (done.code, done.err.splitlines()[0]) == (
        1,
        "Fatal: Please specify repository location (-r or --repository-file)",
    )
    write(home, "version = 1\n")
    assert home("snapshots").err == done.err


def as_restic(call: Caller, *words: str) -> Outcome:
    with mock.patch("sys.argv", ["/usr/bin/restic"]):
        return call(*words)


def test_no_file_is_read_if_the_program_is_called_restic(home: Caller) -> None:
    write(home, "broken")
    assert "Please specify repository location" in as_restic(home, "snapshots").err
    done = as_restic(home, "snapshots", "-P", "home")
    assert (done.code, done.err) == (
        1,
        "Fatal: profiles are not used if the program is called restic\nCall it pyrestic.\n",
    )


def test_the_variables_of_another_repository_do_not_reach_the_profiles(home: Caller) -> None:
    done = home(
        "-P",
        "home",
        "snapshots",
        "--json",
        RESTIC_REPOSITORY="/nowhere",
        RESTIC_PASSWORD_FILE="/nowhere",
        RESTIC_PASSWORD="wrong",
        RESTIC_CACHE_DIR="/nowhere",
        B2_ACCOUNT_ID="wrong",
    )
    assert (done.code, done.json) == (0, [])


def test_a_password_on_the_command_line_replaces_that_of_the_profile(home: Caller) -> None:
    file = home.folder / "config" / "pyrestic" / "profiles.toml"
    file.write_text(file.read_text().replace("~/password", "~/missing"))
    assert "missing cannot be read" in home("snapshots").err
    assert home("snapshots", "-p", str(home.folder / "password")).code == 0


@pytest.mark.parametrize(("words", "told"), [([], True), (["-P", "home"], False), (["--json"], False), (["-q"], False)])
def test_a_terminal_shows_which_profile_is_used(home: Caller, words: list[str], *, told: bool) -> None:
    with mock.patch("tests.support.cli._Stream.isatty", return_value=True):
        done = home("list", "locks", *words)
    assert done.code == 0
    line = f"using profile home ({home.repository})"
    assert (line in done.err.splitlines()) is told


def test_without_a_terminal_nothing_is_added_to_the_output(home: Caller) -> None:
    done = home("list", "locks")
    assert (done.out, done.err) == ("", "")


def test_rules_of_the_profile_apply_only_if_the_command_line_selects_nothing(home: Caller) -> None:
    for _ in range(4):
        assert home("backup").code == 0
    first = str(snapshots(home)[0]["id"])
    assert home("forget", first).code == 0
    assert len(snapshots(home)) == 3
    assert home("forget", "--keep-last", "3").code == 0
    assert len(snapshots(home)) == 3
    assert home("forget").code == 0
    assert len(snapshots(home)) == 2


def test_another_file(home: Caller) -> None:
    other = write(home, f"version = 1\n[profile.x]\nrepo = '{home.repository}'\n", "x.toml")
    done = home("--config", str(other), "snapshots", "--json", "-p", str(home.folder / "password"))
    assert (done.code, done.json) == (0, [])
    done = home("--config", str(other), "-P", "home", "snapshots")
    assert done.err == "Fatal: there is no profile 'home'\nThe names there are: x.\n"
    write(home, "version = 1\n", "x.toml")
    done = home("--config", str(other), "snapshots")
    assert done.err.startswith(f"Fatal: {other} has no default profile\n")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[profile.home.backup]\nexclud = ['x']", "[profile.home.backup] exclud: there is no such key or flag"),
        ("[profile.home.backup]\nexclude-larger-than = ['1G']", "exclude-larger-than: this flag has one value"),
        ("[profile.home.backup]\none-file-system = 'x'", "one-file-system: must be true or false"),
        ("[profile.home.backup]\nexclude-larger-than = true", "exclude-larger-than: must be a text or a number"),
        ("[profile.home.backup]\nread-concurrency = 'x'", 'read-concurrency: invalid argument "x" for'),
        ("[profile.home.backup]\nhelp = true", "help: there is no such key or flag"),
        ("[profile.home.backup]\ndry-run = true", "dry-run: a task would do nothing, and count as good"),
        ("[profile.home]\nmax-cpu = 200", 'max-cpu: invalid argument "200" for "--max-cpu" flag'),
        ("[profile.home]\nexclude = ['x']", "[profile.home] exclude: there is no such key or flag"),
        ("[profile.home]\npassword-file = 'x'", "password-file: password = { file = PATH } replaces this flag"),
        ("[profile.home]\noverdu = '3d'", "[profile.home] overdu: there is no such key or flag"),
    ],
)
def test_a_flag_that_the_command_does_not_have_names_file_table_and_key(home: Caller, more: str, message: str) -> None:
    file = write(home, f"version = 1\n{more}\n", "profiles.d/more.toml")
    done = home("backup")
    assert done.code == 1
    assert done.err.startswith(f"Fatal: {file}: ")
    assert message in done.err


def test_a_mistake_in_a_table_of_another_command_does_not_matter(home: Caller) -> None:
    write(home, "version = 1\n[profile.home.prune]\nnonsense = 1\n", "profiles.d/more.toml")
    assert home("snapshots").code == 0
    assert "nonsense: there is no such key or flag" in home("prune").err


def test_no_secret_is_in_the_environment_of_the_process(home: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}

    def look(*_: object, **__: object) -> None:
        seen.update(os.environ)

    monkeypatch.setattr("pyrestic.cli.commands.snapshots.opened", look)
    home("snapshots")
    assert seen
    assert PASSWORD not in " ".join(seen.values())
