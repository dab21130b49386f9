"""NAME_qdq.onnx gives our integers: all its tensors in an exact session, for models of every kind, in batches."""

import warnings

import numpy as np
import pytest
from onnx import TensorProto, helper

from hwgen import flow
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.onnx.writer import write_qdq
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.quantize import quantize
from hwgen.simulate.runtime import against_onnxruntime
from tests.graph.models import build, lenet_like, node, save
from tests.graph.test_narrow_input import CASES as NARROW
from tests.graph.toys import sites
from tests.shared import model as shared_model

SHAPE = (3, 6, 6)


def layer(bias, bias_scale=None, bias_zero=None, dtype=np.uint8, weight_scale=(0.02, 0.03, 0.011, 0.04)):
    """A convolution of integers whose ``bias`` is stored as given, real numbers or integers of ``bias_scale``."""
    rng = np.random.default_rng(1)
    scales = np.float32(weight_scale)
    constants = {
        "xs": np.float32(0.05),
        "xz": dtype(3),
        "w": rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "ws": scales,
        "wz": np.zeros(scales.shape, np.int8),
        "b": np.asarray(bias),
        "ys": np.float32(0.0837),
        "yz": dtype(5),
    }
    nodes = [
        node("QuantizeLinear", "x xs xz", "xq"),
        node("DequantizeLinear", "xq xs xz", "xd"),
        node("DequantizeLinear", "w ws wz", "wd", axis=0),
    ]
    if bias_scale is not None:
        constants["bs"] = np.asarray(bias_scale, np.float32)
        names = "b bs"
        if bias_zero is not None:
            constants["bz"], names = np.full(constants["bs"].shape, bias_zero, constants["b"].dtype), "b bs bz"
        nodes.append(node("DequantizeLinear", names, "bd", axis=0))
    nodes += [
        node("Conv", "xd wd bd" if bias_scale is not None else "xd wd b", "c", pads=[1, 1, 1, 1]),
        node("QuantizeLinear", "c ys yz", "yq"),
        node("DequantizeLinear", "yq ys yz", "y"),
    ]
    return build(nodes, "y", constants, ("x", ("N", *SHAPE)))


STEPS = np.float32([0.02, 0.03, 0.011, 0.04]) * np.float32(0.05)
REAL = np.float32([0.613, -1.2345, 0.0471, 2.3])
BIASES = {
    "in steps of the sums": layer(np.int32([77, -60, 1000, 5]), STEPS, 0),
    "in real numbers": layer(REAL),
    "int32 of another scale": layer(np.int32([613, -1234, 47, 2300]), 0.001, 0),
    "int32 of other scales": layer(np.int32([613, -1234, 47, 2300]), STEPS * np.float32(1.37), 0),
    "int8, as power-of-two quantisers have it": layer(np.int8([39, -79, 3, 127]), 1 / 64, 0),
    "int8 with a zero point": layer(np.int8([39, -79, 3, 127]), 1 / 64, -5),
    "without a zero point": layer(np.int32([613, -1234, 47, 2300]), 0.001),
    "int16": layer(np.int16([613, -1234, 47, 2300]), 0.001, 0),
    "s8 activations": layer(np.int8([39, -79, 3, 127]), 1 / 64, 0, np.int8),
    "weights per tensor": layer(np.int8([39, -79, 3, 127]), 1 / 64, 0, weight_scale=0.0213),
    "finer than a step": layer(np.int32([61300, -123450, 4710, 230000]), 1e-5, 0),
}


def powers_of_two():
    """All scales are powers of two, as of Vitis AI and qkeras: a coarse bias is a whole number of steps."""
    model = layer(np.int8([39, -79, 3, 127]), 1 / 64, 0, np.int8, weight_scale=2.0**-6)
    for tensor in model.graph.initializer:
        if tensor.name in ("xs", "ys"):
            tensor.CopyFrom(helper.make_tensor(tensor.name, TensorProto.FLOAT, [], [2.0**-5]))
    return model


def dense(bias, scale):
    """Fully connected, with integers between."""
    rng = np.random.default_rng(2)
    constants = {
        "xs": np.float32(0.05),
        "xz": np.uint8(128),
        "w": rng.integers(-127, 128, (5, 12)).astype(np.int8),
        "ws": np.float32(0.01),
        "wz": np.int8(0),
        "b": bias,
        "bs": np.float32(scale),
        "bz": bias.dtype.type(0),
        "ys": np.float32(0.0611),
        "yz": np.uint8(100),
    }
    nodes = [
        node("QuantizeLinear", "x xs xz", "xq"),
        node("DequantizeLinear", "xq xs xz", "xd"),
        node("DequantizeLinear", "w ws wz", "wd"),
        node("DequantizeLinear", "b bs bz", "bd"),
        node("Gemm", "xd wd bd", "g", transB=1),
        node("QuantizeLinear", "g ys yz", "yq"),
        node("DequantizeLinear", "yq ys yz", "y"),
    ]
    return build(nodes, "y", constants, ("x", ("N", 12)))


def few_bits():
    """QONNX: 4 bits everywhere, and a bias of its own."""
    rng = np.random.default_rng(3)
    constants = {
        "one": np.float32(0.25),
        "zero": np.float32(0),
        "four": np.float32(4),
        "eight": np.float32(8),
        "w": rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32),
        "ws": np.float32([0.1, 0.07, 0.05, 0.11])[:, None, None, None],
        "b": rng.normal(0, 1, 4).astype(np.float32),
        "bs": np.float32(0.0123),
        "ys": np.float32(0.31),
    }

    def quant(inputs, output, **attributes):
        return node("Quant", inputs, output, domain="qonnx.custom_op.general", **attributes)

    nodes = [
        quant("x one zero four", "xd", signed=1, narrow=1),
        quant("w ws zero four", "wd", signed=1, narrow=1),
        quant("b bs zero eight", "bd", signed=1),
        node("Conv", "xd wd bd", "c"),
        node("Relu", "c", "r"),
        quant("r ys zero four", "y", signed=0),
    ]
    model = build(nodes, "y", constants, ("x", ("N", *SHAPE)))
    model.opset_import.append(helper.make_opsetid("qonnx.custom_op.general", 1))
    return model


MODELS = {
    **{f"bias {name}": model for name, model in BIASES.items()},
    **{f"input {name}": model for name, model in NARROW.items()},
    "powers of two": powers_of_two(),
    "fully connected": dense(np.int8([11, -90, 3, 55, 127]), 1 / 32),
    "few bits": few_bits(),
    "float": lenet_like(),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_integer_is_ours_whatever_the_batch(tmp_path, name):
    path = save(MODELS[name], tmp_path)
    found = flow.quantised(path, warn=lambda line: None)
    write_qdq(found.graph, tmp_path / "written.onnx")
    frames = np.random.default_rng(4).normal(0, 2, (5, *found.network.input_shape)).astype(np.float32)
    for count in (1, 2, 5):
        compared = against_onnxruntime(tmp_path / "written.onnx", found.graph, found.network, frames[:count])
        assert compared.equal, "\n".join(map(str, compared.differences))
        assert compared.model == "written.onnx"
        assert found.network.output.name in compared.tensors


@pytest.mark.parametrize("name", BIASES)
def test_biases_are_written_as_they_are_computed(tmp_path, name):
    """int32 in steps of the sums, which changes nothing in the network."""
    path = save(BIASES[name], tmp_path)
    found = flow.quantised(path, warn=lambda line: None)
    bias = sites(quantize(simplify(read_model(path))), lambda line: None)[0].bias  # of the file itself
    (conv,) = (each for each in found.graph.nodes if each.op == "Conv")
    stored = found.graph.producer(conv.inputs[2])
    assert found.graph.constants[stored.inputs[0]].dtype == np.int32
    assert np.array_equal(found.graph.constants[stored.inputs[0]], bias)


def test_who_is_told_of_a_rounded_bias(tmp_path):
    """Where nothing is lost, nobody is."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        flow.quantised(save(BIASES["int32 of another scale"], tmp_path))
    assert [str(each.message) for each in told] == [
        "node 'c_node' (Conv): its bias is quantised, but not with scale input*weight; it is rounded to that"
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow.quantised(save(powers_of_two(), tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        "conv1d_small_keras.onnx",
        "mnist_cntk.ort_QDQ_u8s8.onnx",
        "mnist_cntk.ort_QOp_u8s8.onnx",
        "kws_dscnn_int8.tf2onnx.onnx",
        "gtsrb_cnn_12x12_w2a3.onnx",
        "zoo_TFC_1W1A.onnx",
        "zoo_TFC_2W2A.onnx",
        "ad01_fcae_int8.tf2onnx.onnx",
        "resnet20_cifar10.quark_XINT8.onnx",
    ],
)
def test_real_models(tmp_path, name):
    found = flow.quantised(shared_model(name), warn=lambda line: None)
    write_qdq(found.graph, tmp_path / "written.onnx")
    compared = against_onnxruntime(tmp_path / "written.onnx", found.graph, found.network, found.samples[:2])
    assert compared.equal, "\n".join(map(str, compared.differences))
    assert compared.model == "written.onnx"
