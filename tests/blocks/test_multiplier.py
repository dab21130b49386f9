"""Multiplying elements: every product of two at once is right, and hardware makes of them what it is meant to."""

from itertools import product

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwgen.blocks.array.multiplier import IN_LUTS, PAIR, SINGLE, Multiplier
from hwgen.device.mapping import counted, dsps, product_luts
from hwgen.device.synth import count, synthesise
from hwgen.device.targets import device
from hwgen.graph.types import S8, U8, IntType
from hwgen.hdl.rtlil import to_rtlil

U1, S1, U4 = IntType(1, False), IntType(1, True), IntType(4, False)
S2, S3, S7 = IntType(2, True), IntType(3, True), IntType(7, True)
TYPES = [
    (U8, S8),
    (S8, S8),
    (U8, U8),
    (S8, U8),
    (U8, S7),
    (U4, S3),
    (S3, U4),
    (S7, S1),
    (U1, U1),
    (S7, IntType(2, True)),
]
named = pytest.mark.parametrize(("x", "weight"), TYPES, ids=lambda type_: str(type_))


def cheaper(x: IntType, weight: IntType, name: str) -> int:
    """As how many at once the search makes two products of ``x`` on a device: what counts for less, else one."""
    counts = {
        lanes: counted(Multiplier(x, weight, lanes).hardware(lanes=PAIR, each=1), device(name))
        for lanes in (SINGLE, PAIR)
    }
    return min(counts, key=lambda lanes: counts[lanes])


def integers(type_: IntType) -> np.ndarray:
    return np.arange(type_.min, type_.max + 1)


@named
def test_two_products_come_apart_for_all_operands(x, weight):
    kind = Multiplier(x, weight, PAIR)
    half, signed, weights = kind.product.width, kind.product.signed, integers(weight)
    joined = weights[:, None] + (weights[None, :] << half)
    assert kind.joined.min <= joined.min() <= joined.max() <= kind.joined.max
    for value in integers(x):
        whole = value * joined
        low, high = whole & ((1 << half) - 1), whole >> half
        borrowed = low >> (half - 1) & signed
        assert (low - (borrowed << half) == (value * weights)[:, None]).all()
        assert (high + borrowed == (value * weights)[None, :]).all()


@named
@pytest.mark.parametrize("at_once", [IN_LUTS, SINGLE, PAIR], ids=["luts", "single", "pair"])
def test_elements_multiply_after_their_latency(x, weight, at_once):
    kind, generator = Multiplier(x, weight, at_once), np.random.default_rng(1)
    types = [x, *[weight] * kind.lanes]
    corners = [sorted({type_.min, max(-1, type_.min), 0, min(1, type_.max), type_.max}) for type_ in types]
    draws = np.stack([generator.integers(type_.min, type_.max, 200, endpoint=True) for type_ in types], axis=1)
    operands = [*product(*corners), *map(tuple, draws.tolist())]
    element, given = kind.element(), []

    async def bench(ctx):
        for step in range(len(operands) + kind.latency):
            for n in range(kind.lanes):
                ctx.set(element.weights[n], operands[min(step, len(operands) - 1)][1 + n])
            x = operands[min(max(step - kind.x_delay, 0), len(operands) - 1)][0]
            ctx.set(element.x, x)
            if kind.tripled:
                ctx.set(element.thrice, 3 * x)
            await ctx.tick()
            given.append([ctx.get(element.o[n]) for n in range(kind.lanes)])

    simulator = Simulator(element)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert given[kind.latency - 1 : -1] == [[a * b for b in others] for a, *others in operands]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xczu3eg", "xc7a35t"])
def test_yosys_makes_one_dsp_of_two_products(name):
    target = device(name)
    kind = Multiplier(U8, S8, cheaper(U8, S8, name))
    assert kind.at_once == PAIR
    assert count(synthesise(to_rtlil(kind.element(), "top"), "top", target), target).dsps == 1
    (two, left_over) = kind.hardware(lanes=3, each=5)
    assert (two.each, dsps(two, target), left_over.each, dsps(left_over, target)) == (2, 5, 1, 5)


def test_products_in_luts_take_no_multiplier():
    target = device("lfe5u-25f")
    kind = Multiplier(U8, S8, IN_LUTS)
    assert count(synthesise(to_rtlil(kind.element(), "top"), "top", target), target).dsps == 0
    (products,) = kind.hardware(lanes=3, each=5)
    assert (products.count, counted([products], target), dsps(products, target)) == (15, 0, 0)
    assert product_luts(products, target) == 0  # counted as logic


@pytest.mark.parametrize(
    ("name", "x", "weight", "at_once"),
    [("lfe5u-25f", U8, S8, 1), ("ice40up5k", U8, S8, 1), ("xczu3eg", S8, S8, 2), ("lfe5u-25f", U4, S3, 2)],
)
def test_the_target_says_how_many_products_fit(name, x, weight, at_once):
    assert cheaper(x, weight, name) == at_once
