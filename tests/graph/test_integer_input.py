"""Models that take integers and compute with real numbers: a Cast and a camera's normalisation."""

import numpy as np
import pytest
from onnx import TensorProto

from hwgen import flow
from hwgen.dataflow.search.search import search
from hwgen.graph import golden
from hwgen.graph.errors import ModelError
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.onnx.writer import write_qdq
from hwgen.graph.passes import simplify
from hwgen.graph.semantics.float_model import run_float
from hwgen.simulate.simulation import simulate
from tests.graph.models import build, node, save
from tests.graph.reference import compare

RNG = np.random.default_rng(9)
WEIGHT, BIAS = RNG.normal(0, 0.4, (4, 3, 3, 3)).astype(np.float32), RNG.normal(0, 0.2, 4).astype(np.float32)
MEAN, STD = np.float32([0.485, 0.456, 0.406]).reshape(3, 1, 1), np.float32([0.229, 0.224, 0.225]).reshape(3, 1, 1)
CONSTANTS = {"w": WEIGHT, "b": BIAS, "mean": MEAN, "std": STD, "c255": np.float32(255), "half": np.float32(128)}
CONSTANTS |= {"inverse": np.float32(1 / 127.5), "one": np.float32(1), "last": MEAN.reshape(3)}
CAST = node("Cast", "x", "real", to=TensorProto.FLOAT)
FRAMES = RNG.integers(0, 256, (5, 3, 6, 6)).astype(np.uint8)


def chain(*steps):
    """Nodes in a row, from ``real`` to ``n``; a step is an operator and its constant."""
    names = ["real", *(f"n{index}" for index in range(1, len(steps))), "n"]
    return [node(op, f"{names[i]} {operand}", names[i + 1]) for i, (op, operand) in enumerate(steps)]


def model(nodes, pads, shape=(1, 3, 6, 6), kind=TensorProto.UINT8, source="n"):
    nodes = [CAST, *nodes, node("Conv", f"{source} w b", "y", pads=[pads] * 4)]
    used = {name for each in nodes for name in each.input}
    constants = {name: value for name, value in CONSTANTS.items() if name in used}
    return build(nodes, "y", constants, ("x", shape), kind=kind)


IMAGENET = (("Div", "c255"), ("Sub", "mean"), ("Div", "std"))


@pytest.mark.parametrize(
    ("steps", "pads", "left", "zero"),
    [
        ((("Div", "c255"),), 1, ["DequantizeLinear", "Conv"], 0),
        ((("Sub", "half"), ("Div", "half")), 1, ["DequantizeLinear", "Conv"], 128),
        ((("Div", "half"), ("Sub", "one")), 1, ["DequantizeLinear", "Conv"], 128),
        ((("Mul", "inverse"), ("Sub", "one")), 0, ["DequantizeLinear", "Conv"], 0),  # zero point 127.5
        ((("Mul", "inverse"), ("Sub", "one")), 1, ["DequantizeLinear", "Add", "Conv"], 0),
        (IMAGENET, 0, ["DequantizeLinear", "Conv"], 0),
        (IMAGENET, 1, ["DequantizeLinear", "Add", "Div", "Conv"], 0),
    ],
)
def test_a_normalisation_is_the_quantisation_of_the_input(steps, pads, left, zero, tmp_path):
    read = read_model(save(model(chain(*steps), pads), tmp_path))
    graph = simplify(read)
    assert [each.op for each in graph.nodes] == left
    assert graph.constants[graph.nodes[0].inputs[2]] == zero
    expected, found = (run_float(each, {"x": FRAMES[:1]})["y"] for each in (read, graph))
    np.testing.assert_allclose(found, expected, 1e-3, 1e-4)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("pads", [0, 1])
def test_golden_is_near_the_model(last, pads, tmp_path):
    """Channels first, and last with a Transpose between."""
    frames = FRAMES
    if last:
        steps = [*chain(("Div", "c255"), ("Sub", "last")), node("Transpose", "n", "first", perm=[0, 3, 1, 2])]
        path = save(model(steps, pads, (1, 6, 6, 3), source="first"), tmp_path)
        frames = FRAMES.transpose(0, 2, 3, 1)
    else:
        path = save(model(chain(*IMAGENET), pads), tmp_path)
    quantised = flow.quantised(path, calibration=frames, warn=lambda line: None)
    network = quantised.network
    assert network.integer_input
    found = golden.network_outputs(network, golden.run(network, golden.network_input(network, frames)))["y"]
    expected = run_float(simplify(read_model(path)), {"x": frames})["y"]
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


def test_a_cast_before_the_models_own_quantisation(tmp_path):
    """Computed as it says, for every byte."""
    nodes = [
        CAST,
        node("Div", "real c255", "n"),
        node("QuantizeLinear", "n scale zero", "q"),
        node("DequantizeLinear", "q scale zero", "d"),
        node("Relu", "d", "y"),
    ]
    constants = {"c255": np.float32(255), "scale": np.float32(0.01), "zero": np.int8(-20)}
    path = save(build(nodes, "y", constants, ("x", (1, 1, 16, 16)), kind=TensorProto.UINT8), tmp_path)
    network = flow.quantised(path, warn=lambda line: None).network
    frame = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    (found,) = golden.run(network, golden.network_input(network, frame), ["q"]).values()
    expected = np.clip(np.rint(frame.astype(np.float32) / np.float32(255) / np.float32(0.01)) - 20, -128, 127)
    assert found.reshape(-1).tolist() == expected.reshape(-1).tolist()


def quantised_network(before, kind=TensorProto.UINT8, dtype=np.uint8, **own):
    """A quantised convolution behind the nodes ``before``, which make ``d`` of integers ``x``."""
    constants = {
        "w": RNG.integers(-7, 8, (2, 3, 3, 3)).astype(np.int8), "ws": np.float32(0.1), "wz": np.int8(0),
        "s": np.float32(0.05), "z": dtype(3), "ys": np.float32(0.3717), "yz": np.uint8(120),
    }  # fmt: skip
    nodes = [
        *before,
        node("DequantizeLinear", "w ws wz", "wd"),
        node("Conv", "d wd", "c", pads=[1, 1, 1, 1]),
        node("QuantizeLinear", "c ys yz", "y_q"),
        node("DequantizeLinear", "y_q ys yz", "y"),
    ]
    used = {name for each in nodes for name in each.input}
    given = {name: value for name, value in (constants | own).items() if name in used}
    return build(nodes, "y", given, ("x", ("N", 3, 6, 6)), kind=kind)


def clipped(dtype, kind, low, high):
    before = [node("Clip", "x low high", "k"), node("DequantizeLinear", "k s z", "d")]
    return quantised_network(before, kind, dtype, low=dtype(low), high=dtype(high))


REAL = [CAST, node("Clip", "real low high", "r")]
CLIPS = {
    "uint8": (clipped(np.uint8, TensorProto.UINT8, 16, 235), (16, 235)),
    "int8": (clipped(np.int8, TensorProto.INT8, -127, 127), (-127, 127)),
    "4 bits": (clipped(np.uint8, TensorProto.UINT8, 0, 15), (0, 15)),
    "moved before": (
        quantised_network(
            [
                node("Clip", "x low high", "k"),
                node("Transpose", "k", "t", perm=[0, 1, 3, 2]),
                node("DequantizeLinear", "t s z", "d"),
            ],
            low=np.uint8(2),
            high=np.uint8(99),
        ),
        (2, 99),
    ),
    "before a Cast": (
        quantised_network(
            [node("Clip", "x low high", "k"), node("Cast", "k", "d", to=TensorProto.FLOAT)],
            low=np.uint8(1),
            high=np.uint8(127),
        ),
        (1, 127),
    ),
    "behind a Cast": (
        quantised_network([*REAL, node("Identity", "r", "d")], low=np.float32(9.5 - 0.5), high=np.float32(200)),
        (9, 200),
    ),
}


@pytest.mark.parametrize("case", CLIPS)
def test_a_clip_is_the_range_of_the_input(case, tmp_path):
    model, limits = CLIPS[case]
    path = save(model, tmp_path)
    found = flow.quantised(path, warn=lambda line: None)
    network = found.network
    assert network.input_range == limits
    assert {type(layer.op).__name__ for layer in network.layers} <= {"Rearrange", "Conv"}
    frames = np.arange(216, dtype=np.int64).reshape(2, 3, 6, 6) * 255 // 215
    dtype = np.uint8 if case != "int8" else np.int8
    frames = (frames + np.iinfo(dtype).min).astype(dtype)
    write_qdq(found.graph, tmp_path / "written.onnx")
    for file in (path, tmp_path / "written.onnx"):
        assert compare(network, frames, file) == 1
    again = flow.quantised(tmp_path / "written.onnx", warn=lambda line: None).network
    assert again.input_range == limits
    result = simulate(network, search(network, multipliers=20), frames, "amaranth")
    assert result.equal


def test_a_clip_of_16_bits(tmp_path):
    """ONNX Runtime has no Clip of them."""
    network = flow.quantised(
        save(clipped(np.int16, TensorProto.INT16, -9, 40), tmp_path), warn=lambda line: None
    ).network
    frames = np.arange(-54, 54, dtype=np.int16).reshape(1, 3, 6, 6)
    given = golden.network_input(network, frames)
    assert given.dtype == np.int16
    assert np.array_equal(given, np.clip(frames, -9, 40).transpose(0, 2, 3, 1))


def test_a_clip_within_a_normalisation(tmp_path):
    """Of a float model: what it leaves of the bytes, and the scale they have."""
    nodes = [*chain(("Div", "c255")), node("Clip", "n low high", "r")]
    model_ = build(
        [CAST, *nodes, node("Conv", "r w", "y", pads=[1, 1, 1, 1])],
        "y",
        {"w": WEIGHT, "c255": np.float32(255), "low": np.float32(0), "high": np.float32(np.float32(1 / 255) * 100)},
        ("x", (1, 3, 6, 6)),
        kind=TensorProto.UINT8,
    )
    path = save(model_, tmp_path)
    graph = simplify(read_model(path))
    assert [each.op for each in graph.nodes] == ["DequantizeLinear", "Conv"]
    assert flow.quantised(path, calibration=FRAMES, warn=lambda line: None).network.input_range == (0, 100)


def test_integers_clipped_for_some_readers_only_are_refused(tmp_path):
    before = [
        node("Clip", "x low high", "k"),
        node("DequantizeLinear", "k s z", "a"),
        node("DequantizeLinear", "x s z", "b"),
        node("Add", "a b", "sum"),
        node("QuantizeLinear", "sum s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
    ]
    path = save(quantised_network(before, low=np.uint8(1), high=np.uint8(9)), tmp_path)
    with pytest.raises(ModelError, match="the input 'x' is quantised in two ways"):
        flow.quantised(path, warn=lambda line: None)
