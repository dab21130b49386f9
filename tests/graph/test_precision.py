"""Models in float16, bfloat16 and double are read as the float32 models that they were made of."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen.graph.errors import ModelError
from hwgen.graph.onnx.precision import to_short
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from tests.graph.models import build, lenet_like, node, save

TYPES = {
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "double": TensorProto.DOUBLE,
}


def rounded(value, kind):
    """``value`` in float32 after a stay in a type of 16 bits: every number there is one of those."""
    if kind == "bfloat16":
        return (value.view(np.uint32) & 0xFFFF0000).view(np.float32)
    return value.astype(kind).astype(np.float32)


def stored(value, name, kind):
    if kind != "bfloat16":
        return numpy_helper.from_array(value.astype(kind), name)
    raw = (value.view(np.uint32) >> 16).astype("<u2").tobytes()
    return helper.make_tensor(name, TensorProto.BFLOAT16, value.shape, raw, raw=True)


def twins(kind, ends):
    """The same network with float32 numbers and with those of another type, at its ends or only inside."""
    single = lenet_like()
    other = onnx.ModelProto.FromString(single.SerializeToString())
    for plain, tensor in zip(single.graph.initializer, other.graph.initializer, strict=True):
        value = numpy_helper.to_array(plain)
        plain.CopyFrom(numpy_helper.from_array(rounded(value, kind), plain.name))
        tensor.CopyFrom(stored(rounded(value, kind), plain.name, kind))
    graph = other.graph
    if ends == "same":
        for value in (*graph.input, *graph.output):
            value.type.tensor_type.elem_type = TYPES[kind]
    else:
        graph.node[0].input[0] = "x_cast"
        graph.node[-1].output[0] = "y_cast"
        graph.node.insert(0, node("Cast", "x", "x_cast", to=TYPES[kind]))
        graph.node.append(node("Cast", "y_cast", "y", to=TensorProto.FLOAT))
    return single, other


@pytest.mark.parametrize(
    ("kind", "ends"),
    [("float16", "same"), ("float16", "float"), ("bfloat16", "same"), ("bfloat16", "float"), ("double", "same")],
)
def test_the_graph_is_that_of_the_float32_model(kind, ends, tmp_path):
    single, other = (simplify(read_model(save(model, tmp_path))) for model in twins(kind, ends))
    assert [each.op for each in other.nodes] == [each.op for each in single.nodes]
    assert other.tensors["x"] == single.tensors["x"]
    for one, two in zip(single.constants.values(), other.constants.values(), strict=True):
        assert one.dtype == two.dtype
        assert np.array_equal(one, two)


def test_short_weights_behind_a_cast(tmp_path):
    weight = np.random.default_rng(1).normal(0, 1, (2, 1, 3, 3)).astype(np.float32)
    model = build([node("Cast", "short", "w", to=1), node("Conv", "x w", "y")], "y", {})
    model.graph.initializer.append(stored(rounded(weight, "bfloat16"), "short", "bfloat16"))
    (read,) = simplify(read_model(save(model, tmp_path))).constants.values()
    assert np.array_equal(read, rounded(weight, "bfloat16"))


def test_numbers_in_typed_fields(tmp_path):
    model = build([node("Conv", "x w", "y")], "y", {})
    bits = [0x3F80, 0xC000, 0x3E80]  # 1, -2, 0.25
    model.graph.initializer.append(TensorProto(name="w", data_type=16, dims=[3, 1, 1, 1], int32_data=bits))
    assert read_model(save(model, tmp_path)).constants["w"].reshape(-1).tolist() == [1, -2, 0.25]


def test_the_tail_computes_in_float32_too(tmp_path):
    half = np.ones((2, 1, 3, 3), np.float16)
    nodes = [node("Conv", "x w", "c"), node("LpNormalization", "c", "d"), node("Mul", "d two", "y")]
    model = build(nodes, "y", {"w": half, "two": np.float16([2])}, kind=TensorProto.FLOAT16)
    graph = read_model(save(model, tmp_path))
    tail = onnx.load_from_string(graph.tail.model)
    assert graph.outputs == ("c",)
    assert tail.graph.input[0].type.tensor_type.elem_type == tail.graph.initializer[0].data_type == TensorProto.FLOAT


def test_float8_is_refused_with_a_remedy(tmp_path):
    model = build([node("Conv", "x w", "y")], "y", {})
    model.graph.initializer.append(TensorProto(name="w", data_type=17, dims=[2, 1, 1, 1], raw_data=b"12"))
    with pytest.raises(ModelError, match="FLOAT8E4M3FN is not supported; quantise to INT8 or UINT8, or give the float"):
        read_model(save(model, tmp_path))


def kept_constant(nodes, constants, folder):
    """What the reader makes of nodes on constants with the result ``c``, and what ONNX Runtime does."""
    ort = pytest.importorskip("onnxruntime")
    model = build([*nodes, node("Add", "x c", "y")], "y", constants, ("x", (1, 64)), opset=18)
    read = simplify(read_model(save(model, folder)))
    (found,) = read.constants.values()
    model.graph.output.append(onnx.helper.make_tensor_value_info("c", TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return found, session.run(["c"], {"x": np.zeros((1, 64), np.float32)})[0]


VALUES = np.random.default_rng(2).normal(0, 1, (1, 64)).astype(np.float32)
HALVES = [node("Cast", "v", "h", to=10), node("Cast", "w", "g", to=10)]
BRAINS = [node("Cast", "v", "h", to=16)]
ROUNDED = {
    "to float16": [*HALVES[:1], node("Cast", "h", "c", to=1)],
    "to bfloat16": [*BRAINS, node("Cast", "h", "c", to=1)],
    "a product of halves": [*HALVES, node("Mul", "h g", "p"), node("Cast", "p", "c", to=1)],
    "a chain of halves": [*HALVES, node("Div", "h g", "p"), node("Sqrt", "g", "r"), node("Add", "p r", "s"),
                          node("Cast", "s", "c", to=1)],
    "integers to halves": [node("Cast", "i", "h", to=10), node("Cast", "w", "g", to=10), node("Mul", "h g", "p"),
                           node("Cast", "p", "c", to=1)],
    "one type after the other": [*BRAINS, node("Cast", "h", "b", to=1), node("Cast", "b", "g", to=10),
                                 node("Cast", "g", "c", to=1)],
}  # fmt: skip


@pytest.mark.parametrize("name", ROUNDED)
def test_constants_are_rounded_as_onnx_runtime_does(name, tmp_path):
    given = {"v": VALUES, "w": np.abs(VALUES[:, ::-1]) + 0.1, "i": np.arange(64, dtype=np.int8).reshape(1, 64) - 9}
    used = {each for step in ROUNDED[name] for each in step.input}
    found, expected = kept_constant(ROUNDED[name], {k: v for k, v in given.items() if k in used}, tmp_path)
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, VALUES)


def test_the_nearest_number_of_16_bits_half_to_even():
    one, two = np.float32([1 + 2**-8, 1 + 3 * 2**-8]), np.float32([1 + 2**-11, 1 + 3 * 2**-11])
    assert to_short(one, TensorProto.BFLOAT16).tolist() == [1, 1 + 2**-6]
    assert to_short(two, TensorProto.FLOAT16).tolist() == [1, 1 + 2**-9]
    ends = np.float32([1e30, -np.inf, np.nan])
    assert to_short(ends, TensorProto.FLOAT16)[:2].tolist() == [np.inf, -np.inf]
    assert np.isnan(to_short(ends, TensorProto.BFLOAT16)[2])


def test_integers_behind_a_short_scale_stay_integers(tmp_path):
    """Weights are stored as such, though everything about them is constant."""
    integers, scale = np.arange(-4, 5, dtype=np.int8).reshape(1, 1, 3, 3), np.float16(0.1)
    nodes = [node("DequantizeLinear", "w s", "h"), node("Cast", "h", "c", to=1), node("Conv", "x c", "y")]
    model = build(nodes, "y", {"w": integers, "s": scale}, ("x", (1, 1, 4, 4)), opset=19)
    read = simplify(read_model(save(model, tmp_path)))
    assert [each.op for each in read.nodes] == ["DequantizeLinear", "Conv"]
    assert np.array_equal(read.constants["w"], integers)
