"""Layers on one array, with weights from a memory: every integer right, every beat in its cycle."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from hwgen.blocks import GlobalMaxPool, MaxPool
from hwgen.blocks.loop.looped import LoopedLayers
from hwgen.blocks.loop.programme import LoopFolding, allocated
from hwgen.blocks.loop.unit import LoopUnit
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.planned import PlannedLayer
from hwgen.dataflow.schedule import schedule
from hwgen.graph.errors import ModelError
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import S8, U8, FeatureMap, IntType, Quantization
from hwgen.hdl.formal import prove_contract
from hwgen.simulate.dram import BROKEN, RANDOM, WORST, Memory
from hwgen.simulate.simulation import simulate
from hwgen.testing import check_unit, random_frames
from tests.dataflow.nets import chain

from .cases import conv, dense

#: Latency and rate of memories that are in time, and that are not.
FAST, SLOW = (20, "16"), (60, "5/3")


def loop(layers, **settings) -> LoopUnit:
    unit = LoopUnit(LoopedLayers(tuple(layers)), LoopFolding(**settings))
    assert unit.problems() == []
    return unit


def check_planned(unit: LoopUnit, contract: tuple[int, str], memory: Memory, stall: int | None = None) -> None:
    """A network that is all one loop: integers are golden's, bytes the plan's, and cycles the schedule's from the
    slowest memory."""
    network = chain(*unit.op.layers)
    latency, rate = contract
    unit = replace(unit, folding=replace(unit.folding, latency=latency, rate=rate))
    plan = Plan(network, (PlannedLayer(network.layers, unit, (("", 0),)),))
    result = simulate(network, plan, random_frames(unit.op.input, 2), "amaranth", stall=stall, memory=memory)
    assert result.equal
    assert result.compared
    assert result.traffic.equal
    if memory.mode == WORST and stall is None:
        assert result.timing.done == tuple(schedule(plan, 2).run.frame_ends)


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


def maximum(source: FeatureMap, window: Window) -> MaxPool:
    return MaxPool(source, window, (source.type.min, source.type.max))


def with_maxima():
    """Maxima between convolutions, with padding, over strips; of several words a pixel."""
    one = conv(FeatureMap(6, 5, 3, U8), Window((3, 3), pads=(1, 1, 1, 1)), 6, S8_RESULT)
    two = maximum(one.output, Window((3, 3), (2, 2), pads=(1, 1, 1, 1)))
    three = conv(two.output, Window((1, 1)), 10, seed=1)
    four = maximum(three.output, Window((2, 2), (1, 1), pads=(0, 1, 1, 0)))
    return one, two, three, four, dense(four.output, 9, S8_RESULT, seed=3)


def ends_in_a_maximum():
    first = conv(FeatureMap(2, 3, 4, U8), Window((1, 1)), 6)
    return first, GlobalMaxPool(first.output, (0, 255))


LAID_OUT = {
    "maxima": lambda: loop(with_maxima(), portion=4, outputs=8, lanes=4, positions=5, bus=4),
    "a maximum at the end": lambda: loop(ends_in_a_maximum(), portion=4, outputs=4, lanes=2, positions=8, bus=4),
    "strips": lambda: loop(four_layers(), portion=8, outputs=4, lanes=2, positions=6, bus=8),
    "sets that are kept": lambda: loop(four_layers(), portion=8, outputs=4, lanes=2, positions=6, bus=8, kept=40),
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
QUICK = "a pixel of each", "few bits", "a maximum at the end"
each = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in LAID_OUT]
)


@each
def test_every_beat_moves_in_its_cycle(name):
    check_unit(LAID_OUT[name]())


@pytest.mark.slow
@pytest.mark.parametrize("contract", [FAST, SLOW])
@pytest.mark.parametrize("name", ["sets that are kept", "a pixel of each"])
def test_weights_that_come_late_are_waited_for_as_foretold(name, contract):
    check_planned(LAID_OUT[name](), contract, Memory(WORST))


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "seed"), [(RANDOM, 1), (BROKEN, 2)])
def test_integers_are_right_whatever_the_memory_does(mode, seed):
    check_planned(LAID_OUT["strips"](), FAST, Memory(mode, seed), stall=seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_random_layers_in_random_layouts(seed):
    random = Random(seed)
    source = FeatureMap(*(random.randint(1, 6) for _ in range(3)), random.choice([U8, S8]))
    layers = []
    for n in range(random.randint(1, 4)):
        result, channels = random.choice([None, S8_RESULT, SHIFTED]), random.randint(1, 9)
        if n and random.random() < 0.3:
            kernel = (random.randint(1, source.height), random.randint(1, source.width))
            layers.append(maximum(source, Window(kernel, (random.randint(1, 2), 1))))
        elif random.random() < 0.2:
            layers.append(dense(source, channels, result, seed=n))
        else:
            layers.append(conv(source, _window(random, source), channels, result, seed=n))
        source = layers[-1].output
    lanes = random.choice([1, 2, 4])
    portion, outputs = lanes * random.choice([1, 2, 4]), lanes * random.randint(1, 4)
    bus, positions = random.choice([1, 2, 8]), random.randint(4, 20)
    unit = loop(layers, portion=portion, outputs=outputs, lanes=lanes, positions=positions, bus=bus)
    if random.random() < 0.5:
        least = replace(unit.programme, folding=replace(unit.folding, kept=1)).replay.least
        unit = replace(unit, folding=replace(unit.folding, kept=least + random.randint(0, 9)))
    check_planned(unit, (random.randint(5, 40), str(random.randint(1, 8))), Memory(WORST))


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


def test_kept_sets_are_read_once():
    kept, again = (LAID_OUT[name]().programme for name in ("sets that are kept", "strips"))
    assert (kept.holds == again.holds).all()
    assert kept.read < again.read
    assert kept.read == len(kept.image)
    assert LAID_OUT["sets that are kept"]().memory.given(kept.image) == again.image


def test_holds_take_what_the_formula_says():
    (layer,) = loop([four_layers()[2]], portion=4, outputs=2, lanes=1, positions=12, bus=4).programme.layers
    assert (layer.sets, layer.strips, layer.steps, layer.rounds) == (5, 1, 12, 2)
    assert layer.holds.sum() == 5 * 12 * 12 + layer.tail - 12


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
        ({"kept": 4}, "kept 4 does not hold a set (limit 36 or more, or 0)"),
        ({"positions": 3}, "positions 3 (limit 4 or more)"),
        ({"products": 4}, "products 4 a multiplier (limit 1 or 2)"),
        ({"rate": "1/0"}, """rate '1/0' is not a number of bytes a cycle over 0, as text: "8" or "16/3\""""),
    ],
)
def test_what_cannot_be_built_is_told(settings, problem):
    folding = LoopFolding(**{"portion": 8, "outputs": 4, "lanes": 4, "positions": 8, "bus": 8} | settings)
    assert problem in LoopUnit(LoopedLayers(four_layers()), folding).problems()


def test_layers_that_cannot_be_looped_are_told():
    grouped = conv(FeatureMap(4, 4, 4, U8), Window((3, 3)), 4, group=4)
    with pytest.raises(ModelError, match="in 4 groups is in no loop"):
        LoopedLayers((grouped,)).looped  # noqa: B018
    wide = conv(FeatureMap(4, 4, 4, IntType(16, True)), Window((1, 1)), 4)
    with pytest.raises(ModelError, match="integers of s16 are in no loop"):
        LoopedLayers((wide,)).bits  # noqa: B018
    limited = MaxPool(FeatureMap(4, 4, 4, U8), Window((2, 2)), (3, 255))
    with pytest.raises(ModelError, match="a maximum limited to 3 to 255 is in no loop"):
        LoopedLayers((limited, conv(limited.output, Window((1, 1)), 4))).looped  # noqa: B018
    with pytest.raises(ModelError, match="no layer with weights"):
        LoopedLayers((maximum(FeatureMap(4, 4, 4, U8), Window((2, 2))),))
    with pytest.raises(ModelError, match="layer 1 of a loop: it reads 7x6x3 u8, not 4x3x6 s8"):
        LoopedLayers((four_layers()[0], four_layers()[0]))
