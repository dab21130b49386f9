"""Sessions of ONNX Runtime that are exact on processors of both kinds: those that multiply u8 by s8 exactly, and those
that saturate, which the tests only say they do."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwgen
from hwgen.graph.onnx.unsigned_weights import with_unsigned_weights
from hwgen.simulate import exact_session as sessions
from tests.graph.models import build, node

CHANNELS = 32
SCALE = np.float32(0.5)


@pytest.fixture(params=[False, True], ids=["exact", "saturates"])
def processor(request, monkeypatch):
    """A processor that saturates gets models that do not; one that does not, does not mind them."""
    if not request.param and sessions.saturates():
        pytest.skip("this processor saturates, so that the way for those that do not cannot be tried")
    monkeypatch.setattr(sessions, "saturates", lambda: request.param)


def weights(rng, *shape):
    """Large numbers of one sign in most places, so that sums of two products leave 16 bits."""
    return rng.choice(np.int8([127, 126, 120, -128]), shape, p=[0.5, 0.2, 0.2, 0.1])


def constants(rng, activations=np.uint8):
    """Of a convolution [4, CHANNELS, 1, 1] whose result is divided by 2^14, and of what quantises its input."""
    return {
        "s": SCALE,
        "z": activations(0),
        "w": weights(rng, 4, CHANNELS, 1, 1),
        "ws": SCALE,
        "wz": np.int8(0),
        "ys": np.float32(4096),
        "yz": np.uint8(0),
    }


def qdq(rng, activations=np.uint8):
    nodes = [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "w ws wz", "wd"),
        node("Conv", "xd wd", "c"),
        node("QuantizeLinear", "c ys yz", "y"),
    ]
    return nodes, constants(rng, activations)


def qdq_without_zero_points(rng):
    nodes, values = qdq(rng)
    nodes[2] = node("DequantizeLinear", "w ws", "wd")
    return nodes, values


def qdq_of_float_weights(rng):
    nodes, values = qdq(rng)
    values["wf"] = values.pop("w") * SCALE
    return [node("QuantizeLinear", "wf ws wz", "w"), *nodes], values


def qdq_of_constant_nodes(rng):
    nodes, values = qdq(rng)
    made = [
        helper.make_node("Constant", [], [n], value=numpy_helper.from_array(np.asarray(values.pop(n)), n))
        for n in ("w", "wz", "z")
    ]
    return made + nodes, values


def per_channel(rng):
    nodes, values = qdq(rng)
    nodes[2] = node("DequantizeLinear", "w ws wz", "wd", axis=0)
    return nodes, values | {"ws": np.full(4, SCALE), "wz": np.zeros(4, np.int8)}


def qoperator(rng):
    return [node("QuantizeLinear", "x s z", "xq"), node("QLinearConv", "xq s z w ws wz ys yz", "y")], constants(rng)


def integer_product(rng):
    values = constants(rng) | {"w": weights(rng, CHANNELS, 4), "shape": np.int64([-1, CHANNELS])}
    return [
        node("QuantizeLinear", "x s z", "xq"),
        node("Reshape", "xq shape", "flat"),
        node("MatMulInteger", "flat w", "i"),
        node("Cast", "i", "f", to=TensorProto.FLOAT),
        node("Mul", "f s", "real"),
        node("Mul", "real ws", "scaled"),
        node("QuantizeLinear", "scaled ys yz", "y"),
    ], values


def mixed(rng):
    """u8 behind s8, which ``session.x64quantprecision`` does not take."""
    nodes, values = qdq(rng, np.int8)
    values |= {"w2": weights(rng, 4, 4, 1, 1), "y2s": np.float32(65536)}
    nodes += [
        node("DequantizeLinear", "y ys yz", "yd"),
        node("DequantizeLinear", "w2 ws wz", "w2d"),
        node("Conv", "yd w2d", "c2"),
        node("QuantizeLinear", "c2 y2s yz", "y2"),
    ]
    return nodes, values


FORMS = [
    qdq,
    qdq_without_zero_points,
    qdq_of_float_weights,
    qdq_of_constant_nodes,
    per_channel,
    qoperator,
    integer_product,
    mixed,
]


def expected(values, x, output):
    """The integers by the definition: numpy's int64."""
    low, high = np.iinfo(values["z"].dtype).min, np.iinfo(values["z"].dtype).max
    integers = np.clip(np.rint(x / SCALE), low, high).astype(np.int64)[..., 0, 0]
    matrix = values["w"] if "w" in values else np.rint(values["wf"] / SCALE)
    matrix = matrix.reshape(4, CHANNELS).T if matrix.ndim == 4 else matrix
    result = requantised(integers @ matrix.astype(np.int64), SCALE * SCALE, values["ys"])
    if output == "y2":
        second = values["w2"].reshape(4, 4).T.astype(np.int64)
        result = requantised(result @ second, values["ys"] * SCALE, values["y2s"])
    return result


def requantised(sums, scale, out):
    return np.clip(np.rint(sums * (scale / out)), 0, 255).astype(np.int64)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_exact(form, processor):
    rng = np.random.default_rng(1)
    nodes, values = form(rng)
    kept = dict(values)
    if form is qdq_of_constant_nodes:
        kept |= {"w": numpy_helper.to_array(nodes[0].attribute[0].t), "z": np.uint8(0)}
    output = nodes[-1].output[0]
    x = rng.integers(100, 256, (50, CHANNELS, 1, 1)).astype(np.float32) * SCALE
    model = build(nodes, output, values, ("x", ("N", CHANNELS, 1, 1)))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.UINT8, None))
    session = sessions.exact_session(model.SerializeToString())
    (found,) = session.run(None, {"x": x})
    assert np.array_equal(found.reshape(50, 4), expected(kept, x, output))


def test_old_files_name_their_constants_among_the_inputs(processor):
    """Version 3 of the format demands it, and a constant that is made anew is not among them."""
    nodes, values = qoperator(np.random.default_rng(0))
    model = build(nodes, "y", values, ("x", ("N", CHANNELS, 1, 1)), opset=10)
    model.ir_version = 3
    kinds = {tensor.name: tensor for tensor in model.graph.initializer}
    model.graph.input.extend(helper.make_tensor_value_info(n, t.data_type, t.dims) for n, t in kinds.items())
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.UINT8, None))
    assert sessions.exact_session(model.SerializeToString()) is not None


def product_of_two_streams(*, integers: bool) -> bytes:
    """u8 times s8, neither of them constant."""
    if integers:
        nodes = [node("MatMulInteger", "a b", "y")]
    else:
        nodes = [
            node("DequantizeLinear", "a s za", "ad"),
            node("DequantizeLinear", "b s zb", "bd"),
            node("MatMul", "ad bd", "m"),
            node("QuantizeLinear", "m s za", "y"),
        ]
    values = {"s": SCALE, "za": np.uint8(0), "zb": np.int8(0)}
    inputs = [
        helper.make_tensor_value_info("a", TensorProto.UINT8, [1, 8]),
        helper.make_tensor_value_info("b", TensorProto.INT8, [8, 1]),
    ]
    kind = TensorProto.INT32 if integers else TensorProto.UINT8
    graph = helper.make_graph(
        nodes,
        "streams",
        inputs,
        [helper.make_tensor_value_info("y", kind, [1, 1])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def test_two_streams_are_multiplied_as_the_model_is_written(monkeypatch):
    """In float32, without optimisation, which would make integer products of them."""
    monkeypatch.setattr(sessions, "saturates", lambda: True)
    session = sessions.exact_session(product_of_two_streams(integers=False))
    (found,) = session.run(None, {"a": np.full((1, 8), 3, np.uint8), "b": np.full((8, 1), 5, np.int8)})
    assert found.item() == 60


def test_what_cannot_be_exact_is_refused(monkeypatch):
    monkeypatch.setattr(sessions, "saturates", lambda: True)
    words = r"node 'y_node' multiplies u8 by s8 that is not constant, which ONNX Runtime gets wrong on this processor"
    with pytest.raises(hwgen.InputError, match=words):
        sessions.exact_session(product_of_two_streams(integers=True))


def test_models_without_such_products_stay_as_they_are():
    nodes, values = qdq(np.random.default_rng(0), np.int8)
    data = build(nodes, "y", values, ("x", ("N", CHANNELS, 1, 1))).SerializeToString()
    unsigned, left = with_unsigned_weights(data)
    assert onnx.load_from_string(unsigned).graph == onnx.load_from_string(data).graph
    assert not left


@pytest.mark.parametrize("kind", ["INT4", "UINT4"])
@pytest.mark.parametrize("zeros", [None, 1, 4])
@pytest.mark.parametrize("activations", [np.uint8, np.int8])
def test_weights_of_4_bits_are_computed_on_integers(kind, zeros, activations, tmp_path):
    """Many sums lie half way between two integers here."""
    rng = np.random.default_rng(4)
    low, high = (-8, 8) if kind == "INT4" else (0, 16)
    types = {"w": ((4, 3, 3, 3), rng.integers(low, high, (4, 3, 3, 3)))}
    if zeros:
        types["wz"] = ((zeros,) if zeros > 1 else (), rng.integers(low, high, zeros))
    scale = np.full(4, 0.04, np.float32) if zeros != 1 else np.float32(0.04)
    given = {"s": np.float32(0.03), "z": activations(7), "ws": scale, "ys": np.float32(0.06), "yz": activations(9)}
    axis = {"axis": 0} if scale.ndim else {}
    nodes = [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "w ws wz" if zeros else "w ws", "wd", **axis),
        node("Conv", "xd wd", "c"),
        node("QuantizeLinear", "c ys yz", "yq"),
        node("DequantizeLinear", "yq ys yz", "y"),
    ]
    model = build(nodes, "y", given, ("x", (1, 3, 8, 8)), opset=21)
    model.ir_version = 10
    for name, (shape, values) in types.items():
        code = getattr(TensorProto, kind)
        model.graph.initializer.append(helper.make_tensor(name, code, shape, values.reshape(-1).tolist()))
    path = tmp_path / "narrow.onnx"
    onnx.save(model, path)
    frames = rng.normal(0, 2, (4, 3, 8, 8)).astype(np.float32)
    compared = hwgen.compile(path, multipliers=12).against_onnxruntime(frames)
    assert compared.equal, compared.differences


@pytest.mark.parametrize("move", [node("Transpose", "xd", "t", perm=[0, 1, 3, 2]), node("Squeeze", "xd axes", "t")])
def test_a_product_of_what_is_moved_first(move, processor):
    """Runtimes move a Transpose behind the product that they then find."""
    rng = np.random.default_rng(0)
    nodes, values = qdq(rng)
    if move.op_type == "Squeeze":
        values |= {"axes": np.int64([3]), "w": values["w"][..., 0]}
    nodes[3].input[0] = "t"
    nodes.insert(2, move)
    model = build(nodes, "y", values, ("x", (1, CHANNELS, 6, 1)))
    frames = rng.integers(200, 256, (1, CHANNELS, 6, 1)).astype(np.float32) * SCALE
    sums = np.tensordot(values["w"].reshape(4, -1).astype(np.int64), (frames / SCALE).astype(np.int64)[0, :, :, 0], 1)
    expected = np.clip(np.rint(sums * 0.25 / 4096), 0, 255)
    found = sessions.exact_session(model.SerializeToString()).run(None, {"x": frames})[0]
    assert np.array_equal(found.reshape(4, 6), expected)
