"""cache, options, features and generate beside the real restic."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.restic import Program, Result

pytestmark = pytest.mark.restic
DAY = 24 * 60 * 60


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache as both tools lay it out, with folders of several ages."""
    base = tmp_path / "cache"
    for number, (letter, days) in enumerate({"a": 0, "b": 10, "c": 31, "d": 400}.items()):
        folder = base / (letter * 64)
        (folder / "data" / "00").mkdir(parents=True)
        (folder / "version").write_text("1")
        (folder / "data" / "00" / ("0" * 64)).write_bytes(bytes(1500 * (number + 1)))
        used = time.time() - days * DAY - 100
        os.utime(folder, (used, used))
    (base / "restic-check-cache-123").mkdir()
    (base / "something else").mkdir()
    return base


def reason(result: Result) -> bytes:
    """Return what was wrong, without the advice where to read more."""
    return result.stderr.splitlines()[0].partition(b" - please")[0]


CACHE_LINES = [
    ["cache"],
    ["cache", "--no-size"],
    ["cache", "--max-age", "5"],
    ["cache", "--max-age", "0", "--no-size"],
    ["cache", "--cleanup"],
    ["cache", "--cleanup", "--max-age", "5"],
    ["--cleanup-cache", "cache"],
    ["cache", "--cleanup", "--max-age", "1000"],
    ["cache", "extra"],
    ["cache", "--no-cache"],
]


@pytest.mark.parametrize("line", CACHE_LINES, ids=" ".join)
def test_cache_says_and_does_what_restic_does(
    pyrestic: Program, newest: Program, cache: Path, tmp_path: Path, line: list[str]
) -> None:
    results: list[tuple[Result, list[str]]] = []
    for program in (pyrestic, newest):
        place = tmp_path / "place"
        shutil.copytree(cache, place)
        for name in os.listdir(cache):
            shutil.copystat(cache / name, place / name)
        result = program.run("--cache-dir", place, *line, code=None)
        results.append((result, sorted(os.listdir(place))))
        shutil.rmtree(place)
    (ours, our_names), (theirs, their_names) = results
    assert ours.code == theirs.code
    assert ours.text == theirs.text
    assert our_names == their_names
    if theirs.code:
        assert reason(ours) == reason(theirs)


def test_an_empty_cache_is_no_error(pyrestic: Program, newest: Program, tmp_path: Path) -> None:
    for arguments in (["cache"], ["cache", "--cleanup"]):
        ours = pyrestic.run("--cache-dir", tmp_path / "nothing", *arguments, code=None)
        theirs = newest.run("--cache-dir", tmp_path / "nothing", *arguments, code=None)
        assert (ours.code, ours.text) == (theirs.code, theirs.text)


def test_cache_has_json_of_its_own(pyrestic: Program, cache: Path) -> None:
    found = {one["name"][0]: one for one in pyrestic.run("--cache-dir", cache, "--json", "cache").json}
    assert [found[name]["old"] for name in "abcd"] == [False, False, True, True]
    assert [found[name]["size"] for name in "abcd"] == [1501, 3001, 4501, 6001]


def test_the_features_are_restics(pyrestic: Program, newest: Program) -> None:
    def rows(text: str) -> list[list[str]]:
        return [line.split()[:3] for line in text.splitlines() if re.match(r"[a-z0-9-]+ +(alpha|beta|stable)", line)]

    ours, theirs = pyrestic.run("features"), newest.run("features")
    assert rows(ours.text) == rows(theirs.text)
    assert len(rows(theirs.text)) == 7
    assert ours.text.splitlines()[:2] == theirs.text.splitlines()[:2]
    assert [one["name"] for one in pyrestic.run("--json", "features").json] == [row[0] for row in rows(theirs.text)]


def test_the_options_of_places_that_we_know_are_restics_and_some_more(pyrestic: Program, newest: Program) -> None:
    def names(text: str) -> set[str]:
        return {line.split()[0] for line in text.splitlines()[1:] if line.strip()}

    ours, theirs = names(pyrestic.run("options").text), names(newest.run("options").text)
    # This restic is built without azure.
    remote = {"b2", "gs", "rclone", "rest", "s3", "sftp", "swift"}
    ours = {name for name in ours if not name.startswith("azure.")}
    assert theirs <= ours
    more = {"b2.as-of", "b2.endpoint", "s3.as-of", "s3.retention", "s3.retention-mode"}
    assert ours - theirs == more | {f"{scheme}.deadline" for scheme in remote}


def test_every_command_has_a_man_page_as_restics(pyrestic: Program, newest: Program, tmp_path: Path) -> None:
    for program in (pyrestic, newest):
        (tmp_path / program.name).mkdir()
        program.run("generate", "--man", tmp_path / program.name)
    ours = {path.name.removeprefix("pyrestic") for path in (tmp_path / "pyrestic").iterdir()}
    shown = pyrestic.run("--help").text.partition("Global Options:")[0]
    commands = set(re.findall("^  ([a-z0-9]+) +[^ ]", shown, re.MULTILINE))
    assert {"backup", "b2", "version"} <= commands
    assert {f"-{name}.1" for name in commands} <= ours
    for path in (tmp_path / "pyrestic").iterdir():
        text = path.read_text()
        assert text.startswith(".TH ")
        assert ".SH NAME" in text
    assert ".SH OPTIONS" in (tmp_path / "pyrestic" / "pyrestic-backup.1").read_text()


@pytest.mark.parametrize(
    "line",
    [
        ["generate"],
        ["generate", "--bash-completion", "-", "--zsh-completion", "-"],
        ["generate", "extra"],
    ],
)
def test_generate_refuses_what_restic_refuses(pyrestic: Program, newest: Program, line: list[str]) -> None:
    ours, theirs = pyrestic.run(*line, code=None), newest.run(*line, code=None)
    assert ours.code == theirs.code == 1
    assert reason(ours) == reason(theirs)


def test_the_script_for_bash_completes_commands_and_flags(pyrestic: Program, tmp_path: Path) -> None:
    script = tmp_path / "completion"
    pyrestic.run("generate", "--bash-completion", script)
    wrapper = tmp_path / "pyrestic"
    wrapper.write_text(f'#!/bin/sh\nexec {" ".join(pyrestic.command)} "$@"\n')
    wrapper.chmod(0o755)

    def complete(*words: str) -> list[str]:
        text = (
            f"source {script}; COMP_WORDS=(pyrestic {' '.join(words)}); COMP_CWORD={len(words)};"
            f' _pyrestic_completion {wrapper}; printf "%s\\n" "${{COMPREPLY[@]}}"'
        )
        done = subprocess.run(
            ["bash", "-c", text], capture_output=True, text=True, env=pyrestic.environment(), timeout=60
        )
        return done.stdout.split()

    assert {"snapshots"} <= set(complete("snap"))
    assert "--exclude-caches" in complete("backup", "--exclude")


@pytest.mark.parametrize("shell", ["zsh", "fish", "powershell"])
def test_the_other_shells_get_scripts_too(pyrestic: Program, newest: Program, shell: str) -> None:
    assert "restic" in newest.run("generate", f"--{shell}-completion", "-").text
    text = pyrestic.run("generate", f"--{shell}-completion", "-").text
    assert "pyrestic" in text
    if shell == "powershell":
        assert "'snapshots'" in text
        assert "'--exclude-caches'" in text
    else:
        assert "_PYRESTIC_COMPLETE" in text
