"""Models of one frame whose Squeeze or Reshape drops the batch: frames stay apart, and every number is the file's."""

from dataclasses import replace

import numpy as np
import pytest

from hwgen import flow
from hwgen.graph.errors import ModelError
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.semantics.float_model import run_float
from tests.graph.models import build, node, save

ort = pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(5)
SOURCE = ("x", (1, 2, 6, 6))
CONSTANTS = {
    "w": RNG.normal(size=(8, 2, 3, 3)).astype(np.float32),
    "m": RNG.normal(size=(8, 4)).astype(np.float32),
    "b": RNG.normal(size=4).astype(np.float32),
    "m2": RNG.normal(size=(4, 3)).astype(np.float32),
    "column": RNG.normal(size=(4, 1)).astype(np.float32),
    "vector": np.int64([-1]),
    "eight": np.int64([8]),
    "first": np.int64([0]),
    "map": np.int64([0, 2, 3]),
    "half": np.float32(0.02),
    "zero": np.uint8(0),
    "weight": RNG.integers(-127, 128, (8, 4)).astype(np.int8),
    "weight_zero": np.int8(0),
}
DROPS = {
    "squeeze": [node("Squeeze", "p", "s")],
    "axes": [node("Squeeze", "p map", "s")],
    "reshape": [node("Reshape", "p vector", "s")],
    "eight": [node("Reshape", "p eight", "s")],
}
BEHIND = {
    "matmul": [node("MatMul", "s m", "y")],
    "layers": [
        node("MatMul", "s m", "a"),
        node("Add", "a b", "c"),
        node("Relu", "c", "r"),
        node("MatMul", "r m2", "y"),
    ],
    "softmax": [node("MatMul", "s m", "a"), node("Softmax", "a", "y", axis=0)],
    "gemm": [node("Unsqueeze", "s first", "u"), node("Gemm", "u m b", "y")],
    "one number": [node("MatMul", "s m", "a"), node("Relu", "a", "r"), node("MatMul", "r column", "y")],
    "nothing": [node("Relu", "s", "y")],
}
BODY = [node("Conv", "x w", "c0"), node("Relu", "c0", "r0"), node("GlobalAveragePool", "r0", "p")]


def model(*nodes):
    used = {name for each in (*BODY, *nodes) for name in each.input}
    constants = {name: value for name, value in CONSTANTS.items() if name in used}
    return build([*BODY, *nodes], "y", constants, SOURCE)


def frames(count):
    return RNG.random((count, *SOURCE[1][1:])).astype(np.float32)


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("drop", DROPS)
def test_the_numbers_are_those_of_the_file(drop, behind, tmp_path):
    path = save(model(*DROPS[drop], *BEHIND[behind]), tmp_path)
    graph, x = read_model(path), frames(3)
    simple = simplify(graph)
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    expected = np.stack([session.run(None, {"x": frame[None]})[0] for frame in x])
    one = run_float(graph, {"x": x[:1]})["y"]
    np.testing.assert_allclose(one.reshape(expected[0].shape), expected[0], rtol=1e-4, atol=1e-6)
    if behind == "softmax":  # which is left to the host
        expected = np.stack([run_float(read_model(path, outputs=("a",)), {"x": frame[None]})["a"] for frame in x])
    given = run_float(simple, {"x": x})[simple.outputs[0]]
    np.testing.assert_allclose(given.reshape(expected.shape), expected, rtol=1e-4, atol=1e-6)


def test_integers_equal_those_of_onnxruntime(tmp_path):
    front = flow.quantised(save(model(*DROPS["squeeze"], *BEHIND["layers"]), tmp_path), calibration=frames(20))
    result = front.against_onnxruntime(frames(5))
    assert result.equal
    assert len(result.tensors) >= 4


def test_integers_of_a_quantised_file_equal_those_of_onnxruntime(tmp_path):
    """Its own tensors have no batch; they are compared all the same, and a wrong one is found."""
    nodes = [
        node("QuantizeLinear", "x half zero", "xq"),
        node("DequantizeLinear", "xq half zero", "xd"),
        node("GlobalAveragePool", "xd", "p"),
        node("QuantizeLinear", "p half zero", "pq"),
        node("DequantizeLinear", "pq half zero", "pd"),
        node("Squeeze", "pd", "s"),
        node("QuantizeLinear", "s half zero", "sq"),
        node("DequantizeLinear", "sq half zero", "sd"),
        node("DequantizeLinear", "weight half weight_zero", "wd"),
        node("MatMul", "sd wd", "a"),
        node("QuantizeLinear", "a half zero", "aq"),
        node("DequantizeLinear", "aq half zero", "y"),
    ]
    used = {name for each in nodes for name in each.input}
    constants = {name: value for name, value in CONSTANTS.items() if name in used}
    front = flow.quantised(save(build(nodes, "y", constants, ("x", (1, 8, 6, 6))), tmp_path))
    x = RNG.random((20, 8, 6, 6)).astype(np.float32)
    result = front.against_onnxruntime(x)
    assert result.equal
    assert result.model == "model.onnx"
    assert result.tensors == ("pq", "aq/apart")
    assert result.integers == 20 * (8 + 4)
    dense = front.network.layers[-1]
    wrong = replace(dense, op=replace(dense.op, weights=-dense.op.weights))
    network = replace(front.network, layers=(*front.network.layers[:-1], wrong))
    differences = replace(front, network=network).against_onnxruntime(x).differences
    assert [difference.tensor for difference in differences] == ["aq/apart"]


@pytest.mark.parametrize("shape", [(2, 8, 4), (8,)])
def test_other_products_of_a_vector_are_refused(shape, tmp_path):
    """They would mix frames, or leave nothing to stream."""
    nodes = [*BODY, *DROPS["squeeze"], node("MatMul", "s other", "y")]
    path = save(build(nodes, "y", {"w": CONSTANTS["w"], "other": np.ones(shape, np.float32)}, SOURCE), tmp_path)
    with pytest.raises(ModelError, match=r"node '.*' \((MatMul|Squeeze|Reshape)\)"):
        flow.quantised(path, calibration=frames(3))
