"""A function that no compiler understands, for tests of what keeps compiled code."""

from pyrestic.native.intrinsics import compile_function


def _nonsense(one: int) -> int:
    return len(str(one).encode())


def compile_code() -> bytes | None:
    """Raise whatever the compiler raises."""
    return compile_function(_nonsense, 1)
