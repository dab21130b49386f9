"""Factors that weights share are made of adders, each out of those before it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwgen.blocks.array.multiples import Multiple, multiples, odd_part


def _made(wanted: set[int]) -> list[Multiple]:
    """What makes ``wanted``, once it is seen to be so."""
    have, made = {1}, multiples(frozenset(wanted))
    for factor, low, high, shift, minus in made:
        assert {low, high} <= have
        assert shift > 0
        assert factor == low + ((-high if minus else high) << shift)
        have.add(factor)
    assert wanted <= {abs(factor) for factor in have}
    return list(made)


@given(st.sets(st.integers(-(1 << 15), 1 << 15).map(lambda weight: odd_part(weight)[0]).filter(bool), max_size=12))
def test_every_factor_is_made_of_those_before_it(wanted):
    _made(wanted)


@pytest.mark.parametrize(("factor", "adders"), [(1, 0), (3, 1), (127, 1), (11, 2), (85, 2), (107, 3), (171, 4)])
def test_one_factor_alone_takes_few_adders(factor, adders):
    assert len(_made({factor})) <= adders


def test_every_weight_of_8_bits_takes_three_adders_at_the_most():
    assert max(len(_made({odd})) for odd in range(1, 128, 2)) == 3


def test_factors_share_what_they_are_made_of():
    """Many weights of 8 bits need little more than an adder each."""
    wanted = {odd_part(int(weight))[0] for weight in np.random.default_rng(0).integers(1, 128, 64)}
    assert len(_made(wanted)) <= len(wanted) + 2


@pytest.mark.parametrize(("weight", "found"), [(0, (0, 0)), (-96, (3, 5)), (7, (7, 0)), (-128, (1, 7))])
def test_the_odd_part_of_a_weight(weight, found):
    assert odd_part(weight) == found
