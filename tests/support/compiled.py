"""A compiled function for tests of what keeps such code."""

from pyrestic.native.intrinsics import compile_function, load8


def _sum(one: int, other: int) -> int:
    return load8(one) + load8(other)


def compile_code() -> bytes | None:
    """Return the machine code of a function that adds two bytes, given their addresses."""
    return compile_function(_sum, 2)
