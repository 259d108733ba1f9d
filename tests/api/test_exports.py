"""All that a program meets when it uses pyrestic's names is a name of pyrestic itself."""

import collections.abc
import dataclasses
import importlib
import inspect
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import pyrestic
from pyrestic import errors

EXPORTED = {name: getattr(pyrestic, name) for name in pyrestic.__all__}


def types_in(annotation: Any) -> Iterator[type]:
    """Iterate the classes that an annotation is made of."""
    if isinstance(annotation, list):
        # The arguments of a Callable.
        for each in annotation:
            yield from types_in(each)
    elif typing.get_origin(annotation) is not None:
        yield from types_in(typing.get_origin(annotation))
        for each in typing.get_args(annotation):
            yield from types_in(each)
    elif isinstance(annotation, type):
        yield annotation


def hints_of(function: Any) -> dict[str, Any]:
    # What is imported for types alone must be a name of pyrestic, too.
    return typing.get_type_hints(function, localns={**EXPORTED, "Iterator": collections.abc.Iterator})


def public_hints(name: str) -> Iterator[tuple[str, Any]]:
    """Iterate what is annotated in a class or function that is exported, with its name."""
    value = EXPORTED[name]
    if not isinstance(value, type):
        if isinstance(value, types.FunctionType):
            yield from ((f"{name}: {argument}", hint) for argument, hint in hints_of(value).items())
        return
    if dataclasses.is_dataclass(value) or issubclass(value, tuple):
        yield from ((f"{name}.{field}", hint) for field, hint in hints_of(value).items() if field[0] != "_")
    for member in dir(value):
        if member.startswith("_") and member not in ("__enter__", "__exit__", "__iter__"):
            continue
        attribute = inspect.getattr_static(value, member)
        if isinstance(attribute, property):
            attribute = attribute.fget
        elif isinstance(attribute, staticmethod | classmethod):
            attribute = attribute.__func__
        if isinstance(attribute, types.FunctionType) and attribute.__module__.startswith("pyrestic"):
            yield from ((f"{name}.{member}: {argument}", hint) for argument, hint in hints_of(attribute).items())


def test_each_type_that_a_public_method_takes_or_returns_is_a_public_name() -> None:
    seen: set[type] = set()
    inner = set()
    for name in pyrestic.__all__:
        for where, hint in public_hints(name):
            for each in types_in(hint):
                if each.__module__.split(".")[0] == "pyrestic":
                    seen.add(each)
                    if EXPORTED.get(each.__name__) is not each:
                        inner.add(f"{where} is made of {each.__module__}.{each.__name__}")
    assert not inner, "\n".join(sorted(inner))
    assert {pyrestic.Entry, pyrestic.OpenSnapshot, pyrestic.BackupSummary, pyrestic.Reporter} <= seen


def test_the_walk_sees_inner_types_where_they_are() -> None:
    from pyrestic.format.node import Node

    def method(each: "list[Node] | None") -> dict[str, tuple[int, "pyrestic.Entry"]]:
        del each
        return {}

    found = {each for hint in hints_of_here(method, Node) for each in types_in(hint)}
    assert {Node, pyrestic.Entry, dict, tuple, int} <= found


def hints_of_here(function: Any, node: type) -> list[Any]:
    return list(typing.get_type_hints(function, localns={"Node": node}).values())


def test_what_reports_can_be_cancelled_and_what_can_be_cancelled_reports() -> None:
    methods = set()
    for name, value in EXPORTED.items():
        for member, function in inspect.getmembers(value, inspect.isfunction) if isinstance(value, type) else ():
            taken = {"report", "cancel"} & set(inspect.signature(function).parameters)
            if taken and not member.startswith("_"):
                methods.add(f"{name}.{member}")
                assert taken == {"report", "cancel"}, f"{name}.{member}"
    assert {"OpenRepository.backup", "OpenSnapshot.restore", "OpenRepository.unlock", "PrunePlan.run"} <= methods


def test_every_error_is_a_public_name() -> None:
    ours = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert ours.items() <= EXPORTED.items()


@pytest.mark.process
def test_each_name_is_loaded_from_where_it_is_defined_and_no_sooner_than_it_is_used() -> None:
    for name, module in pyrestic._MODULES.items():
        value = vars(importlib.import_module(module))[name]
        assert EXPORTED[name] is value
        if isinstance(value, type | types.FunctionType):
            assert value.__module__ == module, f"{name} is defined elsewhere"
    assert set(pyrestic._MODULES) == set(pyrestic.__all__) - {"__version__"}
    code = (
        "import sys, pyrestic\n"
        "pyrestic.PyresticError, pyrestic.LockedError, pyrestic.Reporter\n"
        "loaded = {name for name in sys.modules if name.partition('.')[0] in ('pyrestic', 'numpy', 'msgspec')}\n"
        "assert loaded == {'pyrestic', 'pyrestic.errors', 'pyrestic.report'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
