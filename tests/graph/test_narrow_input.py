"""Integers narrower than their type where frames come in: a frame beyond them becomes what the model makes of it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hwgen.blocks import OPERATORS
from hwgen.graph import golden
from hwgen.graph.errors import ModelError
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.onnx.writer import write_qdq
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.quantize import quantize
from tests.graph.models import build, node, save
from tests.graph.reference import runtime_integers

BEYOND = np.linspace(-9, 9, 2 * 48, dtype=np.float32).reshape(2, 3, 4, 4)


def convolution(before, constants, source="d", opset=13):
    """A model of the nodes ``before``, whose result ``source`` goes through a convolution and is quantised."""
    rng = np.random.default_rng(0)
    constants = constants | {
        "w": rng.integers(-7, 8, (2, 3, 3, 3)).astype(np.int8),
        "ws": np.float32(0.1),
        "wz": np.int8(0),
        "ys": np.float32(0.3717),  # no sum lies half way between two integers
        "yz": np.uint8(120),
    }
    nodes = [
        *before,
        node("DequantizeLinear", "w ws wz", "wd"),
        node("Conv", f"{source} wd", "c", pads=[1, 1, 1, 1]),
        node("QuantizeLinear", "c ys yz", "y_q"),
        node("DequantizeLinear", "y_q ys yz", "y"),
    ]
    return build(nodes, "y", constants, ("x", ("N", 3, 4, 4)), opset)


def quantized(dtype, zero=0, scale=0.05, name="q"):
    """QuantizeLinear of the input to ``name``, with its constants."""
    return [node("QuantizeLinear", "x s z", name)], {"s": np.float32(scale), "z": dtype(zero)}


def clipped(dtype, low, high, zero=0, scale=0.05):
    """QCDQ, as Brevitas exports it."""
    before, constants = quantized(dtype, zero, scale)
    before += [node("Clip", "q low high", "k"), node("DequantizeLinear", "k s z", "d")]
    return convolution(before, constants | {"low": dtype(low), "high": dtype(high)})


def qonnx(op, *operands, **attributes):
    names = [f"a{n}" for n in range(len(operands))]
    model = convolution([], {name: np.float32(value) for name, value in zip(names, operands, strict=True)})
    quant = helper.make_node(op, ["x", *names], ["d"], name="quant", domain="qonnx.custom_op.general", **attributes)
    model.graph.node.insert(0, quant)
    model.opset_import.append(helper.make_opsetid("qonnx.custom_op.general", 1))
    return model


def four_bits(kind, zero):
    before, constants = quantized(np.int8, zero, 0.5)
    del constants["z"]
    model = convolution([*before, node("DequantizeLinear", "q s z", "d")], constants, opset=21)
    model.graph.initializer.append(helper.make_tensor("z", kind, [], [zero]))
    model.ir_version = 10
    return model


def bounded(op, dtype, **constants):
    """A Relu or Clip in front of the quantiser."""
    before, own = quantized(dtype)
    before[0].input[0] = "r"
    before = [node(op, " ".join(["x", *constants]), "r"), *before, node("DequantizeLinear", "q s z", "d")]
    return convolution(before, own | constants)


def narrowed_later(low, high):
    """Quantised with all integers, then once more with fewer: the second is a layer of its own."""
    before, constants = quantized(np.int8)
    before += [
        node("DequantizeLinear", "q s z", "r"),
        node("MaxPool", "r", "p", kernel_shape=[1, 1]),
        node("QuantizeLinear", "p s z", "q2"),
        node("Clip", "q2 low high", "k"),
        node("DequantizeLinear", "k s z", "d"),
    ]
    return convolution(before, constants | {"low": np.int8(low), "high": np.int8(high)})


CASES = {
    "8 bits": clipped(np.int8, -127, 127),
    "8 bits, zero point": clipped(np.int8, -127, 100, -3),
    "8 bits unsigned": clipped(np.uint8, 0, 254, 128),
    "a range without zero": clipped(np.uint8, 20, 90, 7),
    "4 bits as a Clip": clipped(np.int8, -7, 7, scale=0.5),
    "4 bits unsigned as a Clip": clipped(np.uint8, 0, 14, 6, scale=0.5),
    "3 bits": clipped(np.int8, -3, 3, scale=1),
    "2 bits": clipped(np.int8, -1, 1, scale=2),
    "INT4": four_bits(TensorProto.INT4, -2),
    "UINT4": four_bits(TensorProto.UINT4, 5),
    "QONNX narrow": qonnx("Quant", 0.05, 0, 8, signed=1, narrow=1),
    "QONNX narrow, unsigned": qonnx("Quant", 0.1, 0, 6, signed=0, narrow=1),
    "QONNX narrow, 5 bits": qonnx("Quant", 0.3, 0, 5, signed=1, narrow=1),
    "QONNX narrow, 12 bits": qonnx("Quant", 0.003, 0, 12, signed=1, narrow=1),
    "QONNX 2 bits": qonnx("Quant", 2, 0, 2, signed=1, narrow=1),
    "QONNX bipolar": qonnx("BipolarQuant", 0.5),
    "Relu": bounded("Relu", np.int8),
    "Clip": bounded("Clip", np.uint8, low=np.float32(1), high=np.float32(3)),
    "narrowed later": narrowed_later(-100, 90),
}


@pytest.mark.parametrize("case", CASES)
def test_golden_is_onnx_runtime_beyond_the_range(tmp_path, case):
    graph = simplify(read_model(save(CASES[case], tmp_path)))
    network = lower(quantize(graph), OPERATORS)
    write_qdq(graph, tmp_path / "q.onnx")
    ours = golden.run(network, golden.network_input(network, BEYOND))
    theirs = runtime_integers(tmp_path / "q.onnx", BEYOND)["y_q"]
    assert np.array_equal(ours[network.output.name], np.moveaxis(theirs, 1, -1))
    low, high = network.input_range
    assert (ours["x"].min(), ours["x"].max()) == (low, high)


def test_what_is_narrow_already_needs_no_layer(tmp_path):
    """The second quantiser finds the limits of the first."""
    before, constants = quantized(np.int8)
    before += [
        node("Clip", "q low high", "k"),
        node("DequantizeLinear", "k s z", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2]),
        node("QuantizeLinear", "p s z", "q2"),
        node("Clip", "q2 low high", "k2"),
        node("DequantizeLinear", "k2 s z", "d"),
    ]
    model = convolution(before, constants | {"low": np.int8(-127), "high": np.int8(127)})
    network = lower(simplify(read_model(save(model, tmp_path))), OPERATORS)
    assert [type(layer.op).__name__ for layer in network.layers] == ["MaxPool", "Conv"]


def test_two_ranges_at_the_input_are_refused(tmp_path):
    before, constants = quantized(np.int8)
    before += [
        node("Clip", "q low high", "k"),
        node("DequantizeLinear", "k s z", "a"),
        node("QuantizeLinear", "x s z", "q2"),
        node("DequantizeLinear", "q2 s z", "b"),
        node("Add", "a b", "sum"),
        node("QuantizeLinear", "sum s z", "sum_q"),
        node("DequantizeLinear", "sum_q s z", "d"),
    ]
    model = convolution(before, constants | {"low": np.int8(-127), "high": np.int8(127)})
    with pytest.raises(ModelError, match="the input 'x' is quantised in two ways"):
        lower(quantize(simplify(read_model(save(model, tmp_path)))), OPERATORS)


def test_integers_of_the_input_that_mean_something_else_afterwards(tmp_path):
    """Quantised with one scale, read with another, as a Trunc of QONNX does."""
    before, constants = quantized(np.int8)
    before.append(node("DequantizeLinear", "q t z", "d"))
    path = save(convolution(before, constants | {"t": np.float32(0.07)}), tmp_path)
    network = lower(simplify(read_model(path)), OPERATORS)
    ours = golden.output(network, golden.network_input(network, BEYOND))
    assert np.array_equal(ours, np.moveaxis(runtime_integers(path, BEYOND)["y_q"], 1, -1))


def test_the_written_file_keeps_the_range(tmp_path):
    for case in ("8 bits", "QONNX narrow, 12 bits", "QONNX bipolar"):
        graph = simplify(read_model(save(CASES[case], tmp_path)))
        write_qdq(graph, tmp_path / "q.onnx")
        onnx.checker.check_model(onnx.load(tmp_path / "q.onnx"), full_check=True)
        again = lower(simplify(read_model(tmp_path / "q.onnx")), OPERATORS)
        first = lower(graph, OPERATORS)
        assert again.input_range == first.input_range
        frames = golden.network_input(first, BEYOND)
        assert np.array_equal(golden.output(first, frames), golden.output(again, golden.network_input(again, BEYOND)))
