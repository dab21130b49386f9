"""Step functions: what the search gives is the definition, for every argument."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwgen.graph.errors import ModelError
from hwgen.graph.exact.steps import find_steps
from hwgen.graph.expression import Expression
from hwgen.graph.ir import Node

TABLES = st.integers(1, 4).flatmap(
    lambda channels: st.lists(
        st.lists(st.integers(-9, 9), min_size=1, max_size=40), min_size=channels, max_size=channels
    )
)


def tabled(rows):
    """A function with a table for each channel, and the ends of its arguments."""
    low = -np.arange(3, 3 + len(rows))
    high = low + [len(row) - 1 for row in rows]

    def definition(x):
        return np.stack([np.array(row)[x[:, n] - low[n]] for n, row in enumerate(rows)], axis=1)

    return definition, low, high


def check(rows, monotone):
    definition, low, high = tabled(rows)
    steps = find_steps(definition, low, high, monotone)
    for k in range(int((high - low).max()) + 1):
        x = np.minimum(low + k, high)
        assert (steps.apply(x) == definition(x[None])[0]).all()
    return steps


@given(TABLES)
def test_any_function_is_searched(rows):
    check(rows, monotone=False)


@given(TABLES, st.integers(0, 15))
def test_monotone_functions_are_bisected_to_the_same_steps(rows, falls):
    rows = [sorted(row, reverse=bool(falls >> n & 1)) for n, row in enumerate(rows)]
    found = check(rows, monotone=True)
    every = check(rows, monotone=False)
    assert found.levels == every.levels
    assert (found.points == every.points).all()


def test_what_only_counts_needs_no_values():
    steps = check([[0, 0, 1, 2], [1, 1, 1, 3]], monotone=True)
    assert (steps.base, steps.values, steps.levels, steps.count) == (0, None, 2, 5)


def test_limits_are_named():
    definition = np.ones_like
    with pytest.raises(ModelError, match=r"4,294,967,296 sums of all channels, of which each is evaluated \(limit"):
        find_steps(definition, np.zeros(1), np.array([(1 << 32) - 1]), monotone=False)
    with pytest.raises(ModelError, match=r"65,535 steps of a channel \(limit 4,095\)"):
        find_steps(lambda x: x, np.zeros(1), np.array([65535]), monotone=True)
    with pytest.raises(ModelError, match=r"steps of a channel \(limit 4,095\)"):
        find_steps(lambda x: x, np.zeros(1), np.array([65535]), monotone=False)


def test_a_function_that_is_not_what_was_said_is_found_out():
    with pytest.raises(ModelError, match="not those of the definition"):
        find_steps(lambda x: np.where(x == 7, 0, x), np.zeros(1), np.array([9]), monotone=True)


def function(*nodes):
    """A chain of (op, other operands, attributes)."""
    made, constants, current = [], {}, "x"
    for n, (op, operands, attributes) in enumerate(nodes):
        names = tuple(f"c{n}_{at}" for at in range(len(operands)))
        constants |= {name: np.float32(value) for name, value in zip(names, operands, strict=True)}
        made.append(Node(f"n{n}", op, (current, *names), (f"y{n}",), attributes))
        current = f"y{n}"
    return Expression(tuple(made), constants, ("x",), current)


def test_monotone_functions_are_known():
    assert function(("Mul", (-2,), {}), ("Add", (1,), {}), ("Relu", (), {}), ("Floor", (), {})).monotone
    assert function(("PRelu", ([0.1, 0],), {})).monotone
    assert not function(("PRelu", ([0.1, -0.1],), {})).monotone
    assert not function(("LeakyRelu", (), {"alpha": -0.5})).monotone
    assert not function(("Sigmoid", (), {})).monotone
    reciprocal = Expression((Node("d", "Div", ("one", "x"), ("y",)),), {"one": np.float32(1)}, ("x",), "y")
    assert not reciprocal.monotone
