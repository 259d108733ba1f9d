"""Intrinsics of compiled functions for vectors of 32-bit words, which are values like numbers.

They follow the rules of `intrinsics`: a function that uses them refers to nothing outside itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils as _cgutils
from numba.extending import models as _models
from numba.extending import register_model

from pyrestic.native.intrinsics import intrinsic, numba

cgutils: Any = _cgutils
models: Any = _models

_INT8, _INT32 = ir.IntType(8), ir.IntType(32)
_BYTES = ir.VectorType(_INT8, 16)
_CACHED_FOR_READING = (0, 3, 1)


class Vector(numba.types.Type):  # type: ignore[misc]
    """The type of vectors of this number of words; an annotation with it means such a vector."""

    def __init__(self, words: int) -> None:
        super().__init__(name=f"vector of {words}")
        self.words = words


@register_model(Vector)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    """The vector is a value of LLVM, in registers wherever possible."""

    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _kind(vector.words))


def _kind(words: int) -> Any:
    return ir.VectorType(_INT32, words)


def make_load(words: int, align: int) -> Callable[[int], Vector]:
    """Return load(address, a multiple of `align`) -> the vector there."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
        return builder.load(builder.inttoptr(arguments[0], _kind(words).as_pointer()), align=align)

    @intrinsic  # type: ignore[untyped-decorator]
    def load(_typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba looks at the parameters
        return Vector(words)(numba.types.int64), generate

    load_it: Callable[[int], Vector] = load
    return load_it


def make_store(align: int) -> Callable[[int, Vector], None]:
    """Return store(address, a multiple of `align`, vector)."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
        address, vector = arguments
        builder.store(vector, builder.inttoptr(address, vector.type.as_pointer()), align=align)
        return context.get_dummy_value()

    @intrinsic  # type: ignore[untyped-decorator]
    def store(_typing: Any, address: Any, vector: Any) -> Any:  # noqa: ARG001 - numba looks at the parameters
        return numba.types.void(numba.types.int64, vector), generate

    store_it: Callable[[int, Vector], None] = store
    return store_it


def _make_binary(build: Callable[[Any, Any, Any], Any]) -> Callable[[Vector, Vector], Vector]:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
        return build(builder, *arguments)

    @intrinsic  # type: ignore[untyped-decorator]
    def operation(_typing: Any, one: Any, two: Any) -> Any:  # noqa: ARG001 - numba looks at the parameters
        return one(one, one), generate

    operate: Callable[[Vector, Vector], Vector] = operation
    return operate


def make_shuffle(order: Sequence[int]) -> Callable[[Vector, Vector], Vector]:
    """Return shuffle(one, two) -> the words of these numbers, counted through both."""
    mask = ir.Constant(_kind(len(order)), list(order))
    return _make_binary(lambda builder, one, two: builder.shuffle_vector(one, two, mask))


def make_rotate(bits: int) -> Callable[[Vector], Vector]:
    """Return rotate(vector) -> each word rotated to the left by this number of bits."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
        (vector,) = arguments
        left, right = (ir.Constant(vector.type, [count] * vector.type.count) for count in (bits, 32 - bits))
        return builder.or_(builder.shl(vector, left), builder.lshr(vector, right))

    @intrinsic  # type: ignore[untyped-decorator]
    def rotate(_typing: Any, vector: Any) -> Any:
        return vector(vector), generate

    rotate_it: Callable[[Vector], Vector] = rotate
    return rotate_it


def _call(builder: Any, name: str, *arguments: Any) -> Any:
    """Call an intrinsic of LLVM that returns what its first argument is."""
    kind = ir.FunctionType(arguments[0].type, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _shuffle_bytes(builder: Any, vector: Any, order: Any) -> Any:
    turned = [builder.bitcast(each, _BYTES) for each in (vector, order)]
    return builder.bitcast(_call(builder, "llvm.x86.ssse3.pshuf.b.128", *turned), vector.type)


add = _make_binary(lambda builder, one, two: builder.add(one, two))
xor = _make_binary(lambda builder, one, two: builder.xor(one, two))
shuffle_bytes = _make_binary(_shuffle_bytes)
"""shuffle_bytes(vector, order) -> the bytes whose numbers are the bytes of order."""
sha256_message_1 = _make_binary(lambda builder, one, two: _call(builder, "llvm.x86.sha256msg1", one, two))
sha256_message_2 = _make_binary(lambda builder, one, two: _call(builder, "llvm.x86.sha256msg2", one, two))
"""The instructions for the message schedule of SHA-256, on vectors of four."""


@intrinsic  # type: ignore[untyped-decorator]
def sha256_rounds(_typing: Any, one: Vector, two: Vector, _sums: Vector) -> Any:
    """Return half of a state after two rounds, by the processor's instruction."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
        return _call(builder, "llvm.x86.sha256rnds2", *arguments)

    return one(one, two, _sums), generate


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(_typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba looks at the parameters
    """Fetch a line of memory; an address without memory does no harm."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
        place = builder.inttoptr(arguments[0], _INT8.as_pointer())
        hints = [ir.Constant(_INT32, hint) for hint in _CACHED_FOR_READING]
        kind = ir.FunctionType(ir.VoidType(), [place.type, _INT32, _INT32, _INT32])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0"), [place, *hints])
        return context.get_dummy_value()

    return numba.types.void(numba.types.int64), generate
