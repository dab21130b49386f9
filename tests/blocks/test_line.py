"""Straight lines through tables of pairs: which form is found, and that hardware follows it on the awkward pairs."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen.blocks import Add, Mul
from hwgen.blocks.arith.line import FEW
from hwgen.blocks.arith.scaled_sum import ScaledSum
from hwgen.graph.types import S8, U8, Quantization
from hwgen.memory.rom import pack

from .stream_cases import PAIRS, hopeless, joint

ONE = ((1, 1, 1), (1, 1, 1))


def case(name, kind=Add):
    *operands, target = PAIRS[name]
    return joint(kind, ONE, operands, target)


def terms(op):
    a, b = (np.arange(type_.min, type_.max + 1) for type_ in op.types)
    return op.terms(a[:, None], b[None, :])


@pytest.mark.parametrize(
    ("op", "form", "exceptions"),
    [
        (case("line"), "line", lambda count: count == 0),
        (case("line with ties"), "line with ties", lambda count: count == 0),
        (case("few", Mul), "line with exceptions", lambda count: 0 < count <= FEW),
        (case("many"), "line with ties with exceptions", lambda count: count > FEW),
    ],
    ids=["line", "ties", "few", "many"],
)
def test_form(op, form, exceptions):
    certificate = op.certificate()
    assert certificate["form"] == form
    assert exceptions(certificate["exceptions"])
    assert certificate["pairs"] == 65536
    assert (op.line.apply(*terms(op)) == op.values).all()


def test_a_table_that_is_no_line_takes_a_rom_of_all_pairs():
    assert hopeless().line is None
    assert hopeless().certificate()["form"] == "rom"


def test_sums_take_no_multiplier_and_products_one_a_lane():
    sums, products = (joint(kind, ((2, 2, 4),) * 2, PAIRS["line"][:2], PAIRS["line"][2]) for kind in (Add, Mul))
    for added, multiplied in zip(sums.units(), products.units(), strict=True):
        assert added.folding == multiplied.folding
        assert added.cost.multipliers == 0
        assert multiplied.cost.multipliers == multiplied.folding.lanes


def awkward(op, count=1500):
    """Pairs [N, 2] as table indices: all exceptions, those nearest to a threshold, and some others."""
    total = sum(t * by for t, by in zip(terms(op), op.line.multipliers, strict=True)) + op.line.offset
    unit = 1 << op.line.shift
    distance = np.abs((total + unit // 2) % unit - unit // 2)
    near = np.argsort(distance, axis=None, kind="stable")[:count]
    others = np.random.default_rng(0).integers(op.values.size, size=count)
    flat = np.concatenate([near, others])
    return np.concatenate([np.stack(np.unravel_index(flat, op.values.shape), axis=1), op.line.exceptions[:, :2]])


def side_by_side(values, types):
    """Integers [N] of several types as bits, the first lowest."""
    return [pack_all(row, types) for row in zip(*(value.tolist() for value in values), strict=True)]


def pack_all(row, types):
    bits, at = 0, 0
    for value, type_ in zip(row, types, strict=True):
        bits, at = bits | pack([value], type_.width) << at, at + type_.width
    return bits


@pytest.mark.parametrize(
    "op",
    [case("line"), case("line with ties"), case("narrow"), case("few", Mul), case("many")],
    ids=["line", "ties", "narrow", "few", "many"],
)
def test_hardware_follows_the_table_on_the_awkward_pairs(op):
    plan = op._sum
    block, places, got = ScaledSum(plan), awkward(op), []
    values = [places[:, n] + type_.min for n, type_ in enumerate(op.types)]
    scaled, pair = side_by_side(op.terms(*values), op.term_types), side_by_side(values, op.types)

    async def bench(ctx):
        for cycle in range(len(places) + plan.latency):
            if cycle < len(places):
                ctx.set(block.terms, scaled[cycle])
                ctx.set(block.pair, pair[cycle])
            if cycle >= plan.latency:
                got.append(ctx.get(block.o))
            await ctx.tick()

    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert got == op.values[tuple(places.T)].tolist()


scales = st.floats(0.004, 0.4)


@settings(max_examples=25)
@given(st.sampled_from([Add, Mul]), st.sampled_from([U8, S8]), scales, scales, st.floats(0.1, 4), st.data())
def test_random_scales(kind, type_, a, b, ratio, data):
    zeros = [data.draw(st.integers(type_.min, type_.max)) for _ in range(3)]
    target = (a + b) * ratio if kind is Add else a * b * 255 * ratio
    operands = [Quantization(type_, scale, zero) for scale, zero in zip((a, b), zeros, strict=False)]
    op = joint(kind, ONE, operands, Quantization(type_, target, zeros[2]))
    assert op.line is not None
    assert (op.line.apply(*terms(op)) == op.values).all()
    assert len(op.line.exceptions) <= FEW or (op.line.exceptions[:, 2] == -1).all()


@pytest.mark.parametrize("kind", [Add, Mul])
@pytest.mark.parametrize("target", [1e-20, 1e-9, 1e-3, 1e3, 1e9])
@pytest.mark.parametrize("a", [1e-6, 1, 1e6])
def test_extreme_scales(kind, target, a):
    """Results that all saturate, or are all alike; operands of which one counts for nothing."""
    op = joint(kind, ONE, [Quantization(U8, a, 3), Quantization(U8, 0.01, 200)], Quantization(U8, target, 100))
    assert op.certificate()["pairs"] == 65536
    assert op.line is None or (op.line.apply(*terms(op)) == op.values).all()
