"""The structure-only networks of the onnx package: weights made by ConstantOfShape, expected results stored."""

from pathlib import Path

import numpy as np
import onnx.backend.test
import pytest
from onnx import TensorProto, numpy_helper

from hwgen.graph.check import check_graph
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.semantics.float_model import node_results

FOLDER = Path(onnx.backend.test.__file__).parent / "data" / "light"
KEPT = {"Conv", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Gemm", "Reshape", "Concat", "Add"}
OPERATORS = {  # besides KEPT
    "bvlc_alexnet": {"LRN"},
    "densenet121": {"Mul"},
    "inception_v1": {"LRN"},
    "inception_v2": set(),
    "resnet50": set(),
    "shufflenet": {"Transpose"},
    "squeezenet": set(),
    "vgg19": set(),
    "zfnet512": {"LRN"},
}
RUN = (
    "inception_v1",
    "shufflenet",
    "squeezenet",
    pytest.param("densenet121", marks=pytest.mark.slow),
)  # the quick ones


@pytest.mark.parametrize("name", OPERATORS)
def test_import(name):
    graph = simplify(read_model(FOLDER / f"light_{name}.onnx"))
    check_graph(graph)
    assert {node.op for node in graph.nodes} <= KEPT | OPERATORS[name]
    assert OPERATORS[name] <= {node.op for node in graph.nodes}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_results(name):
    """On the frame of the package's own test, to the tolerance of the package's own test.

    In float64: in front of its Softmax squeezenet has equal numbers near 1e10, and in float32 the order in which a
    processor's BLAS adds decides what becomes of them.
    """
    graph = read_model(FOLDER / f"light_{name}.onnx")
    shape = graph.tensors[graph.inputs[0]].shape
    size = int(np.prod(shape))
    x = (np.arange(size).reshape(shape) / size).astype(np.float32).astype(np.float64)
    expected = numpy_helper.to_array(TensorProto.FromString((FOLDER / f"light_{name}_output_0.pb").read_bytes()))
    values = {**graph.constants, graph.inputs[0]: x}
    for node in graph.nodes:
        values |= node_results(node, [values[operand] if operand else None for operand in node.inputs])
    np.testing.assert_allclose(values[graph.outputs[0]], expected, rtol=1e-3, atol=1e-7)
