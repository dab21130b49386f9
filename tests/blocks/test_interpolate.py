"""Linear resizing: shares are exact fractions, and what models bring is computed from exact sums."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hwgen.blocks import OPERATORS, PARTS, AveragePool, Conv, Float, Interpolate, Keep
from hwgen.blocks.move.interpolate import Shares
from hwgen.flow.front import quantised
from hwgen.graph import golden
from hwgen.graph.semantics.resize import COORDINATES, taps
from hwgen.graph.types import S8, FeatureMap
from hwgen.testing import random_frames


def interpolated(x, axis, size, count, scale, mode):
    """``x`` [N, H, W, C] by the definition."""
    pairs = taps(size, count, scale, "linear", mode, "floor")
    shape = (1, -1, 1, 1) if axis == 0 else (1, 1, -1, 1)
    return sum(x.take(index, axis + 1) * share.reshape(shape) for index, share in pairs)


@given(st.integers(1, 7), st.integers(1, 5), st.sampled_from(COORDINATES), st.integers(0, 1))
def test_whole_scales_have_exact_shares_in_every_mode(size, scale, mode, axis):
    shares = Shares.of(size, size * scale, scale, mode)
    source = FeatureMap(*((size, 3) if axis == 0 else (3, size)), 2, S8)
    x = random_frames(source, 2)
    wanted = interpolated(x, axis, size, size * scale, scale, mode)
    np.testing.assert_allclose(Interpolate(source, axis, shares).golden(x) / shares.whole, wanted, atol=1e-9)


@given(st.integers(2, 30), st.integers(1, 29), st.sampled_from(COORDINATES), st.integers(0, 1))
def test_smaller_maps_have_exact_shares_of_the_lines_that_are_kept(size, count, mode, axis):
    count = min(count, size - 1)
    shares = Shares.of(size, count, count / size, mode)
    if shares is None:  # no small denominator
        return
    x = random_frames(FeatureMap(*((size, 3) if axis == 0 else (3, size)), 2, S8), 2)
    wanted = interpolated(x, axis, size, count, count / size, mode)
    kept = x.take(shares.kept, axis + 1)
    source = FeatureMap(*kept.shape[1:], S8)
    np.testing.assert_allclose(Interpolate(source, axis, shares).golden(kept) / shares.whole, wanted, atol=1e-4)
    assert max(shares.comes.max(), shares.goes.max()) <= 2


def test_what_has_no_fractions_is_left():
    assert Shares.of(300, 601, 601 / 300, "align_corners") is None


def resized(tmp_path, mode, scales):
    """The network of a convolution that is resized."""
    random = np.random.default_rng(3)
    arrays = {"w": random.normal(size=(4, 3, 1, 1)).astype(np.float32), "s": np.float32([1, 1, *scales])}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="c"),
        helper.make_node(
            "Resize", ["c", "", "s"], ["y"], name="up", mode="linear", coordinate_transformation_mode=mode
        ),
    ]
    size = [1, 4, int(5 * scales[0]), int(6 * scales[1])]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 3, 5, 6]), ("y", size))]
    graph = helper.make_graph(
        nodes, "up", ends[:1], ends[1:], [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "up.onnx")
    return quantised(tmp_path / "up.onnx", random.normal(size=(8, 3, 5, 6)).astype(np.float32)).network


def outcome(network, scales, mode):
    """What the network makes of random frames, and what the definition does, both as real numbers."""
    tensors = golden.run(network, random_frames(network.input.map, 2))
    real = {name: network.tensors[name].quantization.dequantize(tensors[name]) for name in tensors}
    source = next(layer.output for layer in network.layers if isinstance(layer.op, Conv))
    wanted = real[source]
    for axis, scale in enumerate(scales):
        size = wanted.shape[axis + 1]
        wanted = interpolated(wanted, axis, size, int(size * np.float32(scale)), float(np.float32(scale)), mode)
    # Of the calibrated range nothing is cut off by more than a step.
    inside = network.output.quantization.dequantize(network.output.quantization.quantize(wanted))
    return real[network.output.name], inside


@pytest.mark.parametrize("mode", COORDINATES)
@pytest.mark.parametrize("scales", [(2, 3), (0.6, 0.5), (0.4, 2), (3, 0.5)])
def test_models_are_resized_in_hardware(tmp_path, mode, scales):
    network = resized(tmp_path, mode, scales)
    assert not any(isinstance(layer.op, Float) for layer in network.layers)
    assert all(layer.op.gap is None and type(layer.op) in (*OPERATORS, *PARTS) for layer in network.layers)
    ours, wanted = outcome(network, scales, mode)
    # Half a step is what rounding may do.
    assert np.abs(ours - wanted).max() <= 1.01 * network.output.quantization.scale


def test_a_larger_map_drops_nothing(tmp_path):
    network = resized(tmp_path, "half_pixel", (2, 3))
    assert [type(layer.op) for layer in network.layers[-3:]] == [Interpolate, Interpolate, AveragePool]


def test_a_smaller_map_drops_what_nothing_is_made_of(tmp_path):
    network = resized(tmp_path, "asymmetric", (0.4, 0.5))
    assert [type(layer.op) for layer in network.layers[-3:]] == [Keep, Interpolate, AveragePool]
