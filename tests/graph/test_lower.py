"""Sites: what is recognised, what is refused, and in which words."""

import numpy as np
import pytest
from onnx import TensorProto

from hwgen.blocks import OPERATORS
from hwgen.graph import golden
from hwgen.graph.errors import InputError, ModelError
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.types import S8, U8, Quantization
from tests.graph.models import build, node, save
from tests.graph.reference import compare
from tests.graph.toys import TOYS, ToyConv, sites

CONSTANTS = {
    "s": np.float32(0.02),
    "z": np.uint8(7),
    "s2": np.float32(0.05),
    "z2": np.int8(-3),
    "ws": np.float32([0.01, 0.02, 0.03]),
    "wz": np.int8([0, 1, -2]),
    "w": np.random.default_rng(0).integers(-128, 128, (3, 2, 3, 3)).astype(np.int8),
    "b": np.array([100, -200, 300], np.int32),
    "bs": np.float32(0.02) * np.float32([0.01, 0.02, 0.03]),
    "bz": np.zeros(3, np.int32),
    "two": np.float32(2),
    "zero": np.float32(0),
    "k": np.int64([1]),
}
ENTER = [node("QuantizeLinear", "x s z", "xq"), node("DequantizeLinear", "xq s z", "xd")]
WEIGHT = node("DequantizeLinear", "w ws wz", "wd", axis=0)
BIAS = node("DequantizeLinear", "b bs bz", "bd", axis=0)
LEAVE = [node("QuantizeLinear", "r s2 z2", "yq"), node("DequantizeLinear", "yq s2 z2", "y")]
SOURCE = ("x", (1, 2, 6, 5))


def read(nodes, folder, output="y", source=SOURCE, **changes):
    return simplify(read_model(save(build(nodes, output, CONSTANTS | changes, source), folder)))


def problems(nodes, folder, **options):
    with pytest.raises(ModelError) as caught:
        lower(read(nodes, folder, **options), TOYS)
    return caught.value.problems


def test_a_site_has_all_it_needs(tmp_path):
    conv = node("Conv", "xd wd bd", "c", strides=[2, 1], pads=[1, 0, 2, 1])
    (site,) = sites(read([*ENTER, WEIGHT, BIAS, conv, node("Relu", "c", "r"), *LEAVE], tmp_path))
    assert (site.name, site.op) == ("c_node", "Conv")
    assert site.input.name == "x"
    assert site.output.name == "yq"
    assert site.input.map.shape == (6, 5, 2)
    assert site.output.map.shape == (4, 4, 3)
    assert site.input.quantization == Quantization(U8, 0.02, 7)
    assert site.output.quantization == Quantization(S8, 0.05, -3)
    assert site.attributes == {
        "kernel": (3, 3),
        "strides": (2, 1),
        "dilations": (1, 1),
        "pads": (1, 0, 2, 1),
        "group": 1,
    }
    assert site.clamp == (-3, 127)
    assert site.bias.tolist() == [100, -200, 300]
    assert site.weight.zero_point.tolist() == [0, 1, -2]


def test_pixels_that_a_stride_steps_over_are_dropped_first(tmp_path):
    weight = np.random.default_rng(1).integers(-128, 128, (3, 2, 1, 1)).astype(np.int8)
    conv = node("Conv", "xd wd bd", "c", strides=[2, 3])
    take, made = sites(read([*ENTER, WEIGHT, BIAS, conv, node("Relu", "c", "r"), *LEAVE], tmp_path, w=weight))
    assert (take.op, take.input.name, take.output.map.shape) == ("Rearrange", "x", (3, 2, 2))
    rows, columns, channels = np.unravel_index(take.attributes["places"], take.input.map.shape)
    assert (rows == np.array([0, 2, 4])[:, None, None]).all()
    assert (columns == np.array([0, 3])[:, None]).all()
    assert (channels == [0, 1]).all()
    assert made.inputs == (take.output,)
    assert made.attributes["strides"] == (1, 1)
    assert made.output.map.shape == (3, 2, 3)


@pytest.mark.parametrize(
    ("activation", "clamp"),
    [
        (node("Relu", "c", "r"), (-3, 127)),
        (node("Clip", "c zero two", "r"), (-3, 37)),
        (node("Identity", "c", "r"), (-128, 127)),
    ],
)
def test_fused_activations(tmp_path, activation, clamp):
    graph = read([*ENTER, WEIGHT, BIAS, node("Conv", "xd wd bd", "c"), activation, *LEAVE], tmp_path)
    (site,) = sites(graph)
    assert site.clamp == clamp


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("weights", [np.uint8, np.int8])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_8_bit_types_and_zero_points(tmp_path, kind, weights, channels):
    """u8 and s8, per tensor and per channel, asymmetric on both sides; without bias."""
    rng = np.random.default_rng(4)
    limits = np.iinfo(weights)
    changes = {
        "z": kind(5),
        "z2": kind(9),
        "w": rng.integers(limits.min, limits.max + 1, (3, 2, 3, 3)).astype(weights),
        "ws": np.full(channels, 0.003, np.float32),
        "wz": np.full(channels, 11, weights),
        "s2": np.float32(0.4),
    }
    nodes = [*ENTER, WEIGHT, node("Conv", "xd wd", "r"), *LEAVE]
    graph = read(nodes, tmp_path, source=("x", ("N", 2, 6, 5)), **changes)
    frames = rng.normal(0, 2, (50, 2, 6, 5)).astype(np.float32)
    network = lower(graph, TOYS)
    path = save(build(nodes, "y", CONSTANTS | changes, ("x", ("N", 2, 6, 5))), tmp_path)
    if kind == np.int8 and weights == np.uint8:
        golden.run(network, golden.network_input(network, frames))  # ONNX Runtime has no such convolution
    else:
        compare(network, frames, path)


def test_a_change_of_quantisation_is_a_layer(tmp_path):
    graph = read(
        [*ENTER, node("QuantizeLinear", "xd s2 z2", "yq"), node("DequantizeLinear", "yq s2 z2", "y")], tmp_path
    )
    (site,) = sites(graph)
    assert (site.op, site.name, site.output.name) == ("Requantize", "yq_node", "yq")
    assert site.output.quantization == Quantization(S8, 0.05, -3)


def test_max_pooling_takes_integers_or_reals(tmp_path):
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    direct = [ENTER[0], node("MaxPool", "xq", "p", **pool), node("DequantizeLinear", "p s z", "y")]
    (site,) = sites(read(direct, tmp_path))
    assert (site.op, site.output.name, site.output.map.shape) == ("MaxPool", "p", (3, 2, 2))
    around = [*ENTER, node("MaxPool", "xd", "r", **pool), *LEAVE]
    assert [site.op for site in sites(read(around, tmp_path))] == ["MaxPool", "Requantize"]


@pytest.mark.parametrize(
    ("pool", "kind"),
    [
        (node("GlobalMaxPool", "xd", "r"), "GlobalMaxPool"),
        (node("ReduceMax", "xd", "r", axes=[2, 3]), "GlobalMaxPool"),
        (node("MaxPool", "xd", "r", kernel_shape=[6, 5]), "GlobalMaxPool"),
        (node("MaxPool", "xd", "r", kernel_shape=[3, 3], strides=[3, 3], ceil_mode=0), "MaxPool"),
    ],
)
def test_maxima_over_a_whole_map_keep_no_window(pool, kind, tmp_path):
    graph = read([*ENTER, pool, *LEAVE], tmp_path)
    assert type(lower(graph, OPERATORS).layers[0].op).__name__ == kind


def test_dense_weights_follow_the_stream(tmp_path):
    """Features reach the weights as [C, H, W]; the stream has them as [H, W, C]."""
    matrix = np.arange(3 * 60, dtype=np.int8).reshape(3, 60)
    nodes = [*ENTER, WEIGHT, node("Flatten", "xd", "f"), node("Gemm", "f wd", "r", transB=1), *LEAVE]
    (site,) = sites(read(nodes, tmp_path, w=matrix))
    assert site.input.map.shape == (1, 1, 60)
    assert np.array_equal(site.weight.values, matrix)  # nothing but the host sees an image here
    pool = node("MaxPool", "xd", "p", kernel_shape=[1, 1])
    nodes[2:4] = [WEIGHT, pool, node("Flatten", "p", "f")]
    site = sites(read(nodes, tmp_path, w=matrix))[1]
    assert (site.op, site.input.map.shape) == ("Gemm", (6, 5, 2))
    assert np.array_equal(site.weight.values, matrix.reshape(3, 2, 6, 5).transpose(0, 2, 3, 1).reshape(3, 60))


def test_a_transpose_before_a_dense_layer_is_free(tmp_path):
    matrix = np.arange(3 * 60, dtype=np.int8).reshape(3, 60)
    nodes = [*ENTER, WEIGHT, node("Transpose", "xd", "t", perm=[0, 2, 3, 1]), node("Flatten", "t", "f")]
    (site,) = sites(read([*nodes, node("Gemm", "f wd", "r", transB=1), *LEAVE], tmp_path, w=matrix))
    assert np.array_equal(site.weight.values, matrix)


def test_an_odd_transpose_before_a_dense_layer_is_free(tmp_path):
    matrix = np.arange(3 * 60, dtype=np.int8).reshape(3, 60)
    nodes = [*ENTER, WEIGHT, node("Transpose", "xd", "t", perm=[0, 1, 3, 2]), node("Flatten", "t", "f")]
    (site,) = sites(read([*nodes, node("Gemm", "f wd", "r", transB=1), *LEAVE], tmp_path, w=matrix))
    assert site.input.map.shape == (6, 5, 2)
    expected = matrix.reshape(3, 2, 5, 6).transpose(0, 3, 2, 1).reshape(3, 60)
    assert np.array_equal(site.weight.values, expected)


def test_several_readers_of_one_tensor(tmp_path):
    first, second = node("Conv", "xd wd bd", "a"), node("Conv", "xd wd bd", "r")
    graph = read([*ENTER, WEIGHT, BIAS, first, second, *LEAVE], tmp_path)
    assert len(sites(graph)) == 1  # the other result is read by nobody


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (
            [*ENTER, node("Conv", "xd f", "r"), *LEAVE],
            "node 'r_node' (Conv): its weights 'f' are not quantised; store them as integers with DequantizeLinear",
        ),
        (
            [WEIGHT, node("Conv", "x wd", "r"), *LEAVE],
            "node 'r_node' (Conv): it reads 'x', which is not quantised; "
            "quantise it with QuantizeLinear and DequantizeLinear, or give the float model",
        ),
        (
            [*ENTER, node("Softmax", "xd", "y", axis=1)],
            "the output 'y' is not quantised: it takes the result of node 'y_node' (Softmax) before it is quantised: "
            "it is no sum of integers; quantise its result",
        ),
        (
            [*ENTER, node("Add", "x xd", "r"), *LEAVE],
            "node 'r_node' (Add): it reads 'x', which is not quantised; "
            "quantise it with QuantizeLinear and DequantizeLinear, or give the float model",
        ),
        (
            [*ENTER, node("TopK", "xd k", "r"), *LEAVE],
            "node 'r_node' (TopK): it has no integer form here; leave it to the host or rewrite the model",
        ),
        (
            [*ENTER, node("Transpose", "xd", "t", perm=[0, 1, 3, 2]), WEIGHT, node("Conv", "t wd", "r"), *LEAVE],
            "node 't/arranged' (Rearrange): no operator takes a Rearrange from 6x5x2 u8 to 5x6x2 u8",
        ),
        (
            [node("QuantizeLinear", "x s z", "xq"), node("DequantizeLinear", "xq ws2 z3", "y")],
            "node 'y_node' (DequantizeLinear): scale and zero point of an activation must be constants of one value",
        ),
    ],
)
def test_refusals(tmp_path, nodes, words):
    lines = problems(
        nodes, tmp_path, f=np.ones((3, 2, 3, 3), np.float32), ws2=np.float32([0.1, 0.2]), z3=np.uint8([7, 7])
    )
    assert words in lines


def test_sites_that_no_operator_takes_are_all_named(tmp_path):
    pool = node("MaxPool", "xd", "p", kernel_shape=[2, 2])
    graph = read([*ENTER, pool, node("GlobalAveragePool", "p", "r"), *LEAVE], tmp_path)
    with pytest.raises(ModelError) as caught:
        lower(graph, (ToyConv,))
    assert caught.value.problems == (
        "node 'p_node' (MaxPool): no operator takes a MaxPool from 6x5x2 u8 to 5x4x2 u8",
        "node 'r_node' (GlobalAveragePool): no operator takes a GlobalAveragePool from 5x4x2 u8 to 1x1x2 s8",
    )


def test_a_float_bias_is_rounded_in_float32(tmp_path):
    """As ONNX Runtime does: 10.000299 is 50001.4995 steps, but in float32 a tie."""
    warnings = []
    nodes = [*ENTER, WEIGHT, node("Conv", "xd wd fb", "r"), *LEAVE]
    (site,) = sites(read(nodes, tmp_path, fb=np.float32([10.000299, 2, 3])), warnings.append)
    assert site.bias.tolist() == [50002, 5000, 5000]
    assert warnings == []


def test_a_bias_of_another_scale_is_rounded_and_said(tmp_path):
    warnings = []
    given = [node("DequantizeLinear", "other unit", "od"), node("Conv", "xd wd od", "r")]
    (site,) = sites(
        read([*ENTER, WEIGHT, *given, *LEAVE], tmp_path, other=np.int32([100, 200, 300]), unit=np.float32(0.01)),
        warnings.append,
    )
    assert site.bias.tolist() == [5000, 5000, 5000]
    (said,) = warnings
    assert said.endswith("its bias is quantised, but not with scale input*weight; it is rounded to that")


def integer_network(tmp_path):
    """A model that takes uint8 frames, channels last."""
    nodes = [
        node("DequantizeLinear", "x s z", "d"),
        node("Transpose", "d", "t", perm=[0, 3, 1, 2]),
        WEIGHT,
        node("Conv", "t wd", "r"),
        *LEAVE,
    ]
    model = build(nodes, "y", CONSTANTS, ("x", (1, 6, 5, 2)), kind=TensorProto.UINT8)
    return lower(simplify(read_model(save(model, tmp_path))), TOYS)


def test_integer_frames_channels_last_go_in_as_they_are(tmp_path):
    network = integer_network(tmp_path)
    assert (network.input_order, network.integer_input) == ("flat", True)
    frames = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 2))
    assert np.array_equal(golden.network_input(network, frames), frames)
    assert golden.network_input(network, frames[0]).shape == (1, 6, 5, 2)
    result = golden.run(network, frames)[network.output.name]
    assert golden.network_output(network, result).shape == (3, 3, 4, 3)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((3, 28, 28)), "frames of shape [3, 28, 28]; 'model' takes ['N', 6, 5, 2], or one frame of [6, 5, 2]"),
        (np.full((1, 6, 5, 2), 256), "integers from 256 to 256; u8 holds 0 to 255"),
        (np.zeros((1, 6, 5, 2), np.float32), "numbers of type float32; the network takes u8 integers"),
    ],
)
def test_frames_that_do_not_fit(tmp_path, frames, words):
    with pytest.raises(InputError) as caught:
        golden.network_input(integer_network(tmp_path), frames)
    assert caught.value.problems == (words,)


def test_stream_integers_are_checked(tmp_path):
    with pytest.raises(InputError, match="integers of shape"):
        golden.run(integer_network(tmp_path), np.zeros((1, 2, 6, 5), np.uint8))


def test_any_number_of_frames(tmp_path, monkeypatch):
    network = integer_network(tmp_path)
    frames = np.random.default_rng(0).integers(0, 256, (5, 6, 5, 2)).astype(np.uint8)
    together = golden.run(network, frames)
    monkeypatch.setattr(golden, "CHUNK", 2 * 6 * 5 * 2)
    for name, value in golden.run(network, frames).items():
        assert np.array_equal(value, together[name])
    assert golden.run(network, frames[:0])["yq"].shape == (0, 4, 3, 3)


def test_only_what_is_asked_for_is_kept(tmp_path):
    network = integer_network(tmp_path)
    frames = np.random.default_rng(0).integers(0, 256, (5, 6, 5, 2)).astype(np.uint8)
    every = golden.run(network, frames)
    assert set(every) == {network.input.name, *(layer.output for layer in network.layers)}
    assert list(golden.run(network, frames, ("yq",))) == ["yq"]
    assert np.array_equal(golden.output(network, frames), every[network.output.name])
