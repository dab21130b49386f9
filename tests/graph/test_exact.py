"""Float file -> quantised graph -> golden network, against ONNX Runtime on the written QDQ file: every integer."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwgen.graph import golden
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.onnx.writer import write_qdq
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.calibrate import METHODS
from hwgen.graph.quantize.quantize import quantize
from hwgen.graph.quantize.recipe import Recipe
from tests.graph.models import build, lenet_like, node, save
from tests.graph.reference import compare, compile_and_compare, session
from tests.graph.toys import TOYS, ToyRearrange
from tests.shared import arrays, data, model


@pytest.mark.parametrize("method", METHODS)
def test_lenet_like(tmp_path, method):
    frames = np.random.default_rng(1).normal(0, 1, (40, 1, 12, 12)).astype(np.float32)
    network = compile_and_compare(save(lenet_like(), tmp_path), frames, tmp_path, frames, Recipe(ranges=method))
    assert [type(layer.op).__name__ for layer in network.layers] == [
        "ToyConv",
        "ToyMaxPool",
        "ToyConv",
        "ToyDense",
        "ToyDense",
    ]
    assert network.head == ("softmax",)


sides = st.integers(1, 3)


@st.composite
def convolutions(draw):
    """(model nodes and constants, frames): one convolution of any shape, Relu or not, then a pool or not."""
    group, per_group, multiplier = (draw(st.integers(1, 3)) for _ in range(3))
    kernel, strides, dilations = ([draw(sides), draw(sides)] for _ in range(3))
    pads = [draw(st.integers(0, kernel[axis] - 1)) for axis in (0, 1, 0, 1)]
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    spread = np.exp(rng.normal(0, 2, (group * multiplier, 1, 1, 1)))
    constants = {
        "w": (rng.normal(0, 0.5, (group * multiplier, per_group, *kernel)) * spread).astype(np.float32),
        "b": rng.normal(0, 1, group * multiplier).astype(np.float32),
    }
    settings = {"group": group, "strides": strides, "dilations": dilations, "pads": pads}
    nodes = [node("Conv", "x w b" if draw(st.booleans()) else "x w", "c", **settings)]
    activation = draw(st.sampled_from(["Relu", "Clip", "Identity"]))
    nodes.append(node(activation, "c", "r"))
    nodes.append(node("MaxPool", "r", "y", kernel_shape=[2, 2], pads=[0, 1, 1, 0], ceil_mode=draw(st.integers(0, 1))))
    frames = rng.normal(draw(st.sampled_from([-1, 0, 2])), 1, (5, group * per_group, 7, 8)).astype(np.float32)
    return build(nodes, "y", constants, ("x", ("N", group * per_group, 7, 8))), frames


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(convolutions())
def test_any_convolution(tmp_path, case):
    compile_and_compare(save(case[0], tmp_path), case[1], tmp_path, case[1])


@pytest.mark.parametrize("shape", [("N", 3, 20), ("N", 24)])
def test_one_dimension_and_vectors(tmp_path, shape):
    rng = np.random.default_rng(2)
    frames = rng.normal(0, 1, (6, *shape[1:])).astype(np.float32)
    nodes = [node("Flatten", "f", "y")]
    if len(shape) == 3:
        constants = {"w": rng.normal(0, 1, (4, 3, 5)).astype(np.float32)}
        nodes.insert(0, node("Conv", "x w", "f", strides=[2], pads=[2, 1], dilations=[2]))
    else:
        constants = {"w": rng.normal(0, 1, (24, 7)).astype(np.float32)}
        nodes.insert(0, node("MatMul", "x w", "f"))
    path = save(build(nodes, "y", constants, ("x", shape)), tmp_path)
    compile_and_compare(path, frames, tmp_path, frames)


def test_results_in_the_order_of_the_model(tmp_path):
    """A flattened map leaves in ONNX's order, whatever the stream's."""
    rng = np.random.default_rng(3)
    frames = rng.normal(0, 1, (4, 2, 5, 6)).astype(np.float32)
    constants = {"w": rng.normal(0, 1, (3, 2, 3, 3)).astype(np.float32)}
    nodes = [node("Conv", "x w", "c"), node("Flatten", "c", "y")]
    path = save(build(nodes, "y", constants, ("x", ("N", 2, 5, 6))), tmp_path)
    graph = quantize(simplify(read_model(path)), frames)
    network = lower(graph, (*TOYS, ToyRearrange))
    ours = golden.run(network, golden.network_input(network, frames))[network.output.name]
    write_qdq(graph, path)
    theirs = session(path).run(None, {"x": frames})[0]
    assert np.array_equal(golden.network_output(network, ours), theirs)


@pytest.fixture(scope="module")
def digits():
    return arrays(data("mnist.npz"))


@pytest.mark.slow
def test_real_float_model(tmp_path, digits):
    frames = digits["x_test"][:500, None].astype(np.float32)
    calibration = digits["x_train"][:100, None].astype(np.float32)
    network = compile_and_compare(model("ort_examples_mnist.onnx"), frames, tmp_path, calibration)
    scores = golden.run(network, golden.network_input(network, frames))[network.output.name]
    assert (scores.reshape(500, 10).argmax(axis=1) == digits["y_test"][:500]).mean() > 0.98


def test_real_quantised_model(digits):
    path = model("mnist_cntk.ort_QDQ_u8s8.onnx")
    graph = simplify(read_model(path))
    assert quantize(graph) is graph
    network = lower(graph, (*TOYS, ToyRearrange))
    assert compare(network, digits["x_test"][:200, None].astype(np.float32), path) == 4


@pytest.mark.slow
def test_real_mobilenet_with_frames_channels_last(tmp_path):
    frames = arrays(data("mlperf_tiny_vww.npz"))["x"][:8].astype(np.float32) / 255
    network = compile_and_compare(model("vww96_mbv1_025_fp32.tf2onnx.onnx"), frames, tmp_path, frames)
    assert network.input_order == "flat"
    assert network.input.map.shape == (96, 96, 3)
