"""Real quantised networks: golden against ONNX Runtime, integer by integer."""

import numpy as np
import pytest

from hwgen.blocks import OPERATORS, Conv
from hwgen.graph import golden
from hwgen.graph.lower import lower
from hwgen.graph.passes import simplify
from hwgen.graph.reader import read_model
from hwgen.runtime import Runtime
from tests.shared import arrays, data, model

FRAMES = 3
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def cifar():
    frames = arrays(data("cifar10.npz"))["x_test"][:FRAMES].astype(np.float32) / 255
    return ((frames - MEAN) / STD).transpose(0, 3, 1, 2).copy()


def pixels(name):
    return (arrays(data(name))["x"][:FRAMES].astype(np.int16) - 128).astype(np.int8)


def photos():
    frames = arrays(data("imagenet100.npz"))["x"][:FRAMES, 16:240, 16:240].astype(np.float32)
    return (frames / 127.5 - 1).transpose(0, 3, 1, 2).copy()


def squeezed():
    frames = arrays(data("imagenet100.npz"))["x"][:1, 14:241, 14:241, ::-1].astype(np.float32)
    return (frames - np.float32([104, 117, 123])).transpose(0, 3, 1, 2).copy()


EXACT = {
    "resnet8_cifar10_int8.tf2onnx.onnx": lambda: pixels("mlperf_tiny_ic.npz"),
    "kws_dscnn_int8.tf2onnx.onnx": lambda: arrays(data("mlperf_tiny_kws.npz"))["x"][:FRAMES],
    "vww96_mbv1_025_int8.tf2onnx.onnx": lambda: pixels("mlperf_tiny_vww.npz"),
    "resnet20_cifar10.ort_QDQ_u8s8.onnx": cifar,
    "resnet20_cifar10.ort_QDQ_s8s8_perchannel.onnx": cifar,
    "resnet20_cifar10.quark_XINT8.onnx": cifar,
    "resnet20_cifar10.ort_QOp_u8s8_perchannel.onnx": cifar,
    "resnet20_cifar10.brevitas_w4a4_pc_float_qcdq.onnx": cifar,
    "resnet20_cifar10.torchfx_x86_legacy.onnx": cifar,
    "mobilenet_v1_0.25_224_nchw.ort_QDQ_s8s8_perchannel.onnx": photos,
    "squeezenet_v1.0.ort_QDQ_u8s8.onnx": squeezed,
}
#: Where ONNX Runtime computes convolutions in float32: how many of a million integers may differ where they arise.
NEAR = {
    "resnet20_cifar10.ort_QDQ_a16w8.onnx": 1000,
    "resnet20_cifar10.brevitas_w8a8_float_qcdq.onnx": 10,
    "resnet20_cifar10.ppq_TRT_INT8.onnx": 10,
}


def beside_runtime(name, frames, folder):
    """The network, its integers for ``frames``, and those of ONNX Runtime."""
    path = model(name)
    graph = simplify(read_model(path))
    network = lower(graph, OPERATORS, warn=lambda line: None)
    ours = golden.run(network, golden.network_input(network, frames))
    return network, ours, Runtime.of(path, graph, network, folder).integers(frames, ours)


@pytest.mark.parametrize("name", EXACT)
def test_every_integer_is_onnx_runtimes(name, tmp_path):
    _, ours, theirs = beside_runtime(name, EXACT[name](), tmp_path)
    assert len(theirs) >= 5
    for tensor, value in theirs.items():
        np.testing.assert_array_equal(ours[tensor], value, err_msg=tensor)


@pytest.mark.parametrize("name", NEAR)
def test_where_onnx_runtime_computes_in_float(name, tmp_path):
    """Layer by layer, from ONNX Runtime's own integers; rates: ``python -m benchmarks.exactness``."""
    network, values, theirs = beside_runtime(name, cifar(), tmp_path)
    wrong, total = 0, 0
    for layer in network.layers:
        made = layer.op.golden(*(network.constants.get(n, theirs.get(n, values.get(n))) for n in layer.inputs))
        values[layer.output] = theirs.get(layer.output, made)
        apart = np.abs(made.astype(int) - values[layer.output])
        assert apart.max() <= 1
        assert type(layer.op) is Conv or not apart.any()
        wrong, total = wrong + np.count_nonzero(apart), total + apart.size
    assert wrong * 1_000_000 <= total * NEAR[name]
