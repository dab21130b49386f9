"""The choices of the quantiser."""

import numpy as np
import pytest

from hwgen.graph.errors import InputError, ModelError
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.calibrate import METHODS, entropy, minmax, mse, percentile
from hwgen.graph.quantize.quantize import quantize
from hwgen.graph.quantize.recipe import Recipe
from hwgen.graph.types import U8, Quantization
from tests.graph.models import build, lenet_like, node, save
from tests.graph.toys import sites


def read(model, folder):
    return simplify(read_model(save(model, folder)))


def conv_model(weight, bias, *more, output="c"):
    nodes = [node("Conv", "x w b", "c"), *more]
    return build(nodes, output, {"w": np.float32(weight), "b": np.float32(bias)}, ("x", ("N", 1, 4, 4)))


def frames(low, high):
    return np.linspace(low, high, 5 * 16, dtype=np.float32).reshape(5, 1, 4, 4)


def only_site(model, folder, calibration, **options):
    (site,) = sites(quantize(read(model, folder), calibration, **options))
    return site


def test_activations_are_u8_with_an_exact_zero(tmp_path):
    site = only_site(conv_model([[[[1]]]], [0]), tmp_path, frames(-1, 3))
    assert site.input.quantization == Quantization(U8, 4 / 255, 64)
    assert site.input.quantization.dequantize(np.array(64)) == 0


def test_positive_ranges_start_at_zero(tmp_path):
    model = conv_model([[[[1]]]], [0], node("Relu", "c", "y"), output="y")
    site = only_site(model, tmp_path, frames(1, 2))
    assert site.input.quantization == Quantization(U8, 2 / 255, 0)
    assert site.output.quantization.zero_point == 0
    assert site.clamp == (0, 255)


def test_relu_is_dropped_where_the_range_says_it(tmp_path):
    model = conv_model([[[[1]]]], [0], node("Relu", "c", "y"), output="y")
    graph = quantize(read(model, tmp_path), frames(-1, 1))
    assert "Relu" not in [n.op for n in graph.nodes]


MINMAX = Recipe(ranges="minmax", equalize=False, correct_bias=False)


def test_a_clip_above_zero_stays(tmp_path):
    model = conv_model([[[[1]]]], [0], node("Clip", "c low", "y"), output="y")
    model.graph.initializer.add(name="low", data_type=1, dims=[], raw_data=np.float32(0.5).tobytes())
    graph = quantize(read(model, tmp_path), frames(-1, 1), MINMAX)
    assert "Clip" in [n.op for n in graph.nodes]
    (site,) = sites(graph)
    assert site.clamp == (127, 255)


def test_weights_are_symmetric_per_channel(tmp_path):
    site = only_site(conv_model([[[[1, -2]]], [[[100, 3]]]], [0, 0]), tmp_path, frames(0, 1))
    assert site.weight.values.tolist() == [[[[64, -127]]], [[[127, 4]]]]
    np.testing.assert_array_equal(site.weight.scale, np.float32([2 / 127, 100 / 127]))
    assert not site.weight.zero_point.any()


def test_a_dead_channel_keeps_its_bias(tmp_path):
    site = only_site(conv_model([[[[0]]], [[[1]]]], [0.5, 0.25]), tmp_path, frames(0, 1))
    real = site.bias * site.input.quantization.scale * site.weight.scale
    np.testing.assert_allclose(real, [0.5, 0.25], atol=1e-4)  # half a step of the accumulator


def test_a_dead_layer(tmp_path):
    warnings = []
    site = only_site(conv_model([[[[0]]]], [0]), tmp_path, frames(0, 1), warn=warnings.append)
    assert warnings == ["tensor 'c' is zero on all calibration frames; it is quantised with scale 1"]
    assert site.weight.scale == 1
    assert site.output.quantization.scale == 1


def test_a_huge_bias_beside_tiny_weights_fits_into_32_bits(tmp_path):
    site = only_site(conv_model([[[[1e-9]]], [[[1]]]], [3, 0.25]), tmp_path, frames(0, 1))
    assert np.abs(site.bias).max() < 1 << 31
    real = site.bias * site.input.quantization.scale * site.weight.scale.astype(np.float64)
    np.testing.assert_allclose(real, [3, 0.25], rtol=1e-3)  # a bias is a whole number of accumulator units


def test_tiny_activations_have_a_scale(tmp_path):
    site = only_site(conv_model([[[[1]]]], [0]), tmp_path, frames(0, 1e-30))
    assert site.input.quantization.scale == 2.0**-40


def test_pooling_and_reshaping_keep_the_quantisation(tmp_path):
    graph = quantize(read(lenet_like(), tmp_path), np.random.default_rng(0).random((4, 1, 12, 12), np.float32))
    for site in sites(graph):
        assert site.op != "Requantize"
        if site.op == "MaxPool":
            assert site.input.quantization == site.output.quantization


def test_without_frames_it_says_what_to_pass(tmp_path):
    warnings = []
    quantize(read(lenet_like(), tmp_path), warn=warnings.append)
    assert warnings == [
        "no calibration data: ranges are taken from 16 random frames between 0 and 1, which costs accuracy; "
        "pass 100 or more real frames with --calibration FILE.npz"
    ]


def test_a_quantised_graph_passes_untouched(tmp_path):
    graph = quantize(read(lenet_like(), tmp_path), np.ones((1, 1, 12, 12), np.float32))
    assert quantize(graph) is graph


@pytest.mark.parametrize(
    ("calibration", "words"),
    [
        (np.ones((3, 4, 4, 1)), "calibration frames of shape [3, 4, 4, 1]; the model takes ['N', 1, 4, 4]"),
        (np.ones((0, 1, 4, 4)), "calibration frames must be one or more, of finite numbers"),
        (np.full((1, 1, 4, 4), np.nan), "calibration frames must be one or more, of finite numbers"),
    ],
)
def test_unusable_calibration(tmp_path, calibration, words):
    with pytest.raises(InputError) as caught:
        quantize(read(conv_model([[[[1]]]], [0]), tmp_path), calibration)
    assert caught.value.problems == (words,)


def test_unknown_method():
    with pytest.raises(InputError) as caught:
        Recipe(ranges="magic")
    words = "calibration method 'magic' is unknown; choose one of minmax, percentile, entropy, mse"
    assert caught.value.problems == (words,)


def test_overflow_is_named(tmp_path):
    with pytest.raises(ModelError, match="tensor 'c' overflows on the calibration frames; check their scale"):
        quantize(read(conv_model([[[[1e38]]]], [0]), tmp_path), frames(0, 1e30))


def test_methods():
    assert list(METHODS) == ["minmax", "percentile", "entropy", "mse"]
    edges = np.linspace(0, 100, 2049)
    counts = np.zeros(2048)
    counts[:20] = 1e6  # all but one number below 1
    counts[-1] = 1
    assert minmax(counts, edges) == (0, 100)
    assert percentile(counts, edges)[1] < 1
    assert mse(counts, edges)[1] < 100
    flat = np.ones(2048)
    assert mse(flat, edges)[1] == pytest.approx(100, rel=0.02)


def test_entropy_cuts_a_tail_and_not_a_flat_distribution():
    edges = np.linspace(0, 100, 2049)
    tail = np.exp(-np.arange(2048) / 100)
    assert entropy(tail, edges)[1] < 70
    assert entropy(np.ones(2048), edges)[1] > 90


def test_entropy_does_not_count_zeros():
    edges = np.linspace(0, 100, 2049)
    counts = np.exp(-np.arange(2048) / 100)
    spiked = counts.copy()
    spiked[0] = 1e9
    assert entropy(spiked, edges) == entropy(counts, edges)
    assert entropy(np.where(np.arange(2048), 0, counts), edges) == (0, 100)
