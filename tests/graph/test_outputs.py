"""Results of any number and kind: several streams, sums that nothing quantises, what the host computes around them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen import flow
from hwgen.blocks import OPERATORS
from hwgen.flow import front
from hwgen.graph import golden
from hwgen.graph.errors import ModelError
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.onnx.writer import write_qdq
from hwgen.graph.passes import simplify
from hwgen.graph.types import IntType
from tests.graph.models import build, node, save
from tests.graph.reference import session

RNG = np.random.default_rng(5)
CONSTANTS = {
    "s": np.float32(0.02),
    "z": np.uint8(7),
    "s2": np.float32(0.3),
    "z2": np.uint8(120),
    "w": RNG.integers(-128, 128, (6, 2, 3, 3)).astype(np.int8),
    "ws": RNG.uniform(0.01, 0.03, 6).astype(np.float32),
    "wz": np.zeros(6, np.int8),
    "w2": RNG.integers(-128, 128, (6, 6, 1, 1)).astype(np.int8),
    "w3": RNG.integers(-128, 128, (6, 4, 2, 2)).astype(np.int8),
    "ws3": RNG.uniform(0.01, 0.03, 4).astype(np.float32),
    "wz3": np.zeros(4, np.int8),
    "b": RNG.integers(-3000, 3000, 6).astype(np.int32),
    "bz": np.zeros(6, np.int32),
    "fb": RNG.normal(0, 2, 6).astype(np.float32),
    "gain": RNG.uniform(0.5, 2, (6, 1, 1)).astype(np.float32),
    "m": RNG.integers(-128, 128, (5, 60)).astype(np.int8),
    "ms": np.float32(0.01),
    "mz": np.int8(0),
    "mean": np.float32([0.4, 0.6]).reshape(1, 2, 1, 1),
    "std": np.float32([0.3, 0.2]).reshape(1, 2, 1, 1),
    "two": np.float32(2),
    "vector": np.array([0, -1]),
    "lines": np.array([0, 6, -1]),
}
CONSTANTS["bs"] = CONSTANTS["s"] * CONSTANTS["ws"]
ENTER = [node("QuantizeLinear", "x s z", "xq"), node("DequantizeLinear", "xq s z", "xd")]
WEIGHTS = [
    node("DequantizeLinear", "w ws wz", "wd", axis=0),
    node("DequantizeLinear", "w2 ws wz", "w2d", axis=0),
    node("DequantizeLinear", "w3 ws3 wz3", "w3d", axis=1),
    node("DequantizeLinear", "b bs bz", "bd", axis=0),
    node("DequantizeLinear", "m ms mz", "md"),
]
CONV = [*ENTER, *WEIGHTS, node("Conv", "xd wd bd", "c", pads=[1, 1, 1, 1])]
PAIR = [node("QuantizeLinear", "c s2 z2", "cq"), node("DequantizeLinear", "cq s2 z2", "cd")]
FRAMES = RNG.normal(0.5, 1.5, (4, 2, 6, 5)).astype(np.float32)


def saved(folder, nodes, outputs, **types):
    """The file of a model with several outputs, all float unless ``types`` says otherwise."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 2, 6, 5))],
        [helper.make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), None) for name in outputs.split()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in CONSTANTS.items()],
    )
    return save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder)


def network_of(path):
    return lower(simplify(read_model(path)), OPERATORS)


def results(path, frames=FRAMES):
    """The network, all its integers, and by name our results and ONNX Runtime's."""
    network = network_of(path)
    integers = golden.run(network, golden.network_input(network, frames))
    runtime = session(str(path))
    names = [output.name for output in runtime.get_outputs()]
    theirs = dict(zip(names, runtime.run(names, {"x": frames}), strict=True))
    ours = golden.network_outputs(network, integers)
    assert list(ours) == names
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
    return network, integers, ours, theirs


def assert_float_equal(ours, theirs):
    """Sums of a hundred float32 products, rounded in another order."""
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_several_outputs_of_every_kind(tmp_path):
    """Integers, real numbers, in another order, and the sum of a convolution; one stream serves two outputs."""
    nodes = [
        *CONV,
        *PAIR,
        node("Transpose", "cd", "turned", perm=[0, 2, 1, 3]),
        node("Reshape", "cd vector", "flat"),
        node("MaxPool", "cd", "pooled", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "cd w2d", "sum"),
    ]
    path = saved(tmp_path, nodes, "cq turned flat pooled sum", cq=TensorProto.UINT8)
    network, _, ours, theirs = results(path)
    orders = [output.order for output in network.outputs]
    assert orders == ["channels_last", "places", "channels_last", "channels_last", "channels_last"]
    assert [stream.name for stream in network.results] == ["cq", "pooled", "sum"]
    for name in ("cq", "turned", "flat", "pooled"):
        assert np.array_equal(ours[name], theirs[name]), name
        assert ours[name].dtype == theirs[name].dtype
    assert_float_equal(ours["sum"], theirs["sum"])


def test_a_sum_that_nothing_quantises_is_the_result(tmp_path):
    network, integers, ours, theirs = results(saved(tmp_path, CONV, "c"))
    (layer,) = network.layers
    assert layer.op.requantization.form == "raw"
    assert layer.op.gap is None
    assert network.output.quantization.scale == tuple((CONSTANTS["s"] * CONSTANTS["ws"]).tolist())
    scale = np.float64(CONSTANTS["s"] * CONSTANTS["ws"]).reshape(6, 1, 1)
    sums = np.rint(theirs["c"].astype(np.float64) / scale).transpose(0, 2, 3, 1)
    assert np.array_equal(integers["c"], sums.astype(np.int64))
    assert_float_equal(ours["c"], theirs["c"])


def test_the_type_of_sums_is_the_narrowest(tmp_path):
    """Holds the frames that make each channel's sum least and greatest, and no more."""
    network = network_of(saved(tmp_path, CONV, "c"))
    op = network.layers[0].op
    ends = [np.where((op.weights > 0) == up, 255, 0) for up in (False, True)]
    low, high = ((op.weights * end).reshape(6, -1).sum(axis=1) + op.requantization.layer_bias for end in ends)
    assert network.output.map.type == IntType.holding(int(low.min()), int(high.max()))


@pytest.mark.parametrize(
    "tail",
    [
        [node("Relu", "c", "y")],
        [node("Mul", "c gain", "g"), node("Div", "g two", "d"), node("Sigmoid", "d", "y")],
        [*PAIR, node("Mul", "cd gain", "g"), node("Sub", "g c", "y")],
        [node("GlobalAveragePool", "xd", "p"), node("Mul", "p two", "y")],
        [node("Conv", "xd wd fb", "u"), node("Mul", "u gain", "y")],
        [*PAIR, node("ConvTranspose", "cd w3d", "y", group=2)],
        [node("Flatten", "xd", "f"), node("Gemm", "f md", "g", transB=1), node("Div", "g two", "y")],
    ],
    ids=["relu", "gain", "two streams", "average", "float bias", "transposed", "dense"],
)
def test_the_host_computes_what_is_behind(tmp_path, tail):
    network, _, ours, theirs = results(saved(tmp_path, [*CONV, *tail], "y"))
    assert any(layer.op.requantization.form == "raw" for layer in network.layers if hasattr(layer.op, "requantization"))
    np.testing.assert_allclose(ours["y"], theirs["y"], rtol=1e-4, atol=1e-4)


def test_the_host_normalises_the_input(tmp_path):
    nodes = [node("Sub", "x mean", "n"), node("Div", "n std", "d"), node("QuantizeLinear", "d s z", "xq")]
    path = saved(tmp_path, [*nodes, *CONV[1:], *PAIR], "cd")
    network, _, ours, theirs = results(path)
    assert str(network.input_function) == "Add -> Div"
    assert np.array_equal(ours["cd"], theirs["cd"])


def test_the_host_normalises_an_input_that_moved(tmp_path):
    """What is computed before and behind a Transpose or Reshape."""
    moved = [node("Mul", "x two", "d"), node("Transpose", "d", "t", perm=[0, 1, 3, 2]), node("Neg", "t", "n")]
    nodes = [*moved, node("QuantizeLinear", "n s z", "xq"), *CONV[1:], *PAIR]
    network, _, ours, theirs = results(saved(tmp_path, nodes, "cd"))
    assert str(network.input_function) == "Mul -> Neg"
    assert np.array_equal(ours["cd"], theirs["cd"])


def test_real_numbers_that_move_before_they_are_quantised(tmp_path):
    moved = [node("Relu", "c", "r"), node("Reshape", "r lines", "l"), node("Mul", "l two", "d")]
    nodes = [*CONV, *moved, node("QuantizeLinear", "d s2 z2", "q"), node("DequantizeLinear", "q s2 z2", "y")]
    _, _, ours, theirs = results(saved(tmp_path, nodes, "y"))
    assert np.array_equal(ours["y"], theirs["y"])
    _, _, ours, theirs = results(saved(tmp_path, nodes[:-2], "d"))
    assert_float_equal(ours["d"], theirs["d"])


def test_the_input_is_quantised_in_one_way(tmp_path):
    nodes = [node("Mul", "x two", "d"), node("QuantizeLinear", "d s z", "dq"), node("DequantizeLinear", "dq s z", "dd")]
    path = saved(tmp_path, [*nodes, *CONV, node("Conv", "dd wd", "e", pads=[1, 1, 1, 1])], "c e")
    with pytest.raises(ModelError, match="the input 'x' is quantised in two ways; quantise it once"):
        network_of(path)


@pytest.mark.parametrize("activation", ["Relu", "Identity", "LeakyRelu"])
def test_sums_of_a_convolution_and_a_stream(tmp_path, activation):
    """Residuals whose branch is not quantised before the addition, per-channel scales and all."""
    nodes = [
        *CONV,
        *PAIR,
        node("Conv", "cd w2d bd", "branch"),
        node("Add", "branch cd", "a"),
        node(activation, "a", "r"),
        node("QuantizeLinear", "r s2 z2", "rq"),
        node("DequantizeLinear", "rq s2 z2", "y"),
    ]
    network, integers, ours, theirs = results(saved(tmp_path, nodes, "y"))
    assert len(np.unique(integers["rq"])) > 50
    assert [type(layer.op).__name__ for layer in network.layers] == ["Conv", "Conv", "Elementwise"]
    assert np.array_equal(ours["y"], theirs["y"])


def test_sums_that_go_on_without_being_quantised(tmp_path):
    """A shortcut in real numbers over two blocks, as converters for TensorRT leave them."""
    nodes = [*CONV, *PAIR, node("Conv", "cd w2d bd", "first"), node("Add", "first cd", "a"), node("Relu", "a", "r")]
    nodes += [node("QuantizeLinear", "r s2 z2", "rq"), node("DequantizeLinear", "rq s2 z2", "rd")]
    nodes += [node("Conv", "rd w2d bd", "second"), node("Add", "second r", "e"), node("Relu", "e", "t")]
    nodes += [node("QuantizeLinear", "t s2 z2", "tq"), node("DequantizeLinear", "tq s2 z2", "y")]
    network, integers, ours, theirs = results(saved(tmp_path, nodes, "y"))
    assert network.layers[-1].inputs == ("second", "first", "cq")
    assert len(np.unique(integers["tq"])) > 50
    assert np.array_equal(ours["y"], theirs["y"])


@pytest.mark.slow
def test_the_hardware_gives_the_sums(tmp_path, monkeypatch):
    monkeypatch.setattr(front, "quantize", lambda graph, *frames, **options: graph)
    path = saved(tmp_path, [*CONV, node("Mul", "c gain", "y")], "y")
    design = flow.compile(path, multipliers=20).checked()
    assert design.check.equal
    (output,) = design.report.data["network"]["outputs"]
    assert output["function"] == "Mul"
    assert output["streams"][0]["scale"] == (CONSTANTS["s"] * CONSTANTS["ws"]).tolist()
    theirs = session(str(path)).run(None, {"x": FRAMES})[0]
    assert_float_equal(design.simulate(FRAMES).outputs, theirs)


def test_a_sum_is_made_once_for_all_that_read_it(tmp_path):
    """Two results of the same convolution, and an addition of it."""
    nodes = [*CONV, node("Relu", "c", "r"), node("Add", "c r", "a"), node("Neg", "c", "n")]
    network, _, ours, theirs = results(saved(tmp_path, nodes, "a n"))
    assert len(network.layers) == 1
    for name in ours:
        assert_float_equal(ours[name], theirs[name])


def test_the_input_mixes_with_nothing_before_it_is_quantised(tmp_path):
    nodes = [*ENTER, node("Add", "xd x", "a"), node("QuantizeLinear", "a s2 z2", "aq")]
    path = save(build(nodes, "aq", CONSTANTS, ("x", (1, 60))), tmp_path)
    with pytest.raises(ModelError, match="it combines the input with something else before it is quantised"):
        network_of(path)


def test_what_is_written_gives_the_same(tmp_path):
    path = saved(tmp_path, [*CONV, node("Mul", "c gain", "y")], "y")
    write_qdq(simplify(read_model(path)), tmp_path / "again.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "again.onnx"), full_check=True)
    first, again = results(path), results(tmp_path / "again.onnx")
    assert np.array_equal(first[2]["y"], again[2]["y"])
    assert np.array_equal(first[3]["y"], again[3]["y"])
