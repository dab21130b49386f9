"""The steps of the requantiser that other tests only see from outside."""

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.sim import Simulator

from hwgen.blocks.mac.mac_folding import MacFolding
from hwgen.blocks.requantize.lane_form import needless_rows
from hwgen.blocks.requantize.requantizer import lane_form
from hwgen.blocks.requantize.requantizer_lane import near_ends, to_significand
from hwgen.graph.types import U8, FeatureMap, IntType, Quantization
from hwgen.testing import check_unit
from tests.blocks.unit_of import unit_of

from .cases import dense


def test_operands_are_rounded_as_float32_rounds_them():
    m = Module()
    value, rounded = Signal(signed(29)), Signal(signed(30))
    m.d.comb += rounded.eq(to_significand(value))
    powers = [1 << bits for bits in range(29)]
    beside = {power + step for power in powers for step in (*range(-9, 10), power >> 1, (power >> 1) + 1)}
    cases = np.random.default_rng(0).integers(-(1 << 28), 1 << 28, 500).tolist()
    cases += [sign * n for n in sorted(beside) for sign in (1, -1)] + [-(1 << 28), (1 << 28) - 1]
    cases = [n for n in cases if -(1 << 28) <= n < 1 << 28]

    async def bench(ctx):
        for n in cases:
            ctx.set(value, n)
            assert ctx.get(rounded) == int(np.float32(n)), n

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(("bits", "margins"), [(7, [0]), (7, [2, 4, 8]), (9, [0, 1, 2, 16]), (6, [1, 2, 4, 8, 16, 32])])
def test_what_is_near_a_tie(bits, margins):
    m, rest = Module(), Signal(bits)
    found = [Signal(len(margins), name=name) for name in ("least", "most")]
    for signal, end in zip(found, near_ends(m, rest, margins), strict=True):
        m.d.comb += signal.eq(Cat(end[margin] for margin in margins))

    async def bench(ctx):
        for value in range(1 << bits):
            ctx.set(rest, value)
            least, most = (ctx.get(signal) for signal in found)
            assert least == sum((value <= margin) << n for n, margin in enumerate(margins))
            assert most == sum((value >= (1 << bits) - margin) << n for n, margin in enumerate(margins))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


def test_constants_save_rows_of_products_in_luts():
    none = needless_rows(np.array([0b0101, 0b1010, 0b0011, 0b1001]), 4, 10)
    assert (none.gated, none.adder, none.apart_adder, none.register) == (0, 0, 0, 0)
    # Both pairs add up to the same, which is there once.
    always = needless_rows(np.array([0b1111]), 4, 10)
    assert (always.gated, always.adder, always.register) == (-4 * 10, -11, -12)
    alike = needless_rows(np.array([0b1100, 0b0011]), 4, 10)
    assert (alike.gated, alike.adder) == (-2 * 10, 0)
    # Of four rows the upper two are always 0: one adder of a pair, and that of both pairs.
    half = needless_rows(np.array([0b0001, 0b0010]), 4, 10)
    assert (half.gated, half.adder, half.apart_adder) == (-2 * 10, -2 * 11, 2 * 11)
    # The sum of the lower pair of 12 bits waits for a cycle, where there would be two of 12 bits and then one of 13.
    assert (half.register, half.apart_register) == (-13, 13)


@pytest.mark.parametrize(
    "elements", [3, 40, *(pytest.param(count, marks=pytest.mark.slow) for count in (2, 4, 5, 6, 7, 9, 14))]
)
@pytest.mark.parametrize("kind", ["fixed", "loaded", "rounded"])
def test_constants_are_there_for_as_long_as_digits_come(kind, elements):
    """From a product in one cycle to one of a digit of one bit a cycle, without and with pauses."""
    source = FeatureMap(1, 1, elements, IntType(16, True) if kind == "rounded" else U8)
    target = Quantization(IntType(16, True), 0.02, 3) if kind == "rounded" else None
    op = dense(source, 6, target, weight_bits=16 if target else 8)
    op = op.loadable() if kind == "loaded" else op
    folding = MacFolding("ring", 1, 2 if elements > 7 else 1, 1, 1, in_luts=True)
    unit = unit_of(op, folding)
    by = unit.requantizer.by
    assert by.serial
    assert by.rounded == (kind == "rounded")
    check_unit(unit)


def test_the_offset_waits_in_one_register_where_digits_take_long():
    forms = [form_of(dense(FeatureMap(1, 1, elements, U8), 6)) for elements in (3, 40)]
    assert [form.holds for form in forms] == [False, True]
    assert forms[1].waits == (0, 1)


def form_of(op):
    unit = unit_of(op, MacFolding("ring", 1, 1, 1, 1, in_luts=True))
    layer = unit.layer
    return lane_form(layer.requantization, unit.requantizer, layer.sum_type, layer.output.type)
