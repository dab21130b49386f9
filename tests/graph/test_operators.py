"""The operator table against the schemas of the onnx package, and against its node tests."""

import re
import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hwgen.graph.errors import ModelError
from hwgen.graph.float_model import run_float
from hwgen.graph.operators import MAX_OPSET, MIN_OPSET, OPERATORS
from hwgen.graph.reader import read_model

SCHEMAS = [
    schema
    for schema in onnx.defs.get_all_schemas_with_history()
    if schema.domain == "" and schema.name in OPERATORS and schema.since_version <= MAX_OPSET
]


def newest_before(schema):
    """Whether a model of MIN_OPSET or later can mean this version of the operator."""
    later = [s.since_version for s in SCHEMAS if s.name == schema.name and s.since_version > schema.since_version]
    return not later or min(later) > MIN_OPSET


@pytest.mark.parametrize(
    "schema", [s for s in SCHEMAS if newest_before(s)], ids=lambda s: f"{s.name}-{s.since_version}"
)
def test_every_attribute_is_in_the_table(schema):
    attributes = OPERATORS[schema.name].attributes
    for name, attribute in schema.attributes.items():
        mine = attributes[name]
        assert mine.kind == attribute.type.name.lower()
        default = onnx.helper.get_attribute_value(attribute.default_value) if attribute.default_value.name else None
        default = default.decode() if isinstance(default, bytes) else default
        if mine.kept and name not in OPERATORS[schema.name].moved:
            assert mine.default_at(schema.since_version) == pytest.approx(default)
            assert mine.required == attribute.required


def collect():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    return [c for c in cases if c.model.graph.node[0].op_type in OPERATORS and len(c.model.graph.node) == 1]


def constant(value, name):
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        return numpy_helper.from_array(np.asarray(value), name)
    proto = onnx.TensorProto()
    proto.CopyFrom(value if isinstance(value, onnx.TensorProto) else value.item())
    proto.name = name
    return proto


# Beyond what is imported; each must be refused in words.
REFUSALS = (
    r"type (FLOAT|INT|UINT|BFLOAT|BOOL|type )\S* is not supported",
    r"has the type (FLOAT|INT|UINT|DOUBLE|BFLOAT|BOOL|STRING|COMPLEX)",
    r"a zero point of type",
    r"3 or 4 dimensions are supported",
    r"its attribute '(block_size|training_mode|output_dtype|precision)' is \d+; only",
    r"its result '\w+' is used; only the first is supported",
    r"matrices of shapes .*\[\d\].* do not multiply",
    r"1 to \d+ elements",
    r"it is in training mode; export the model for inference",
)


def read_or_refusal(path, shapes):
    """The graph; None where it is refused for one of REFUSALS."""
    try:
        return read_model(path, shapes)
    except ModelError as error:
        unknown = [line for line in error.problems if not any(re.search(words, line) for words in REFUSALS)]
        if unknown:
            raise
        return None


@pytest.mark.parametrize("case", collect(), ids=lambda case: case.name)
def test_node(case, tmp_path):
    """Operands beyond the first are made constants, as they are in trained networks."""
    inputs, outputs = case.data_sets[0]
    if not all(isinstance(value, np.ndarray | np.generic | onnx.TensorProto) for value in inputs):
        pytest.skip("sequences and optionals are not tensors")
    model = onnx.ModelProto.FromString(case.model.SerializeToString())
    names = [value.name for value in model.graph.input]
    for name, value in zip(names[1:], inputs[1:], strict=True):
        model.graph.initializer.append(constant(value, name))
    path = tmp_path / "node.onnx"
    path.write_bytes(model.SerializeToString())
    shape = tuple(inputs[0].dims if isinstance(inputs[0], onnx.TensorProto) else inputs[0].shape)
    graph = read_or_refusal(path, {names[0]: shape} if shape else None)
    if graph is None:
        return
    result = run_float(graph, {names[0]: inputs[0]})[graph.outputs[0]]
    assert result.shape == outputs[0].shape
    assert result.dtype == outputs[0].dtype
    np.testing.assert_allclose(result, outputs[0], case.rtol, 1e-6)  # as the package states; other order of sums
