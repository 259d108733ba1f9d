"""Polynomials over GF(2), as integers whose bit n is the coefficient of x^n (restic design document, "CDC")."""

DEGREE = 53
"""Degree of every chunker polynomial."""


def degree(polynomial: int) -> int:
    """Return the degree; -1 for the zero polynomial."""
    return polynomial.bit_length() - 1


def modulo(dividend: int, divisor: int) -> int:
    """Return the remainder of a division; divisor must not be zero."""
    divisor_degree = degree(divisor)
    while (shift := degree(dividend) - divisor_degree) >= 0:
        dividend ^= divisor << shift
    return dividend


def multiply_modulo(one: int, other: int, divisor: int) -> int:
    """Return one * other modulo divisor."""
    product = 0
    while other:
        if other & 1:
            product ^= one
        one = modulo(one << 1, divisor)
        other >>= 1
    return product


def greatest_common_divisor(one: int, other: int) -> int:
    """Return the greatest common divisor."""
    while other:
        one, other = other, modulo(one, other)
    return one


def is_irreducible(polynomial: int) -> bool:
    """Tell whether the polynomial has no factors, by Ben-Or's test."""
    if degree(polynomial) < 1:
        return False
    power = 2  # x, then x^2, x^4, x^8 … modulo the polynomial
    for _ in range(degree(polynomial) // 2):
        power = multiply_modulo(power, power, polynomial)
        if greatest_common_divisor(polynomial, power ^ 2) != 1:
            return False
    return True


def random_polynomial() -> int:
    """Return a random irreducible polynomial of degree 53 from the system's random source."""
    # Only needed for new repositories.
    from secrets import randbits

    while True:
        candidate = randbits(DEGREE) | 1 << DEGREE | 1
        if is_irreducible(candidate):
            return candidate
