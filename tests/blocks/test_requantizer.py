"""The steps of the requantiser that other tests only see from outside."""

import numpy as np
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from hwgen.blocks.requantizer_lane import to_significand


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
