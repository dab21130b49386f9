"""Real quantised networks: golden against ONNX Runtime, integer by integer."""

from fractions import Fraction

import numpy as np
import pytest

from hwgen import flow
from hwgen.blocks import OPERATORS, AveragePool, Conv
from hwgen.graph import golden
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.semantics.float_model import run_float
from hwgen.simulate.runtime import Runtime
from tests.graph.reference import session
from tests.shared import arrays, data, model

pytestmark = pytest.mark.slow

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


def digits(high):
    return arrays(data("mnist.npz"))["x_test"][:FRAMES, None].astype(np.float32) / np.float32(255 / high)


#: Results that nothing quantises, as sums; those of QONNX have no other runtime than the float model.
SUMS = {
    "zoo_TFC_1W1A.onnx": lambda: digits(1),
    "zoo_TFC_2W2A.onnx": lambda: digits(1),
    "MnistNet_model_deployI.onnx": lambda: digits(255),
    "separable_conv_model_ch_last.onnx": lambda: (
        np.random.default_rng(0).normal(0, 1, (1, 512, 512, 3)).astype(np.float32)
    ),
}
DETECTOR = "yunet_n_320_320.onnx"


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


def ties(network, layer, x):
    """Where the average of whole maps ``x`` [N, H, W, C] lies exactly halfway between two integers."""
    into, out = (network.tensors[name].quantization for name in (layer.inputs[0], layer.output))
    assert layer.op.window.kernel == x.shape[1:3]
    step = Fraction(float(into.scale)) / Fraction(float(out.scale)) / (x.shape[1] * x.shape[2])
    sums = (x.astype(int) - int(into.zero_point)).sum(axis=(1, 2), keepdims=True)
    return np.vectorize(lambda total: (2 * step * int(total)) % 2 == 1, otypes=[bool])(sums)


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
        if isinstance(layer.op, AveragePool):  # added in float32, which a tie falls to one side of
            assert not (apart.astype(bool) & ~ties(network, layer, values[layer.inputs[0]])).any()
        else:
            assert isinstance(layer.op, Conv) or not apart.any()
        wrong, total = wrong + np.count_nonzero(apart), total + apart.size
    assert wrong * 1_000_000 <= total * NEAR[name]


@pytest.mark.parametrize("name", SUMS)
def test_sums_are_what_the_model_means(name):
    """To the last bit: the host multiplies the exact sums in the model's order of operations."""
    graph, frames = simplify(read_model(model(name))), SUMS[name]()
    network = lower(graph, OPERATORS, warn=lambda line: None)
    assert network.layers[-1].op.requantization.form == "raw"
    integers = golden.run(network, golden.network_input(network, frames))
    expected = run_float(graph, {graph.inputs[0]: frames})[graph.outputs[0]]
    assert np.array_equal(golden.network_output(network, integers[network.output.name]), expected)


def test_a_detector_with_twelve_outputs():
    """Quantised on the frames that it is tried on: the order of all outputs, and what they mean."""
    path = model(DETECTOR)
    photos = arrays(data("imagenet100.npz"))["x"][:2, ..., ::-1].astype(np.float32)
    frames = np.pad(photos, ((0, 0), (32, 32), (32, 32), (0, 0))).transpose(0, 3, 1, 2).copy()
    network = flow.quantised(path, calibration=frames, warn=lambda line: None).network
    assert len(network.outputs) == 12
    assert network.tail is None
    integers = golden.run(network, golden.network_input(network, frames))
    ours = golden.network_outputs(network, integers)
    runtime = session(str(path))
    batches = [runtime.run(list(ours), {runtime.get_inputs()[0].name: frame[None]}) for frame in frames]
    theirs = dict(zip(ours, map(np.concatenate, zip(*batches, strict=True)), strict=True))
    assert list(ours) == [output.name for output in runtime.get_outputs()]
    for name, values in theirs.items():
        assert ours[name].shape == values.shape
        # Eight bits make noise; elements in another order would not correlate at all.
        assert np.corrcoef(ours[name].ravel(), values.ravel())[0, 1] > 0.9, name
