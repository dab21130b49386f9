"""Sums in float32: the unit gives what numpy gives, and most of all where float32 rounds onto ties."""

from itertools import product

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwgen.blocks import FloatSum
from hwgen.blocks.float_sum import FloatSumUnit

from .stream_cases import WIDE, joint

PAIRS = 4000


def hard_pairs(op, seed):
    """Random pairs, and of very many those whose sums are nearest to the middle between two results."""
    generator = np.random.default_rng(seed)
    a, b = (generator.integers(k.type.min, k.type.max, 400_000, endpoint=True) for k in op.quantizations)
    exact = sum((x - k.zero_point) * float(k.scale) for x, k in zip((a, b), op.quantizations, strict=True))
    exact = exact / op.target.scale
    inside = np.abs(exact) <= op.arithmetic.bound
    middle = np.where(inside, np.abs(exact - np.floor(exact) - 0.5), 1)
    nearest = np.argsort(middle)[: PAIRS // 2]
    chosen = np.concatenate([nearest, np.arange(PAIRS // 4), np.flatnonzero(inside)[: PAIRS // 4]])
    ends = product(*((map_.type.min, map_.type.max) for map_ in op.maps))
    return [*zip(a[chosen].tolist(), b[chosen].tolist(), strict=True), *ends]


@pytest.mark.parametrize("name", WIDE)
def test_the_unit_is_float32(name):
    op = joint(FloatSum, ((1, 1, 1),) * 2, WIDE[name][:2], WIDE[name][2])
    pairs = hard_pairs(op, 1)
    unit, got = FloatSumUnit(op.arithmetic), []

    async def bench(ctx):
        for cycle in range(len(pairs) + op.combine_latency):
            a, b = pairs[min(cycle, len(pairs) - 1)]
            ctx.set(unit.a, a)
            ctx.set(unit.b, b)
            if cycle >= op.combine_latency:
                got.append(ctx.get(unit.o))
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    a, b = (np.array(side).reshape(-1, 1, 1, 1) for side in zip(*pairs, strict=True))
    np.testing.assert_array_equal(got, op.golden(a, b).ravel())


def test_scales_too_far_apart_are_not_taken():
    far = (*WIDE["u16"][:1], type(WIDE["u16"][1])(WIDE["u16"][1].type, 1e-12), WIDE["u16"][2])
    assert joint(FloatSum, ((1, 1, 1),) * 2, far[:2], far[2]) is None
