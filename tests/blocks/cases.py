"""Operators with foldings, chosen so that every branch of every block is taken; the one harness runs them all."""

from dataclasses import replace

import numpy as np

from hwgen.blocks import (
    Add,
    AveragePool,
    Conv,
    Dense,
    EdgeAveragePool,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
    Table,
)
from hwgen.blocks.joints.convert import WidthConverter
from hwgen.blocks.joints.fork import Fork
from hwgen.blocks.joints.queue import StreamQueue
from hwgen.blocks.joints.rows import SHORT_QUEUE, RowFork, WindowRows, row_ranges
from hwgen.blocks.mac.mac_folding import MacFolding
from hwgen.blocks.mac.tapped import RowConv
from hwgen.blocks.operator import LaneFolding, OperatorUnit
from hwgen.blocks.pool.max_abreast import MaxAbreastUnit, PixelFolding
from hwgen.blocks.stream import Port
from hwgen.graph.expression import Expression
from hwgen.graph.ir import Node
from hwgen.graph.lower.site import sum_quantization
from hwgen.graph.network import QuantizedConstant, QuantizedTensor, Site
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import S8, U8, FeatureMap, IntType, Quantization
from tests.blocks.unit_of import unit_of

from .element_cases import elements
from .stream_cases import joint, moves, pairs

U4, S16 = IntType(4, False), IntType(16, True)


def site(op, source, window, channels, target=None, *, weight_bits=8, weight_zero=0, seed=0, **attributes) -> Site:
    """A site of ``op`` with random weights and a scale that uses the output's range well."""
    generator = np.random.default_rng(seed)
    target = target or Quantization(U8, 0.05, 0)
    zero = 3 if source.type.min <= 3 <= source.type.max else 0
    given = QuantizedTensor("x", source, Quantization(source.type, 0.02, zero))
    weight = bias = None
    if op in ("Conv", "Gemm"):
        inner = (source.channels // attributes.get("group", 1), *window.kernel) if op == "Conv" else (source.elements,)
        limit = 1 << (weight_bits - 1)
        values = generator.integers(-limit, limit, (channels, *inner))
        scale = generator.uniform(0.5, 1.5, channels) / (limit * np.sqrt(np.prod(inner)))
        scale = (scale * target.type.max / (source.type.max * 0.02) * target.scale).astype(np.float32)
        weight = QuantizedConstant(values, scale, np.array([weight_zero]))
        bias = generator.integers(-500, 500, channels)
    rows, columns = (1, 1) if op in ("Gemm", "GlobalAveragePool") else window.output_size(source.height, source.width)
    if op == "MaxPool":
        target = given.quantization
    output = QuantizedTensor("y", FeatureMap(rows, columns, channels, target.type), target)
    settings = {"kernel": window.kernel, "strides": window.strides, "dilations": window.dilations, "pads": window.pads}
    settings |= {"group": 1, "count_include_pad": 1} | attributes
    return Site(f"{op.lower()}1", op, (given,), output, settings, (target.type.min, target.type.max), weight, bias)


def conv(source, window, channels, target=None, **options) -> Conv:
    return Conv.from_site(site("Conv", source, window, channels, target, **options))


def dense(source, channels, target=None, **options) -> Dense:
    return Dense.from_site(site("Gemm", source, Window((1, 1)), channels, target, **options))


def raw(op, source, window, channels, **options) -> Conv | Dense | AveragePool | GlobalAveragePool:
    """An operator whose sums nothing quantises."""
    made = site(op, source, window, channels, **options)
    node, given = Node(made.name, op, (), ()), made.input.quantization
    quantization = sum_quantization(node, given, made.weight, made.bias, made.attributes, channels)
    type_ = quantization.type
    output = QuantizedTensor("y", replace(made.output.map, type=type_), quantization)
    bare = replace(made, output=output, clamp=(type_.min, type_.max), raw=True)
    kinds = {"Conv": Conv, "Gemm": Dense, "AveragePool": AveragePool, "GlobalAveragePool": GlobalAveragePool}
    return kinds[op].from_site(bare)


def pool(kind, source, window, target=None) -> MaxPool | AveragePool:
    return kind.from_site(site(kind.__name__, source, window, source.channels, target))


def edge_pool(source, window, target=None) -> EdgeAveragePool:
    """An average that leaves padding out."""
    made = site("AveragePool", source, window, source.channels, target, count_include_pad=0)
    return EdgeAveragePool.from_site(made)


def _mac(window, portion, outputs, lanes_in, lanes_out, serial=False, parallel=1, **others) -> MacFolding:
    return MacFolding(window, portion, outputs, lanes_in, lanes_out, serial, parallel, **others)


def _convolutions():
    same, small = Window((3, 3), pads=(1, 1, 1, 1)), FeatureMap(6, 7, 2, U8)
    yield conv(small, same, 6), _mac("ring", 2, 3, 2, 3)
    yield conv(small, same, 6), _mac("ring", 1, 4, 1, 2)
    yield conv(small, same, 6), _mac("ring", 1, 4, 1, 1, True)
    yield conv(small, same, 6), _mac("ring", 1, 4, 1, 2, in_luts=True)
    yield conv(small, same, 6), _mac("sliding", 18, 3, 2, 3, in_luts=True)
    yield conv(small, same, 6), _mac("sliding", 5, 4, 1, 2)
    yield conv(small, same, 6), _mac("sliding", 18, 3, 2, 3)
    yield conv(small, same, 6), _mac("sliding", 7, 6, 2, 2)
    yield conv(small, same, 6, weight_zero=7), _mac("sliding", 9, 6, 2, 3)
    odd = Window((3, 2), strides=(2, 3), dilations=(2, 1), pads=(2, 0, 1, 1))
    yield conv(FeatureMap(9, 8, 2, U8), odd, 4), _mac("ring", 2, 3, 2, 1)
    yield conv(FeatureMap(9, 8, 2, U8), odd, 4), _mac("sliding", 5, 2, 1, 2)
    skipping = Window((1, 1), strides=(2, 2))
    yield conv(FeatureMap(5, 5, 4, U8), skipping, 6), _mac("ring", 4, 6, 4, 6)
    yield conv(FeatureMap(5, 5, 4, U8), skipping, 6), _mac("sliding", 4, 6, 4, 6)
    line = Window((1, 5), strides=(1, 2), pads=(0, 2, 0, 2))
    yield conv(FeatureMap(1, 12, 3, S8), line, 4, Quantization(S8, 0.05, -4)), _mac("sliding", 4, 2, 1, 2)
    tall = Window((3, 1), pads=(1, 0, 1, 0))
    yield conv(FeatureMap(9, 1, 2, S8), tall, 3, Quantization(S16, 0.0002, 11)), _mac("ring", 2, 2, 2, 1)
    yield raw("Conv", small, same, 6), _mac("ring", 2, 3, 2, 3)
    yield raw("Conv", small, same, 6, weight_zero=7), _mac("sliding", 18, 3, 2, 3, in_luts=True)
    yield conv(FeatureMap(5, 6, 3, U4), same, 4, Quantization(U4, 0.3, 0), weight_bits=3), _mac("ring", 3, 4, 3, 2)
    # Sums beyond 24 bits, which float32 rounds; a channel whose output never changes.
    yield conv(FeatureMap(4, 4, 4, S16), same, 3, Quantization(S8, 0.05, -4)), _mac("ring", 2, 3, 2, 1)
    yield conv(FeatureMap(4, 4, 4, S16), same, 4, Quantization(S16, 0.0002, -4)), _mac("ring", 1, 4, 1, 1, True)
    yield Conv.from_site(_with_still_channel(site("Conv", small, same, 6))), _mac("sliding", 9, 3, 2, 3)


def _packed():
    """Sets of channels that fill their last beat in part."""
    same, source = Window((3, 3), pads=(1, 1, 1, 1)), FeatureMap(5, 4, 2, U8)
    twelve = conv(source, same, 12)
    yield twelve, _mac("ring", 2, 5, 2, 4)
    yield twelve, _mac("ring", 1, 7, 1, 2)
    yield twelve, _mac("sliding", 9, 5, 1, 3, in_luts=True)
    yield twelve, _mac("sliding", 9, 8, 2, 6)
    yield twelve, _mac("columns", 6, 11, 2, 6)
    yield conv(FeatureMap(4, 4, 4, S16), same, 12, Quantization(S16, 0.0002, -4)), _mac("ring", 1, 5, 1, 2, True)
    yield conv(source, same, 24, group=2), _mac("ring", 1, 7, 1, 4)
    yield conv(source, same, 24, group=2), _mac("sliding", 3, 5, 1, 3, in_luts=True)
    yield raw("Conv", source, same, 12), _mac("ring", 2, 7, 2, 4)
    yield dense(FeatureMap(1, 1, 20, U8), 12), _mac("ring", 2, 5, 2, 3)


def _function(op, *constants, **attributes) -> Expression:
    """``op`` of a stream and of numbers, or of one for each channel."""
    names = tuple(f"c{n}" for n in range(len(constants)))
    values = {name: np.float32(value) for name, value in zip(names, constants, strict=True)}
    return Expression((Node(op, op, ("x", *names), ("y",), attributes),), values, ("x",), "y")


def _searched():
    """Sums that go through a function: both ways of naming a step, one to eight comparisons, channels that fall."""
    same, small = Window((3, 3), pads=(1, 1, 1, 1)), FeatureMap(6, 7, 2, U8)
    signs = np.array([1, -1, 0.5, -0.25, 0, 2])[None, None]
    leaky, mixed, sign, few = _function("LeakyRelu", alpha=0.1), _function("Mul", signs), _function("Sign"), U4
    yield _through(leaky, "Conv", small, same, 6, Quantization(S8, 0.02, -4)), _mac("ring", 2, 3, 2, 3)
    yield _through(leaky, "Conv", small, same, 6, Quantization(S8, 0.02, -4)), _mac("sliding", 7, 4, 2, 2)
    yield _through(mixed, "Conv", small, same, 6, Quantization(few, 0.3, 6)), _mac("ring", 1, 4, 1, 1)
    yield _through(sign, "Conv", small, same, 6, Quantization(IntType(2, True), 1)), _mac("sliding", 18, 3, 2, 3)
    yield _through(_function("HardSwish"), "Conv", small, same, 6, group=2), _mac("ring", 1, 3, 1, 3)
    yield _through(leaky, "Conv", small, same, 6, Quantization(S8, 0.02, -4)), _mac("ring", 1, 5, 1, 3)
    yield _through(leaky, "Gemm", FeatureMap(1, 1, 20, U8), Window((1, 1)), 7), _mac("ring", 2, 3, 2, 1)
    yield _through(mixed, "AveragePool", small, Window((2, 2)), 2, Quantization(few, 0.3, 6), by=2), LaneFolding(2)
    yield _through(_function("HardSwish"), "GlobalAveragePool", small, Window((6, 7)), 2), LaneFolding(1)


def _through(function, op, source, window, channels, target=None, by=None, **options):
    made = site(op, source, window, channels, target, **options)
    if by:
        function = replace(function, constants={name: value[..., :by] for name, value in function.constants.items()})
    kinds = {"Conv": Conv, "Gemm": Dense, "AveragePool": AveragePool, "GlobalAveragePool": GlobalAveragePool}
    return kinds[op].from_site(replace(made, function=function))


def _with_still_channel(made: Site) -> Site:
    scale = made.weight.scale.copy()
    scale[1] = 1e-11
    return replace(made, weight=replace(made.weight, scale=scale))


def _grouped():
    same, six = Window((3, 3), pads=(1, 1, 1, 1)), FeatureMap(5, 6, 6, U8)
    depthwise, wider, widest = (conv(six, same, channels, group=6) for channels in (6, 12, 18))
    yield depthwise, _mac("ring", 1, 1, 1, 1)
    yield depthwise, _mac("ring", 1, 1, 3, 3, parallel=3)
    yield depthwise, _mac("ring", 1, 1, 6, 2, parallel=6)
    yield depthwise, _mac("sliding", 9, 1, 6, 6, parallel=6)
    yield depthwise, _mac("sliding", 9, 1, 1, 1)
    yield depthwise, _mac("sliding", 2, 1, 3, 1, in_luts=True, parallel=3)
    yield wider, _mac("ring", 1, 2, 2, 1, parallel=2)
    yield wider, _mac("sliding", 5, 2, 1, 2, parallel=2)
    yield widest, _mac("ring", 1, 2, 1, 1)
    yield widest, _mac("sliding", 4, 2, 1, 1, in_luts=True)
    pairs, threes = conv(six, same, 10, group=2), conv(six, same, 6, group=3)
    yield pairs, _mac("ring", 3, 4, 3, 1)
    yield pairs, _mac("ring", 1, 3, 1, 1, True)
    yield pairs, _mac("sliding", 7, 4, 1, 1)
    yield threes, _mac("ring", 2, 2, 6, 3, parallel=3)
    yield threes, _mac("sliding", 5, 2, 2, 6, parallel=3)
    odd = Window((2, 3), strides=(2, 1), dilations=(1, 2), pads=(0, 3, 1, 2))
    unsymmetric = conv(FeatureMap(7, 8, 4, S8), odd, 8, Quantization(S8, 0.05, -4), group=4, weight_zero=9)
    yield unsymmetric, _mac("sliding", 2, 2, 2, 4, parallel=2)
    yield unsymmetric, _mac("ring", 1, 2, 4, 2, parallel=4)
    line = Window((1, 5), strides=(1, 2), pads=(0, 2, 0, 2))
    yield conv(FeatureMap(1, 12, 6, U8), line, 6, group=6), _mac("sliding", 3, 1, 2, 1, parallel=2)
    yield conv(FeatureMap(1, 1, 6, U8), Window((1, 1)), 6, group=6), _mac("ring", 1, 1, 6, 6, parallel=6)


def _in_patches():
    same, source = Window((3, 3), pads=(1, 1, 1, 1)), FeatureMap(6, 7, 4, U8)
    yield conv(source, same, 6), _mac("patch", 18, 3, 2, 3)
    yield conv(source, same, 6, weight_zero=7), _mac("patch", 9, 6, 1, 2)
    yield conv(source, same, 4, group=4), _mac("patch", 9, 1, 1, 1)
    yield conv(source, same, 4, group=4), _mac("patch", 9, 1, 2, 2, parallel=2)
    yield conv(source, same, 8, group=2), _mac("patch", 9, 2, 1, 1)
    odd = Window((2, 3), strides=(2, 2), dilations=(1, 2), pads=(0, 3, 1, 2))
    signed = conv(FeatureMap(9, 8, 4, S8), odd, 8, Quantization(S8, 0.05, -4), group=2)
    yield signed, _mac("patch", 6, 4, 1, 2)
    line = Window((1, 5), strides=(1, 2), pads=(0, 2, 0, 2))
    yield conv(FeatureMap(1, 12, 3, S8), line, 4), _mac("patch", 5, 2, 1, 1)
    yield conv(FeatureMap(7, 7, 2, U8), Window((2, 2), strides=(3, 3)), 3), _mac("patch", 4, 1, 1, 1)


def _in_columns():
    same, source = Window((3, 3), pads=(1, 1, 1, 1)), FeatureMap(6, 7, 4, U8)
    yield conv(source, same, 6), _mac("columns", 6, 4, 2, 2)
    yield conv(source, same, 6), _mac("columns", 12, 6, 4, 6)
    yield conv(source, same, 4, group=4), _mac("columns", 3, 1, 1, 1)
    yield conv(source, same, 4, group=4), _mac("columns", 3, 1, 4, 2, parallel=4)
    yield conv(source, same, 6, group=2), _mac("columns", 6, 3, 4, 2, parallel=2)
    odd = Window((2, 3), strides=(2, 3), dilations=(3, 2), pads=(2, 5, 1, 4))
    yield conv(FeatureMap(9, 8, 4, S8), odd, 8, Quantization(S8, 0.05, -4), group=2), _mac("columns", 2, 3, 1, 1)
    yield conv(FeatureMap(9, 1, 2, S8), Window((4, 1), (2, 1)), 3), _mac("columns", 4, 2, 1, 1)
    yield conv(FeatureMap(3, 33, 2, U8), same, 2), _mac("columns", 3, 1, 1, 1)  # lines in block RAM


def _multiplied():
    """Two products in a multiplier, with a lane left over or not, and products in LUTs."""
    same, small = Window((3, 3), pads=(1, 1, 1, 1)), FeatureMap(6, 7, 2, U8)
    yield conv(small, same, 6), _mac("ring", 2, 3, 2, 3, products=2)
    yield conv(small, same, 6), _mac("sliding", 5, 4, 1, 2, products=2)
    yield conv(small, same, 6, weight_zero=7), _mac("sliding", 9, 6, 2, 3, products=0)
    signed = conv(FeatureMap(6, 7, 4, S8), same, 6, Quantization(S8, 0.05, -4))
    yield signed, _mac("columns", 6, 4, 2, 2, products=2)
    yield signed, _mac("ring", 2, 3, 2, 1, products=0)
    narrow = conv(FeatureMap(5, 6, 3, U4), same, 4, Quantization(U4, 0.3, 0), weight_bits=3)
    yield narrow, _mac("ring", 3, 4, 3, 2, products=2)
    yield narrow, _mac("ring", 3, 4, 3, 2, products=0)
    yield conv(FeatureMap(5, 6, 6, U8), same, 12, group=6), _mac("ring", 1, 2, 2, 1, parallel=2, products=2)
    yield dense(FeatureMap(1, 1, 20, U8), 7), _mac("ring", 2, 7, 2, 1, products=2)


def _cascades():
    """Cascades of DSP blocks: pairs and single products, an output or a position left over, one chain or several."""
    same, small = Window((3, 3), pads=(1, 1, 1, 1)), FeatureMap(6, 7, 2, U8)
    yield conv(small, same, 6), _mac("sliding", 18, 3, 2, 3, products=2, array="dsp48e2")
    yield conv(small, same, 6), _mac("sliding", 5, 4, 1, 2, products=2, array="dsp48e1")
    yield conv(small, same, 6), _mac("ring", 1, 4, 1, 2, products=2, array="dsp48e2")
    signed = conv(FeatureMap(6, 7, 4, S8), same, 6, Quantization(S8, 0.05, -4))
    yield signed, _mac("columns", 12, 6, 4, 6, products=2, array="dsp48e1")
    yield signed, _mac("columns", 6, 4, 2, 2, array="dsp48e2")
    narrow = conv(FeatureMap(5, 6, 3, U4), same, 4, Quantization(U4, 0.3, 0), weight_bits=3)
    yield narrow, _mac("ring", 3, 4, 3, 2, products=2, array="dsp48e1")
    wide = conv(FeatureMap(4, 4, 4, S16), same, 3, Quantization(S8, 0.05, -4))
    yield wide, _mac("ring", 2, 3, 2, 1, array="dsp48e2")
    yield conv(FeatureMap(5, 6, 6, U8), same, 6, group=6), _mac("sliding", 9, 1, 6, 6, parallel=6, array="dsp48e1")
    yield (
        conv(FeatureMap(5, 6, 6, U8), same, 12, group=6),
        _mac("ring", 1, 2, 2, 1, parallel=2, products=2, array="dsp48e2"),
    )
    deep = conv(FeatureMap(4, 3, 8, U8), same, 3)
    yield deep, _mac("sliding", 72, 3, 4, 3, products=2, array="dsp48e2")
    yield (
        dense(FeatureMap(1, 1, 130, S8), 12, Quantization(S8, 0.05, 3)),
        _mac("ring", 13, 6, 13, 6, products=2, array="dsp48e2"),
    )
    yield conv(small, same, 6), _mac("sliding", 9, 3, 2, 3, array="alu54b")  # two chains, of four positions and of five
    yield signed, _mac("columns", 6, 4, 2, 2, array="alu54b")
    yield deep, _mac("sliding", 72, 3, 4, 3, array="alu54b")
    yield wide, _mac("ring", 1, 3, 1, 1, array="alu54b")
    yield conv(FeatureMap(5, 6, 6, U8), same, 6, group=6), _mac("sliding", 9, 1, 6, 6, parallel=6, array="alu54b")


def _constants():
    """Products by constants: one group or several, weights of few bits and of more than eight, outputs of 0 alone."""
    same, small = Window((3, 3), pads=(1, 1, 1, 1)), FeatureMap(6, 7, 2, U8)
    yield conv(small, same, 6), _mac("sliding", 18, 6, 2, 6, products=0, array="constant")
    yield conv(small, same, 6, weight_zero=-90), _mac("sliding", 18, 6, 2, 6, products=0, array="constant")
    point, signed = Window((1, 1)), FeatureMap(5, 6, 5, S8)
    yield conv(signed, point, 4, weight_bits=1), _mac("ring", 5, 4, 5, 4, products=0, array="constant")
    wide = conv(FeatureMap(4, 4, 4, S16), point, 3, Quantization(S8, 0.05, -4))
    yield wide, _mac("ring", 4, 3, 4, 3, products=0, array="constant")
    depthwise = conv(FeatureMap(5, 6, 4, U8), same, 8, group=4)
    yield depthwise, _mac("sliding", 9, 2, 4, 8, parallel=4, products=0, array="constant")
    yield dense(FeatureMap(1, 1, 20, U8), 7), _mac("ring", 20, 7, 20, 7, products=0, array="constant")


def _in_luts():
    """Weights in ROMs of LUTs, deep ones too; of trees and of cascades, in groups."""
    same, small = Window((3, 3), pads=(1, 1, 1, 1)), FeatureMap(6, 7, 2, U8)
    yield conv(small, same, 6), _mac("ring", 1, 4, 1, 2, weights="luts")
    yield conv(small, same, 6), _mac("ring", 2, 3, 2, 3, weights="luts")
    yield conv(small, same, 6), _mac("ring", 1, 3, 1, 3, products=2, array="dsp48e2", weights="luts")
    yield conv(FeatureMap(5, 6, 6, U8), same, 12, group=6), _mac("ring", 1, 2, 2, 1, parallel=2, weights="luts")
    yield dense(FeatureMap(1, 1, 384, S8), 2), _mac("ring", 2, 1, 2, 1, array="dsp48e1", weights="luts")


def abreast(op, pixels, portion, outputs, lanes_out, **others):
    """``op`` with so many pixels of a row in a beat."""
    layer = op.layer.wide(pixels)
    made = _mac("sliding", portion, outputs, layer.input.channels, lanes_out, parallel=layer.group, pixels=pixels)
    return op, replace(made, **others)


def _abreast():
    """Several pixels of a row in a beat: as many windows at once, half as many, or one; all kinds of arrays."""
    same, source = Window((3, 3), pads=(1, 1, 1, 1)), FeatureMap(3, 8, 1, U8)
    halving, odd = Window((3, 3), (2, 2), pads=(0, 0, 1, 1)), Window((2, 5), (1, 1), pads=(1, 3, 0, 1))
    yield abreast(conv(source, same, 3), 2, 9, 3, 6)
    yield abreast(conv(source, same, 3), 4, 4, 3, 4, in_luts=True)
    yield abreast(conv(source, halving, 6), 2, 5, 4, 3)
    yield abreast(conv(source, halving, 3), 4, 5, 3, 3, products=2)
    yield abreast(conv(FeatureMap(3, 8, 2, S8), odd, 3, Quantization(S8, 0.05, -4)), 2, 10, 3, 3)
    yield abreast(conv(FeatureMap(5, 8, 1, U8), Window((5, 5)), 2), 4, 13, 2, 4, products=2, array="dsp48e2")
    far = Window((1, 3), (1, 4), (1, 2), (0, 2, 0, 2))
    yield abreast(conv(FeatureMap(2, 12, 3, U8), far, 4), 2, 9, 4, 4)
    two = FeatureMap(3, 8, 2, U8)
    yield abreast(conv(two, Window((1, 1), (1, 2)), 3), 2, 2, 3, 3)
    yield abreast(conv(two, same, 4, group=2), 2, 9, 2, 8)
    yield abreast(conv(two, same, 2, group=2), 4, 5, 1, 4, array="dsp48e1")
    yield abreast(conv(two, same, 2, group=2), 2, 5, 1, 4, products=2, array="dsp48e2")
    signed = conv(FeatureMap(5, 8, 3, S8), halving, 3, Quantization(S8, 0.05, -4), group=3)
    yield abreast(signed, 4, 3, 1, 3, products=2, array="dsp48e1")
    yield abreast(conv(two, same, 4, group=2), 2, 9, 2, 8, products=0, array="constant")
    yield abreast(_through(_function("LeakyRelu", alpha=0.1), "Conv", source, same, 3), 2, 9, 3, 6)


def _dense():
    yield dense(FeatureMap(1, 1, 20, U8), 7), _mac("ring", 2, 3, 2, 1)
    yield dense(FeatureMap(1, 1, 20, U8), 7), _mac("ring", 1, 7, 1, 1, True)
    yield raw("Gemm", FeatureMap(1, 1, 20, S8), Window((1, 1)), 7), _mac("ring", 2, 3, 2, 1)
    yield dense(FeatureMap(2, 3, 4, U8), 10), _mac("ring", 4, 5, 4, 1)
    yield dense(FeatureMap(1, 1, 130, S8), 12, Quantization(S8, 0.05, 3)), _mac("ring", 1, 5, 1, 1)


def _pools():
    source = FeatureMap(6, 8, 6, U8)
    windows = (Window((2, 2), (2, 2)), Window((3, 3), (2, 2), pads=(1, 1, 1, 1)), Window((3, 2)))
    for lanes, window in zip((1, 2, 6), windows, strict=True):
        yield pool(MaxPool, source, window), LaneFolding(lanes)
        yield pool(AveragePool, source, window, Quantization(S8, 0.03, -3)), LaneFolding(lanes)
    edges = (
        Window((3, 3), (2, 2), pads=(1, 1, 1, 1)),
        Window((1, 3), pads=(0, 1, 0, 2)),
        Window((4, 5), pads=(2, 2, 2, 1)),
    )
    for lanes, window in zip((2, 3, 1), edges, strict=True):
        yield edge_pool(source, window, Quantization(S8, 0.03, -3)), LaneFolding(lanes)
    yield edge_pool(FeatureMap(3, 3, 2, S8), Window((2, 2), (2, 2), pads=(1, 0, 0, 1))), LaneFolding(2)
    yield replace(pool(MaxPool, FeatureMap(4, 4, 2, S8), windows[0]), clamp=(-5, 90)), LaneFolding(2)
    for lanes in (1, 6):
        averaged = site("GlobalAveragePool", source, Window((1, 1)), 6)
        yield GlobalAveragePool.from_site(averaged), LaneFolding(lanes)
    whole = Window((source.height, source.width))
    for lanes in (1, 6):
        yield GlobalMaxPool.from_site(site("MaxPool", source, whole, 6)), LaneFolding(lanes)
    yield pool(MaxPool, FeatureMap(4, 8, 2, U8), windows[0]), PixelFolding(2)
    yield replace(pool(MaxPool, FeatureMap(3, 8, 1, S8), windows[1]), clamp=(-5, 90)), PixelFolding(4)
    yield GlobalMaxPool(FeatureMap(3, 1, 6, S8), clamp=(-5, 90)), LaneFolding(3)
    yield GlobalMaxPool(FeatureMap(1, 1, 4, S8), clamp=(-128, 127)), LaneFolding(2)
    yield raw("GlobalAveragePool", source, whole, 6), LaneFolding(2)
    yield raw("AveragePool", source, windows[0], 6), LaneFolding(3)


def _plumbing():
    source = FeatureMap(4, 4, 6, S8)
    requantized = replace(site("Requantize", source, Window((1, 1)), 6, Quantization(U8, 0.013, 90)))
    yield Table.from_site(requantized), LaneFolding(3)
    yield Table.from_site(requantized), LaneFolding(12)
    quantization = Quantization(U8, 0.02, 3)
    yield joint(Add, ((3, 4, 2),) * 2, (quantization,) * 2, quantization), LaneFolding(8)
    yield from pairs()
    yield from moves()
    yield from elements()


def _joints():
    """Units that compute no operator."""
    source = FeatureMap(4, 4, 6, S8)
    for depth in (1, 4, 100):
        yield StreamQueue(Port(source, 2), depth)
    yield Fork(Port(source, 2), (8, 16, 5))
    yield Fork(Port(source, 2), (8, 70))  # one of them in block RAM
    for lanes in ((1, 3), (3, 1), (3, 2), (2, 3), (6, 1)):
        yield WidthConverter(Port(source, lanes[0]), lanes[1])
    for rows, port in ((3, Port(FeatureMap(6, 5, 4, U8), 2)), (5, Port(FeatureMap(7, 3, 2, S8), 2))):
        yield RowFork(port, tuple(row_ranges(port.map.height, rows, rows // 2)), (SHORT_QUEUE,) * rows)
        yield WindowRows(port, rows, rows // 2, -3 if port.map.type.signed else 3)


def _tapped():
    """Convolutions over rows side by side: map, channels out, outputs of a pass, lanes, places of the tap, rows."""
    for source, channels, outputs, lanes, depth, rows in (
        (FeatureMap(6, 7, 4, U8), 6, 3, 2, 16, 3),
        (FeatureMap(6, 7, 4, S8), 6, 3, 4, 4, 3),
        (FeatureMap(5, 4, 2, U8), 5, 2, 1, 3, 3),
        (FeatureMap(7, 6, 4, U8), 10, 1, 2, 2, 3),
        (FeatureMap(8, 5, 2, U8), 4, 3, 2, 8, 5),
    ):
        side = rows // 2
        op = conv(source, Window((rows, 3), pads=(side, 1, side, 1)), channels)
        yield RowConv(op, _mac("columns", rows * lanes, outputs, lanes, 1, in_luts=True), depth)
    op = conv(FeatureMap(6, 7, 4, U8), Window((3, 3), pads=(1, 1, 1, 1)), 6)
    yield RowConv(op, _mac("columns", 6, 3, 2, 1, in_luts=True, products=2, array="dsp48e2"), 16)


def _named(units):
    return [(f"{kind(unit)}-{unit.inputs[0].map}-{unit}".replace(" ", ","), unit) for unit in units]


def kind(unit) -> str:
    """What a unit computes; itself where it only joins others."""
    return type(unit.op if isinstance(unit, OperatorUnit) else unit).__name__


CONVOLUTIONS = (
    *_convolutions(),
    *_packed(),
    *_grouped(),
    *_searched(),
    *_in_columns(),
    *_in_patches(),
    *_multiplied(),
    *_cascades(),
    *_constants(),
    *_in_luts(),
    *_abreast(),
)
UNITS = [
    MaxAbreastUnit(op, folding) if isinstance(folding, PixelFolding) else unit_of(op, folding)
    for op, folding in (*CONVOLUTIONS, *_dense(), *_pools(), *_plumbing())
]
CASES = _named([*UNITS, *_tapped(), *_joints()])
