"""Loop nests and tables in hardware against the same loops in Python."""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen.graph.semantics.window import Window
from hwgen.memory.loops import LoopNest, lookup_2d
from hwgen.memory.raster import Raster


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(-5, 9)), min_size=1, max_size=4), st.integers(0, 40))
def test_affine_quantities_follow_the_loops(loops, modulus):
    m, advance = Module(), Signal(init=1)
    names = [f"loop{n}" for n in range(len(loops))]
    nest = LoopNest(m, [(name, count) for name, (count, _) in zip(names, loops, strict=True)], advance)
    steps = {name: step for name, (_, step) in zip(names, loops, strict=True)}
    value = nest.affine("value", steps | {"frame": 3 if modulus else 0}, 2, modulus or None)
    first, last = nest.first(names[-1]), nest.last(names[-1])
    total = int(np.prod([count for count, _ in loops]))

    async def bench(ctx):
        for at in range(2 * total):
            rest, expected = at % total, 2 + (3 * (at // total) if modulus else 0)
            for count, step in loops:
                expected += rest % count * step
                rest //= count
            assert ctx.get(value) == (expected % modulus if modulus else expected)
            assert ctx.get(last) == (at % total == total - 1)
            assert ctx.get(first) == (at % total == 0)
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@settings(max_examples=60)
@given(st.data())
def test_window_bookkeeping_fits_its_tables_and_its_definition(data):
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    kernel, strides, dilations = data.draw(pair), data.draw(pair), data.draw(pair)
    pads = tuple(data.draw(st.integers(0, 3)) for _ in range(4))
    raster = Raster(
        data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)), 2, Window(kernel, strides, dilations, pads)
    )
    try:
        rows, columns = raster.outputs
    except ValueError:
        return
    for name, steps, edge in (("need", raster.need_steps, 0), ("release", raster.release_steps, -1)):
        assert (steps >= 0).all()
        lookup_2d(Module(), Signal(range(max(rows, 2))), Signal(range(max(columns, 2))), steps, edge, name)
    assert raster.need_steps.sum() == raster.release_steps.sum() == raster.frame_words
    needed = _needed(raster)
    for position, words in enumerate(needed):
        released = raster.release.ravel()[position - 1] if position else 0
        if words:
            assert released <= min(words)
            assert max(words) < raster.need.ravel()[position]


def _needed(raster):
    """Words of the frame that each window reads."""
    numbers = np.arange(1, raster.height * raster.width + 1).reshape(1, raster.height, raster.width, 1)
    patches = raster.window.patches(numbers, 0).reshape(raster.positions, -1)
    return [[(n - 1) * raster.words for n in patch if n] for patch in patches]


@pytest.mark.parametrize("values", [[[1, 2, 3], [1, 4, 3]], [[5, 0, 0], [7, 0, 0], [6, 2, 1]], [[3], [4]]])
@pytest.mark.parametrize("edge", [0, -1])
def test_tables_are_looked_up_whatever_their_shape(values, edge):
    values = np.array(values)
    m, y, x = Module(), Signal(range(4)), Signal(range(4))
    result = lookup_2d(m, y, x, values, edge, "table")

    async def bench(ctx):
        for row, column in np.ndindex(values.shape):
            ctx.set(y, row)
            ctx.set(x, column)
            assert ctx.get(result) == values[row, column]

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
