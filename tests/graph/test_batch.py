"""A batch of one in a model's constants is no fact about the model: frames come in any number and any order."""

import numpy as np
import onnx
import pytest

from hwgen.blocks import OPERATORS
from hwgen.graph.batch import takes_batches
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.onnx.writer import write_qdq
from hwgen.graph.passes import simplify
from hwgen.graph.quantize import calibrate
from hwgen.graph.quantize.quantize import quantize
from hwgen.graph.quantize.recipe import Recipe
from hwgen.graph.semantics.float_model import run_float
from hwgen.simulate.runtime import against_onnxruntime
from tests.graph.models import build, node, save
from tests.graph.reference import session

RNG = np.random.default_rng(0)
SHAPE = (3, 6, 6)


def weight(*shape):
    return RNG.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


CONSTANTS = {
    "w1": weight(4, 3, 3, 3),
    "b1": weight(4),
    "w2": weight(4, 4, 3, 3),
    "w3": weight(5, 4, 1, 1),
    "w7": weight(5, 7, 3, 3),
    "wide": weight(5, 8, 1, 1),
}
FIRST = node("Conv", "x w1 b1", "a", pads=[1, 1, 1, 1])
HALF = node("Conv", "a w2", "h", pads=[1, 1, 1, 1], strides=[2, 2])
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
LINEAR = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}


def model(nodes, source=("x", (1, *SHAPE)), opset=13, **constants):
    read = {name for each in nodes for name in each.input}
    used = {name: value for name, value in CONSTANTS.items() if name in read}
    return build(nodes, nodes[-1].output[0], used | constants, source, opset)


def last(name="m", weights="w3", **settings):
    return node("Conv", f"{name} {weights}", "y", **settings)


def joined(operands, axis, value, weights, **settings):
    """A Concat with the constant ``k``."""
    nodes = [FIRST, node("Concat", operands, "m", axis=axis), last("m", weights, **settings)]
    return model(nodes, k=value.astype(np.float32))


JOINED = last("m", "wide")
FLAT = node("Reshape", "a shape", "f")
COORDINATES = np.stack(np.meshgrid(np.linspace(-1, 1, 6), np.linspace(-1, 1, 6)))[None]
MODELS = {
    "pyramid": model(
        [FIRST, HALF, node("Resize", "h   sizes", "u", **NEAREST), node("Add", "a u", "m"), last()],
        sizes=ints(1, 4, 6, 6),
    ),
    "unet": model(
        [FIRST, HALF, node("Resize", "h   sizes", "u", **NEAREST), node("Concat", "u a", "m", axis=1), JOINED],
        sizes=ints(1, 4, 6, 6),
    ),
    "linear": model([FIRST, node("Resize", "a   sizes", "m", **LINEAR), last()], sizes=ints(1, 4, 9, 12)),
    "same size": model([FIRST, node("Resize", "a   sizes", "m", **NEAREST), last()], sizes=ints(1, 4, 6, 6)),
    "coordinates": joined(
        "a k", 1, np.concatenate([COORDINATES, COORDINATES[:, :1] ** 2], 1), "w7", pads=[1, 1, 1, 1]
    ),
    "coordinates first": joined("k a", 1, RNG.normal(0, 1, (1, 3, 6, 6)), "w7"),
    "on both sides": joined("k a k", 1, RNG.normal(0, 1, (1, 2, 6, 6)), "wide"),
    "the same in every pixel": joined("a k", 1, np.broadcast_to(RNG.normal(0, 2, (1, 4, 1, 1)), (1, 4, 6, 6)), "wide"),
    "rows": joined("a k", 2, RNG.normal(0, 1, (1, 4, 2, 6)), "w3"),
    "columns first": joined("k a", 3, RNG.normal(0, 1, (1, 4, 6, 1)), "w3"),
    "at the input": model(
        [node("Concat", "x k", "c", axis=1), node("Conv", "c w", "a", pads=[1, 1, 1, 1]), last("a")],
        k=COORDINATES.astype(np.float32), w=weight(4, 5, 3, 3),
    ),
    "positions": model([FIRST, node("Add", "a k", "m"), last()], k=RNG.normal(0, 1, (1, 4, 6, 6)).astype(np.float32)),
    "first frame": model(
        [FIRST, node("Slice", "a zero one axis", "s"), node("Relu", "s", "m"), last()],
        zero=ints(0), one=ints(1), axis=ints(0),
    ),
    "first frame, with a dimension": model([FIRST, node("Gather", "a zero", "m", axis=0), last()], zero=ints(0)),
    "flat": model([FIRST, FLAT, node("Gemm", "f w", "y")], shape=ints(1, -1), w=weight(144, 5)),
    "flat, all numbers": model([FIRST, FLAT, node("Gemm", "f w", "y")], shape=ints(1, 144), w=weight(144, 5)),
    "in and out of three dimensions": model(
        [FIRST, FLAT, node("Transpose", "f", "t", perm=[0, 2, 1]), node("MatMul", "t w", "y")],
        shape=ints(1, 4, 36), w=weight(4, 5),
    ),
    "expanded": model(
        [FIRST, node("GlobalAveragePool", "a", "g"), node("Expand", "g shape", "e"), node("Add", "a e", "m"), last()],
        shape=ints(1, 4, 6, 6),
    ),
}  # fmt: skip


def frames(count=6):
    return np.random.default_rng(5).normal(0, 1, (count, *SHAPE)).astype(np.float32)


def quantised(graph, given, recipe=None):
    recipe = recipe or Recipe(ranges="percentile", equalize=True, correct_bias=True, wide=())
    return quantize(graph, given, recipe, lambda line: None)


@pytest.mark.parametrize("name", MODELS)
def test_frames_do_not_meet(tmp_path, name):
    """Several at a time are each what they are alone."""
    graph = simplify(read_model(save(MODELS[name], tmp_path)))
    assert takes_batches(graph)
    together = run_float(graph, {"x": frames()})[graph.outputs[0]]
    alone = [run_float(graph, {"x": frames()[n : n + 1]})[graph.outputs[0]] for n in range(6)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_quantisation_depends_on_the_frames_alone(tmp_path, monkeypatch, name):
    """Neither on their order nor on how many are computed at a time."""
    graph = simplify(read_model(save(MODELS[name], tmp_path)))
    first = quantised(graph, frames())
    monkeypatch.setattr(calibrate, "CHUNK_BYTES", 1)
    second = quantised(graph, frames()[::-1])
    assert str(first) == str(second)
    for key, value in first.constants.items():
        np.testing.assert_array_equal(value, second.constants[key], err_msg=key)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_written_model_takes_any_batch_and_gives_our_integers(tmp_path, name, count):
    graph = quantised(simplify(read_model(save(MODELS[name], tmp_path))), frames())
    network = lower(graph, OPERATORS, warn=lambda line: None)
    path = tmp_path / "written.onnx"
    write_qdq(graph, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    compared = against_onnxruntime(path, graph, network, frames(count))
    wrong = sum(difference.count for difference in compared.differences)
    assert wrong <= (compared.integers // 20 if name == "linear" else 0), "\n".join(map(str, compared.differences))
    again = lower(simplify(read_model(path)), OPERATORS, warn=lambda line: None)
    assert [type(layer.op) for layer in again.layers] == [type(layer.op) for layer in network.layers]


def shuffled(kind, channels=8):
    """Two halves of a channel shuffle, as implementations of ShuffleNetV2 write it, and a layer on each."""
    half, size = channels // 2, 6
    first = node("Conv", "x w", "a", pads=[1, 1, 1, 1])
    folds = {
        "channels in the batch": [
            node("Reshape", "a s1", "r1"),
            node("Transpose", "r1", "t", perm=[1, 0, 2]),
            node("Reshape", "t s2", "r2"),
        ],
        "two in the batch": [node("Reshape", "a s3", "r1"), node("Reshape", "r1 s2", "r2")],
    }
    nodes = [
        first,
        *folds[kind],
        node("Gather", "r2 zero", "g0", axis=0),
        node("Gather", "r2 one", "g1", axis=0),
        node("Conv", "g1 v", "b"),
        node("Concat", "g0 b", "m", axis=1),
        node("Conv", "m u", "y"),
    ]
    constants = {
        "s1": ints(half, 2, size * size),
        "s2": ints(2, -1, half, size, size),
        "s3": ints(1 * 2, half, size * size),
        "zero": np.int64(0),
        "one": np.int64(1),
        "w": weight(channels, 3, 3, 3),
        "v": weight(half, half, 1, 1),
        "u": weight(3, channels, 1, 1),
    }
    read = {name for each in nodes for name in each.input}
    used = {name: value for name, value in constants.items() if name in read}
    return build(nodes, "y", used, ("x", (1, *SHAPE)))


@pytest.mark.parametrize("kind", ["channels in the batch", "two in the batch"])
def test_channels_folded_into_the_batch_are_a_shuffle(tmp_path, kind):
    path = save(shuffled(kind), tmp_path)
    plain = session(path)
    graph = simplify(read_model(path))
    assert takes_batches(graph)
    found = run_float(graph, {"x": frames()})[graph.outputs[0]]
    wanted = np.concatenate([plain.run(None, {"x": frames()[n : n + 1]})[0] for n in range(6)])
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    graph = quantised(graph, frames())
    network = lower(graph, OPERATORS, warn=lambda line: None)
    write_qdq(graph, tmp_path / "written.onnx")
    compared = against_onnxruntime(tmp_path / "written.onnx", graph, network, frames(5))
    assert compared.equal, "\n".join(map(str, compared.differences))
    assert not any(layer.op.gap for layer in network.layers)
