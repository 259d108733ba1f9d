"""The file that `setup` writes: what a person chose comes back, and nothing of theirs is overwritten."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.localfs.own_text import is_unchanged
from pyrestic.profiles.load import load_profiles
from pyrestic.profiles.new_profile import NewProfile, create_file, fold_home, quote, remove_unchanged
from pyrestic.profiles.profile import Secret

PATHS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)


def make(**values: object) -> NewProfile:
    usual: dict[str, object] = {
        "name": "home",
        "repo": "/mnt/disk",
        "password": '{ file = "/p" }',
        "source": ("/home/me",),
        "exclude": (),
        "every": "1h",
        "keeps_all": False,
        "skips_missing": False,
    }
    return NewProfile(**{**usual, **values})  # type: ignore[arg-type]


@given(st.lists(PATHS.map(lambda path: f"/{path}"), min_size=1), st.lists(PATHS.map(lambda path: f"/{path}")), PATHS)
def test_any_path_comes_back(
    tmp_path_factory: pytest.TempPathFactory, source: list[str], exclude: list[str], key: str
) -> None:
    new = make(source=tuple(source), exclude=tuple(exclude), repo=f"b2:bucket:{key}", env={"X": quote(key)})
    file = tmp_path_factory.getbasetemp() / "new.toml"
    file.write_text(new.encode(), newline="")
    profile = load_profiles({"HOME": "/home/me"}, str(file)).by_name["home"]
    backup = profile.tasks["backup"]
    assert (backup.source, backup.flags["exclude"]) == (tuple(source), tuple(exclude))
    assert (profile.repo, profile.env, profile.password) == (f"b2:bucket:{key}", {"X": key}, Secret("file", "/p"))


def test_tasks_and_rules(tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    file.write_text(make(skips_missing=True, every="3h").encode())
    profile = load_profiles({}, str(file)).by_name["home"]
    rules = {"keep-hourly": 48, "keep-daily": 30, "keep-monthly": 24, "keep-yearly": "unlimited"}
    assert profile.tasks["forget"].flags == rules
    assert profile.tasks["backup"].every_seconds == 3 * 3600
    assert profile.tasks["backup"].flags["exclude-caches"] is True
    assert (list(profile.tasks), profile.skips_missing) == (["backup", "forget", "prune", "check", "drill"], True)
    file.write_text(make(keeps_all=True).encode())
    assert list(load_profiles({}, str(file)).by_name["home"].tasks) == ["backup", "check", "drill"]


def test_a_path_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        make(source=("/\udcff",)).encode()


@pytest.mark.parametrize(
    ("path", "folded"),
    [("/home/me", "~"), ("/home/me/x", "~/x"), ("/home/men", "/home/men"), ("/etc", "/etc"), ("/", "/")],
)
def test_the_home_folder_is_written_as_a_tilde(path: str, folded: str) -> None:
    assert fold_home(path, "/home/me/") == folded
    assert fold_home(path, "") == path


def test_a_file_is_written_once_and_for_us_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    path = Path(create_file(str(folder), "x", "text"))
    assert (path.read_text(), path.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == ("text", 0o600, 0o700)
    before = path.stat().st_mtime_ns
    assert create_file(str(folder), "x", "text") == str(path)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="exists and is not replaced"):
        create_file(str(folder), "x", "other")
    assert path.read_text() == "text"


def test_only_an_unchanged_profile_is_removed(tmp_path: Path) -> None:
    path = Path(create_file(str(tmp_path), "x.toml", make().encode()))
    assert is_unchanged(path.read_text())
    path.write_text(path.read_text().replace("1h", "2h"))
    assert remove_unchanged(str(tmp_path), "x.toml") is False
    path.write_text(make().encode())
    assert remove_unchanged(str(tmp_path), "x.toml") is True
    assert remove_unchanged(str(tmp_path), "x.toml") is None
    assert remove_unchanged(str(tmp_path / "none"), "x.toml") is None


@given(st.text(string.printable, max_size=20))
def test_a_text_is_not_filled_in(text: str) -> None:
    assert "${" not in quote(text).replace("$${", "")
