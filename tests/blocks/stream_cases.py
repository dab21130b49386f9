"""Cases of operators that combine elements of streams, or move them."""

from dataclasses import replace

import numpy as np

from hwgen.blocks import (
    Add,
    ChannelTable,
    Concat,
    Elementwise,
    FixedOperand,
    Interpolate,
    Keep,
    Mul,
    Pad,
    Rearrange,
    ShuffleChannels,
    Slice,
    Upsample,
)
from hwgen.blocks.move.interpolate import Shares
from hwgen.blocks.operator import LaneFolding
from hwgen.graph.expression import Expression
from hwgen.graph.ir import Node
from hwgen.graph.network import QuantizedTensor, Site
from hwgen.graph.types import S8, U8, FeatureMap, IntType, Quantization

U4 = IntType(4, False)
SUM = Expression((Node("s", "Add", ("a", "b"), ("y",)),), {}, ("a", "b"), "y")


def joint(kind, maps, quantizations, target, clamp=None, function=None):
    """An operator that combines streams of ``maps``, broadcast as numpy would."""
    what = {ChannelTable: "Requantize"}.get(kind, kind.__name__)
    return kind.from_site(joint_site(what, maps, quantizations, target, clamp, function))


def joint_site(op, maps, quantizations, target, clamp=None, function=None, constants=None):
    """The site of such an operator."""
    tensors = [
        QuantizedTensor(name, FeatureMap(*map_, kind_.type), kind_)
        for name, map_, kind_ in zip("abc", maps, quantizations, strict=False)
    ]
    size = tuple(int(n) for n in np.broadcast_shapes(*maps))
    output = QuantizedTensor("y", FeatureMap(*size, target.type), target)
    clamp = clamp or (target.type.min, target.type.max)
    return Site("joint1", op, tuple(tensors), output, {}, clamp, function=function, constants=constants or {})


#: Quantisations of two operands and the result for which each form of a line is found: products for "few", sums
#: for the others.
PAIRS = {
    "line": (Quantization(U8, 0.0317, 7), Quantization(U8, 0.0213, 3), Quantization(U8, 0.0519, 100)),
    "line with ties": (Quantization(S8, 2**-5), Quantization(S8, 2**-6), Quantization(S8, 2**-4)),
    "few": (Quantization(U8, 0.031, 7), Quantization(S8, 0.02, -3), Quantization(U8, 0.01, 100)),
    "many": (Quantization(U8, 0.031, 7), Quantization(S8, 0.02, -3), Quantization(U8, 0.05, 100)),
    "narrow": (Quantization(U4, 0.3, 1), Quantization(IntType(3, True), 0.71), Quantization(IntType(5, True), 0.4)),
}


#: Quantisations of two operands and the result of a sum in float32.
U16, S16 = IntType(16, False), IntType(16, True)
WIDE = {
    "u16": (Quantization(U16, 0.000317, 31007), Quantization(U16, 0.000213, 30003), Quantization(U16, 0.00039, 40000)),
    "mixed": (Quantization(S16, 2**-11), Quantization(U8, 0.0371, 128), Quantization(S16, 0.00091, -77)),
    "powers of two": (Quantization(S16, 2**-11), Quantization(S16, 2**-12), Quantization(S16, 2**-10, 5)),
    "far apart": (Quantization(S16, 0.9, 3), Quantization(S16, 1.3e-5), Quantization(S16, 0.77, 5)),
    "fine": (Quantization(S8, 0.9, 3), Quantization(S16, 1.3e-3), Quantization(S16, 0.00277, 5)),
    "coarse": (Quantization(S16, 0.9, 3), Quantization(S16, 1.3), Quantization(S8, 333.0, 5)),
}


def hopeless():
    """A sum with a table that is no line at all."""
    op = joint(Add, ((3, 4, 6),) * 2, PAIRS["line"][:2], PAIRS["line"][2])
    return replace(op, values=op.values ^ np.eye(256, dtype=np.uint8) * 7)


def fixed(kind, maps, quantizations, target, constant, function=None):
    """An operator whose operands numbered ``constant`` are random and the same for every frame."""
    generator, names = np.random.default_rng(7), "abc"
    values = {
        names[n]: generator.integers(q.type.min, q.type.max, (1, *maps[n]), endpoint=True).astype(q.type.dtype)
        for n, q in enumerate(quantizations)
        if n in constant
    }
    made = joint_site(kind.__name__, maps, quantizations, target, function=function, constants=values)
    return FixedOperand.from_site(made)


def pairs():
    """Operators that combine or tabulate elements."""
    whole, gate = (3, 4, 6), (1, 1, 6)
    yield joint(Add, (whole, whole), PAIRS["line"][:2], PAIRS["line"][2]), LaneFolding(3)
    yield joint(Add, (whole, whole), PAIRS["line with ties"][:2], PAIRS["line with ties"][2]), LaneFolding(2)
    yield joint(Add, (whole, whole), PAIRS["many"][:2], PAIRS["many"][2]), LaneFolding(1)
    yield joint(Add, (whole, whole), PAIRS["narrow"][:2], PAIRS["narrow"][2]), LaneFolding(6)
    yield joint(Add, (whole, whole), PAIRS["line"][:2], PAIRS["line"][2], clamp=(100, 200)), LaneFolding(2)
    yield hopeless(), LaneFolding(2)
    for other, lanes in ((whole, 3), (gate, 2), (gate, 6), ((3, 4, 1), 1), ((3, 1, 6), 3), ((3, 1, 1), 1)):
        yield joint(Mul, (whole, other), PAIRS["few"][:2], PAIRS["few"][2]), LaneFolding(lanes)
    yield joint(Add, ((1, 4, 1), whole), PAIRS["line"][:2], PAIRS["line"][2]), LaneFolding(1)
    yield joint(Mul, ((3, 1, 6), (1, 4, 6)), PAIRS["line"][:2], Quantization(S8, 0.02, -9)), LaneFolding(2)
    yield joint(Mul, ((1, 1, 1), (2, 2, 2)), PAIRS["narrow"][:2], PAIRS["narrow"][2]), LaneFolding(1)
    for other, lanes in ((whole, 2), ((3, 1, 6), 3), ((1, 4, 1), 1), ((3, 1, 1), 6), ((1, 4, 6), 6)):
        yield fixed(Add, (whole, other), PAIRS["line"][:2], PAIRS["line"][2], {1}), LaneFolding(lanes)
    yield fixed(Mul, (whole, whole), PAIRS["few"][:2], PAIRS["few"][2], {0}), LaneFolding(3)
    yield joint(Elementwise, (whole, whole), WIDE["u16"][:2], WIDE["u16"][2], function=SUM), LaneFolding(2)
    mixed = joint(Elementwise, (whole, gate), WIDE["mixed"][:2], WIDE["mixed"][2], clamp=(-900, 30000), function=SUM)
    yield mixed, LaneFolding(1)
    yield fixed(Add, (whole, (1, 4, 6)), WIDE["u16"][:2], WIDE["u16"][2], {1}), LaneFolding(3)
    nodes = (Node("m", "Max", ("a", "b"), ("t",)), Node("s", "Sigmoid", ("t",), ("y",)))
    function = Expression(nodes, {}, ("a", "b"), "y")
    target = Quantization(U8, 1 / 255)
    slopes = {"s": np.float32([1, 2, 3, 4, 5, 6]) / 8}
    prelu = Expression((Node("p", "PRelu", ("x", "s"), ("y",)),), slopes, ("x",), "y")
    for lanes in (1, 2, 6):
        sloped = joint(ChannelTable, (whole,), [Quantization(S8, 0.02, 3)], target, function=prelu)
        yield sloped, LaneFolding(lanes)
    yield joint(Elementwise, (whole, gate), PAIRS["narrow"][:2], target, function=function), LaneFolding(3)
    most = Expression((Node("m", "Max", ("a", "b", "c"), ("y",)),), {}, ("a", "b", "c"), "y")
    kinds = [Quantization(IntType(3, True), 0.5)] * 3
    yield fixed(Elementwise, (gate, whole, (3, 1, 6)), kinds, target, {2}, most), LaneFolding(2)


def moves():
    """Operators that move, drop, repeat or make up elements."""
    source = FeatureMap(4, 6, 8, S8)
    for axis, others, lanes in ((2, ((4, 6, 2), (4, 6, 6)), 2), (1, ((4, 1, 8),), 4), (0, ((2, 6, 8), (1, 6, 8)), 1)):
        maps = (source, *(FeatureMap(*size, S8) for size in others))
        shape = tuple(sum(m.shape[n] for m in maps) if n == axis else source.shape[n] for n in range(3))
        yield Concat(maps, FeatureMap(*shape, S8), axis), LaneFolding(lanes)
    rng = np.random.default_rng(9)
    for axis, sizes, fixed_maps, lanes in (
        (2, ((4, 6, 8), (4, 6, 2)), (1,), 2),
        (2, ((4, 6, 1), (4, 6, 3), (4, 6, 8)), (0,), 1),
        (1, ((4, 1, 8), (4, 2, 8)), (0, 1), 8),
        (0, ((4, 6, 8), (1, 6, 8)), (1,), 4),
    ):
        maps = (source, *(FeatureMap(*size, S8) for size in sizes))
        shape = tuple(sum(m.shape[n] for m in maps) if n == axis else source.shape[n] for n in range(3))
        constants = {n + 1: rng.integers(-128, 128, sizes[n]).astype(np.int8) for n in fixed_maps}
        yield Concat(maps, FeatureMap(*shape, S8), axis, constants), LaneFolding(lanes)
    same = np.broadcast_to(np.int8([-5, 7]), (4, 6, 2))  # in every pixel
    yield Concat((source, FeatureMap(4, 6, 2, S8)), FeatureMap(4, 6, 10, S8), 2, {1: same}), LaneFolding(2)
    boxes = (
        ((1, 1, 4), (2, 2, 1), (2, 3, 4), 4),
        ((0, 2, 1), (1, 1, 2), (4, 4, 4), 1),
        ((0,) * 3, (1,) * 3, (4, 6, 8), 8),
    )
    for starts, steps, size, lanes in boxes:
        yield Slice(source, FeatureMap(*size, S8), starts, steps), LaneFolding(lanes)
    pads = ((1, 2), (0, 1), (2, 4))
    yield Pad(source, FeatureMap(7, 7, 14, S8), pads, -9), LaneFolding(2)
    yield Pad(source, source, ((0, 0),) * 3, 1), LaneFolding(8)
    for scales, lanes in (((2, 3), 1), ((1, 2), 4), ((3, 1), 8)):
        yield Upsample(source, FeatureMap(4 * scales[0], 6 * scales[1], 8, S8), scales), LaneFolding(lanes)
    grouped = np.arange(8).reshape(2, 4).T.ravel()
    for order, lanes in ((grouped, 1), (grouped, 8), (np.array([5, 0, 0, 3, 1, 7]), 1), (np.arange(8) // 4 * 4, 1)):
        yield ShuffleChannels(source, FeatureMap(4, 6, len(order), S8), order), LaneFolding(lanes)
    for axis, settings, lanes in (
        (0, (4, 8, 2, "half_pixel"), 4),
        (1, (6, 12, 2, "half_pixel"), 1),
        (1, (6, 18, 3, "asymmetric"), 8),
        (0, (4, 7, 7 / 4, "align_corners"), 2),
        (1, (6, 10, 10 / 6, "half_pixel"), 8),
        (0, (4, 2, 0.5, "half_pixel"), 4),
        (1, (6, 4, 4 / 6, "align_corners"), 2),
        (1, (6, 3, 0.5, "half_pixel"), 8),
    ):
        yield Interpolate(source, axis, Shares.of(*settings)), LaneFolding(lanes)
    for rows, columns, lanes in (([0, 1, 3], range(6), 4), (range(4), [1, 4], 1), ([2], [0, 3, 5], 8)):
        kept = FeatureMap(len(rows), len(columns), 8, S8)
        yield Keep(source, kept, np.array(rows), np.array(columns)), LaneFolding(lanes)
    yield Interpolate(FeatureMap(1, 2, 4, U8), 0, Shares.of(1, 3, 3, "half_pixel")), LaneFolding(4)
    yield Interpolate(FeatureMap(2, 2, 4, U8), 1, Shares.of(2, 3, 3 / 2, "align_corners")), LaneFolding(4)
    places = np.arange(source.elements).reshape(source.shape)
    to_space = places.reshape(4, 6, 2, 2, 2).transpose(0, 2, 1, 3, 4).reshape(8, 12, 2)
    to_depth = places.reshape(2, 2, 3, 2, 8).transpose(0, 2, 1, 3, 4).reshape(2, 3, 32)
    for wanted, lanes in ((to_space, 2), (to_depth, 8), (places[::-1, ::-1], 1), (places.transpose(1, 0, 2), 4)):
        yield Rearrange(source, FeatureMap(*wanted.shape, S8), wanted), LaneFolding(lanes)
