"""Networks as found in the wild: each is imported, and computes what ONNX Runtime computes, or is refused in words."""

import re

import numpy as np
import onnx
import pytest

from hwgen.graph.check import check_graph
from hwgen.graph.errors import ModelError
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.semantics.float_model import node_results, run_float
from tests import shared
from tests.graph.reference import session

SHAPES = {"three_layer_pytorch": (1, 16)}
REFUSED = {
    # a file from which nodes were cut: its input has 32 channels
    "tiny_unet_model_100k_ch_last": r"'Conv_33' .*with group 1 on 32 .*export the model",
}
QONNX = (  # ONNX Runtime does not run it
    "branched_model_ch_last",
    "espcn_nnresize_quant",
    "gtsrb_cnn_12x12_w2a3",
    "resnet20_cifar10.brevitas_w4a4_pc_float_qonnx",
    "separable_conv_model_ch_last",
    "tiny_unet_model_100k_ch_last",
    "zoo_TFC_1W1A",
    "zoo_TFC_2W2A",
)
INVALID = ("MnistNet_model_deployI",)  # divides single by double precision, which ONNX forbids
FLOAT = (
    "ad01_fcae_fp32.tf2onnx",
    "conv1d_small_keras",
    "kws_dscnn_fp32.tf2onnx",
    "mobilenet_v1_0.25_224_imagenet.keras_nchw.tf2onnx",
    "ort_examples_mnist",
    "resnet20_cifar10.dynamo",
    "resnet20_cifar10.torchscript_op11_nofold",
    "resnet20_cifar10.torchscript_op13",
    "resnet8_cifar10_fp32.tf2onnx",
    "squeezenet_v1.0_deepcompression",
    "three_layer_pytorch",
    "vww96_mbv1_025_fp32.tf2onnx",
    "yunet_n_320_320",
)
QUANTISED = (
    "ad01_fcae_int8.tf2onnx",
    "kws_dscnn_int8.tf2onnx",
    "mnist_cntk.ort_QDQ_u8s8",
    "mnist_cntk.ort_QOp_u8s8",
    "mobilenet_v1_0.25_224_nchw.ort_QDQ_s8s8_perchannel",
    "mobilenet_v2_1.0_224.ort_QDQ_s8s8_perchannel",
    "resnet20_cifar10.brevitas_w4a4_pc_float_qcdq",
    "resnet20_cifar10.brevitas_w8a8_float_qcdq",
    "resnet20_cifar10.ort_QDQ_a16w8",
    "resnet20_cifar10.ort_QDQ_s8s8_perchannel",
    "resnet20_cifar10.ort_QDQ_u8s8",
    "resnet20_cifar10.ort_QOp_u8s8_perchannel",
    "resnet20_cifar10.ppq_TRT_INT8",
    "resnet20_cifar10.quark_XINT8",
    "resnet20_cifar10.torchfx_x86_legacy",
    "resnet8_cifar10_int8.tf2onnx",
    "shufflenet-v2-12-int8",
    "squeezenet_v1.0.ort_QDQ_u8s8",
    "vww96_mbv1_025_int8.tf2onnx",
)


SOON = (  # one of each exporter and quantiser of which there is a small one
    "ad01_fcae_fp32.tf2onnx",
    "ad01_fcae_int8.tf2onnx",
    "conv1d_small_keras",
    "kws_dscnn_int8.tf2onnx",
    "mnist_cntk.ort_QDQ_u8s8",
    "mnist_cntk.ort_QOp_u8s8",
    "ort_examples_mnist",
    "resnet20_cifar10.brevitas_w4a4_pc_float_qcdq",
    "resnet20_cifar10.quark_XINT8",
    "resnet20_cifar10.torchscript_op13",
    "resnet8_cifar10_int8.tf2onnx",
    "three_layer_pytorch",
)


def soon(names):
    """All of them; those that are not in SOON are slow."""
    return [pytest.param(name, marks=[] if name in SOON else [pytest.mark.slow]) for name in names]


def read(name):
    """The graph as read, and in the form that lowering expects."""
    path = shared.model(f"{name}.onnx")
    graph = read_model(path, {"0": SHAPES[name]} if name in SHAPES else None)
    return graph, simplify(graph)


def frame(graph):
    """Noise over the range that the network was made for, as far as its type tells."""
    info = graph.tensors[graph.inputs[0]]
    rng = np.random.default_rng(1)
    if info.dtype.kind in "iu":
        limits = np.iinfo(info.dtype)
        return rng.integers(limits.min, limits.max + 1, info.shape).astype(info.dtype)
    return rng.normal(0, 1, info.shape).astype(np.float32)


def runtime(name, names, feeds):
    """ONNX Runtime's tensors ``names`` of the file, for a batch of one."""
    model = onnx.load(shared.model(f"{name}.onnx"))
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return dict(zip(names, session(model.SerializeToString()).run(names, feeds), strict=True))


def produced(name, ops):
    """Tensors of the file that operators beginning with ``ops`` write."""
    nodes = onnx.load(shared.model(f"{name}.onnx")).graph.node
    return {output for node in nodes if node.op_type.startswith(ops) for output in node.output}


@pytest.mark.parametrize("name", sorted({*FLOAT, *QUANTISED, *QONNX, *INVALID} - REFUSED.keys()))
def test_import(name):
    _, simple = read(name)
    check_graph(simple)
    assert not {node.domain for node in simple.nodes} - {""}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal(name):
    with pytest.raises(ModelError) as caught:
        read(name)
    assert any(re.search(REFUSED[name], line) for line in caught.value.problems)


@pytest.mark.parametrize("name", soon(FLOAT))
def test_float_networks(name):
    """Sums have another order, and folded weights are rounded once more. Before the head and after it."""
    graph, simple = read(name)
    feeds = {graph.inputs[0]: frame(graph)}
    names = sorted({*graph.outputs, *simple.outputs} & produced(name, ""))
    theirs = runtime(name, names, feeds)
    for each in (graph, simple):
        ours = run_float(each, feeds)
        for n in set(names).intersection(each.outputs):
            np.testing.assert_allclose(ours[n], theirs[n], rtol=1e-4, atol=2e-5 * np.abs(theirs[n]).max() + 1e-6)
    assert len(names) >= len(graph.outputs)


# Largest share of a tensor's integers that may differ, by one step: real numbers are summed and rounded where ONNX
# Runtime sums integers, so that what lies half-way between two integers goes another way. Of 16 bits, a step is hardly
# more than float32 resolves.
TIES, TIES_OF_16_BITS = 1e-3, 3e-3


def forced(graph, feeds, theirs):
    """How each tensor of ``theirs`` differs when made of ONNX Runtime's own integers, so that nothing walks on."""
    values = dict(graph.constants) | feeds
    for node in graph.nodes:
        values |= node_results(node, [values[name] if name else None for name in node.inputs])
        name = node.outputs[0]
        if name in theirs and theirs[name].shape == values[name].shape:
            yield name, np.abs(values[name].astype(np.int64) - theirs[name])
            values[name] = theirs[name]


@pytest.mark.parametrize("name", soon(QUANTISED))
def test_quantised_networks(name):
    """As read and simplified. Where integers are clipped after they are quantised, the Clip has their name then."""
    graph, simple = read(name)
    feeds = {graph.inputs[0]: frame(graph)}
    made = produced(name, ("QuantizeLinear", "QLinear", "QGemm", "Clip")) & graph.tensors.keys()
    integers = sorted(n for n in made if graph.tensors[n].dtype.kind in "iu")
    theirs = runtime(name, integers, feeds)
    for each in (graph, simple):
        steps = dict(forced(each, feeds, theirs))
        shares = {n: np.mean(value > 0) for n, value in steps.items()}
        assert max(shares.values()) <= (TIES_OF_16_BITS if "a16w8" in name else TIES)
        assert max(value.max() for value in steps.values()) <= 1
        assert len(steps) > len(integers) / 3


def test_the_same_network_in_two_formats():
    """QONNX's Quant is Quantize, Clip and Dequantize."""
    pair = [read(f"resnet20_cifar10.brevitas_w4a4_pc_float_{kind}")[1] for kind in ("qcdq", "qonnx")]
    x = frame(pair[0])
    first, second = (run_float(graph, {graph.inputs[0]: x})[graph.outputs[0]] for graph in pair)
    assert np.array_equal(first, second)
    narrow = [[node.attributes["limits"] for node in g.nodes if node.op == "QuantizeLinear"] for g in pair]
    assert narrow[0] == narrow[1]
