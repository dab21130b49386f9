"""Operators with foldings whose cost is compared with synthesis: every operator, small and large, narrow and wide."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from hwgen.blocks import (
    Add,
    AveragePool,
    ChannelTable,
    Concat,
    Elementwise,
    GlobalAveragePool,
    MaxPool,
    Mul,
    Pad,
    Rearrange,
    ShuffleChannels,
    Slice,
    Table,
    Upsample,
)
from hwgen.blocks.array.arrays import CONSTANT, TREE
from hwgen.blocks.array.multiplier import IN_LUTS, PAIR, SINGLE
from hwgen.blocks.joints.convert import WidthConverter
from hwgen.blocks.joints.fork import Fork
from hwgen.blocks.joints.queue import StreamQueue
from hwgen.blocks.mac.mac_folding import MacFolding
from hwgen.blocks.operator import LaneFolding, Operator
from hwgen.blocks.pool.max_abreast import PixelFolding
from hwgen.blocks.stream import Port
from hwgen.blocks.unit import Unit
from hwgen.graph.expression import Expression
from hwgen.graph.ir import Node
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import S8, U8, FeatureMap, IntType, Quantization
from hwgen.memory.weights import LUTS
from tests.blocks.cases import conv, dense, edge_pool, kind, pool, raw, site
from tests.blocks.stream_cases import PAIRS, joint

U4, S16 = IntType(4, False), IntType(16, True)
SAME, POINT = Window((3, 3), pads=(1, 1, 1, 1)), Window((1, 1))
HALVING = Window((3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
SIGMOID = Expression((Node("s", "Sigmoid", ("x",), ("y",)),), {}, ("x",), "y")
LARGER = Expression((Node("m", "Max", ("a", "b"), ("t",)), Node("s", "Sigmoid", ("t",), ("y",))), {}, ("a", "b"), "y")


class Case(NamedTuple):
    """A unit whose cost is looked at."""

    unit: Unit

    def __str__(self) -> str:
        maps = " + ".join(str(port.map) for port in self.unit.inputs)
        return f"{kind(self.unit)} {maps}, {self.unit}{self.products}"

    @property
    def products(self) -> str:
        """How they are made and where weights are, where that is not as usual."""
        folding = getattr(self.unit, "folding", None)
        if not isinstance(folding, MacFolding):
            return ""
        made = {IN_LUTS: ", products in LUTs", PAIR: ", pairs"}.get(folding.products, "")
        return (", constants" if folding.array == CONSTANT else made) + ", weights in LUTs" * (folding.weights == LUTS)


def cases() -> list[Case]:
    """All configurations of the usual forms, each once."""
    return _all(_convolutions, _grouped, _dense, _pools, _pairs, _moves, _joints)


def forms() -> list[Case]:
    """Configurations of other forms: windows in small RAMs, products of LUTs, of constants and in pairs, several pixels
    in a beat, weights in LUTs."""
    return _all(_patches, _products, _constants, _abreast, _deep)


def _all(*parts: Callable[[], Iterator]) -> list[Case]:
    return [case if isinstance(case, Case) else laid(*case) for part in parts for case in part()]


def cascades(array: str) -> list[Case]:
    """Layers whose products are added up along cascades of a kind of DSP blocks."""
    return [cascaded(case, array) for case in _cascades()]


def cascaded(case: Case, array: str) -> Case:
    """The same as cascades: two products in a block, where it has room for them."""
    unit = case.unit
    pairs, singles = (replace(unit.folding, array=array, products=products) for products in (PAIR, SINGLE))
    found = replace(unit, folding=pairs if unit.folding.outputs > 1 else singles)
    return Case(replace(unit, folding=singles) if found.problems() else found)


def laid(op: Operator, folding: Any) -> Case:
    """``op`` with a folding."""
    return Case(replace(next(iter(op.units())), folding=folding))


def laid_out(op: Operator, window: str, multipliers: int, in_luts: bool = False, pixels: int = 1) -> Case:
    """``op`` with the first folding of its kind that comes nearest to so many multipliers."""
    wanted = window, in_luts, pixels
    kind = [unit for unit in op.units() if (unit.folding.window, unit.folding.in_luts, unit.folding.pixels) == wanted]
    return Case(min(kind, key=lambda unit: abs(unit.multipliers - multipliers)))


def multiplied(case: Case, products: int, array: str = TREE) -> Case:
    """The same with its products made otherwise."""
    return Case(replace(case.unit, folding=replace(case.unit.folding, products=products, array=array)))


def weights_in_luts(case: Case) -> Case:
    """The same with its weights in a ROM of LUTs."""
    return Case(replace(case.unit, folding=replace(case.unit.folding, weights=LUTS)))


def _convolutions() -> Iterator[Case]:
    first, small, middle = FeatureMap(32, 32, 3, U8), FeatureMap(16, 16, 8, U8), FeatureMap(16, 16, 16, S8)
    late = FeatureMap(7, 7, 64, S8)
    for count in (1, 9, 27, 54):
        yield laid_out(conv(first, SAME, 16), "sliding", count)
    for count in (1, 4, 16, 48):
        yield laid_out(conv(small, SAME, 16), "ring", count)
    for count in (3, 12, 48):
        yield laid_out(conv(middle, SAME, 16, Quantization(S8, 0.05, -4)), "columns", count)
    for count in (6, 30, 72):
        yield laid_out(conv(middle, HALVING, 24), "sliding", count)
    for count in (8, 32):
        yield laid_out(conv(late, POINT, 32, Quantization(S8, 0.05, 3)), "ring", count)
    for window, count in (("ring", 8), ("columns", 24), ("sliding", 40)):
        yield laid_out(conv(late, SAME, 64, Quantization(S8, 0.05, 3)), window, count)
    for window in ("ring", "columns", "sliding"):
        yield laid_out(conv(small, SAME, 8), window, 12, in_luts=True)
    wide, odd = Window((5, 5), pads=(2, 2, 2, 2)), Window((3, 5), (2, 1), (2, 1), (2, 2, 1, 2))
    yield laid_out(conv(FeatureMap(28, 28, 1, U8), wide, 6), "sliding", 25)
    yield laid_out(conv(FeatureMap(28, 28, 4, U8), wide, 6), "columns", 20)
    yield laid_out(conv(FeatureMap(20, 24, 4, U8), odd, 8), "ring", 8)
    yield laid_out(conv(FeatureMap(20, 24, 4, S8), odd, 8, weight_zero=5), "columns", 24)
    line = Window((1, 9), strides=(1, 2), pads=(0, 4, 0, 4))
    yield laid_out(conv(FeatureMap(1, 256, 6, S8), line, 12), "sliding", 18)
    narrow = conv(FeatureMap(12, 12, 8, U4), SAME, 16, Quantization(U4, 0.3, 0), weight_bits=3)
    for window in ("ring", "columns", "sliding"):
        yield laid_out(narrow, window, 24)
    long = conv(FeatureMap(8, 8, 8, S16), SAME, 8, Quantization(S16, 0.0002, -4))
    for window, count in (("ring", 8), ("sliding", 9)):
        yield laid_out(long, window, count)
    yield laid_out(raw("Conv", small, SAME, 16), "sliding", 24)


def _patches() -> Iterator[Case]:
    small, middle = FeatureMap(16, 16, 8, U8), FeatureMap(16, 16, 16, S8)
    for count in (9, 36):
        yield laid_out(conv(small, SAME, 16), "patch", count)
    yield laid_out(conv(middle, HALVING, 24, Quantization(S8, 0.05, -4)), "patch", 18)
    wide = Window((5, 5), pads=(2, 2, 2, 2))
    yield laid_out(conv(FeatureMap(28, 28, 4, U8), wide, 6), "patch", 50)
    yield laid_out(conv(FeatureMap(16, 16, 16, U8), SAME, 16, group=16), "patch", 36)


def _products() -> Iterator[Case]:
    for products in (IN_LUTS, PAIR):
        yield multiplied(laid_out(conv(FeatureMap(16, 16, 8, U8), SAME, 16), "ring", 48), products)
        signed = conv(FeatureMap(16, 16, 16, S8), SAME, 16, Quantization(S8, 0.05, -4))
        yield multiplied(laid_out(signed, "columns", 48), products)
    narrow = conv(FeatureMap(12, 12, 8, U4), SAME, 16, Quantization(U4, 0.3, 0), weight_bits=3)
    yield multiplied(laid_out(narrow, "ring", 24), IN_LUTS)
    yield multiplied(laid_out(conv(FeatureMap(16, 16, 16, U8), SAME, 16, group=16), "columns", 24), IN_LUTS)


def _constants() -> Iterator[Case]:
    wide = Window((5, 5), pads=(2, 2, 2, 2))
    for op, count in (
        (conv(FeatureMap(28, 28, 1, U8), wide, 6), 150),
        (conv(FeatureMap(32, 32, 3, S8), SAME, 8, Quantization(S8, 0.05, -4)), 216),
        (conv(FeatureMap(16, 16, 4, U8), SAME, 4, group=4), 36),
    ):
        yield multiplied(laid_out(op, "sliding", count), IN_LUTS, CONSTANT)


def _abreast() -> Iterator[Case]:
    source = FeatureMap(16, 16, 4, U8)
    yield laid_out(conv(source, SAME, 8), "sliding", 144, pixels=2)
    yield laid_out(
        conv(FeatureMap(16, 16, 4, S8), SAME, 4, Quantization(S8, 0.05, -4), group=4), "sliding", 36, pixels=2
    )
    halved = pool(MaxPool, source, Window((2, 2), (2, 2)))
    yield Case(next(unit for unit in halved.units() if unit.folding == PixelFolding(4)))
    maps = (16, 16, 4)
    yield laid(joint(Add, (maps, maps), PAIRS["line"][:2], PAIRS["line"][2]), LaneFolding(8))
    yield laid(joint_table(FeatureMap(16, 16, 4, S8), Quantization(U8, 1 / 255)), LaneFolding(16))


def _deep() -> Iterator[Case]:
    for features, outputs in ((256, 10), (512, 12)):
        yield weights_in_luts(laid_out(dense(FeatureMap(1, 1, features, U8), outputs), "ring", outputs))


def _cascades() -> Iterator[Case]:
    signed, source = Quantization(S8, 0.05, 3), FeatureMap(16, 16, 8, U8)
    yield laid_out(conv(FeatureMap(32, 32, 3, U8), SAME, 16), "sliding", 54)
    for op in (conv(source, SAME, 16), conv(source, SAME, 16).loadable()):
        yield laid_out(op, "ring", 48)
    yield laid_out(conv(FeatureMap(16, 16, 16, S8), SAME, 16, Quantization(S8, 0.05, -4)), "columns", 48)
    yield laid_out(conv(FeatureMap(7, 7, 64, S8), POINT, 32, signed), "ring", 32)
    yield laid_out(conv(FeatureMap(12, 12, 8, U4), SAME, 16, Quantization(U4, 0.3, 0), weight_bits=3), "sliding", 72)
    yield laid_out(conv(FeatureMap(8, 8, 8, S16), SAME, 8, Quantization(S16, 0.0002, -4)), "sliding", 9)
    yield laid_out(conv(FeatureMap(16, 16, 16, U8), SAME, 16, group=16), "columns", 24)
    yield laid_out(dense(FeatureMap(1, 1, 400, U8), 120), "ring", 16)
    yield laid_out(dense(FeatureMap(1, 1, 1024, U8), 32), "ring", 32)


def _grouped() -> Iterator[Case]:
    source = FeatureMap(16, 16, 16, U8)
    depthwise = conv(source, SAME, 16, group=16)
    for window, count in (("ring", 1), ("ring", 4), ("ring", 16), ("columns", 3), ("columns", 24)):
        yield laid_out(depthwise, window, count)
    for count in (9, 36):
        yield laid_out(depthwise, "sliding", count)
    yield laid_out(conv(source, HALVING, 16, group=16), "sliding", 18)
    yield laid_out(conv(source, SAME, 32, group=16), "ring", 8)
    for window, count in (("ring", 8), ("columns", 24), ("sliding", 24)):
        yield laid_out(conv(source, SAME, 24, group=4), window, count)
    yield laid_out(depthwise, "ring", 4, in_luts=True)


def _dense() -> Iterator[Case]:
    signed = Quantization(S8, 0.05, 3)
    for features, outputs, count in ((64, 10, 1), (256, 10, 10), (400, 120, 16), (1024, 32, 32)):
        yield laid_out(dense(FeatureMap(1, 1, features, U8), outputs), "ring", count)
    yield laid_out(dense(FeatureMap(4, 4, 16, S8), 84, signed), "ring", 24)
    yield laid_out(dense(FeatureMap(1, 1, 128, S8), 12, signed), "ring", 6, in_luts=True)
    yield laid_out(raw("Gemm", FeatureMap(1, 1, 84, U8), POINT, 10), "ring", 8)


def _pools() -> Iterator[Case]:
    source, halves = FeatureMap(16, 16, 16, U8), Window((2, 2), (2, 2))
    for lanes, window in ((1, halves), (4, HALVING), (16, halves)):
        yield laid(pool(MaxPool, source, window), LaneFolding(lanes))
    for lanes, window in ((1, halves), (4, halves), (8, Window((3, 3), (2, 2)))):
        yield laid(pool(AveragePool, source, window, Quantization(S8, 0.03, -3)), LaneFolding(lanes))
    for lanes, window in ((1, HALVING), (4, SAME), (8, SAME)):
        yield laid(edge_pool(source, window, Quantization(S8, 0.03, -3)), LaneFolding(lanes))
    for size, lanes in ((source, 1), (source, 4), (FeatureMap(7, 7, 64, S8), 8)):
        averaged = site("GlobalAveragePool", size, POINT, size.channels)
        yield laid(GlobalAveragePool.from_site(averaged), LaneFolding(lanes))


def _pairs() -> Iterator[Case]:
    whole, gate = (16, 16, 16), (1, 1, 16)
    for form, lanes in (("line", 1), ("line", 8), ("line with ties", 4), ("many", 2), ("narrow", 8)):
        yield laid(joint(Add, (whole, whole), PAIRS[form][:2], PAIRS[form][2]), LaneFolding(lanes))
    yield laid(joint(Add, (gate, whole), PAIRS["line"][:2], PAIRS["line"][2]), LaneFolding(4))
    for form, other, lanes in (("few", whole, 1), ("few", whole, 8), ("many", whole, 2), ("few", gate, 4)):
        yield laid(joint(Mul, (whole, other), PAIRS[form][:2], PAIRS[form][2]), LaneFolding(lanes))
    yield laid(joint(Mul, (whole, (16, 1, 16)), PAIRS["few"][:2], PAIRS["few"][2]), LaneFolding(2))
    target = Quantization(U8, 1 / 255)
    for lanes in (2, 8):
        yield laid(joint(Elementwise, (whole, whole), PAIRS["narrow"][:2], target, function=LARGER), LaneFolding(lanes))
    slopes = {"s": np.linspace(0.1, 0.9, 16).astype(np.float32)}
    prelu = Expression((Node("p", "PRelu", ("x", "s"), ("y",)),), slopes, ("x",), "y")
    for lanes in (1, 4, 16):
        yield laid(
            joint(ChannelTable, (whole,), [Quantization(S8, 0.02, 3)], target, function=prelu), LaneFolding(lanes)
        )
    requantized = joint_table(FeatureMap(16, 16, 16, S8), target)
    for lanes in (1, 8):
        yield laid(requantized, LaneFolding(lanes))
    yield laid(joint_table(FeatureMap(16, 16, 16, U4), target), LaneFolding(8))


def joint_table(source: FeatureMap, target: Quantization) -> Table:
    """A table of the sigmoid."""
    made = site("Requantize", source, POINT, source.channels, target)
    return Table.from_site(replace(made, function=SIGMOID))


def _moves() -> Iterator[Case]:
    source = FeatureMap(14, 14, 16, S8)
    for axis, other, lanes in ((2, (14, 14, 8), 2), (2, (14, 14, 16), 8), (1, (14, 2, 16), 4), (0, (3, 14, 16), 1)):
        shape = tuple(source.shape[n] + (other[n] if n == axis else 0) for n in range(3))
        yield laid(Concat((source, FeatureMap(*other, S8)), FeatureMap(*shape, S8), axis), LaneFolding(lanes))
    for starts, steps, size, lanes in (
        ((1, 1, 0), (1, 1, 1), (12, 12, 16), 4),
        ((0, 0, 8), (1, 1, 1), (14, 14, 8), 8),
        ((0, 0, 1), (2, 2, 2), (7, 7, 8), 1),
    ):
        yield laid(Slice(source, FeatureMap(*size, S8), starts, steps), LaneFolding(lanes))
    for pads, lanes in ((((1, 1), (1, 1), (0, 0)), 4), (((0, 1), (2, 3), (0, 16)), 16), (((3, 3), (3, 3), (1, 0)), 1)):
        size = (n + sum(pad) for n, pad in zip(source.shape, pads, strict=True))
        yield laid(Pad(source, FeatureMap(*size, S8), pads, -9), LaneFolding(lanes))
    for scales, lanes in (((2, 2), 1), ((2, 2), 8), ((1, 3), 4)):
        target = FeatureMap(14 * scales[0], 14 * scales[1], 16, S8)
        yield laid(Upsample(source, target, scales), LaneFolding(lanes))
    grouped = np.arange(16).reshape(4, 4).T.ravel()
    for order, lanes in ((grouped, 1), (grouped, 16), (np.array([5, 0, 0, 3, 1, 7, 15, 9]), 1)):
        yield laid(ShuffleChannels(source, FeatureMap(14, 14, len(order), S8), order), LaneFolding(lanes))
    places = np.arange(source.elements).reshape(source.shape)
    to_space = places.reshape(14, 14, 2, 2, 4).transpose(0, 2, 1, 3, 4).reshape(28, 28, 4)
    to_depth = places.reshape(7, 2, 7, 2, 16).transpose(0, 2, 1, 3, 4).reshape(7, 7, 64)
    for wanted, lanes in ((to_space, 4), (to_depth, 8), (places.transpose(1, 0, 2), 2)):
        yield laid(Rearrange(source, FeatureMap(*wanted.shape, S8), wanted), LaneFolding(lanes))


def _joints() -> Iterator[Case]:
    source = FeatureMap(16, 16, 16, U8)
    for lanes, depth in ((1, 16), (4, 16), (16, 32), (2, 64), (8, 100), (1, 2000)):
        yield Case(StreamQueue(Port(source, lanes), depth))
    for lanes, depths in ((1, (16, 16)), (8, (16, 48)), (4, (16, 200, 16))):
        yield Case(Fork(Port(source, lanes), depths))
    for before, after in ((1, 2), (1, 16), (4, 16), (2, 1), (16, 1), (16, 4)):
        yield Case(WidthConverter(Port(source, before), after))
    for before, after in ((4, 6), (6, 4)):
        yield Case(WidthConverter(Port(FeatureMap(16, 16, 12, U8), before), after))
