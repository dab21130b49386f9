"""What is written is standard, deterministic, and reads back as what it was."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from hwgen.graph.onnx.reader import read_model
from hwgen.graph.onnx.writer import write_qdq
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.quantize import quantize
from hwgen.graph.semantics.float_model import run_float
from tests.graph.models import build, lenet_like, node, save
from tests.graph.reference import session


@pytest.fixture
def graph(tmp_path):
    frames = np.random.default_rng(0).normal(0, 1, (8, 1, 12, 12)).astype(np.float32)
    return quantize(simplify(read_model(save(lenet_like(), tmp_path))), frames)


def test_same_graph_same_bytes(tmp_path, graph):
    paths = tmp_path / "a.onnx", tmp_path / "b.onnx"
    for path in paths:
        write_qdq(graph, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "b.onnx", "model.onnx"]


def test_standard_file(tmp_path, graph):
    write_qdq(graph, tmp_path / "q.onnx")
    model = onnx.load(tmp_path / "q.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    kinds = {onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in model.graph.initializer}
    assert kinds == {"INT8", "UINT8", "INT32", "FLOAT", "INT64"}


def test_reads_back(tmp_path, graph):
    write_qdq(graph, tmp_path / "model.onnx")
    again = read_model(tmp_path / "model.onnx")
    assert str(again) == str(graph)
    assert simplify(again).nodes


def test_runtime_fuses_to_integer_kernels(tmp_path, graph):
    """Otherwise it would compute in float, and equality would be luck."""
    import onnxruntime

    write_qdq(graph, tmp_path / "q.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(tmp_path / "q.onnx", options, providers=["CPUExecutionProvider"])
    ops = [n.op_type for n in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert ops.count("QLinearConv") == 2
    assert ops.count("QGemm") == 2
    assert not {"Conv", "Gemm", "MatMul"} & set(ops)


def test_nothing_half_written_is_left(tmp_path, graph):
    with pytest.raises(OSError, match="absent"):
        write_qdq(graph, tmp_path / "absent" / "q.onnx")
    assert not (tmp_path / "absent").exists()


def test_batches_run(tmp_path, graph):
    write_qdq(graph, tmp_path / "q.onnx")
    result = session(tmp_path / "q.onnx").run(None, {"x": np.zeros((7, 1, 12, 12), np.float32)})[0]
    assert result.shape == (7, 10)


@pytest.mark.parametrize(("dtype", "limits"), [(np.int8, (-3, 3)), (np.uint8, (0, 1)), (np.int8, None)])
def test_narrow_integers_are_clipped(tmp_path, dtype, limits):
    """They are read back as what they were, and ONNX Runtime takes the file."""
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")]
    graph = read_model(save(build(nodes, "y", {"s": np.float32(0.5), "z": dtype(0)}, ("x", (1, 9))), tmp_path))
    narrow = [replace(each, attributes={**each.attributes, "limits": limits}) for each in graph.nodes]
    graph = replace(graph, nodes=tuple(narrow))
    write_qdq(graph, tmp_path / "narrow.onnx")
    again = simplify(read_model(tmp_path / "narrow.onnx", {"x": (1, 9)}))
    assert [each.attributes["limits"] for each in again.nodes] == [limits, limits]
    x = np.linspace(-4, 4, 9, dtype=np.float32)[None]
    expected = session(str(tmp_path / "narrow.onnx")).run(None, {"x": x})[0]
    assert np.array_equal(run_float(again, {"x": x})["y"], expected)


def test_younger_operators_have_a_younger_opset(tmp_path):
    graph = read_model(save(build([node("HardSwish", "x", "y")], "y", {}, ("x", (1, 9)), opset=14), tmp_path))
    write_qdq(graph, tmp_path / "young.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "young.onnx"), full_check=True)
