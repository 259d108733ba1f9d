"""Intrinsics of compiled functions for memory access and C calls: by address, with 64-bit integers.

A function for `compile_function` is written in the subset of Python that numba compiles. It refers to nothing outside
itself, so its machine code can be stored (see machinecode): its arguments are the addresses of tables, contexts and
functions of libcrypto, libzstd and libc. Importing this module imports numba.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numba as _numba
from llvmlite import ir
from numba.extending import intrinsic as _intrinsic

from pyrestic.native.machinecode import extract

numba: Any = _numba
"""Its types are of little use here: compiled code is no longer typed as Python."""
intrinsic: Any = _intrinsic

_INT64 = ir.IntType(64)

_F = TypeVar("_F", bound=Callable[..., Any])


def inline(helper: _F) -> _F:
    """Return a helper that is inlined into a function."""
    inlined: _F = numba.njit(forceinline=True, error_model="numpy", no_cpython_wrapper=True)(helper)
    return inlined


def compile_function(function: Callable[..., int], parameters: int) -> bytes | None:
    """Return the machine code of a function of this number of integers for this processor; None if it cannot be moved.

    `machinecode.function_at` loads it.
    """
    kind = numba.types.int64
    compiled = numba.cfunc(kind(*[kind] * parameters), error_model="numpy")(function)
    name = compiled.native_name.removeprefix("cfunc.")
    return extract(compiled._library._get_compiled_object(), name)


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _make_load(bits: int) -> Callable[[int], int]:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
        value = builder.load(_pointer(builder, arguments[0], ir.IntType(bits)), align=1)
        return builder.zext(value, _INT64) if bits < 64 else value

    @intrinsic  # type: ignore[untyped-decorator]
    def load(_typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba looks at the parameters
        return numba.types.int64(numba.types.int64), generate

    load_it: Callable[[int], int] = load
    return load_it


def _make_store(bits: int) -> Callable[[int, int], None]:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
        value = builder.trunc(arguments[1], ir.IntType(bits)) if bits < 64 else arguments[1]
        builder.store(value, _pointer(builder, arguments[0], ir.IntType(bits)), align=1)
        return context.get_dummy_value()

    @intrinsic  # type: ignore[untyped-decorator]
    def store(_typing: Any, address: Any, value: Any) -> Any:  # noqa: ARG001 - numba looks at the parameters
        return numba.types.void(numba.types.int64, numba.types.int64), generate

    store_it: Callable[[int, int], None] = store
    return store_it


def _make_call(bits: int) -> Callable[[int, tuple[int, ...]], int]:
    def generate(_context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
        count = len(signature.args[1].types)
        kind = ir.FunctionType(ir.IntType(bits), [_INT64] * count)
        passed = [builder.extract_value(arguments[1], number) for number in range(count)]
        result = builder.call(_pointer(builder, arguments[0], kind), passed)
        return builder.sext(result, _INT64) if bits < 64 else result

    @intrinsic  # type: ignore[untyped-decorator]
    def call(_typing: Any, function: Any, passed: Any) -> Any:  # noqa: ARG001 - numba looks at the parameters
        every = numba.types.UniTuple(numba.types.int64, len(passed.types))
        return numba.types.int64(numba.types.int64, every), generate

    call_it: Callable[[int, tuple[int, ...]], int] = call
    return call_it


def _make_choose() -> Callable[[bool, int, int], int]:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
        return builder.select(*arguments)

    @intrinsic  # type: ignore[untyped-decorator]
    def choose(_typing: Any, condition: Any, one: Any, other: Any) -> Any:  # noqa: ARG001 - numba looks at the parameters
        return numba.types.int64(numba.types.boolean, numba.types.int64, numba.types.int64), generate

    choose_it: Callable[[bool, int, int], int] = choose
    return choose_it


load8, load32, load64 = _make_load(8), _make_load(32), _make_load(64)
"""load(address) -> the unsigned number there, at any alignment."""
store8, store32, store64 = _make_store(8), _make_store(32), _make_store(64)
"""store(address, value)"""
choose = _make_choose()
"""choose(condition, one, other) -> one if the condition holds, otherwise the other, without a branch."""
call, call_int = _make_call(64), _make_call(32)
"""call(address of a C function, (argument, …)) -> what it returns, a long or pointer, or (call_int) a C int."""
