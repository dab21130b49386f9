"""The operator table against the schemas of the onnx package, and against its node tests."""

import importlib
import pkgutil
import re
import sys
import warnings
from functools import cache

import numpy as np
import onnx
import onnx.backend.test.case.node as node_tests
import pytest
from onnx import numpy_helper

from hwgen.graph.errors import ModelError
from hwgen.graph.formats import find_format
from hwgen.graph.onnx.precision import to_short
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.semantics.float_model import run_float
from hwgen.graph.semantics.operators import MAX_OPSET, MIN_OPSET, OPERATORS
from hwgen.graph.semantics.shapes_layout import NUMPY_TYPES

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
        if mine.kept:
            assert mine.default_at(schema.since_version) == pytest.approx(default)
            assert mine.required == attribute.required


#: The modules of the package's node tests, most of which are of one operator; importing one computes its cases. What
#: begins with an underscore has data that others import.
MODULES = sorted(name for _, name, _ in pkgutil.iter_modules(node_tests.__path__) if not name.startswith("_"))


@cache
def cases_of(module):
    """The node tests of ``module`` that are of what is imported."""
    name, others = f"{node_tests.__name__}.{module}", len(node_tests._NodeTestCases)
    assert name not in sys.modules  # or its cases would not be counted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(name)
    cases = node_tests._NodeTestCases[others:]
    return [c for c in cases if len(c.model.graph.node) == 1 and is_imported(c.model.graph.node[0])]


def is_imported(node):
    return (not node.domain and node.op_type in OPERATORS) or find_format(node.domain, node.op_type)


def constant(value, name):
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        return numpy_helper.from_array(np.asarray(value), name)
    proto = onnx.TensorProto()
    proto.CopyFrom(value if isinstance(value, onnx.TensorProto) else value.item())
    proto.name = name
    return proto


NARROW = {
    onnx.TensorProto.INT2: np.int8,
    onnx.TensorProto.INT4: np.int8,
    onnx.TensorProto.UINT2: np.uint8,
    onnx.TensorProto.UINT4: np.uint8,
}


def decoded(value):
    """An array, where the package gives a TensorProto of a type that numpy has, or a narrower one."""
    if isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.item()
    if isinstance(value, onnx.TensorProto) and value.data_type in NUMPY_TYPES:
        return numpy_helper.to_array(value)
    if isinstance(value, onnx.TensorProto) and value.data_type == onnx.TensorProto.BFLOAT16:
        return numpy_helper.to_array(value)
    if isinstance(value, onnx.TensorProto) and value.data_type in NARROW:
        return numpy_helper.to_array(value).astype(NARROW[value.data_type])
    return value


def in_single_precision(values, double):
    """What the reader takes ``values`` of fewer bits for, and of more where the model's input has them."""
    short = values.dtype.name in ("float16", "bfloat16")
    return values.astype(np.float32) if short or (double and values.dtype == np.float64) else values


# Beyond what is imported; each must be refused in words.
REFUSALS = (
    r"a resize with '(cubic|tf_crop_and_resize)'",
    r"zero-size array to reduction operation maximum",
    r"a cast to fewer than 8 bits",
    r"a cast to ONNX type (8|16|17|18|19|20|21|22|23|24|25|26);",
    r"type (FLOAT|INT|UINT|BFLOAT|BOOL|STRING|type )\S* is not supported",
    r"has the type (FLOAT|INT|UINT|DOUBLE|BFLOAT|BOOL|STRING|COMPLEX)",
    r"a zero point of type",
    r"3 or 4 dimensions are supported",
    r"its attribute '(block_size|training_mode|precision|antialias)' is \d+; only",
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


@pytest.mark.parametrize("module", MODULES)
def test_node(module, tmp_path, subtests):
    for case in cases_of(module):
        with subtests.test(case.name):
            check_node(case, tmp_path / f"{case.name}.onnx")


def check_node(case, path):
    """Operands beyond the first are made constants, as they are in trained networks."""
    inputs, outputs = ([decoded(value) for value in values] for values in case.data_sets[0])
    if not all(isinstance(value, np.ndarray | np.generic | onnx.TensorProto) for value in inputs):
        pytest.skip("sequences and optionals are not tensors")
    if any(isinstance(value, np.ndarray) and value.dtype == object and value.size != 1 for value in inputs):
        pytest.skip("texts are not numbers")
    model = onnx.ModelProto.FromString(case.model.SerializeToString())
    names = [value.name for value in model.graph.input]
    stored = case.data_sets[0][0]
    if isinstance(inputs[0], np.ndarray) and inputs[0].dtype in (np.int64, np.bool_):  # shapes and conditions
        model.graph.input.insert(0, onnx.helper.make_tensor_value_info("none", onnx.TensorProto.FLOAT, [1]))
        names, inputs, stored = ["none", *names], [np.zeros(1, np.float32), *inputs], [None, *stored]
    for name, value in zip(names[1:], stored[1:], strict=True):
        model.graph.initializer.append(constant(value, name))
    path.write_bytes(model.SerializeToString())
    shape = tuple(inputs[0].dims if isinstance(inputs[0], onnx.TensorProto) else inputs[0].shape)
    graph = read_or_refusal(path, {names[0]: shape} if shape else None)
    if graph is None:
        return
    values = run_float(graph, {names[0]: inputs[0]})
    double = inputs[0].dtype == np.float64
    for name, stated in zip([value.name for value in model.graph.output], outputs, strict=True):
        expected = in_single_precision(stated, double)
        assert values[name].shape == expected.shape
        assert values[name].dtype == expected.dtype
        found = values[name]
        if stated.dtype.name in ("float16", "bfloat16"):  # they are not rounded on the way
            found = to_short(found, {"float16": 10, "bfloat16": 16}[stated.dtype.name])
        if case.model.graph.node[0].op_type in ("Cast", "CastLike"):
            np.testing.assert_array_equal(found, expected)
        else:  # as the package states; sums have another order
            np.testing.assert_allclose(found, expected, case.rtol, 1e-6)
