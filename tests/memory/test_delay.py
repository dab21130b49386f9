"""Delay lines, in registers, in RAM of LUTs and in block RAM, which is read a word ahead."""

import random

import pytest
from amaranth.sim import Simulator

from hwgen.memory.delay import DelayLine
from hwgen.memory.ram import LUTRAM_DEPTH

WIDTH = 9


@pytest.mark.parametrize("depth", [1, 3, 4, LUTRAM_DEPTH, LUTRAM_DEPTH + 1])
def test_words_come_again_after_as_many_pushes(depth):
    line, chosen, pushed = DelayLine(WIDTH, depth), random.Random(depth), []

    async def bench(ctx):
        push = False
        for cycle in range(6 * depth + 30):
            soon = cycle > 3 * depth or chosen.random() < 0.6
            word = chosen.getrandbits(WIDTH)
            ctx.set(line.soon, soon)
            ctx.set(line.i, word)
            if push:
                if len(pushed) >= depth:
                    assert ctx.get(line.o) == pushed[-depth]
                pushed.append(word)
            push = soon
            await ctx.tick()

    simulator = Simulator(line)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(pushed) > 3 * depth
