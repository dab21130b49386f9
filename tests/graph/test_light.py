"""The structure-only networks of the onnx package: weights made by ConstantOfShape, expected results stored."""

from pathlib import Path

import numpy as np
import onnx.backend.test
import pytest
from onnx import TensorProto, numpy_helper

from hwgen.graph.check import check_graph
from hwgen.graph.float_model import run_float
from hwgen.graph.passes import simplify
from hwgen.graph.reader import read_model

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
RUN = ("densenet121", "inception_v1", "shufflenet", "squeezenet")  # the quick ones


@pytest.mark.parametrize("name", OPERATORS)
def test_import(name):
    graph = simplify(read_model(FOLDER / f"light_{name}.onnx"))
    check_graph(graph)
    assert {node.op for node in graph.nodes} <= KEPT | OPERATORS[name]
    assert OPERATORS[name] <= {node.op for node in graph.nodes}


@pytest.mark.parametrize("name", RUN)
def test_results(name):
    """On the frame of the package's own test, to the tolerance of the package's own test."""
    graph = read_model(FOLDER / f"light_{name}.onnx")
    shape = graph.tensors[graph.inputs[0]].shape
    size = int(np.prod(shape))
    x = (np.arange(size).reshape(shape) / size).astype(np.float32)
    expected = numpy_helper.to_array(TensorProto.FromString((FOLDER / f"light_{name}_output_0.pb").read_bytes()))
    np.testing.assert_allclose(run_float(graph, {graph.inputs[0]: x})[graph.outputs[0]], expected, rtol=1e-3, atol=1e-7)
