"""Well-formed files with nonsense in them end in a clear error or a correct import: no traceback, no hang."""

import contextlib
import random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from hwgen.blocks import OPERATORS as OPERATORS_OF_BLOCKS
from hwgen.graph.check import check_graph
from hwgen.graph.errors import InputError, ModelError
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.semantics.operators import OPERATORS
from tests.graph.models import build, lenet_like, node
from tests.graph.test_formats import CASES, model

NUMBERS = (-1, 0, 1, 2, 3, 4, 7, 64, -2, 100000, -(2**63), 2**62)
TYPES = (np.float32, np.int64, np.int8, np.uint8, np.float64, np.float16)


def shapes_and_layouts():
    """Operators that the other models lack."""
    constants = {
        "s": np.float32([1, 1, 2, 2]),
        "p": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "one": np.array([1]),
        "two": np.array([2]),
        "k": np.ones((4, 2, 3, 3), np.float32),
        "left": np.array([-1]),
    }
    nodes = [
        node("Pad", "x p", "a"),
        node("Resize", "a  s", "b", mode="linear"),
        node("Split", "b", "c d", axis=1),
        node("Concat", "d c", "e", axis=1),
        node("Slice", "e one two one", "f"),
        node("ConvTranspose", "e k", "g", strides=[2, 2]),
        node("Transpose", "g", "h", perm=[0, 2, 3, 1]),
        node("Shape", "h", "i"),
        node("Gather", "i one", "j", axis=0),
        node("Concat", "one j left", "m", axis=0),
        node("Reshape", "h m", "n"),
        node("ReduceMean", "n", "o", axes=[2]),
        node("Expand", "f two", "q"),
        node("DepthToSpace", "e", "r", blocksize=2),
        node("TopK", "o one", "t u"),
        node("Add", "t t", "y"),
    ]
    return build(nodes, "y", constants, ("x", (1, 4, 6, 6)))


def mutate(proto, rng):
    """One change somewhere."""
    graph = proto.graph
    each = rng.choice(graph.node)
    names = [name for n in graph.node for name in (*n.input, *n.output)] + [""]
    kind = rng.randrange(7)
    if kind == 0 and each.attribute:
        _mutate_attribute(rng.choice(each.attribute), rng)
    elif kind == 1 and each.input:
        each.input[rng.randrange(len(each.input))] = rng.choice(names)
    elif kind == 2:
        each.op_type = rng.choice([*OPERATORS, *(n.op_type for n in graph.node)])
    elif kind == 3 and len(graph.node) > 1:
        graph.node.remove(each)
    elif kind == 4 and graph.initializer:
        _mutate_constant(rng.choice(graph.initializer), rng)
    elif kind == 5:
        each.input.append(rng.choice(names)) if rng.random() < 0.5 or not each.input else each.input.pop()
    else:
        proto.opset_import[0].version = rng.choice([7, 9, 10, 11, 13, 18, 21])


def _mutate_attribute(attribute, rng):
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i = rng.choice(NUMBERS)
    elif attribute.type == onnx.AttributeProto.INTS:
        values = [*attribute.ints, rng.choice(NUMBERS)]
        rng.shuffle(values)
        del attribute.ints[:]
        attribute.ints.extend(values[: rng.randrange(len(values) + 1)])
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = rng.choice([0, -1, 1e30, float("inf"), float("nan")])
    else:
        attribute.s = rng.choice([b"", b"VALID", b"linear", b"\xff"])


def _mutate_constant(tensor, rng):
    value = numpy_helper.to_array(tensor)
    kind = rng.randrange(4)
    if kind == 0:
        value = value.reshape(value.shape[::-1])
    elif kind == 1:
        with np.errstate(all="ignore"):
            value = value.astype(rng.choice(TYPES))
    elif kind == 2:
        value = np.resize(value, rng.choice([(), (0,), (1,), (2, 3), (4, 1, 1)]))
    else:
        value = np.full_like(value, rng.choice([0, 1, 3, 100]))
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def damage(data, rng):
    """The file ``data`` cut short, or with some bytes changed, removed or doubled."""
    data, at = bytearray(data), rng.randrange(len(data))
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(data[:at])
    for _ in range(rng.choice((1, 2, 8))):
        at = rng.randrange(len(data))
        data[at : at + 1] = (bytes([rng.randrange(256)]), b"", bytes(data[at : at + 1]) * 2)[kind - 1]
    return bytes(data)


def import_(path):
    """As far as the integer network, as the flow goes; errors made for users are what may happen on the way."""
    with contextlib.suppress(ModelError, InputError):
        graph = simplify(read_model(path))
        check_graph(graph)
        lower(graph, OPERATORS_OF_BLOCKS, warn=lambda line: None)


SOURCES = {
    "lenet": lenet_like,
    "layouts": shapes_and_layouts,
    **{name: lambda case=case: model(case[0], source=case[1], kind=TensorProto.UINT8) for name, case in CASES.items()},
}


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in ("ConvInteger",)])
def test_nonsense_is_refused_in_words(name, tmp_path):
    rng = random.Random(name)
    data = SOURCES[name]().SerializeToString()
    path = tmp_path / "mutant.onnx"
    for _ in range(200 if name in ("lenet", "layouts") else 25):
        proto = onnx.ModelProto.FromString(data)
        for _ in range(rng.choice((1, 1, 2, 3))):
            mutate(proto, rng)
        path.write_bytes(proto.SerializeToString())
        import_(path)


@pytest.mark.parametrize("name", ["lenet", "layouts", "QLinearConv"])
def test_a_damaged_file_is_refused_in_words(name, tmp_path):
    """10,000 more, real models among them: ``python -m benchmarks.mutations``."""
    rng = random.Random(name)
    data = SOURCES[name]().SerializeToString()
    path = tmp_path / "mutant.onnx"
    for _ in range(100):
        path.write_bytes(damage(data, rng))
        import_(path)
