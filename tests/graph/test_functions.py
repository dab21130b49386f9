"""Functions of one stream become tables, whatever opset or optimiser they come from; ONNX Runtime gives the same."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hwgen.blocks import OPERATORS
from hwgen.blocks.pointwise.table import ChannelTable, Table
from hwgen.graph import golden
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.onnx.writer import write_qdq
from hwgen.graph.passes import simplify
from hwgen.graph.semantics.operators import MICROSOFT
from tests.graph.models import build, node, save
from tests.graph.reference import runtime_integers

SCALE = np.float32(1 / 32)  # of integers around 128: real numbers from -4 to 4
CONSTANTS = {
    "s": SCALE,
    "z": np.uint8(128),
    "ys": np.float32(0.0171),
    "yz": np.uint8(60),
    "bias": np.full(256, 0.25, np.float32),
}
FUNCTIONS = {
    "Swish": (24, {}),
    "Swish, its slope": (24, {"alpha": 1.5}),
    "Atan": (13, {}),
    "Asinh": (13, {}),
    "Cos": (13, {}),
    "Sin": (13, {}),
    "Sinh": (13, {}),
    "Cosh": (13, {}),
    "Shrink": (13, {"lambd": 0.7, "bias": 0.3}),
}
CONTRIBUTED = {
    "QuickGelu": ("d", {}),
    "QuickGelu, its slope": ("d", {"alpha": 1.0}),
    "Gelu": ("d", {}),
    "BiasGelu": ("d bias", {}),
    "FastGelu": ("d", {}),
    "FastGelu, a bias": ("d bias", {}),
}


def quantised(function, opset=13):
    nodes = [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "d"),
        function,
        node("QuantizeLinear", "f ys yz", "y"),
    ]
    used = {name for each in nodes for name in each.input}
    model = build(nodes, "y", {n: v for n, v in CONSTANTS.items() if n in used}, ("x", ("N", 256)), opset)
    model.ir_version = helper.OP_SET_ID_VERSION_MAP["ai.onnx", opset]
    model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return model


def check(model, tmp_path):
    path = save(model, tmp_path)
    graph = simplify(read_model(path))
    network = lower(graph, OPERATORS)
    (layer,) = network.layers
    assert isinstance(layer.op, Table | ChannelTable)
    frame = (np.arange(256, dtype=np.float32) - 128).reshape(1, 256) * SCALE
    ours = golden.output(network, golden.network_input(network, frame))
    assert np.array_equal(ours.reshape(-1), runtime_integers(path, frame)["y"].reshape(-1))
    write_qdq(graph, tmp_path / "written.onnx")
    assert onnx.load(tmp_path / "written.onnx").opset_import[0].version <= 20
    assert np.array_equal(ours.reshape(-1), runtime_integers(tmp_path / "written.onnx", frame)["y"].reshape(-1))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_standard_functions(name, tmp_path):
    opset, attributes = FUNCTIONS[name]
    check(quantised(node(name.split(",")[0], "d", "f", **attributes), opset), tmp_path)


@pytest.mark.parametrize("name", CONTRIBUTED)
def test_functions_of_the_runtimes_optimiser(name, tmp_path):
    inputs, attributes = CONTRIBUTED[name]
    check(quantised(node(name.split(",")[0], inputs, "f", domain=MICROSOFT, **attributes)), tmp_path)


@pytest.mark.parametrize("form", ["value", "value_float", "value_floats"])
def test_constants_in_nodes_of_every_form(form, tmp_path):
    value = {
        "value": helper.make_tensor("", TensorProto.FLOAT, [], [0.5]),
        "value_float": 0.5,
        "value_floats": [0.5],
    }[form]
    model = quantised(node("Mul", "d half", "f"))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["half"], **{form: value}))
    check(model, tmp_path)
