"""Quantised formats become QuantizeLinear and DequantizeLinear, and mean what they meant."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from hwgen.graph.check import check_graph
from hwgen.graph.errors import ModelError
from hwgen.graph.formats import format_names
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.semantics.float_model import run_float
from tests.graph.models import build, node, save
from tests.graph.reference import session

MICROSOFT, QONNX = "com.microsoft", "qonnx.custom_op.general"
RNG = np.random.default_rng(7)
CONSTANTS = {
    "s": np.float32(0.02),
    "z": np.uint8(120),
    "s2": np.float32(0.03),
    "z2": np.uint8(3),
    "w": RNG.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8),
    "ws": np.float32([0.004, 0.01, 0.02, 0.003]),
    "wz": np.zeros(4, np.int8),
    "b": np.array([500, -900, 0, 77], np.int32),
    "m": RNG.integers(0, 256, (36, 5)).astype(np.uint8),
    "ms": np.float32(0.005),
    "mz": np.uint8(99),
    "mb": np.arange(5, dtype=np.int32) * 400,
    "other": RNG.integers(0, 256, (1, 3, 1, 6)).astype(np.uint8),
    "factor": np.float32(0.0004),
}


def microsoft(op, inputs, output, **attributes):
    return node(op, inputs, output, domain=MICROSOFT, **attributes)


def model(nodes, output="y", source=("x", (1, 3, 6, 6)), kind=TensorProto.UINT8, constants=CONSTANTS):
    used = {name for n in nodes for name in n.input}
    proto = build(nodes, output, {k: v for k, v in constants.items() if k in used}, source, kind=kind)
    for domain in (MICROSOFT, QONNX, "org.openvinotoolkit", "onnx.brevitas", "qonnx.custom_op.channels_last"):
        proto.opset_import.append(helper.make_opsetid(domain, 1))
    return proto


POOL = {"kernel_shape": [3, 2], "strides": [2, 1]}
FLAT = ("x", (1, 36))
CASES = {
    "QLinearConv": ([node("QLinearConv", "x s z w ws wz s2 z2 b", "y", pads=[1, 0, 1, 2])], ("x", (1, 3, 6, 6))),
    "QLinearMatMul": ([node("QLinearMatMul", "x s z m ms mz s2 z2", "y")], FLAT),
    "QGemm": ([microsoft("QGemm", "x s z m ms mz mb s2 z2", "y")], FLAT),
    "QGemm to float": ([microsoft("QGemm", "x s z m ms mz mb", "y")], FLAT),
    "QLinearAdd": ([microsoft("QLinearAdd", "x s z other s2 z2 s2 z", "y")], ("x", (1, 3, 6, 6))),
    "QLinearMul": ([microsoft("QLinearMul", "x s z other s2 z2 s2 z", "y")], ("x", (1, 3, 6, 6))),
    "QLinearConcat": ([microsoft("QLinearConcat", "s2 z2 x s z x s2 z", "y", axis=1)], ("x", (1, 3, 6, 6))),
    "QLinearGlobalAveragePool": ([microsoft("QLinearGlobalAveragePool", "x s z s2 z2", "y")], ("x", (1, 3, 6, 6))),
    "channels last": (
        [microsoft("QLinearGlobalAveragePool", "x s z s2 z2", "y", channels_last=1)],
        ("x", (1, 6, 6, 3)),
    ),
    "QLinearAveragePool": ([microsoft("QLinearAveragePool", "x s z s2 z2", "y", **POOL)], ("x", (1, 3, 6, 6))),
    "QLinearLeakyRelu": ([microsoft("QLinearLeakyRelu", "x s z s2 z", "y", alpha=0.3)], ("x", (1, 3, 6, 6))),
    "QLinearSigmoid": ([microsoft("QLinearSigmoid", "x s z s2 z2", "y")], ("x", (1, 3, 6, 6))),
    "QLinearSoftmax": ([microsoft("QLinearSoftmax", "x s z s2 z2", "y", axis=-1, opset=13)], FLAT),
    "MatMulInteger": (
        [node("MatMulInteger", "x m z mz", "i"), node("Cast", "i", "f", to=1), node("Mul", "f factor", "y")],
        FLAT,
    ),
    "ConvInteger": (
        [node("ConvInteger", "x k z mz", "i"), node("Cast", "i", "f", to=1), node("Mul", "f factor", "y")],
        ("x", (1, 3, 6, 6)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_integer_operators(name, tmp_path):
    """Against ONNX Runtime, over noise. Ties may go another way where it rounds in fixed point."""
    nodes, source = CASES[name]
    constants = CONSTANTS | {"k": CONSTANTS["w"].view(np.uint8)}
    proto = model(nodes, source=source, constants=constants)
    path = save(proto, tmp_path)
    x = np.random.default_rng(7).integers(0, 256, source[1]).astype(np.uint8)
    expected = session(str(path)).run(None, {"x": x})[0]
    graph = read_model(path)
    for each in (graph,) if "Softmax" in name else (graph, simplify(graph)):  # which is left to the host
        check_graph(each)
        assert not {n.op for n in each.nodes} & set(format_names())
        result = run_float(each, {"x": x})[each.outputs[0]]
        assert result.dtype == expected.dtype
        if result.dtype == np.uint8:
            steps = np.abs(result.astype(int) - expected)
            assert steps.max() <= 1  # our side sums floats here, so an average near a tie may fall either way
            assert np.mean(steps > 0) <= 0.02
        else:
            np.testing.assert_allclose(result, expected, rtol=1e-5)  # order of float32 sums
    if name.endswith("Integer"):
        assert "Cast" not in {n.op for n in simplify(graph).nodes}


def reference_quant(x, scale, zero, bits, signed, narrow):
    """As QONNX defines it."""
    low = -(2 ** (bits - 1)) + narrow if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    return (np.clip(np.rint(x / scale + zero), low, high) - zero) * scale


@pytest.mark.parametrize("domain", [QONNX, "onnx.brevitas", "finn.custom_op.general", "qonnx"])
@pytest.mark.parametrize(
    ("bits", "signed", "narrow"), [(8, 1, 0), (3, 1, 1), (4, 0, 0), (2, 0, 1), (1, 0, 0), (6, 1, 0)]
)
def test_quant(domain, bits, signed, narrow, tmp_path):
    constants = {"s": np.float32(0.25), "z": np.float32(0), "n": np.float32(bits)}
    quant = node("Quant", "x s z n", "y", domain=domain, signed=signed, narrow=narrow, rounding_mode="ROUND")
    graph = read_model(save(model([quant], kind=TensorProto.FLOAT, constants=constants), tmp_path))
    x = RNG.normal(0, 8, (1, 3, 6, 6)).astype(np.float32)
    assert [n.op for n in graph.nodes] == ["QuantizeLinear", "DequantizeLinear"]
    expected = reference_quant(x, 0.25, 0, bits, signed, narrow)
    assert np.array_equal(run_float(graph, {"x": x})["y"], expected)
    limits = graph.nodes[0].attributes["limits"]
    assert (limits is None) == (bits == 8)
    assert limits is None or limits[1] - limits[0] == 2**bits - 1 - narrow


def test_quantised_weights_per_channel(tmp_path):
    """Weights become integers with a scale for each channel, whatever order a Transpose puts them into."""
    weight = RNG.normal(0, 1, (5, 7)).astype(np.float32)
    scale = RNG.uniform(0.1, 0.3, (5, 1)).astype(np.float32)
    constants = {"w": weight, "s": scale, "z": np.float32(0), "n": np.float32(4)}
    nodes = [
        node("Quant", "w s z n", "q", domain=QONNX, signed=1, narrow=1),
        node("Transpose", "q", "t", perm=[1, 0]),
        node("MatMul", "x t", "y"),
    ]
    graph = read_model(save(model(nodes, source=("x", (1, 7)), kind=TensorProto.FLOAT, constants=constants), tmp_path))
    simple = simplify(graph)
    assert [n.op for n in simple.nodes] == ["DequantizeLinear", "Gemm"]
    integers = simple.constants[simple.nodes[0].inputs[0]]
    assert integers.dtype == np.int8
    assert integers.shape == (5, 7)
    assert simple.nodes[0].attributes["axis"] == 0
    x = RNG.normal(0, 1, (1, 7)).astype(np.float32)
    expected = x @ reference_quant(weight, scale, 0, 4, 1, 1).T
    for each in (graph, simple):
        np.testing.assert_allclose(run_float(each, {"x": x})["y"], expected, rtol=1e-5)  # order of float32 sums


@pytest.mark.parametrize("constant", [False, True])
def test_bipolar(constant, tmp_path):
    values = np.float32([[-2, -0.1, 0, 0.1, 3]])
    constants = {"s": np.float32(0.5), "w": values}
    nodes = [node("BipolarQuant", "w s" if constant else "x s", "q", domain="onnx.brevitas"), node("Add", "q x", "y")]
    graph = read_model(save(model(nodes, source=("x", (1, 5)), kind=TensorProto.FLOAT, constants=constants), tmp_path))
    expected = np.float32([[-0.5, -0.5, 0.5, 0.5, 0.5]]) + values
    assert np.array_equal(run_float(graph, {"x": values})["y"], expected)
    assert np.array_equal(run_float(simplify(graph), {"x": values})["y"], expected)


@pytest.mark.parametrize("rounding", ["FLOOR", "ROUND"])
def test_trunc(rounding, tmp_path):
    """Of all integers of 8 bits, the upper 5."""
    constants = {"s": np.float32(0.5), "z": np.float32(0), "n": np.float32(8), "m": np.float32(5)}
    trunc = node("Trunc", "x s z n m", "y", domain=QONNX, rounding_mode=rounding)
    source = ("x", (1, 256))
    graph = read_model(save(model([trunc], source=source, kind=TensorProto.FLOAT, constants=constants), tmp_path))
    integers = np.arange(-128, 128)
    upper = np.floor(integers / 8) if rounding == "FLOOR" else np.clip(np.rint(integers / 8), -16, 15)
    result = run_float(graph, {"x": np.float32(integers[None] * 0.5)})["y"]
    assert np.array_equal(result, np.float32(upper[None] * 0.5))


def test_channels_last(tmp_path):
    """Wrapped into Transposes, which cancel but for the first and last."""
    last = "qonnx.custom_op.channels_last"
    weight = RNG.normal(0, 1, (4, 3, 3, 2)).astype(np.float32)
    constants = {"w": weight, "w2": RNG.normal(0, 1, (5, 1, 1, 4)).astype(np.float32), "s": np.float32([1, 2, 2, 1])}
    nodes = [
        node("Conv", "x w", "a", domain=last, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("LeakyRelu", "a", "b", alpha=0.1),
        node("MaxPool", "b", "c", domain=last, kernel_shape=[2, 2], strides=[2, 2]),
        node("Resize", "c  s", "d", mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"),
        node("Concat", "b d", "e", axis=1),
        node("Conv", "e w2", "y", domain=last, kernel_shape=[1, 1]),
    ]
    proto = model(nodes, source=("x", (1, 4, 6, 2)), kind=TensorProto.FLOAT, constants=constants)
    graph = read_model(save(proto, tmp_path))
    x = RNG.normal(0, 1, (1, 4, 6, 2)).astype(np.float32)
    simple = simplify(graph)
    assert sum(n.op == "Transpose" for n in graph.nodes) == 8
    assert sum(n.op == "Transpose" for n in simple.nodes) == 2
    result, expected = run_float(simple, {"x": x})[simple.outputs[0]], run_float(graph, {"x": x})["y"]
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)  # order of BLAS sums
    assert expected.shape == (1, 8, 6, 5)


@pytest.mark.parametrize(("kind", "low", "high"), [("INT4", -8, 7), ("UINT4", 0, 15)])
def test_four_bits(kind, low, high, tmp_path):
    """Types narrower than numpy's keep their limits."""
    code = getattr(TensorProto, kind)
    values = RNG.integers(low, high + 1, (3, 5))
    zero = helper.make_tensor("z", code, [], [0])
    weight = helper.make_tensor("w", code, [3, 5], values.reshape(-1).tolist())
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("DequantizeLinear", "w s", "v"),
        node("Gemm", "d v", "y", transB=1),
    ]
    proto = build(nodes, "y", {"s": np.float32(0.5)}, ("x", (1, 5)), opset=21)
    proto.graph.initializer.extend([zero, weight])
    graph = read_model(save(proto, tmp_path))
    assert graph.constants["w"].tolist() == values.tolist()
    assert [n.attributes.get("limits") for n in graph.nodes] == [(low, high)] * 3 + [None]
    x = np.float32([[-9, -1, 0.6, 3, 99]])
    assert run_float(graph, {"x": x})["q"].tolist() == np.clip(np.rint(x * 2), low, high).tolist()


@pytest.mark.parametrize("per_weight", [False, True])
def test_clips_between_integers(per_weight, tmp_path):
    """QCDQ: a narrower type is a Clip between QuantizeLinear and DequantizeLinear."""
    constants = {"s": np.float32(0.5), "z": np.int8(0), "low": np.int8(-3), "high": np.int8(3)}
    constants["w"] = RNG.normal(0, 3, (4, 5)).astype(np.float32)
    source = "w" if per_weight else "x"
    nodes = [
        node("QuantizeLinear", f"{source} s z", "q"),
        node("Clip", "q low high", "c"),
        node("DequantizeLinear", "c s z", "d"),
        node("Gemm", "x d" if per_weight else "d w", "y", transB=1),
    ]
    graph = read_model(save(build(nodes, "y", constants, ("x", (1, 5))), tmp_path))
    simple = simplify(graph)
    assert "Clip" not in {n.op for n in simple.nodes}
    limits = [n.attributes["limits"] for n in simple.nodes if n.op.endswith("Linear")]
    assert limits == [(-3, 3)] * (1 if per_weight else 2)
    x = RNG.normal(0, 3, (1, 5)).astype(np.float32)
    assert np.array_equal(run_float(simple, {"x": x})["y"], run_float(graph, {"x": x})["y"])


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([node("Quant", "x x z n", "y", domain=QONNX)], "(Quant): its scale must be a constant"),
        ([node("Quant", "x s z half", "y", domain=QONNX)], "a width of 2.5 bits; whole numbers from 1 to 32"),
        ([node("Quant", "x grid z n", "y", domain=QONNX)], "a scale of shape [1, 3, 6, 1] on shape [1, 3, 6, 6]"),
        (
            [node("Quant", "x s z n", "y", domain=QONNX, rounding_mode="CEIL")],
            "rounding mode 'CEIL' of an activation; only ROUND has an integer form",
        ),
        ([node("BipolarQuant", "x minus", "y", domain=QONNX)], "(BipolarQuant): scales must be positive"),
        ([node("Quant", "x s z n", "y", domain="com.acme")], "operator com.acme.Quant is not supported"),
        ([microsoft("QLinearAdd", "x s z", "y")], "(QLinearAdd): 3 operands; 7 to 8 are allowed"),
    ],
)
def test_refusals(nodes, words, tmp_path):
    constants = {
        "s": np.float32(0.5),
        "z": np.float32(0),
        "n": np.float32(4),
        "half": np.float32(2.5),
        "grid": np.ones((1, 3, 6, 1), np.float32),
        "minus": np.float32(-1),
    }
    path = save(model(nodes, kind=TensorProto.FLOAT, constants=constants), tmp_path)
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert any(words in line for line in caught.value.problems)


def test_nodes_in_any_order(tmp_path):
    """Some quantisers append nodes to the end of the file."""
    nodes = [node("Relu", "b", "y"), node("Relu", "a", "b"), node("Relu", "x", "a")]
    path = tmp_path / "model.onnx"
    path.write_bytes(build(nodes, "y", {}).SerializeToString())
    assert [n.outputs[0] for n in read_model(path).nodes] == ["a", "b", "y"]


def test_whole_numbers_in_float_tensors(tmp_path):
    """As NEMO and DORY write them: Floor and Clip make integers, and all weights are whole numbers."""
    constants = {
        "w": RNG.integers(-128, 128, (4, 3, 3, 3)).astype(np.float32),
        "k": RNG.integers(1, 9, (1, 4, 1, 1)).astype(np.float32),
        "l": RNG.integers(-900, 900, (1, 4, 1, 1)).astype(np.float32),
        "d": np.float64(4096),
        "w2": RNG.integers(-128, 128, (5, 64)).astype(np.float32),
        "b2": RNG.integers(-9000, 9000, 5).astype(np.float32),
    }
    nodes = [
        node("Conv", "x w", "a"),
        node("Mul", "k a", "b"),
        node("Add", "b l", "c"),
        node("Div", "c d", "e"),
        node("Floor", "e", "f"),
        node("Clip", "f", "g", min=0.0, max=255.0),
        node("Flatten", "g", "h"),
        node("Gemm", "h w2 b2", "y", transB=1),
    ]
    graph = read_model(save(build(nodes, "y", constants, ("x", (1, 3, 6, 6)), opset=9), tmp_path))
    simple = simplify(graph)
    kept = [n.op for n in simple.nodes if not n.op.endswith("Linear")]
    assert kept == ["Conv", "Mul", "Add", "Mul", "Floor", "Clip", "Reshape", "Gemm"]
    assert sum(n.op == "QuantizeLinear" for n in simple.nodes) == 2
    x = RNG.integers(0, 256, (1, 3, 6, 6)).astype(np.float32)
    first, second = (run_float(each, {"x": x})["y"] for each in (graph, simple))
    assert np.array_equal(first, second)
    assert first.std() > 0


@pytest.mark.parametrize(
    ("clip", "limits"),
    [(node("Relu", "x", "r"), (-3, 127)), (node("Clip", "x low high", "r"), (-5, 9)), (node("Clip", "x", "r"), None)],
)
def test_clips_of_the_input_are_left_to_the_host(clip, limits, tmp_path):
    constants = {"s": np.float32(0.5), "z": np.int8(-3), "low": np.float32(-1), "high": np.float32(6)}
    nodes = [clip, node("QuantizeLinear", "r s z", "q"), node("DequantizeLinear", "q s z", "y")]
    graph = read_model(save(build(nodes, "y", constants, ("x", (1, 99))), tmp_path))
    simple = simplify(graph)
    assert [n.op for n in simple.nodes] == ["QuantizeLinear", "DequantizeLinear"]
    assert [n.attributes["limits"] for n in simple.nodes] == [limits] * 2
    x = np.linspace(-90, 90, 99, dtype=np.float32)[None]
    assert np.array_equal(run_float(simple, {"x": x})["y"], run_float(graph, {"x": x})["y"])


@pytest.mark.parametrize(
    ("levels", "low", "high", "kind", "limits"),
    [
        (256, 0.0, 25.5, np.uint8, None),
        (256, -12.8, 12.7, np.int8, None),
        (255, -12.7, 12.7, np.int8, (-127, 127)),
        (256, -1.0, 24.5, np.uint8, None),
        (16, -0.8, 0.7, np.int8, (-8, 7)),
    ],
)
def test_fake_quantize(levels, low, high, kind, limits, tmp_path):
    ends = {"low": np.float32([[low]]), "high": np.float32([[high]])}
    fake = node("FakeQuantize", "x low high low high", "y", domain="org.openvinotoolkit", levels=levels)
    source = ("x", (1, 400))
    graph = read_model(save(model([fake], source=source, kind=TensorProto.FLOAT, constants=ends), tmp_path))
    assert [n.op for n in graph.nodes] == ["QuantizeLinear", "DequantizeLinear"]
    x = RNG.uniform(low - 1, high + 1, (1, 400)).astype(np.float32)
    step = (high - low) / (levels - 1)
    expected = np.rint((np.clip(x, low, high) - low) / step) * step + low
    np.testing.assert_allclose(run_float(graph, {"x": x})["y"], expected, atol=1e-5)  # float32 scales
    assert graph.tensors[graph.nodes[0].outputs[0]].dtype == kind
    assert graph.nodes[0].attributes["limits"] == limits


@pytest.mark.parametrize(
    ("domain", "prefix"), [(MICROSOFT, ""), ("com.amd.quark", "Extended"), ("com.vai.quantize", "Vitis")]
)
def test_standard_operators_in_other_domains(domain, prefix, tmp_path):
    constants = {"s": np.float32(0.5), "z": np.int16(-3)}
    nodes = [
        node(f"{prefix}QuantizeLinear", "x s z", "q", domain=domain),
        node(f"{prefix}DequantizeLinear", "q s z", "y", domain=domain),
    ]
    graph = read_model(save(model(nodes, kind=TensorProto.FLOAT, constants=constants), tmp_path))
    assert [n.op for n in graph.nodes] == ["QuantizeLinear", "DequantizeLinear"]
    assert graph.tensors["q"].dtype == np.int16
