"""What makes quantised networks accurate: bias correction, equalisation, 16-bit activations; and how accurate."""

import numpy as np
import pytest

from hwgen.blocks import OPERATORS
from hwgen.graph import golden
from hwgen.graph.errors import InputError
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.bias_correction import correct_biases
from hwgen.graph.quantize.equalize import equalize, find_pairs
from hwgen.graph.quantize.quantize import quantize
from hwgen.graph.quantize.recipe import Recipe
from hwgen.graph.semantics.float_model import run_float
from tests.graph.models import build, lenet_like, node, save
from tests.shared import arrays, data, model

PLAIN = Recipe(equalize=False, correct_bias=False)
SHAPE = ("x", ("N", 4, 8, 8))


def read(proto, folder):
    return simplify(read_model(save(proto, folder)))


def frames(count=32, shape=(4, 8, 8), seed=1):
    return np.random.default_rng(seed).uniform(-1, 2, (count, *shape)).astype(np.float32)


def uneven(outputs, inputs, kernel=1, seed=0):
    """Weights whose output channels differ by up to 64 in size."""
    rng = np.random.default_rng(seed)
    sizes = (2.0 ** -np.arange(outputs)).clip(1 / 64).reshape(-1, 1, 1, 1)
    return (rng.normal(0, 1, (outputs, inputs, kernel, kernel)) * sizes).astype(np.float32)


def separable(tmp_path, activation="Relu", bounds=""):
    """A convolution with uneven channels, a depthwise one, and a convolution that evens them out again."""
    rng = np.random.default_rng(3)
    constants = {
        "w": uneven(8, 4),
        "b": (2.0 ** -np.arange(8) * 0.1).astype(np.float32),
        "d": rng.normal(0, 0.3, (8, 1, 3, 3)).astype(np.float32),
        "k": (rng.normal(0, 1, (5, 8, 1, 1)) * 2.0 ** np.arange(8).reshape(1, 8, 1, 1)).astype(np.float32),
        "zero": np.float32(0),
        "six": np.float32(6),
    }
    nodes = [
        node("Conv", "x w b", "c"),
        node(activation, f"c{bounds}", "r"),
        node("Conv", "r d", "e", group=8, pads=[1, 1, 1, 1]),
        node(activation, f"e{bounds}", "s"),
        node("Conv", "s k", "y"),
    ]
    return read(build(nodes, "y", constants, SHAPE), tmp_path)


def result(graph, x):
    """Of the integers."""
    network = lower(graph, OPERATORS, warn=lambda line: None)
    values = golden.run(network, golden.network_input(network, x))
    return golden.network_output(network, values[network.output.name]), network


def squared_error(graph, x, recipe):
    """Of the quantised network's results against those of the float ``graph``."""
    found, _ = result(quantize(graph, x, recipe), x)
    return ((found - run_float(graph, {"x": x})[graph.outputs[0]]) ** 2).mean()


# Bias correction


def channel_means(graph, x, layer):
    values = run_float(graph, {"x": x})
    name = next(n.outputs[0] for n in graph.nodes if n.name == layer)
    return values[name].mean(axis=(0, *range(2, values[name].ndim)), dtype=np.float64)


def test_means_of_all_layers_become_those_of_the_float_network(tmp_path):
    graph, x = separable(tmp_path), frames()
    rough = quantize(graph, x, PLAIN)
    layers = [n.name for n in graph.nodes if n.op == "Conv"]
    done = correct_biases(rough, graph, x, layers)
    for layer in layers:
        wanted = channel_means(graph, x, layer)
        conv = next(n for n in done.nodes if n.name == layer)
        step = done.constants[done.producer(conv.inputs[2]).inputs[1]]
        before, after = (np.abs(channel_means(g, x, layer) - wanted) for g in (rough, done))
        assert (after <= step * 0.51 + 1e-6 * np.abs(wanted).max()).all()  # half a step, and float32 sums of means
        assert before.max() > 10 * after.max()


def test_only_the_layers_named_are_touched(tmp_path):
    graph, x = separable(tmp_path), frames()
    rough = quantize(graph, x, PLAIN)
    assert str(correct_biases(rough, graph, x, [])) == str(rough)


def test_made_up_frames_correct_nothing(tmp_path):
    graph = read(lenet_like(), tmp_path)
    graphs = [quantize(graph, None, recipe, warn=lambda line: None) for recipe in (Recipe(), PLAIN)]
    assert str(graphs[0]) == str(graphs[1])
    assert all(np.array_equal(value, graphs[1].constants[name]) for name, value in graphs[0].constants.items())


# Equalisation


@pytest.mark.parametrize(("activation", "bounds"), [("Relu", ""), ("Clip", " zero six"), ("LeakyRelu", "")])
def test_equalisation_changes_no_real_number(tmp_path, activation, bounds):
    graph, x = separable(tmp_path, activation, bounds), frames()
    even = equalize(graph, x)
    before, after = (run_float(g, {"x": x}) for g in (graph, even))
    np.testing.assert_allclose(after["y"], before["y"], rtol=1e-4, atol=1e-5)  # float32 weights are rounded anew
    spread = [np.abs(v["r"]).max(axis=(0, 2, 3)) for v in (before, after)]
    assert spread[0].max() / spread[0].min() > 30
    assert spread[1].max() / spread[1].min() < 5


def test_equalisation_makes_uneven_channels_accurate(tmp_path):
    graph, x = separable(tmp_path), frames()
    errors = [squared_error(graph, x, Recipe(equalize=on)) for on in (False, True)]
    assert errors[1] < errors[0] / 10


def test_pairs_reach_through_pools_and_reshapes_to_dense_layers(tmp_path):
    rng = np.random.default_rng(0)
    nodes = [
        node("Conv", "x w", "c"),
        node("Relu", "c", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", "p flat", "f"),
        node("Gemm", "f m", "g", transB=1),
        node("Relu", "g", "h"),
        node("Gemm", "h n", "y", transB=1),
    ]
    constants = {
        "w": uneven(8, 4),
        "flat": np.int64([0, -1]),
        "m": rng.normal(0, 1, (6, 128)).astype(np.float32),
        "n": rng.normal(0, 1, (3, 6)).astype(np.float32),
    }
    graph, x = read(build(nodes, "y", constants, SHAPE), tmp_path), frames()
    assert [(pair.first, pair.between, pair.second) for pair in find_pairs(graph)] == [
        ("c_node", "r", "g_node"),
        ("g_node", "h", "y_node"),
    ]
    wanted = run_float(graph, {"x": x})["y"]
    np.testing.assert_allclose(run_float(equalize(graph, x), {"x": x})["y"], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "between",
    [
        [node("Sigmoid", "c", "r")],
        [node("Clip", "c one six", "r")],
        [node("Pad", "c pads one", "r")],
        [node("Add", "c c", "r")],
        [node("QuantizeLinear", "c six", "q"), node("DequantizeLinear", "q six", "r")],
    ],
    ids=lambda nodes: nodes[0].op_type,
)
def test_what_does_not_scale_parts_layers(tmp_path, between):
    constants = {
        "w": uneven(4, 4),
        "k": uneven(4, 4),
        "one": np.float32(1),
        "six": np.float32(6),
        "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
    }
    nodes = [node("Conv", "x w", "c"), *between, node("Conv", "r k", "y")]
    assert find_pairs(read(build(nodes, "y", constants, SHAPE), tmp_path)) == []


def test_shared_weights_and_second_readers_part_layers(tmp_path):
    nodes = [node("Conv", "x w", "c"), node("Conv", "c w", "y")]
    assert find_pairs(read(build(nodes, "y", {"w": uneven(4, 4)}, SHAPE), tmp_path)) == []
    nodes = [node("Conv", "x w", "c"), node("Conv", "c k", "e"), node("Add", "e c", "y")]
    assert find_pairs(read(build(nodes, "y", {"w": uneven(4, 4), "k": uneven(4, 4)}, SHAPE), tmp_path)) == []


def test_grouped_layers_are_scaled_group_by_group(tmp_path):
    rng = np.random.default_rng(0)
    constants = {"w": uneven(8, 4), "k": rng.normal(0, 1, (6, 4, 3, 3)).astype(np.float32)}
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Conv", "r k", "y", group=2)]
    graph, x = read(build(nodes, "y", constants, SHAPE), tmp_path), frames()
    even = equalize(graph, x)
    assert not np.array_equal(even.constants["k"], graph.constants["k"])
    wanted = run_float(graph, {"x": x})["y"]
    np.testing.assert_allclose(run_float(even, {"x": x})["y"], wanted, rtol=1e-4, atol=1e-4)


# Sixteen bits


def widths(network):
    return {name: tensor.map.type.width for name, tensor in network.tensors.items()}


def test_named_activations_get_16_bits(tmp_path):
    graph, x = separable(tmp_path), frames()
    _, network = result(quantize(graph, x, Recipe(wide=("r", "y"))), x)
    assert widths(network) == {"x": 8, "r_quantized": 16, "s_quantized": 8, "y_quantized": 16}


def test_all_activations_in_16_bits_leave_the_error_of_the_weights(tmp_path):
    graph, x = separable(tmp_path), frames()
    narrow, wide = (squared_error(graph, x, Recipe(wide=names)) for names in ((), ("x", "r", "s", "y")))
    assert wide < narrow / 4


def test_auto_takes_what_costs_the_most(tmp_path):
    graph, x = separable(tmp_path), frames()
    _, network = result(quantize(graph, x, Recipe(equalize=False, wide=("auto",))), x)
    wide = {name for name, width in widths(network).items() if width == 16}
    assert wide == {"s_quantized"}  # small channels that are read with large weights
    errors = [squared_error(graph, x, Recipe(equalize=False, wide=names)) for names in ((), ("auto",))]
    assert errors[1] < errors[0] / 2


def test_unknown_names_are_told_with_near_ones(tmp_path):
    with pytest.raises(InputError) as caught:
        quantize(separable(tmp_path), frames(), Recipe(wide=("rr", "auto")))
    (line,) = caught.value.problems
    assert line.startswith("'rr' is not an activation that is quantised here; 16 bits can be given to 'r'")


def test_a_quantised_model_gives_no_16_bits(tmp_path):
    graph = quantize(separable(tmp_path), frames(), PLAIN)
    assert quantize(graph, None, Recipe(wide=("auto",))) is graph
    words = "'r' cannot get 16 bits: the model has quantised everything itself; leave --wide out"
    with pytest.raises(InputError, match=words):
        quantize(graph, None, Recipe(wide=("r",)))


# Real networks


def accuracy(network, x, y):
    found = golden.network_output(network, golden.run(network, golden.network_input(network, x))[network.output.name])
    return (found.reshape(len(x), -1).argmax(axis=1) == y).mean()


def keywords():
    shared = arrays(data("mlperf_tiny_kws.npz"))
    return (shared["x"].astype(np.float32) - 83) * np.float32(0.58470), shared["y"]


def persons():
    shared = arrays(data("mlperf_tiny_vww.npz"))
    return shared["x"] / np.float32(255), shared["y"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "load", "step"),
    [("kws_dscnn_fp32.tf2onnx.onnx", keywords, 10), ("vww96_mbv1_025_fp32.tf2onnx.onnx", persons, 4)],
)
def test_no_more_than_half_a_point_is_lost(name, load, step):
    graph = simplify(read_model(model(name)))
    x, y = load()
    exact = np.concatenate([run_float(graph, {graph.inputs[0]: part})[graph.outputs[0]] for part in np.split(x, 20)])
    wanted = (exact.reshape(len(x), -1).argmax(axis=1) == y).mean()
    network = lower(quantize(graph, x[::step]), OPERATORS, warn=lambda line: None)
    assert accuracy(network, x, y) >= wanted - 0.005


def cifar():
    x = arrays(data("cifar10.npz"))["x_calibration"][:24].astype(np.float32) / 255
    x = (x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def noise(*shape):
    return np.random.default_rng(0).normal(0, 1, (24, *shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "load", "shape"),
    [
        pytest.param("resnet20_cifar10.dynamo.onnx", cifar, None, marks=pytest.mark.slow),
        pytest.param("resnet20_cifar10.torchscript_op11_nofold.onnx", cifar, None, marks=pytest.mark.slow),
        ("ad01_fcae_fp32.tf2onnx.onnx", lambda: noise(640), None),
        ("three_layer_pytorch.onnx", lambda: noise(16), {"0": (1, 16)}),
        ("conv1d_small_keras.onnx", lambda: noise(10, 4), None),
        ("ort_examples_mnist.onnx", lambda: noise(1, 28, 28), None),
    ],
)
def test_float_files_of_all_exporters(name, load, shape):
    """Quantised with 16 frames and run in golden on 8 others."""
    graph, x = simplify(read_model(model(name), shape)), load()
    expected = run_float(graph, {graph.inputs[0]: x[16:]})[graph.outputs[0]]
    found, _ = result(quantize(graph, x[:16]), x[16:])
    assert ((found - expected) ** 2).mean() < 0.1**2 * (expected**2).mean()
