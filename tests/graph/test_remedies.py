"""What is refused names the way out."""

import numpy as np
import pytest
from onnx import helper

import hwgen
from hwgen.blocks import OPERATORS
from hwgen.graph.errors import InputError, ModelError
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from tests.graph.models import build, node, save


def test_a_resize_with_antialias(tmp_path):
    nodes = [node("Resize", "x  scales", "y", mode="linear", antialias=1)]
    model = build(nodes, "y", {"scales": np.float32([1, 1, 0.5, 0.5])}, opset=18)
    with pytest.raises(ModelError, match="export the resize with antialias=0, or end the network before it with --out"):
        read_model(save(model, tmp_path))


def test_an_average_of_different_numbers_that_nothing_quantises(tmp_path):
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("AveragePool", "d", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ]
    path = save(build(nodes, "y", {"s": np.float32(0.1), "z": np.uint8(9)}, ("x", (1, 2, 4, 4))), tmp_path)
    with pytest.raises(ModelError, match="quantise its result, or end the network before it with --outputs"):
        lower(simplify(read_model(path)), OPERATORS)


def test_a_model_that_is_quantised_frame_by_frame(tmp_path):
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("ConvInteger", "q w z", "c"),
        node("Cast", "c", "f", to=1),
        node("Mul", "f s", "y"),
    ]
    path = save(build(nodes, "y", {"w": np.ones((2, 1, 3, 3), np.int8)}, ("x", (1, 1, 8, 8))), tmp_path)
    with pytest.raises(ModelError, match=r"quantise the model statically, or give the float model$"):
        read_model(path)


def test_a_model_that_a_runtime_has_optimised(tmp_path):
    fused = node("FusedConv", "x w", "c", domain="com.microsoft", activation="Relu")
    model = build([fused, node("Conv", "c w", "y")], "y", {"w": np.ones((1, 1, 3, 3), np.float32)}, ("x", (1, 1, 8, 8)))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(ModelError, match=r"FusedConv is not supported: .*give the model before that"):
        read_model(save(model, tmp_path))


def test_nothing_to_compare(tmp_path):
    """The only layer gives sums that nothing quantises."""
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("DequantizeLinear", "w s", "wd"),
        node("Conv", "d wd", "y"),
    ]
    constants = {"s": np.float32(0.1), "z": np.uint8(9), "w": np.ones((2, 1, 3, 3), np.int8)}
    path = save(build(nodes, "y", constants, ("x", (1, 1, 8, 8))), tmp_path)
    design = hwgen.compile(path, multipliers=4)
    with pytest.raises(InputError, match="no integers to compare; quantise its result, or simulate without it"):
        design.against_onnxruntime(np.zeros((1, 1, 8, 8), np.float32))
