"""Which tensors get a quantisation, and which share one."""

import numpy as np
import pytest

from hwgen.blocks import OPERATORS
from hwgen.graph import golden
from hwgen.graph.errors import ModelError
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.quantization_points import QuantizationPoints, existing
from hwgen.graph.quantize.quantize import quantize
from hwgen.graph.semantics.float_model import run_float
from hwgen.graph.types import IntType, Quantization
from tests.graph.models import build, node, save
from tests.graph.toys import sites

SHAPE = ("x", ("N", 4, 6, 6))


def read(model, folder):
    return simplify(read_model(save(model, folder)))


def weights(*names, shape=(4, 4, 1, 1), seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name in names}


def frames(seed=1, count=8, shape=(4, 6, 6)):
    return np.random.default_rng(seed).normal(0, 1, (count, *shape)).astype(np.float32)


def points(nodes, constants, folder, output="y", opset=13):
    return QuantizationPoints(read(build(nodes, output, constants, SHAPE, opset), folder))


def against_float(nodes, constants, folder, tolerance, opset=13):
    """Quantised, lowered and run. The error's mean square, against that of the results, is what 8 bits cost."""
    graph = read(build(nodes, "y", constants, SHAPE, opset), folder)
    x = frames(count=32)
    expected = run_float(graph, {"x": x})["y"]
    network = lower(quantize(graph, x), OPERATORS)
    found = golden.network_output(network, golden.run(network, golden.network_input(network, x))[network.output.name])
    assert ((found - expected) ** 2).mean() < tolerance**2 * (expected**2).mean()
    return network


# What is there stays

QUANTISED = {
    "s": np.float32(0.25),
    "z": np.uint8(0),
    "w": np.random.default_rng(0).integers(-7, 8, (4, 4, 1, 1)).astype(np.int8),
    "ws": np.float32(0.1),
    "gain": np.float32([1, 2, 0.5, 3]).reshape(4, 1, 1),
    "offset": np.float32([1, -2, 0.5, 3]).reshape(4, 1, 1),
}
PAIR = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "d")]
LAYER = [node("DequantizeLinear", "w ws", "v"), node("Conv", "d v", "c")]
END = [node("QuantizeLinear", "r s z", "rq"), node("DequantizeLinear", "rq s z", "y")]


def test_arithmetic_before_a_quantizer_is_left_alone(tmp_path):
    middle = [node("Mul", "c gain", "m"), node("Add", "m offset", "a"), node("Relu", "a", "r")]
    graph = read(build([*PAIR, *LAYER, *middle, *END], "y", QUANTISED, SHAPE), tmp_path)
    assert quantize(graph) is graph
    assert [site.op for site in sites(graph)] == ["Conv"]


def test_arithmetic_on_the_input_before_its_quantizer_is_left_alone(tmp_path):
    nodes = [node("Mul", "x gain", "m"), node("QuantizeLinear", "m s z", "q"), PAIR[1], *LAYER]
    ends = [node("QuantizeLinear", "c s z", "rq"), END[1]]
    assert points([*nodes, *ends], QUANTISED, tmp_path).names == ()


def test_sums_of_integers_stay_real_where_they_are_the_result(tmp_path):
    nodes = [*PAIR, *LAYER, node("Mul", "c gain", "m"), node("Add", "m offset", "y")]
    graph = read(build(nodes, "y", QUANTISED, SHAPE), tmp_path)
    assert quantize(graph) is graph


def test_a_pooled_result_is_quantised(tmp_path):
    nodes = [*PAIR, node("GlobalAveragePool", "d", "y")]
    assert points(nodes, QUANTISED, tmp_path).names == ("y",)


def test_a_float_bias_behind_integers_of_any_type_becomes_int32(tmp_path):
    constants = QUANTISED | {
        "low": np.int16(-300),
        "high": np.int16(299),
        "z": np.int16(3),
        "s": np.float32(0.01),
        "b": np.float32([0.7, 0, -0.7, 0.1]),
    }
    nodes = [
        node("QuantizeLinear", "x s z", "wide"),
        node("Clip", "wide low high", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("MaxPool", "d", "p", kernel_shape=[2, 2]),
        node("DequantizeLinear", "w ws", "v"),
        node("Conv", "p v b", "y"),
    ]
    graph = read(build(nodes, "y", constants, SHAPE, 21), tmp_path)
    assert existing(graph, "p") == Quantization(IntType(10, True), 0.01, 3)
    done = quantize(graph, frames())
    layer = next(n for n in done.nodes if n.op == "Conv")
    bias = done.producer(layer.inputs[2])
    assert done.outputs == ("y",)
    np.testing.assert_allclose(done.constants[bias.inputs[1]], 0.001, rtol=1e-6)
    assert done.constants[bias.inputs[0]].tolist() == [700, 0, -700, 100]
    assert np.array_equal(done.constants[done.producer(layer.inputs[1]).inputs[0]], QUANTISED["w"])


def test_float_weights_behind_integers_are_quantised_and_the_rest_stays(tmp_path):
    nodes = [*PAIR, node("Reshape", "d flat", "f"), node("Gemm", "f m", "g", transB=1), node("Relu", "g", "r"), *END]
    constants = {**QUANTISED, "flat": np.int64([0, -1]), **weights("m", shape=(3, 144))}
    graph = read(build(nodes, "y", constants, SHAPE), tmp_path)
    done = quantize(graph, frames())
    pairs = [[n for n in g.nodes if n.op == "QuantizeLinear"] for g in (graph, done)]
    assert pairs[0] == pairs[1]
    (site,) = [site for site in sites(done) if site.op == "Gemm"]
    assert np.abs(site.weight.values).max() == 127


def test_half_a_sum_that_is_quantised_keeps_its_half(tmp_path):
    nodes = [*PAIR, *LAYER, node("Add", "c d", "a"), node("Relu", "a", "r"), *END]
    graph = read(build(nodes, "y", QUANTISED, SHAPE), tmp_path)
    assert quantize(graph) is graph


def test_scales_per_channel_of_an_activation_are_refused(tmp_path):
    constants = {**QUANTISED, "s": np.float32([1, 2, 3, 4]), "z": np.uint8([0] * 4), **weights("k")}
    nodes = [*PAIR, node("Conv", "d k", "y")]
    words = "node 'd_node' (DequantizeLinear): scale and zero point of an activation must be constants of one value"
    with pytest.raises(ModelError, match="quantise activations per tensor") as caught:
        quantize(read(build(nodes, "y", constants, SHAPE), tmp_path), frames())
    assert caught.value.problems[0].startswith(words)


# Sharing

MOVING = {
    "Slice": (
        node("Slice", "c from to axes", "m"),
        {"from": np.int64([1]), "to": np.int64([5]), "axes": np.int64([2])},
        13,
    ),
    "Pad": (node("Pad", "c pads", "m", mode="reflect"), {"pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1])}, 13),
    "Resize": (
        node("Resize", "c none sizes", "m", mode="nearest", coordinate_transformation_mode="asymmetric"),
        {"none": np.float32([]), "sizes": np.float32([1, 1, 2, 2])},
        13,
    ),
    "Upsample": (node("Upsample", "c sizes", "m", mode="nearest"), {"sizes": np.float32([1, 1, 2, 2])}, 9),
    "DepthToSpace": (node("DepthToSpace", "c", "m", blocksize=2), {}, 13),
    "SpaceToDepth": (node("SpaceToDepth", "c", "m", blocksize=2), {}, 13),
    "Transpose": (node("Transpose", "c", "m", perm=[0, 1, 3, 2]), {}, 13),
    "MaxPool": (node("MaxPool", "c", "m", kernel_shape=[2, 2]), {}, 13),
    "Gather": (node("Gather", "c order", "m", axis=1), {"order": np.int64([2, 0, 3, 1])}, 13),
}


@pytest.mark.parametrize("op", MOVING)
def test_what_is_moved_keeps_its_quantisation(tmp_path, op):
    move, constants, opset = MOVING[op]
    channels = {"DepthToSpace": 1, "SpaceToDepth": 16}.get(op, 4)
    constants = constants | weights("w") | weights("k", shape=(4, channels, 1, 1))
    nodes = [node("Conv", "x w", "c"), move, node("Conv", "m k", "y")]
    assert points(nodes, constants, tmp_path, opset=opset).owners["m"] == "c"
    network = against_float(nodes, constants, tmp_path, 0.03, opset)
    assert len({tensor.quantization for tensor in network.tensors.values()}) == 3  # input, c and m, result


def test_a_pad_with_another_number_has_its_own(tmp_path):
    nodes = [node("Conv", "x w", "c"), node("Pad", "c pads two", "m"), node("Conv", "m k", "y")]
    constants = {"pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]), "two": np.float32(2), **weights("w", "k")}
    assert points(nodes, constants, tmp_path).owners["m"] == "m"


def test_every_part_of_a_split_keeps_it(tmp_path):
    parts = [node("Conv", "x w", "c"), node("Split", "c", "a b", axis=1), node("Add", "a b", "y")]
    owners = points(parts, weights("w"), tmp_path).owners
    assert owners == {"x": "x", "c": "c", "a": "c", "b": "c", "y": "y"}


def test_a_channel_shuffle_keeps_it(tmp_path):
    nodes = [
        node("Conv", "x w", "c"),
        node("Reshape", "c apart", "r"),
        node("Transpose", "r", "t", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "t together", "s"),
        node("Conv", "s k", "y"),
    ]
    constants = {"apart": np.int64([1, 2, 2, 6, 6]), "together": np.int64([1, 4, 6, 6]), **weights("w", "k")}
    network = against_float(nodes, constants, tmp_path, 0.03)
    assert len({tensor.quantization for tensor in network.tensors.values()}) == 3


CONCAT = [
    node("Conv", "x w", "a"),
    node("Relu", "a", "b"),
    node("Conv", "x v", "c"),
    node("Concat", "b c", "j", axis=1),
    node("Conv", "j k", "y"),
]


def test_operands_of_a_concat_share_one_with_it(tmp_path):
    constants = weights("w", "v") | weights("k", shape=(4, 8, 1, 1))
    assert points(CONCAT, constants, tmp_path).owners == {"x": "x", "b": "j", "c": "j", "j": "j", "y": "y"}
    network = against_float(CONCAT, constants, tmp_path, 0.03)
    assert len({tensor.quantization for tensor in network.tensors.values()}) == 3


def test_an_operand_that_others_read_keeps_its_own(tmp_path):
    nodes = [*CONCAT[:-1], node("Conv", "j k", "e"), node("Add", "e c", "y")]
    owners = points(nodes, weights("w", "v") | weights("k", shape=(4, 8, 1, 1)), tmp_path).owners
    assert (owners["b"], owners["c"], owners["j"]) == ("j", "c", "j")


def test_concats_of_concats_and_pools_share_one(tmp_path):
    nodes = [
        *CONCAT[:-1],
        node("MaxPool", "x", "p", kernel_shape=[1, 1]),
        node("Concat", "j p", "o", axis=1),
        node("Conv", "o k", "y"),
    ]
    owners = points(nodes, weights("w", "v") | weights("k", shape=(4, 12, 1, 1)), tmp_path).owners
    assert (owners["b"], owners["j"], owners["o"]) == ("o", "o", "o")
    assert owners["p"] == owners["x"] == "x"  # the input cannot have the range of a layer


# Functions

FUNCTIONS = {
    "silu": ([node("Sigmoid", "c", "s"), node("Mul", "c s", "r")], {}, 13),
    "hard_swish": (
        [
            node("Add", "c three", "t"),
            node("Clip", "t zero six", "s"),
            node("Mul", "c s", "u"),
            node("Div", "u six", "r"),
        ],
        {"zero": np.float32(0), "three": np.float32(3), "six": np.float32(6)},
        13,
    ),
    "leaky_relu": ([node("LeakyRelu", "c", "r", alpha=0.1)], {}, 13),
    "prelu": ([node("PRelu", "c slope", "r")], {"slope": np.float32([0.1, 0.2, 0.3, 0.4]).reshape(4, 1, 1)}, 13),
    "HardSwish": ([node("HardSwish", "c", "r")], {}, 14),
    "sigmoid": ([node("Sigmoid", "c", "r")], {}, 13),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_one_stream_is_one_table(tmp_path, name):
    function, constants, opset = FUNCTIONS[name]
    nodes = [node("Conv", "x w", "c"), *function, node("Conv", "r k", "y")]
    constants = constants | weights("w", "k")
    assert points(nodes, constants, tmp_path, opset=opset).names == ("x", "c", "r", "y")
    network = against_float(nodes, constants, tmp_path, 0.03, opset)
    assert len(network.layers) == 3


def test_sums_and_products_of_streams_have_pairs(tmp_path):
    nodes = [
        node("Conv", "x w", "a"),
        node("Conv", "x v", "b"),
        node("Mul", "a b", "m"),
        node("Add", "m a", "s"),
        node("Sigmoid", "s", "g"),
        node("Mul", "s g", "y"),
    ]
    assert points(nodes, weights("w", "v"), tmp_path).names == ("x", "a", "b", "m", "s", "y")
    against_float(nodes, weights("w", "v"), tmp_path, 0.03)


@pytest.mark.parametrize("group", [1, 2])
def test_transposed_convolutions_are_quantised(tmp_path, group):
    shape = (4, 4 // group, 3, 3)
    nodes = [node("ConvTranspose", "x w b", "y", strides=[2, 2], group=group)]
    constants = weights("w", shape=shape) | {"b": np.float32([3, 0, -3, 1])}
    network = against_float(nodes, constants, tmp_path, 0.03)
    assert [type(layer.op).__name__ for layer in network.layers] == ["Phases", "Rearrange", "Slice"]
