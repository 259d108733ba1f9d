"""One file restored to a name, and folders without the beginning of their paths."""

import os
from pathlib import Path

import pytest

from tests.support.cli import Caller


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    folder = tmp_path_factory.mktemp("parts")
    call = Caller(folder)
    call.create()
    for name in ("a/one/file", "a/two/other", "a/two/sub/deep", "b/one/file", "b/top"):
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (1_600_000_000, 1_600_000_000))
    (folder / "source" / "b" / "link").symlink_to("top")
    (folder / "source" / "a" / "two").chmod(0o711)
    call.cwd = folder / "source"
    assert call("backup", "a", "b").code == 0
    return call


def found(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


@pytest.mark.parametrize(
    ("target", "made_as"),
    [("new name", "new name"), ("folder/new", "folder/new"), ("there", "there/file"), ("folder/", "folder/file")],
)
def test_a_file_gets_the_name_of_the_target_or_goes_into_it_if_that_is_a_folder(
    made: Caller, tmp_path: Path, target: str, made_as: str
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "stays").write_text("stays")
    made.cwd = tmp_path
    outcome = made("restore", "latest:/a/one/file", "--target", target)
    made.cwd = made.folder
    assert outcome.code == 0, outcome.err
    assert found(tmp_path) == {made_as: "a/one/file", "there/stays": "stays"}
    assert (tmp_path / made_as).stat().st_mtime == 1_600_000_000


def test_a_link_is_restored_as_a_link_and_an_existing_file_is_replaced(made: Caller, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("something else, and longer")
    assert made("restore", "latest:/b/top", "--target", target, "--verify").code == 0
    assert target.read_text() == "b/top"
    assert made("restore", "latest:/b/link", "--target", target).code == 0
    assert os.readlink(target) == "top"


def test_what_makes_no_sense_for_a_file_is_refused(made: Caller, tmp_path: Path) -> None:
    for flags in (["--delete"], ["--strip-components", "1"]):
        outcome = made("restore", "latest:/a/one/file", "--target", tmp_path / "x", *flags)
        assert outcome.code == 1
        assert "single file" in outcome.err
    outcome = made("restore", "latest:/a/one/file/below", "--target", tmp_path / "x")
    assert "path a/one/file: not a directory" in outcome.err
    outcome = made("restore", "latest:/a/nothing", "--target", tmp_path / "x")
    assert "path a/nothing: not found" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_components_are_stripped_and_what_lies_less_deep_is_left_out(made: Caller, tmp_path: Path) -> None:
    outcome = made("restore", "latest:/a", "--strip-components", "1", "--target", tmp_path / "a")
    assert outcome.code == 0, outcome.err
    assert found(tmp_path / "a") == {"file": "a/one/file", "other": "a/two/other", "sub/deep": "a/two/sub/deep"}
    outcome = made("restore", "latest", "--strip-components", "2", "--include", "/a", "--target", tmp_path / "two")
    assert outcome.code == 0, outcome.err
    assert found(tmp_path / "two") == found(tmp_path / "a")
    outcome = made("restore", "latest", "--strip-components", "9", "--target", tmp_path / "nine")
    assert outcome.code == 0, outcome.err
    assert found(tmp_path / "nine") == {}


def test_patterns_still_speak_of_whole_paths(made: Caller, tmp_path: Path) -> None:
    line = ("restore", "latest", "--strip-components", "1", "--target")
    assert made(*line, tmp_path / "in", "--include", "/a/two/sub").code == 0
    assert found(tmp_path / "in") == {"two/sub/deep": "a/two/sub/deep"}
    assert made(*line, tmp_path / "out", "--exclude", "/b/one", "--exclude", "/a/two/sub").code == 0
    assert found(tmp_path / "out") == {"one/file": "a/one/file", "two/other": "a/two/other", "top": "b/top"}
    assert (tmp_path / "out" / "two").stat().st_mode & 0o777 == 0o711


def test_two_things_for_one_place_are_refused_before_anything_is_written(made: Caller, tmp_path: Path) -> None:
    outcome = made("restore", "latest", "--strip-components", "1", "--target", tmp_path / "target")
    assert outcome.code == 1
    assert "/a/one and /b/one would have the same path" in outcome.err
    assert not (tmp_path / "target").exists()


def test_delete_removes_what_the_stripped_folders_do_not_have(made: Caller, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "sub").mkdir(parents=True)
    (target / "sub" / "extra").touch()
    (target / "extra").touch()
    outcome = made("restore", "latest:/a", "--strip-components", "1", "--delete", "--target", target)
    assert outcome.code == 0, outcome.err
    assert set(found(target)) == {"file", "other", "sub/deep"}
