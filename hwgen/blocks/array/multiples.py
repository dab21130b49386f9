"""Multiples of an activation by constants, made of few adders: how weights that never change are multiplied by.

Weights that differ in sign and powers of two share a multiple, so odd ones will do. Those of two digits, ``2^k + 1``
and ``1 - 2^k``, take one adder, and two of them, or one and the activation, make any of up to four digits with one
more: all weights of 8 bits with a sign are among these. Which of two digits are worth having for a set of odd
multiples is chosen greedily (the problem is that of multiple constant multiplication: Voronenko and Püschel, ACM
Trans. Algorithms 3(2), 2007).
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import NamedTuple

#: Digits of two, or of four, lie within so many bits.
_BITS = 9


class Multiple(NamedTuple):
    """``factor`` times an activation is ``low`` times it, plus or minus ``high * 2^shift`` times it."""

    factor: int
    low: int
    high: int
    shift: int
    minus: bool


def odd_part(weight: int) -> tuple[int, int]:
    """``weight`` without its sign and factors of two, and how many these are; 0 for 0."""
    shift = (weight & -weight).bit_length() - 1 if weight else 0
    return abs(weight) >> shift, shift


@lru_cache(1 << 14)
def multiples(wanted: frozenset[int]) -> tuple[Multiple, ...]:
    """What makes the ``wanted`` odd factors, of either sign, out of 1: each out of factors that stand before it."""
    long = {each for each in wanted if each > 1 and each not in _pairs() and each not in _ways()}
    if not long:
        return _short(wanted)
    made = multiples(wanted - long | {_shorter(each) for each in long})
    return _with_more(made, long)


def _short(wanted: frozenset[int]) -> tuple[Multiple, ...]:
    """The same for factors of up to four digits."""
    chosen, more = wanted & _pairs().keys(), wanted - _pairs().keys() - {1}
    while left := [each for each in more if not any(way <= chosen for way in _ways()[each])]:
        chosen |= _next(left, chosen)
    return _with_more([_pairs()[each] for each in sorted(chosen)], wanted - chosen - {1})


def _next(left: Iterable[int], chosen: frozenset[int]) -> frozenset[int]:
    """What is to be had of two digits in addition, so that the most of what is ``left`` can be made of it."""
    missing = [{way - chosen for way in _ways()[target]} for target in left]
    least = min(len(way) for ways in missing for way in ways)
    uses: dict[frozenset[int], int] = {}
    for way in (way for ways in missing for way in ways if len(way) == least):
        uses[way] = uses.get(way, 0) + 1
    return min(uses, key=lambda way: (-uses[way], sorted(way)))


def _with_more(made: Iterable[Multiple], targets: Iterable[int]) -> tuple[Multiple, ...]:
    """What is made already, and each of ``targets`` out of two of these."""
    made = tuple(made)
    factors = {1: 1} | {abs(each.factor): each.factor for each in made}
    return (*made, *(_sum_of_two(target, factors) for target in sorted(targets)))


def _sum_of_two(target: int, factors: Mapping[int, int]) -> Multiple:
    """``target``, of either sign, out of two ``factors``, by their odd parts; of several ways that with the fewest bits
    to add."""
    ways = []
    for low in factors.values():
        for rest in (target - low, -target - low):
            odd, shift = odd_part(rest)
            if odd in factors:
                minus = (rest < 0) != (factors[odd] < 0)
                ways.append(Multiple(low + rest, low, factors[odd], shift, minus))
    return max(ways, key=lambda way: (way.shift, way))


def _shorter(factor: int) -> int:
    """A factor with a digit less: without the one that leaves the most zeros below it."""
    return min((odd_part(factor - 1)[0], odd_part(factor + 1)[0]))


@lru_cache(1)
def _pairs() -> dict[int, Multiple]:
    """Those of two digits; one below a power of two with its sign changed, so that only its upper bits are added."""
    pairs = [(1 + sign * (1 << shift), shift, sign < 0) for shift in range(1, _BITS) for sign in (1, -1)]
    return {abs(factor): Multiple(factor, 1, 1, shift, minus) for factor, shift, minus in pairs[::-1] if factor != -1}


@lru_cache(1)
def _ways() -> dict[int, list[frozenset[int]]]:
    """For each odd factor of three or four digits: of which of two digits it can be made."""
    ways: dict[int, set[frozenset[int]]] = {}
    for a, b in combinations_with_replacement((1, *_pairs()), 2):
        for shift in range(1, _BITS + 1):
            for factor in (a + (b << shift), a - (b << shift), b + (a << shift), b - (a << shift)):
                ways.setdefault(abs(factor), set()).add(frozenset({a, b} - {1}))
    return {factor: sorted(some, key=sorted) for factor, some in ways.items()}
