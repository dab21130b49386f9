"""Cascades: positions in chains, weights in operands, and sums at the very ends of what a lane holds."""

from itertools import product

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from hwgen.blocks.array.array import ArrayShape
from hwgen.blocks.array.arrays import ARRAYS
from hwgen.blocks.array.cascade import CascadeArray, Cut, Operands, cascade_problems
from hwgen.blocks.array.multiplier import PAIR, SINGLE
from hwgen.blocks.array.slices import SLICES
from hwgen.graph.types import S8, U8, IntType
from hwgen.memory.weights import ROM


@pytest.mark.parametrize("portion", [1, 2, 3, 7, 9, 16, 32, 33, 75])
def test_every_position_is_in_one_step_of_one_chain(portion):
    for chains in range(1, portion + 1):
        cut = Cut(portion, chains)
        slices = [list(cut.slices(chain)) for chain in range(chains)]
        assert [at for chain in slices for _, some in chain for at in some] == list(range(portion))
        assert sorted(at for some in cut.positions for at in some) == list(range(portion))
        for chain in slices:
            steps = [step for step, _ in chain]
            assert steps == list(range(cut.steps - len(steps), cut.steps))
            assert all(len(some) == 2 for _, some in chain[1:])  # only the first may have one


@pytest.mark.parametrize("weight", [IntType(3, True), IntType(4, False), IntType(1, False)], ids=str)
@pytest.mark.parametrize("least", ["of its type", "one more"])
def test_an_operand_is_both_weights(weight, least):
    operands = Operands(weight, weight.min + (least == "one more"), 2, 12)
    pairs = np.array(list(product(range(operands.least, weight.max + 1), repeat=2)))
    words = operands.packed(pairs)
    assert ((words >= -(1 << operands.stored - 1)) & (words < 1 << operands.stored)).all()
    word, found = Signal(operands.stored), []
    operand = operands.joined(word)
    assert operand.shape() == signed(operands.bits)

    async def read(context):
        for each in words.tolist():
            context.set(word, each & (1 << operands.stored) - 1)
            found.append(context.get(operand))

    simulator = Simulator(Module())
    simulator.add_testbench(read)
    simulator.run()
    assert found == [low + (high << operands.spacing) for low, high in pairs.tolist()]


def array(kind: str, weights: np.ndarray, x: IntType, products: int, steps: int) -> CascadeArray:
    """Over ``weights`` int64 [depth, groups, outputs, portion]."""
    ends = int(weights.min()), int(weights.max())
    depth, groups, outputs, portion = weights.shape
    lows, highs = np.minimum(weights * x.min, weights * x.max), np.maximum(weights * x.min, weights * x.max)

    def spread(parts):
        starts = Cut(portion, parts).ends[:-1]
        return int(np.add.reduceat(lows, starts, -1).min()), int(np.add.reduceat(highs, starts, -1).max())

    most = max(abs(ends[0]), ends[1]) * max(-x.min, x.max) * portion * steps
    sums = IntType.holding(-most - 1, most)
    shape = ArrayShape(x, IntType.holding(*ends), *ends, sums, groups, outputs, portion, steps, depth)
    return ARRAYS[kind](shape, ROM, products, lambda: weights, spread)


@pytest.mark.parametrize("kind", SLICES)
@pytest.mark.parametrize("x", [U8, S8], ids=str)
@pytest.mark.parametrize("end", [-128, -127, 127])
@pytest.mark.parametrize("products", [SINGLE, PAIR])
def test_extremes(kind, x, end, products):
    """All weights as large as can be, and in one output of the other sign; activations that drive a sum to its ends."""
    weights = np.full((4, 1, 3, 7), end, np.int64)
    weights[:, :, 1] = -end - (end == -128)
    weights[:, :, :, ::3] = 1
    made = array(kind, weights, x, products, 2)
    if products == PAIR and SLICES[kind].operand < 2 * 8:
        assert "has no room for two products" in made.problems[0]
        return
    assert made.problems == []
    ends = np.array([[x.min] * 7, [x.max] * 7])
    follow = np.where(weights[0, 0] > 0, x.max, x.min)
    portions = np.concatenate([ends, follow, x.max + x.min - follow])
    _check(made, weights, portions)


def _check(made: CascadeArray, weights: np.ndarray, portions: np.ndarray) -> None:
    """Sums of two portions each, which come with a pause after every fifth."""
    steps, depth = made.shape.steps, made.shape.depth
    portions = portions[: len(portions) // steps * steps]
    words = weights[np.arange(len(portions)) % depth, 0]
    expected = (words * portions[:, None]).sum(-1).reshape(-1, steps, made.shape.outputs).sum(1)
    component, found = made.component(), []

    async def drive(context):
        for at, portion in enumerate(portions.tolist()):
            context.set(component.x, portion)
            context.set(component.strobe, 1)
            context.set(component.first, at % steps == 0)
            context.set(component.last, at % steps == steps - 1)
            await context.tick()
            if at % 5 == 4 and at % steps == steps - 1:
                context.set(component.strobe, 0)
                await context.tick().repeat(3)
        context.set(component.strobe, 0)
        await context.tick().repeat(made.latency + 2)

    async def watch(context):
        for _ in range(len(portions) + made.latency + 20):
            soon = context.get(component.soon)
            await context.tick()
            if soon:
                found.append([context.get(total) for total in component.sums])

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.add_testbench(watch, background=True)
    simulator.run()
    np.testing.assert_array_equal(np.array(found), expected)


def test_chains_are_as_long_as_weights_allow():
    """A lane of 19 bits holds 16 of the greatest products of a symmetric quantiser, one of 17 bits 4, and more of
    smaller ones."""
    great, small = np.full((1, 1, 2, 64), 127, np.int64), np.full((1, 1, 2, 64), 20, np.int64)
    great[:, :, 1], small[:, :, 1] = -127, -20
    assert array("dsp48e2", great, S8, PAIR, 1).cut.chains == 4
    assert array("dsp48e1", great, S8, PAIR, 1).cut.chains == 16
    assert array("dsp48e2", small, S8, PAIR, 1).cut.chains == 64 // SLICES["dsp48e2"].longest
    assert array("dsp48e2", great, S8, SINGLE, 1).cut.chains == 64 // SLICES["dsp48e2"].longest


def test_both_lanes_together_are_no_wider_than_the_block():
    """A lower lane of 24 bits leaves 24 for the upper one, which sums of one sign only could need 25 of."""
    weights, x = np.full((2, 1, 2, 32), -3, np.int64), IntType(17, False)
    made = array("dsp48e2", weights, x, PAIR, 1)
    assert made.operands(2).spacing == 24
    assert sum(type_.width for type_ in made.lane(2).types) <= 48
    _check(made, weights, np.array([[x.max] * 32, [0] * 32, [x.max] * 16 + [0] * 16, [5] * 32]))


def test_what_does_not_fit_says_what_to_do():
    s16, block = IntType(16, True), SLICES["dsp48e1"]
    assert cascade_problems(block, s16, S8, (-127, 127), SINGLE) == []
    (said,) = cascade_problems(block, s16, S8, (-127, 127), PAIR)
    assert said == "array 'dsp48e1' has no room for two products of s16 by s8: products 1, or 'tree'"
    (said,) = cascade_problems(block, IntType(18, False), S8, (-127, 127), SINGLE)
    assert said == "array 'dsp48e1' multiplies 25 by 18 bits: s8 by u18 needs 'tree'"
