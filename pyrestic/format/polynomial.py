"""Polynomials over GF(2), as integers whose bit n is the coefficient of x^n (restic design document, "CDC")."""

DEGREE = 53
"""Degree of every chunker polynomial."""


def degree(polynomial: int) -> int:
    """Return the degree; -1 for the zero polynomial."""
    return polynomial.bit_length() - 1


def modulo(dividend: int, divisor: int) -> int:
    """Return the remainder of a division; divisor must not be zero."""
    length = divisor.bit_length()
    while (shift := dividend.bit_length() - length) >= 0:
        dividend ^= divisor << shift
    return dividend


def square_modulo(polynomial: int, divisor: int) -> int:
    """Return the square of a polynomial modulo divisor."""
    # A square has the coefficients at twice the powers: binary digits, read as digits of base 4.
    return modulo(int(f"{polynomial:b}", 4), divisor)


def greatest_common_divisor(one: int, other: int) -> int:
    """Return the greatest common divisor."""
    while other:
        one, other = other, modulo(one, other)
    return one


def is_irreducible(polynomial: int) -> bool:
    """Tell whether the polynomial has no factors, by Rabin's test; each command that opens a repository needs it."""
    polynomial_degree = degree(polynomial)
    if polynomial_degree < 1:
        return False
    # Where x^(2^n) - x has the factors whose degree divides a maximal divisor of the degree.
    maximal = {polynomial_degree // prime for prime in _prime_factors(polynomial_degree)}
    power = 2  # x, then x^2, x^4, x^8 … modulo the polynomial
    for exponent in range(1, polynomial_degree + 1):
        power = square_modulo(power, polynomial)
        if exponent in maximal and greatest_common_divisor(polynomial, power ^ 2) != 1:
            return False
    return power == modulo(2, polynomial)


def _prime_factors(number: int) -> set[int]:
    return {
        factor
        for factor in range(2, number + 1)
        if number % factor == 0 and all(factor % smaller for smaller in range(2, factor))
    }


def random_polynomial() -> int:
    """Return a random irreducible polynomial of degree 53 from the system's random source."""
    # Only needed for new repositories.
    from secrets import randbits

    while True:
        candidate = randbits(DEGREE) | 1 << DEGREE | 1
        if is_irreducible(candidate):
            return candidate
