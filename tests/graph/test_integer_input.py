"""Models that take integers and compute with real numbers: a Cast and a camera's normalisation."""

import numpy as np
import pytest
from onnx import TensorProto

from hwgen import flow
from hwgen.graph import golden
from hwgen.graph.float_model import run_float
from hwgen.graph.passes import simplify
from hwgen.graph.reader import read_model
from tests.graph.models import build, node, save

RNG = np.random.default_rng(9)
WEIGHT, BIAS = RNG.normal(0, 0.4, (4, 3, 3, 3)).astype(np.float32), RNG.normal(0, 0.2, 4).astype(np.float32)
MEAN, STD = np.float32([0.485, 0.456, 0.406]).reshape(3, 1, 1), np.float32([0.229, 0.224, 0.225]).reshape(3, 1, 1)
CONSTANTS = {"w": WEIGHT, "b": BIAS, "mean": MEAN, "std": STD, "c255": np.float32(255), "half": np.float32(128)}
CONSTANTS |= {"inverse": np.float32(1 / 127.5), "one": np.float32(1), "last": MEAN.reshape(3)}
CAST = node("Cast", "x", "real", to=TensorProto.FLOAT)
FRAMES = RNG.integers(0, 256, (5, 3, 6, 6)).astype(np.uint8)


def chain(*steps):
    """Nodes in a row, from ``real`` to ``n``; a step is an operator and its constant."""
    names = ["real", *(f"n{index}" for index in range(1, len(steps))), "n"]
    return [node(op, f"{names[i]} {operand}", names[i + 1]) for i, (op, operand) in enumerate(steps)]


def model(nodes, pads, shape=(1, 3, 6, 6), kind=TensorProto.UINT8, source="n"):
    nodes = [CAST, *nodes, node("Conv", f"{source} w b", "y", pads=[pads] * 4)]
    used = {name for each in nodes for name in each.input}
    constants = {name: value for name, value in CONSTANTS.items() if name in used}
    return build(nodes, "y", constants, ("x", shape), kind=kind)


IMAGENET = (("Div", "c255"), ("Sub", "mean"), ("Div", "std"))


@pytest.mark.parametrize(
    ("steps", "pads", "left", "zero"),
    [
        ((("Div", "c255"),), 1, ["DequantizeLinear", "Conv"], 0),
        ((("Sub", "half"), ("Div", "half")), 1, ["DequantizeLinear", "Conv"], 128),
        ((("Div", "half"), ("Sub", "one")), 1, ["DequantizeLinear", "Conv"], 128),
        ((("Mul", "inverse"), ("Sub", "one")), 0, ["DequantizeLinear", "Conv"], 0),  # zero point 127.5
        ((("Mul", "inverse"), ("Sub", "one")), 1, ["DequantizeLinear", "Add", "Conv"], 0),
        (IMAGENET, 0, ["DequantizeLinear", "Conv"], 0),
        (IMAGENET, 1, ["DequantizeLinear", "Add", "Div", "Conv"], 0),
    ],
)
def test_a_normalisation_is_the_quantisation_of_the_input(steps, pads, left, zero, tmp_path):
    read = read_model(save(model(chain(*steps), pads), tmp_path))
    graph = simplify(read)
    assert [each.op for each in graph.nodes] == left
    assert graph.constants[graph.nodes[0].inputs[2]] == zero
    expected, found = (run_float(each, {"x": FRAMES[:1]})["y"] for each in (read, graph))
    np.testing.assert_allclose(found, expected, 1e-3, 1e-4)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("pads", [0, 1])
def test_golden_is_near_the_model(last, pads, tmp_path):
    """Channels first, and last with a Transpose between."""
    frames = FRAMES
    if last:
        steps = [*chain(("Div", "c255"), ("Sub", "last")), node("Transpose", "n", "first", perm=[0, 3, 1, 2])]
        path = save(model(steps, pads, (1, 6, 6, 3), source="first"), tmp_path)
        frames = FRAMES.transpose(0, 2, 3, 1)
    else:
        path = save(model(chain(*IMAGENET), pads), tmp_path)
    quantised = flow.quantised(path, calibration=frames, warn=lambda line: None)
    network = quantised.network
    assert network.integer_input
    found = golden.network_outputs(network, golden.run(network, golden.network_input(network, frames)))["y"]
    expected = run_float(simplify(read_model(path)), {"x": frames})["y"]
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


def test_a_cast_before_the_models_own_quantisation(tmp_path):
    """Computed as it says, for every byte."""
    nodes = [
        CAST,
        node("Div", "real c255", "n"),
        node("QuantizeLinear", "n scale zero", "q"),
        node("DequantizeLinear", "q scale zero", "d"),
        node("Relu", "d", "y"),
    ]
    constants = {"c255": np.float32(255), "scale": np.float32(0.01), "zero": np.int8(-20)}
    path = save(build(nodes, "y", constants, ("x", (1, 1, 16, 16)), kind=TensorProto.UINT8), tmp_path)
    network = flow.quantised(path, warn=lambda line: None).network
    frame = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    (found,) = golden.run(network, golden.network_input(network, frame), ["q"]).values()
    expected = np.clip(np.rint(frame.astype(np.float32) / np.float32(255) / np.float32(0.01)) - 20, -128, 127)
    assert found.reshape(-1).tolist() == expected.reshape(-1).tolist()
