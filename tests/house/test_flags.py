"""Flags are declared in one way, and mypy sees them: no function takes them as keywords or in a dictionary."""

import ast
from pathlib import Path

import pytest

import pyrestic.cli

CLI = Path(pyrestic.cli.__file__).parent
MODULES = sorted(CLI.rglob("*.py"))
MAKERS = {"option", "argument", "Option", "Argument", "command", "group", "pass_context"}
"""What makes parameters and commands in click."""


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def is_defined(function: ast.FunctionDef) -> bool:
    """Tell whether a function is the one of a command."""
    calls = [one.func for one in function.decorator_list if isinstance(one, ast.Call)]
    return any(isinstance(one, ast.Name) and one.id == "define" for one in calls)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CLI)))
def test_flags_are_declared_as_fields_and_handed_down_as_their_class(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and path.name != "flag_fields.py":
            of_click = isinstance(node.func.value, ast.Name) and node.func.value.id == "click"
            assert not (of_click and node.func.attr in MAKERS), f"line {node.lineno}: declare it with flag_fields"
    for function in functions(path):
        given = function.args
        for one in [*given.posonlyargs, *given.args, *given.kwonlyargs]:
            if one.arg == "flags":
                shown = ast.unparse(one.annotation) if one.annotation else ""
                assert shown.removeprefix("type[").removesuffix("] | None").removesuffix("]").endswith(("Flags", "F"))
        assert given.kwarg is None or given.kwarg.arg != "flags", f"line {function.lineno}"


def test_commands_take_the_app_and_their_flags_and_nothing_else() -> None:
    found = [(path, one) for path in (CLI / "commands").glob("*.py") for one in functions(path) if is_defined(one)]
    assert len(found) > 30
    for path, function in found:
        given = function.args
        assert [one.arg for one in given.args] in (["app"], ["app", "flags"]), f"{path.name}: {function.name}"
        others = [*given.posonlyargs, *given.kwonlyargs, given.vararg, given.kwarg]
        assert others == [None, None], f"{path.name}: {function.name}"
