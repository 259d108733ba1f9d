"""Arithmetic in GF(2) and irreducibility."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.format import polynomial as gf2

polynomials = st.integers(0, 1 << 60)
divisors = st.integers(1, 1 << 55)


def multiply(one: int, other: int) -> int:
    """Multiply as one learns it at school."""
    product = 0
    for bit in range(other.bit_length()):
        if other >> bit & 1:
            product ^= one << bit
    return product


@pytest.mark.parametrize(("polynomial", "degree"), [(0, -1), (1, 0), (2, 1), (0x3DA3358B4DC173, 53)])
def test_the_degree_is_the_highest_power(polynomial: int, degree: int) -> None:
    assert gf2.degree(polynomial) == degree


@given(polynomials, divisors)
def test_a_remainder_is_smaller_and_leaves_a_multiple(dividend: int, divisor: int) -> None:
    remainder = gf2.modulo(dividend, divisor)
    assert gf2.degree(remainder) < gf2.degree(divisor)
    assert gf2.modulo(dividend ^ remainder, divisor) == 0


@given(polynomials, divisors)
def test_squares_are_reduced_products(polynomial: int, divisor: int) -> None:
    assert gf2.square_modulo(polynomial, divisor) == gf2.modulo(multiply(polynomial, polynomial), divisor)


@given(st.integers(1, 1 << 30), st.integers(1, 1 << 30), st.integers(1, 1 << 20))
def test_a_common_factor_divides_the_greatest_common_divisor(one: int, other: int, factor: int) -> None:
    divisor = gf2.greatest_common_divisor(multiply(one, factor), multiply(other, factor))
    assert gf2.modulo(divisor, factor) == 0
    assert gf2.modulo(multiply(one, factor), divisor) == gf2.modulo(multiply(other, factor), divisor) == 0


def test_small_polynomials_are_irreducible_exactly_if_nothing_divides_them() -> None:
    for polynomial in range(2, 1 << 9):
        has_factor = any(gf2.modulo(polynomial, factor) == 0 for factor in range(2, polynomial) if factor != polynomial)
        assert gf2.is_irreducible(polynomial) == (not has_factor), bin(polynomial)


@pytest.mark.parametrize(
    "polynomial", [0x3DA3358B4DC173, 0x2E54FFA4E08B63, 0x3E903FCB57D463, 0x20205104403CEB, 0x2482734CACCA49]
)
def test_polynomials_that_restic_chose_are_irreducible(polynomial: int) -> None:
    assert gf2.is_irreducible(polynomial)


def is_irreducible_by_ben_or(polynomial: int) -> bool:
    power = 2
    for _ in range(gf2.degree(polynomial) // 2):
        power = gf2.modulo(multiply(power, power), polynomial)
        if gf2.greatest_common_divisor(polynomial, power ^ 2) != 1:
            return False
    return True


@given(st.integers(1 << 53, (1 << 54) - 1))
def test_ben_or_test_agrees(polynomial: int) -> None:
    assert gf2.is_irreducible(polynomial) == is_irreducible_by_ben_or(polynomial)


@pytest.mark.parametrize("polynomial", [0, 1, 0x3DA3358B4DC172, 0x38F1E565E288DF, 0x30A8295B9D5C91, 0x2026A59EFB219B])
def test_others_are_not(polynomial: int) -> None:
    assert not gf2.is_irreducible(polynomial)


@given(st.integers(2, 1 << 27), st.integers(2, 1 << 26))
def test_no_product_is_irreducible(one: int, other: int) -> None:
    assert not gf2.is_irreducible(multiply(one, other))


def test_random_polynomials_have_degree_53_are_irreducible_and_differ() -> None:
    found = {gf2.random_polynomial() for _ in range(5)}
    assert len(found) == 5
    assert all(gf2.degree(polynomial) == 53 and is_irreducible_by_ben_or(polynomial) for polynomial in found)
