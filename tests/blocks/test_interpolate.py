"""Linear resizing: shares are exact fractions, and what models bring is computed from exact sums."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hwgen.blocks import OPERATORS, AveragePool, Float, Interpolate
from hwgen.blocks.interpolate import Shares
from hwgen.flow import quantised
from hwgen.graph import golden
from hwgen.graph.resize import COORDINATES, taps
from hwgen.graph.types import S8, FeatureMap
from hwgen.testing import random_frames


@given(st.integers(1, 7), st.integers(1, 5), st.sampled_from(COORDINATES), st.integers(0, 1))
def test_whole_scales_have_exact_shares_in_every_mode(size, scale, mode, axis):
    shares = Shares.of(size, size * scale, scale, mode)
    source = FeatureMap(*((size, 3) if axis == 0 else (3, size)), 2, S8)
    x = random_frames(source, 2)
    pairs = taps(size, size * scale, scale, "linear", mode, "floor")
    shape = (1, -1, 1, 1) if axis == 0 else (1, 1, -1, 1)
    wanted = sum(x.take(index, axis + 1) * share.reshape(shape) for index, share in pairs)
    np.testing.assert_allclose(Interpolate(source, axis, shares).golden(x) / shares.whole, wanted, atol=1e-9)


def test_what_shrinks_or_has_no_fractions_is_left():
    assert Shares.of(8, 4, 0.5, "half_pixel") is None
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


@pytest.mark.parametrize("mode", COORDINATES)
def test_models_are_resized_in_hardware(tmp_path, mode):
    network = resized(tmp_path, mode, (2, 3))
    *_, rows, columns, last = (layer.op for layer in network.layers)
    assert [type(op) for op in (rows, columns, last)] == [Interpolate, Interpolate, AveragePool]
    assert all(layer.op.gap is None and type(layer.op) in OPERATORS for layer in network.layers)
    tensors = golden.run(network, random_frames(network.input.map, 2))
    real = {name: network.tensors[name].quantization.dequantize(tensors[name]) for name in tensors}
    wanted = real[network.layers[-3].inputs[0]]
    for axis, scale in ((1, 2), (2, 3)):
        pairs = taps(wanted.shape[axis], wanted.shape[axis] * scale, scale, "linear", mode, "floor")
        shape = [-1 if n == axis else 1 for n in range(4)]
        wanted = sum(wanted.take(index, axis) * share.reshape(shape) for index, share in pairs)
    step = network.output.quantization.scale
    # Half a step is what rounding may do; of the calibrated range nothing is cut off by more than one more.
    inside = network.output.quantization.dequantize(network.output.quantization.quantize(wanted))
    assert np.abs(real[network.output.name] - inside).max() <= 1.01 * step


def test_a_smaller_map_is_golden_only(tmp_path):
    network = resized(tmp_path, "half_pixel", (0.6, 0.5))
    assert isinstance(network.layers[-1].op, Float)
    assert network.layers[-1].op.gap == "Resize in floating point"
