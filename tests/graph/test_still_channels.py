"""Channels whose weights are zero, or never matter: their bias is their result, however small the weights' scale."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen.dataflow.search.search import search
from hwgen.flow.front import quantised
from hwgen.graph import golden
from hwgen.graph.errors import ModelError
from hwgen.graph.onnx.writer import write_qdq
from hwgen.simulate.simulation import simulate

from .models import build, node, save
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


def drowned_model(path, op, tiny, per_channel, bias_type, bias=0.7):
    """A layer of 3 channels of which the second has weights with a scale of ``tiny`` beside a ``bias``, or 3e6."""
    rng = np.random.default_rng(0)
    scale = np.float32([0.01037, tiny, 0.02011]) if per_channel else np.float32(tiny)
    weights = rng.integers(-100, 100, (3, 12) if op == "Gemm" else (3, 3, 2, 2)).astype(np.int8)
    bias = np.float32([0.1, bias if tiny < 1e-4 else 3e6, -0.3])
    constants = {
        "w": weights,
        "ws": scale,
        "wz": np.zeros(scale.shape, np.int8),
        "s": np.float32(0.05),
        "z": np.int8(3),
    }
    constants |= {"t": np.float32(0.0517)}
    constants |= {"b": bias} if bias_type == "real" else {"bi": np.int32(bias / 0.01), "bs": np.float32(0.01)}
    axis = {"axis": int(op == "ConvTranspose")} if per_channel else {}
    more = {"transB": 1} if op == "Gemm" else {}
    nodes = [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "w ws wz", "wd", **axis),
        *([node("DequantizeLinear", "bi bs", "b")] if bias_type == "integers" else []),
        *([node("Flatten", "xd", "f")] if op == "Gemm" else []),
        node(op, "f wd b" if op == "Gemm" else "xd wd b", "c", **more),
        node("Relu", "c", "r"),
        node("QuantizeLinear", "r t z", "q"),
        node("DequantizeLinear", "q t z", "y"),
    ]
    shape = (1, 3, 2, 2) if op == "Gemm" else (1, 3, 5, 6)
    return save(build(nodes, "y", constants, ("x", shape), opset=17), path)


def unfused(path, name, frames):
    """What ONNX Runtime computes in float32, node by node: fused, it makes steps of a bias that 32 bits do not hold."""
    ort = pytest.importorskip("onnxruntime")
    model = onnx.load(path)
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([name], {"x": frame[None]})[0] for frame in frames])


@pytest.mark.filterwarnings("ignore:.*its bias is quantised, but not with scale")
@pytest.mark.parametrize("bias_type", ["real", "integers"])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("tiny", [1e-3, 1e-9, 1e-12, 1e-42, 0])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "Gemm"])
def test_a_channel_whose_weights_drown_is_its_bias(tmp_path, op, tiny, per_channel, bias_type):
    path = drowned_model(tmp_path, op, tiny, per_channel, bias_type)
    found = quantised(path)
    network = found.network
    frames = np.random.default_rng(1).normal(size=(2, *network.input_shape)).astype(np.float32)
    result = golden.run(network, golden.network_input(network, frames))[network.output.name]
    expected = unfused(path, "q", frames)
    assert np.array_equal(result, np.moveaxis(expected, 1, -1).reshape(result.shape))
    assert len(np.unique(result[..., 1])) == 1
    assert all(layer.op.gap is None for layer in network.layers)
    if op != "ConvTranspose":  # which ONNX Runtime computes in float32
        write_qdq(found.graph, tmp_path / "written.onnx")
        compare(network, frames, tmp_path / "written.onnx")


def test_a_drowned_channel_in_hardware(tmp_path):
    network = quantised(drowned_model(tmp_path, "Conv", 1e-9, True, "real")).network
    frames = np.random.default_rng(1).normal(size=(2, 3, 5, 6)).astype(np.float32)
    assert simulate(network, search(network, multipliers=12), frames, "amaranth").equal


def test_a_bias_half_way_between_two_integers_is_refused(tmp_path):
    """There the smallest sum matters; the line names the channel, and what to do."""
    path = drowned_model(tmp_path, "Conv", 1e-9, True, "real", 14.5 * 0.0517)
    with pytest.raises(ModelError, match="32 bits: quantise its channel 1 with a larger weight scale"):
        quantised(path)


@pytest.mark.parametrize("op", ["QLinearConv", "QGemm"])
@pytest.mark.parametrize("tiny", [1e-9, 1e-42])
@pytest.mark.parametrize("per_channel", [True, False])
def test_operators_on_integers_have_room_for_their_bias(tmp_path, op, tiny, per_channel):
    rng = np.random.default_rng(0)
    scale = np.float32([0.01, tiny, 0.02]) if per_channel else np.float32(tiny)
    weights = rng.integers(-100, 100, (3, 12) if op == "QGemm" else (3, 3, 2, 2)).astype(np.int8)
    constants = {"w": weights, "ws": scale, "wz": np.zeros(scale.shape, np.int8), "b": np.int32([10, 1 << 30, -30])}
    constants |= {"s": np.float32(0.05), "z": np.int8(3)}
    nodes = [node("QuantizeLinear", "x s z", "xq")]
    if op == "QGemm":
        gemm = node("QGemm", "f s z w ws wz b s z", "q", domain="com.microsoft", transB=1)
        nodes += [node("Flatten", "xq", "f"), gemm]
    else:
        nodes.append(node("QLinearConv", "xq s z w ws wz s z b", "q"))
    nodes.append(node("DequantizeLinear", "q s z", "y"))
    shape = (1, 3, 2, 2) if op == "QGemm" else (1, 3, 5, 6)
    model = build(nodes, "y", constants, ("x", shape), opset=17)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    path = save(model, tmp_path)
    network = quantised(path).network
    frames = np.random.default_rng(1).normal(size=(2, *shape[1:])).astype(np.float32)
    result = golden.run(network, golden.network_input(network, frames))[network.output.name]
    expected = unfused(path, "q", frames)
    assert np.array_equal(result, np.moveaxis(expected, 1, -1).reshape(result.shape))
