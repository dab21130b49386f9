"""The steps of the requantiser that other tests only see from outside."""

import numpy as np
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from hwgen.blocks.requantizer_lane import needless_rows, to_significand


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


def test_constants_save_rows_of_products_in_luts():
    none = needless_rows(np.array([0b0101, 0b1010, 0b0011, 0b1001]), 4, 10)
    assert (none.gated, none.adder, none.apart_adder) == (0, 0, 0)
    always = needless_rows(np.array([0b1111]), 4, 10)
    assert (always.gated, always.adder) == (-4 * 10, 0)
    alike = needless_rows(np.array([0b1100, 0b0011]), 4, 10)
    assert (alike.gated, alike.adder) == (-2 * 10, 0)
    # Of four rows the upper two are always 0: one adder of a pair, and that of both pairs.
    half = needless_rows(np.array([0b0001, 0b0010]), 4, 10)
    assert (half.gated, half.adder, half.apart_adder) == (-2 * 10, -2 * 11, 2 * 11)
