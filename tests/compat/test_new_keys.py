"""What init and key make, and by whose parameters: both programs do the same, and each opens what the other made."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program

pytestmark = pytest.mark.restic


def polynomial(program: Program, repository: Path, **environment: str) -> str:
    """Return the chunker's polynomial of a repository."""
    settings: dict[str, Any] = environment
    found: str = program.run("cat", "config", repository=repository, **settings).json["chunker_polynomial"]
    return found


def keys_of(program: Program, repository: Path) -> list[dict[str, Any]]:
    """Return the keys of a repository without what differs by chance; several may open with the same password."""
    keys = program.run("key", "list", "--json", repository=repository).json
    return sorted(({name: key[name] for name in ("userName", "hostName")} for key in keys), key=str)


CASES: list[tuple[list[str], dict[str, str]]] = [
    (["--from-repo", "{other}", "--from-password-file", "{file}"], {}),
    (["--from-repository-file", "{place}", "--from-password-command", "cat {file}", "--from-key-hint", "00"], {}),
    (["--from-repo", "{empty}", "--from-insecure-no-password"], {}),
    (["--repo2", "{other}", "--password-file2", "{file}"], {}),
    (["--repository-file2", "{place}", "--password-command2", "cat {file}", "--key-hint2", "00"], {}),
    ([], {"RESTIC_FROM_REPOSITORY": "{other}", "RESTIC_FROM_PASSWORD": PASSWORD}),
    ([], {}),
    (["--from-repo", "{other}"], {"RESTIC_FROM_PASSWORD": "wrong"}),
    (["--from-repo", "{other}/nowhere"], {"RESTIC_FROM_PASSWORD": PASSWORD}),
    (["--repository-version", "3"], {"RESTIC_FROM_REPOSITORY": "{other}", "RESTIC_FROM_PASSWORD": PASSWORD}),
]


def test_parameters_of_the_chunker_come_from_any_repository_that_is_named(
    pyrestic: Program, newest: Program, tmp_path: Path
) -> None:
    other, empty = make_quick_repository(tmp_path / "other"), tmp_path / "empty"
    newest.run("init", "--insecure-no-password", repository=empty, RESTIC_PASSWORD="")
    (tmp_path / "file").write_text(PASSWORD)
    (tmp_path / "place").write_text(str(other))
    names = {"other": other, "file": tmp_path / "file", "place": tmp_path / "place", "empty": empty}
    wanted = {
        other: polynomial(newest, other),
        empty: newest.run("cat", "config", "--insecure-no-password", repository=empty, RESTIC_PASSWORD="").json[
            "chunker_polynomial"
        ],
    }
    for number, (flags, variables) in enumerate(CASES):
        words = [flag.format(**names) for flag in flags]
        settings: dict[str, Any] = {name: value.format(**names) for name, value in variables.items()}
        codes = []
        for program in (newest, pyrestic):
            made = tmp_path / f"{program.name} {number}"
            codes.append(program.run("init", "--copy-chunker-params", *words, repository=made, code=None, **settings))
            if codes[-1].code == 0:
                source = empty if "{empty}" in flags else other
                assert polynomial(newest, made) == wanted[source]
            else:
                assert not made.exists()
        assert codes[0].code == codes[1].code, (flags, variables, codes[1].stderr)


LINES = [
    ["add", "--new-password-file", "{file}", "--host", "elsewhere", "--user", "somebody"],
    ["add", "--new-insecure-no-password"],
    ["add", "--new-password-file", "{nowhere}"],
    ["add", "--new-password-file", "{file}", "--new-insecure-no-password"],
    ["add", "extra"],
    ["list", "extra"],
    ["remove"],
    ["remove", "ffffffff"],
    ["nonsense"],
    ["passwd", "--new-password-file", "{file}", "--host", "elsewhere", "--user", "somebody"],
    ["passwd", "--new-password-file", "{nowhere}"],
]


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_keys_are_made_alike(pyrestic: Program, newest: Program, tmp_path: Path, line: list[str]) -> None:
    (tmp_path / "file").write_text(PASSWORD + "\n")
    results = []
    for program in (newest, pyrestic):
        repository = make_quick_repository(tmp_path / program.name)
        words = [word.format(file=tmp_path / "file", nowhere=tmp_path / "nowhere") for word in line]
        done = program.run("key", *words, repository=repository, code=None)
        results.append((done.code, keys_of(newest, repository)))
        if line[:2] == ["add", "--new-insecure-no-password"]:
            for other in (newest, pyrestic):
                other.run("snapshots", "--insecure-no-password", repository=repository, RESTIC_PASSWORD="")
    assert results[0] == results[1]


def test_a_password_may_become_none(pyrestic: Program, newest: Program, tmp_path: Path) -> None:
    for program, other in ((newest, pyrestic), (pyrestic, newest)):
        repository = make_quick_repository(tmp_path / program.name)
        program.run("key", "passwd", "--new-insecure-no-password", repository=repository)
        other.run("snapshots", repository=repository, code=12)
        other.run("snapshots", "--insecure-no-password", repository=repository, RESTIC_PASSWORD="")
