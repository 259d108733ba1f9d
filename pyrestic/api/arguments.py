"""Check the arguments of API calls against the annotations of the called function, before it runs.

A value of the wrong type is a TypeError, as for Python's own functions; an invalid value of the right type, such as a
path with a NUL, is a UsageError. Messages never contain the value, because it may be a password.
"""

import functools
import inspect
import math
import os
import threading
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

from pyrestic.errors import UsageError
from pyrestic.report import Reporter

P = ParamSpec("P")
R = TypeVar("R")

_Take = Callable[[str, Any], Any]
"""Takes the name of a parameter and its value; returns the value to pass on, or raises."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with checked arguments; lists become tuples, paths become str."""
    parameters = inspect.signature(function).parameters
    takes = {name: _taker(one.annotation) for name, one in parameters.items() if one.annotation is not one.empty}
    names = tuple(parameters)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> R:  # noqa: ANN401 - those of the function
        # Python itself complains about too many arguments.
        given = [takes[name](name, value) if name in takes else value for name, value in zip(names, args, strict=False)]
        named = {name: takes[name](name, value) if name in takes else value for name, value in kwargs.items()}
        return function(*given, *args[len(given) :], **named)

    return call


def _taker(annotation: object) -> _Take:
    """Return the check for an annotation; None passes if the annotation allows it."""
    if isinstance(annotation, str):
        return functools.partial(_take_exported, annotation)
    options = get_args(annotation) if get_origin(annotation) in (types.UnionType, Union) else (annotation,)
    # The function itself checks the values of a Literal.
    wanted = [str if get_origin(option) is Literal else option for option in options if option is not types.NoneType]
    take = _take_path if os.PathLike[str] in wanted else _taker_of_kinds(wanted)
    if len(wanted) == len(options):
        return take
    return lambda name, value: None if value is None else take(name, value)


def _taker_of_kinds(wanted: Sequence[Any]) -> _Take:
    first = wanted[0]
    origin = get_origin(first)
    if origin is Sequence:
        return functools.partial(_take_list, _taker(get_args(first)[0]))
    if origin is Mapping:
        return _take_texts
    if first in _TAKERS and len(wanted) == 1:
        return _TAKERS[first]
    if not all(isinstance(kind, type) for kind in wanted):
        raise TypeError(f"no check exists for {wanted}")
    return functools.partial(_take_one, tuple(wanted))


def _take_one(kinds: tuple[type, ...], name: str, value: object) -> object:
    if str in kinds and isinstance(value, str):
        return _take_text(name, value)
    if not isinstance(value, kinds):
        raise _wrong_type(name, value, " or ".join(kind.__name__ for kind in kinds))
    return value


def _take_exported(kind: str, name: str, value: object) -> object:
    """Check against a class that imports this module."""
    import pyrestic

    return _take_one((getattr(pyrestic, kind),), name, value)


def _take_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong_type(name, value, "str")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise UsageError(f"{name} contains an unpaired surrogate") from None
    return value


def _take_path(name: str, value: Any) -> str:  # noqa: ANN401 - whatever a program gives
    try:
        path = os.fspath(value)
    except TypeError:
        raise _wrong_type(name, value, "a path") from None
    path = _take_text(name, path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path)
    if "\0" in path:
        raise UsageError(f"{name} contains a NUL")
    return path


def _take_list(take: _Take, name: str, value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - whatever a program gives
    if isinstance(value, str | bytes | os.PathLike):
        raise UsageError(f"pass {name} as a list")
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise _wrong_type(name, value, "a list")
    return tuple(take(f"an element of {name}", each) for each in value)


def _take_texts(name: str, value: Any) -> Mapping[str, str]:  # noqa: ANN401 - whatever a program gives
    if not isinstance(value, Mapping):
        raise _wrong_type(name, value, "a mapping")
    for key, text in value.items():
        for part in (_take_text(f"a name in {name}", key), _take_text(f"a value in {name}", text)):
            if "\0" in part:
                raise UsageError(f"{name} contains a NUL")
    return value


def _take_switch(name: str, value: object) -> bool:
    # A non-empty string would be true whatever it says.
    if not isinstance(value, int):
        raise _wrong_type(name, value, "bool")
    return bool(value)


def _take_number(name: str, value: object) -> float:
    if not isinstance(value, int | float):
        raise _wrong_type(name, value, "a number")
    if math.isnan(value):
        raise UsageError(f"{name} is not a number")
    return value


def _take_reporter(name: str, value: object) -> object:
    if not all(callable(getattr(value, method, None)) for method in ("error", "note", "show")):
        raise _wrong_type(name, value, "a Reporter with the methods error, note and show")
    return value


def _take_stream(name: str, value: object) -> object:
    if not callable(getattr(value, "read", None)):
        raise _wrong_type(name, value, "a binary stream")
    return value


_TAKERS: dict[object, _Take] = {
    str: _take_text,
    bool: _take_switch,
    int: functools.partial(_take_one, (int,)),
    float: _take_number,
    datetime: functools.partial(_take_one, (datetime,)),
    threading.Event: functools.partial(_take_one, (threading.Event,)),
    Reporter: _take_reporter,
    BinaryIO: _take_stream,
}


def _wrong_type(name: str, value: object, wanted: str) -> TypeError:
    return TypeError(f"{name} must be {wanted}, not {type(value).__name__}")
