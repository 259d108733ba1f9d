"""Man pages: complete, true to the program, and fit for those who show them."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import pyrestic
from pyrestic import errors
from pyrestic.cli.backup_run import INCOMPLETE
from pyrestic.cli.command import Command
from pyrestic.cli.main import main, program
from pyrestic.cli.manpages import make_pages
from pyrestic.cli.manual import MANUALS, PROGRAM
from pyrestic.cli.manual_tables import ENVIRONMENT, EXIT_STATUS
from pyrestic.runner.status import NEEDS_ATTENTION

PAGES = dict(make_pages(program, "pyrestic"))
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "EXAMPLES"]
OPERATORS = ("|", "<(", ")")


def list_commands(group: click.Group, context: click.Context, path: str = "") -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path}{name}"
        if isinstance(command, click.Group):
            yield from list_commands(command, click.Context(command, parent=context), f"{path}{name} ")


def test_every_command_has_a_manual_with_an_example_and_no_other_has() -> None:
    assert set(MANUALS) == set(list_commands(program, click.Context(program)))
    assert all(manual.examples for manual in (*MANUALS.values(), PROGRAM))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_all_sections_in_their_order(name: str) -> None:
    sections = re.findall(r"^\.SH (.*)$", PAGES[name], re.MULTILINE)
    wanted = [one for one in SECTIONS if one in sections or one != "OPTIONS"]
    assert [one for one in sections if one in SECTIONS] == wanted
    assert "OPTIONS" in sections or "GLOBAL OPTIONS" in sections
    assert not re.search(r"^\.SH .*\n(\.SH|\.PP|$)", PAGES[name], re.MULTILINE), "a section is empty"


@pytest.mark.process
@pytest.mark.parametrize("line", [line for one in (*MANUALS.values(), PROGRAM) for _, line in one.examples])
def test_an_example_is_a_command_line_that_the_program_reads(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert line.startswith(("pyrestic ", "export ", "source <(pyrestic "))
    subprocess.run(["bash", "-n", "-c", line], check=True)
    if "pyrestic " not in line:
        assert line.removeprefix("export ").partition("=")[0] in ENVIRONMENT
        return
    lexer = shlex.shlex(line.partition("pyrestic ")[2], punctuation_chars="|()", posix=True)
    lexer.whitespace_split = True
    words = list(lexer)
    words = words[: next((at for at, word in enumerate(words) if word in OPERATORS), len(words))]
    invoked: list[click.Context] = []
    monkeypatch.setattr(Command, "invoke", lambda _, context: invoked.append(context))
    assert main(words) == 0
    (context,) = invoked
    assert not context.args, "there are more arguments than the command takes"
    assert context.command_path.partition(" ")[2] in line


def test_making_pages_leaves_both_flags_for_help() -> None:
    """click remembers the option for help of the first context that asks for it."""
    option = program.get_help_option(program.make_context("x", ["version"]))
    assert option is not None
    assert sorted(option.opts) == ["--help", "-h"]


def test_the_exit_statuses_are_those_of_the_errors_and_no_other() -> None:
    raised = {
        value.exit_code for value in vars(errors).values() if isinstance(value, type) and hasattr(value, "exit_code")
    }
    assert raised | {0, 130} == set(EXIT_STATUS)
    assert {code for manual in MANUALS.values() for code in manual.exits} == {0, 1, INCOMPLETE, NEEDS_ATTENTION}


def test_the_variables_are_those_that_the_program_reads_and_no_other() -> None:
    root = Path(pyrestic.__file__).parent
    text = "".join(path.read_text() for path in root.rglob("*.py") if path.name != "manual_tables.py")
    read = set(re.findall(r'"((?:RESTIC|PYRESTIC|B2|XDG)_[A-Z_]+)"', text))
    read |= {"RESTIC_FROM_PASSWORD", *re.findall(r"\$(RESTIC_[A-Z_]+)", "".join(PAGES.values()))}
    assert {name for name in ENVIRONMENT if name.startswith(("RESTIC", "PYRESTIC", "B2", "XDG"))} == read


def test_the_name_of_the_program_is_the_one_it_runs_under() -> None:
    pages = dict(make_pages(program, "restic"))
    assert set(pages) == {name.replace("pyrestic", "restic", 1) for name in PAGES}
    assert "\nrestic snapshots\n" in pages["restic-snapshots.1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    for name, text in PAGES.items():
        (folder / name).write_text(text)
    return folder


def run_checker(folder: Path, command: list[str]) -> str:
    """What a program has to say about all pages."""
    if shutil.which(command[0]) is None and os.environ.get("CI") != "true":
        pytest.skip(f"{command[0]} is missing (apt-get install mandoc groff-base)")
    done = subprocess.run([*command, *sorted(PAGES)], cwd=folder, capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


@pytest.mark.process
def test_groff_warns_of_nothing(folder: Path) -> None:
    assert run_checker(folder, ["groff", "-ww", "-z", "-K", "utf8", "-T", "utf8", "-man"]) == ""


@pytest.mark.process
def test_mandoc_warns_of_nothing_but_the_missing_date(folder: Path) -> None:
    # A date would make two builds of one version differ.
    said = run_checker(folder, ["mandoc", "-T", "lint", "-W", "warning"]).splitlines()
    assert [line for line in said if "missing date" not in line] == []
    assert len(said) == len(PAGES)
