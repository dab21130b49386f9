"""Layers on one array, with weights from a memory: every integer right, every beat in its cycle."""

from fractions import Fraction
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from hwgen.blocks.loop.looped import LoopedLayers
from hwgen.blocks.loop.programme import LoopFolding, allocated
from hwgen.blocks.loop.unit import LoopUnit
from hwgen.cost.timing import Web
from hwgen.graph.errors import ModelError
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import S8, U8, FeatureMap, IntType, Quantization
from hwgen.hdl.formal import prove_contract
from hwgen.memory.dram.contract import Contract, Region
from hwgen.memory.dram.master import ReadMaster
from hwgen.simulate.bench import from_beats, to_beats
from hwgen.simulate.dram import BROKEN, RANDOM, WORST, ReadMemory
from hwgen.testing import Simulated, random_frames

from .cases import conv, dense

FRAMES, PLACES = 2, 64
FAST, SLOW = Contract(20, Fraction(16)), Contract(60, Fraction(1))


class Fed(wiring.Component):
    """The block of a loop behind a master that reads its weights."""

    def __init__(self, unit: LoopUnit, region: Region):
        self.loop, self.master = unit.block(), ReadMaster(region, PLACES)
        loop, master = self.loop.signature.members, self.master.signature.members
        outside = {name: master[name] for name in ("ar", "r", "go", "error")}
        super().__init__({"i": loop["i"], "o": loop["o"], **outside})

    def elaborate(self, platform):
        m = Module()
        m.submodules.loop, m.submodules.master = self.loop, self.master
        for inside, name in ((self.loop, "i"), (self.loop, "o"), (self.master, "ar"), (self.master, "r")):
            wiring.connect(m, getattr(inside, name), wiring.flipped(getattr(self, name)))
        wiring.connect(m, self.master.o, self.loop.w)
        m.d.comb += [self.master.go.eq(self.go), self.error.eq(self.master.error)]
        return m


def loop(layers, **settings) -> LoopUnit:
    unit = LoopUnit(LoopedLayers(tuple(layers)), LoopFolding(**settings))
    assert unit.problems() == []
    return unit


def check_loop(unit: LoopUnit, contract: Contract = FAST, mode: str = WORST, seed: int | None = None) -> None:
    """Integers equal golden's; without stalls, from the slowest memory, beats move in the cycles of the schedule."""
    image, op, folding = unit.programme.image, unit.op, unit.folding
    region = Region(len(image), folding.bus, 64)
    x = random_frames(op.input, FRAMES, seed or 0)
    top, want = Fed(unit, region), op.golden(x)
    memory = ReadMemory(top, image, region, contract, mode, seed or 0)
    web = Web()
    source = web.link()
    (sink,) = web.add(unit.actors, [source, *web.add([ReadMaster.actor(region, contract, PLACES)], [])])
    run = web.run(FRAMES)
    beats = FRAMES * op.output.elements // folding.lanes_out
    taken, given = Simulated(top)(
        {"i": to_beats(x, op.input.type, folding.lanes_in)},
        {"o": beats},
        seed,
        limit=8 * int(run.moved[sink][-1]) + 1000,
        watch=lambda ctx, _: ctx.set(top.go, 1),
        memories=[memory],
    )
    got = from_beats(given["o"].payloads, op.output.type, folding.lanes_out)
    np.testing.assert_array_equal(got.reshape(want.shape), want)
    if mode == WORST and seed is None:
        np.testing.assert_array_equal(taken["i"].cycles, run.moved[source])
        np.testing.assert_array_equal(given["o"].cycles, run.moved[sink])
    assert memory.bytes >= FRAMES * len(image)


S8_RESULT, SHIFTED, U4 = Quantization(S8, 0.07, -3), Quantization(U8, 0.05, 7), Quantization(IntType(4, False), 0.05, 0)


def four_layers():
    """A stride, padding that is uneven, a dilation, a flattened map; integers with and without a sign."""
    one = conv(FeatureMap(7, 6, 3, U8), Window((3, 3), (2, 2), pads=(1, 0, 1, 1)), 6, S8_RESULT)
    two = conv(one.output, Window((1, 1)), 5, SHIFTED, seed=1)
    three = conv(two.output, Window((3, 2), dilations=(2, 1), pads=(2, 1, 2, 0)), 10, seed=2)
    return one, two, three, dense(three.output, 9, S8_RESULT, seed=3)


def few_bits():
    first = conv(FeatureMap(4, 4, 4, IntType(4, False)), Window((2, 2), (2, 2)), 8, U4)
    return first, conv(first.output, Window((1, 1)), 3, U4, seed=1)


def dense_layers():
    first = dense(FeatureMap(2, 2, 4, S8), 8, S8_RESULT)
    return first, dense(first.output, 3, seed=1)


LAID_OUT = {
    "strips": lambda: loop(four_layers(), portion=8, outputs=4, lanes=2, positions=6, bus=8),
    "a strip a layer": lambda: loop(four_layers(), portion=4, outputs=8, lanes=4, positions=16, bus=4, lanes_in=3),
    "three rounds": lambda: loop(four_layers(), portion=2, outputs=6, lanes=2, positions=5, bus=2),
    "a pixel a word": lambda: loop(
        four_layers(), portion=16, outputs=4, lanes=4, positions=64, bus=16, lanes_in=3, lanes_out=9
    ),
    "a lane": lambda: loop(four_layers(), portion=8, outputs=4, lanes=1, positions=6, bus=8, products=1),
    "a pixel of each": lambda: loop(dense_layers(), portion=4, outputs=4, lanes=2, positions=4, bus=16),
    "few bits": lambda: loop(
        few_bits(), portion=4, outputs=4, lanes=4, positions=4, bus=4, lanes_in=4, lanes_out=3
    ),
}  # fmt: skip
QUICK = "a pixel of each", "few bits"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in LAID_OUT]
)
def test_every_beat_moves_in_its_cycle(name):
    check_loop(LAID_OUT[name]())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["strips", "a pixel of each"])
def test_weights_that_come_late_are_waited_for_as_foretold(name):
    check_loop(LAID_OUT[name](), SLOW)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "seed"), [(RANDOM, 1), (BROKEN, 2)])
def test_integers_are_right_whatever_the_memory_does(mode, seed):
    check_loop(LAID_OUT["strips"](), FAST, mode, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_layers_in_random_layouts(seed):
    random = Random(seed)
    type_ = random.choice([U8, S8])
    source = FeatureMap(random.randint(1, 6), random.randint(1, 6), random.randint(1, 6), type_)
    layers = []
    for n in range(random.randint(1, 4)):
        result, channels = random.choice([None, S8_RESULT, SHIFTED]), random.randint(1, 9)
        if random.random() < 0.2:
            layers.append(dense(source, channels, result, seed=n))
        else:
            layers.append(conv(source, _window(random, source), channels, result, seed=n))
        source = layers[-1].output
    lanes = random.choice([1, 2, 4])
    portion, outputs = lanes * random.choice([1, 2, 4]), lanes * random.randint(1, 4)
    bus = random.choice([1, 2, 8])
    unit = loop(layers, portion=portion, outputs=outputs, lanes=lanes, positions=random.randint(4, 20), bus=bus)
    check_loop(unit, Contract(random.randint(5, 40), Fraction(random.randint(1, 8))))


def _window(random: Random, source: FeatureMap) -> Window:
    sizes, dilations = (source.height, source.width), (random.randint(1, 2), random.randint(1, 2))
    kernel = tuple(random.randint(1, 3) for _ in range(2))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    before = [random.randint(0, extent - 1) for extent in extents]
    after = [max(extent - size - pad, random.randint(0, extent - 1), 0)
             for extent, size, pad in zip(extents, sizes, before, strict=True)]  # fmt: skip
    return Window(kernel, (random.randint(1, 2), random.randint(1, 2)), dilations, (*before, *after))


def test_its_streams_keep_the_contract():
    layer = conv(FeatureMap(2, 2, 2, U8), Window((1, 1)), 2)
    prove_contract(loop([layer], portion=2, outputs=2, lanes=2, positions=4, bus=2).block())


def test_passes_take_what_the_formula_says():
    (layer,) = loop([four_layers()[2]], portion=4, outputs=2, lanes=1, positions=12, bus=4).programme.layers
    assert (layer.sets, layer.strips, layer.steps, layer.rounds) == (5, 1, 12, 2)
    assert layer.passes.sum() == 5 * 12 * 12 + layer.tail - 12


@pytest.mark.parametrize("sizes", [[5], [3, 4], [8, 3, 8, 1], [1, 9, 9, 2, 9]])
def test_maps_that_live_together_lie_apart(sizes):
    places, depth = allocated(sizes)
    for n in range(len(sizes) - 1):
        a, b = range(places[n], places[n] + sizes[n]), range(places[n + 1], places[n + 1] + sizes[n + 1])
        assert not set(a) & set(b)
    assert depth == max(place + size for place, size in zip(places, sizes, strict=True))
    assert depth == max([sum(pair) for pair in pairwise(sizes)] or sizes)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"lanes": 3}, "lanes 3 do not divide portion 8: a divisor of both"),
        ({"lanes_in": 2}, "lanes_in 2 does not divide the 3 channels of a pixel"),
        ({"lanes_out": 9}, "lanes_out 9 does not divide portion 8: a divisor, or a whole pixel"),
        ({"bus": 6}, "bus is 6: a power of 2"),
        ({"positions": 3}, "positions 3 (limit 4 or more)"),
        ({"products": 4}, "products 4 a multiplier (limit 1 or 2)"),
    ],
)
def test_what_cannot_be_built_is_told(settings, problem):
    folding = LoopFolding(**{"portion": 8, "outputs": 4, "lanes": 4, "positions": 8, "bus": 8} | settings)
    assert problem in LoopUnit(LoopedLayers(four_layers()), folding).problems()


def test_layers_that_cannot_be_looped_are_told():
    grouped = conv(FeatureMap(4, 4, 4, U8), Window((3, 3)), 4, group=4)
    with pytest.raises(ModelError, match="in 4 groups is in no loop"):
        LoopedLayers((grouped,)).convolutions  # noqa: B018
    wide = conv(FeatureMap(4, 4, 4, IntType(16, True)), Window((1, 1)), 4)
    with pytest.raises(ModelError, match="integers of s16 are in no loop"):
        LoopedLayers((wide,)).bits  # noqa: B018
    with pytest.raises(ModelError, match="layer 1 of a loop reads 7x6x3 u8, not 4x3x6 s8"):
        LoopedLayers((four_layers()[0], four_layers()[0]))
