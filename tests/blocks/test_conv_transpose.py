"""Transposed convolutions: the parts that hardware is made of compute what the definition does."""

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hwgen.blocks import Conv, ConvTranspose, Rearrange, Slice
from hwgen.graph.expression import Expression
from hwgen.graph.ir import Node
from hwgen.graph.network import QuantizedConstant, QuantizedTensor, Site
from hwgen.graph.semantics.window import TransposedWindow
from hwgen.graph.types import S8, U8, FeatureMap, Quantization
from hwgen.testing import random_frames


def transposed(source, kernel, channels, *, group=1, zero=3, function=None, seed=0, **attributes) -> ConvTranspose:
    """A transposed convolution with random weights."""
    generator = np.random.default_rng(seed)
    window = TransposedWindow.from_onnx(attributes, source.shape[:2], kernel)
    values = generator.integers(-128, 128, (source.channels, channels // group, *kernel))
    weight = QuantizedConstant(values, generator.uniform(0.001, 0.003, channels // group), np.array([0]))
    stream = QuantizedTensor("x", source, Quantization(source.type, 0.02, zero))
    target = Quantization(S8, 0.05, -4)
    output = QuantizedTensor("y", FeatureMap(*window.output_size(*source.shape[:2]), channels, S8), target)
    settings = {"window": window, "group": group}
    bias = generator.integers(-500, 500, channels)
    return ConvTranspose.from_site(
        Site("up1", "ConvTranspose", (stream,), output, settings, (-128, 127), weight, bias, function)
    )


def check(op):
    x = random_frames(op.input, 3)
    result = x
    for part in op.parts:
        result = part.golden(result)
    np.testing.assert_array_equal(result, op.golden(x))


def small(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@pytest.mark.slow
@example((1, 1), (1, 1), (1, 1), (1, 1), (2, 0), (0, 0), (2, 0), 1)  # nothing but what is added is left
@given(small(1, 5), small(1, 5), small(1, 4), small(1, 3), small(0, 3), small(0, 3), small(0, 2), st.integers(1, 2))
def test_any_window(size, kernel, strides, dilations, begins, ends, extra, group):
    source = FeatureMap(*size, 2 * group, U8)
    window = {"strides": strides, "dilations": dilations, "pads": (*begins, *ends), "output_padding": extra}
    try:
        op = transposed(source, kernel, 3 * group, group=group, **window)
    except ValueError:
        assume(False)  # nothing is left of the result
    check(op)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
def test_zeros_around_the_result(mode):
    check(transposed(FeatureMap(3, 4, 2, U8), (1, 2), 3, strides=(3, 4), auto_pad=mode))


def test_functions_of_each_channel():
    slopes = {"s": np.float32([[[0.1, 0.5, 0.25]]])}
    sloped = Expression((Node("p", "PRelu", ("x", "s"), ("y",)),), slopes, ("x",), "y")
    check(transposed(FeatureMap(3, 4, 2, U8), (4, 4), 3, strides=(2, 2), pads=(1, 1, 1, 1), function=sloped))


def test_no_multiplication_by_what_is_between_pixels():
    op = transposed(FeatureMap(8, 8, 4, U8), (2, 2), 6, strides=(2, 2))
    assert [type(part).__bases__[0] for part in op.parts[:1]] == [Conv]
    assert [type(part) for part in op.parts[1:]] == [Rearrange]
    assert op.parts[0].weights.size == op.weights.size
    assert op.parts[0].macs == 8 * 8 * 4 * 6 * 2 * 2


def test_edges_are_cut_off():
    op = transposed(FeatureMap(8, 8, 4, U8), (4, 4), 6, strides=(2, 2), pads=(1, 1, 1, 1))
    assert [type(part) for part in op.parts[1:]] == [Rearrange, Slice]
    assert op.parts[0].output.shape == (9, 9, 24)
    assert op.parts[0].weights.size == op.weights.size
