"""Channels whose weights are all zero: their bias is their result, however small the scale of the weights."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen.flow import quantised
from hwgen.graph import golden
from hwgen.graph.writer import write_qdq

from .reference import compare


def still_model(path, tiny, per_channel=True):
    """A quantised convolution of 3 channels of which the second has zeros for weights and a scale of ``tiny``."""
    weights = np.arange(-18, 18, dtype=np.int8).reshape(3, 3, 2, 2)
    weights[1] = 0
    scale = np.float32([0.01, tiny, 0.02]) if per_channel else np.float32(tiny)
    if not per_channel:
        weights[:] = 0
    arrays = {
        "w": weights, "ws": scale, "b": np.float32([0.1, 0.7, -0.3]), "s": np.float32(0.05), "z": np.int8(3),
    }  # fmt: skip
    arrays["wz"] = np.zeros(scale.shape, np.int8)

    def node(op, inputs, output, **attributes):
        return helper.make_node(op, inputs.split(), [output], name=output, **attributes)

    axis = {"axis": 0} if per_channel else {}
    nodes = [
        node("QuantizeLinear", "x s z", "xq"), node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "w ws wz", "wd", **axis), node("Conv", "xd wd b", "c"),
        node("QuantizeLinear", "c s z", "q"), node("DequantizeLinear", "q s z", "y"),
    ]  # fmt: skip
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 3, 5, 6]), ("y", [1, 3, 4, 5]))
    ]
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()]
    graph = helper.make_graph(nodes, "still", ends[:1], ends[1:], kept)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("tiny", [1e-12, 1e-40, 0])
def test_a_still_channel_is_its_bias(tmp_path, tiny, per_channel):
    still_model(tmp_path / "m.onnx", tiny, per_channel)
    found = quantised(tmp_path / "m.onnx")
    network, frames = found.network, np.random.default_rng(1).normal(size=(2, 3, 5, 6)).astype(np.float32)
    write_qdq(found.graph, tmp_path / "written.onnx")
    compare(network, frames, tmp_path / "written.onnx")
    result = golden.run(network, golden.network_input(network, frames))[network.output.name]
    assert (result[..., 1] == round(0.7 / 0.05) + 3).all()
    assert all(layer.op.gap is None for layer in network.layers)
