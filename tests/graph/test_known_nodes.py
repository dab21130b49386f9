"""Operators on constants are computed before anything is refused; an If with a known condition is its branch."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen.graph.errors import ModelError
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from tests.graph.models import build, node, save

RNG = np.random.default_rng(5)
WEIGHT = RNG.normal(0, 1, (2, 1, 3, 3)).astype(np.float32)


def read(model, folder):
    return simplify(read_model(save(model, folder)))


def values(nodes, constants, folder, opset=13):
    """What a Conv gets as its weight ``w``."""
    graph = read(build([*nodes, node("Conv", "x w", "y")], "y", constants, opset=opset), folder)
    assert [each.op for each in graph.nodes] == ["Conv"]
    return graph.constants[graph.nodes[0].inputs[1]]


def test_weight_normalisation(tmp_path):
    gain = np.float32([2, 3]).reshape(2, 1, 1, 1)
    nodes = [
        node("ReduceL2", "v", "norm", axes=[1, 2, 3], keepdims=1),
        node("Div", "v norm", "direction"),
        node("Mul", "direction gain", "w"),
    ]
    norm = np.sqrt((WEIGHT**2).sum((1, 2, 3), keepdims=True))
    np.testing.assert_allclose(values(nodes, {"v": WEIGHT, "gain": gain}, tmp_path), WEIGHT / norm * gain, 1e-6)


def test_a_chain_of_known_and_unknown_operators(tmp_path):
    """Range, Tile, Trilu and CumSum have no other use here; what lies between them is computed, too."""
    constants = {"start": np.int64(0), "end": np.int64(3), "step": np.int64(1), "axis": np.int64(0)}
    constants |= {"repeats": np.array([3, 1]), "shape": np.array([1, 1, 3, 3]), "row": np.array([1, 3])}
    nodes = [
        node("Range", "start end step", "range"),
        node("Reshape", "range row", "same"),
        node("Tile", "same repeats", "tiled"),
        node("Trilu", "tiled", "lower", upper=0),
        node("Cast", "lower", "real", to=TensorProto.FLOAT),
        node("CumSum", "real axis", "sums"),
        node("Reshape", "sums shape", "w"),
    ]
    expected = np.cumsum(np.tril(np.tile(np.arange(3), (3, 1))), 0)
    assert values(nodes, constants, tmp_path, 14).reshape(3, 3).tolist() == expected.tolist()


def test_the_shape_of_a_feature_map_is_known(tmp_path):
    """A grid as large as a map: Size and Shape of what depends on the input do not."""
    nodes = [
        node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        node("Size", "c", "size"),
        node("Range", "zero size one", "count"),
        node("Cast", "count", "real", to=TensorProto.FLOAT),
        node("Shape", "c", "shape"),
        node("Reshape", "real shape", "grid"),
        node("Add", "c grid", "y"),
    ]
    graph = read(build(nodes, "y", {"w": WEIGHT, "zero": np.int64(0), "one": np.int64(1)}), tmp_path)
    assert [each.op for each in graph.nodes] == ["Conv", "Add"]
    assert graph.constants[graph.nodes[1].inputs[1]].reshape(-1).tolist() == list(range(128))


def blocked(folder):
    """Weights quantised in blocks have no integer form here: they are taken as real numbers."""
    scale = np.float32([[1, 2], [3, 4]]).repeat(2, 1).reshape(2, 4, 1, 1)
    model = build(
        [node("DequantizeLinear", "q s", "w", axis=1, block_size=2), node("Conv", "x w", "y")],
        "y",
        {"q": np.arange(8, dtype=np.int8).reshape(2, 4, 1, 1), "s": scale[:, ::2]},
        ("x", ("N", 4, 3, 3)),
        21,
    )
    (weight,) = read(model, folder).constants.values()
    return weight, np.arange(8).reshape(2, 4, 1, 1) * scale


def test_weights_in_blocks(tmp_path):
    weight, expected = blocked(tmp_path)
    assert weight.tolist() == expected.tolist()


def test_float8_weights(tmp_path):
    """Those are numbers of their own, exact in float32."""
    model = build([node("DequantizeLinear", "q s", "w"), node("Conv", "x w", "y")], "y", {"s": np.float32(2)}, opset=19)
    model.graph.initializer.append(
        TensorProto(name="q", data_type=TensorProto.FLOAT8E4M3FN, dims=[2, 1, 1, 1], raw_data=b"\x38\xc0")
    )
    (weight,) = read(model, tmp_path).constants.values()
    assert weight.reshape(-1).tolist() == [2, -4]  # 1 and -2, times 2


def chosen(condition, then, other, inner=()):
    """An If whose branches give the tensors of these nodes, ``inner`` their initializers."""
    graphs = [
        helper.make_graph(
            nodes,
            "branch",
            [],
            [helper.make_empty_tensor_value_info(nodes[-1].output[0])],
            [numpy_helper.from_array(value, name) for name, value in inner],
        )
        for nodes in (then, other)
    ]
    return helper.make_node("If", [condition], ["chosen"], "if", then_branch=graphs[0], else_branch=graphs[1])


@pytest.mark.parametrize(("channels", "op"), [(2, "Relu"), (1, "Sigmoid")])
def test_an_if_that_asks_for_a_shape_is_its_branch(channels, op, tmp_path):
    constants = {"w": WEIGHT[:channels], "one": np.int64(1), "two": np.int64(2)}
    nodes = [
        node("Conv", "x w", "c"),
        node("Shape", "c", "shape"),
        node("Gather", "shape one", "channels"),
        node("Equal", "channels two", "equal"),
        chosen("equal", [node("Relu", "c", "r")], [node("Sigmoid", "c", "r")]),
        node("Exp", "chosen", "y"),
    ]
    assert [each.op for each in read(build(nodes, "y", constants), tmp_path).nodes] == ["Conv", op, "Exp"]


def test_an_if_within_an_if(tmp_path):
    """Names within branches may be those of the graph around; a branch may hand on what it did not make."""
    inner = chosen("yes", [node("Add", "c two", "w2")], [node("Relu", "c", "w2")], [("two", np.float32([2]))])
    inner.output[0] = "deep"
    outer = chosen("yes", [inner, node("Mul", "deep two", "r")], [node("Neg", "c", "r")])
    handed = chosen("no", [node("Neg", "chosen", "r")], [node("Identity", "chosen", "unused")])
    handed.attribute[1].g.output[0].name = "chosen"
    handed.output[0], handed.name = "last", "last_if"
    nodes = [node("Conv", "x w", "c"), outer, handed, node("Relu", "last", "y")]
    known = {"w": WEIGHT, "two": np.float32([3]), "yes": np.array(True), "no": np.array(False)}
    graph = read(build(nodes, "y", known), tmp_path)
    assert [each.op for each in graph.nodes] == ["Conv", "Relu"]
    weight, bias = (graph.constants[name] for name in graph.nodes[0].inputs[1:])
    assert np.array_equal(weight, WEIGHT * np.float32(3))
    assert bias.tolist() == [6, 6]


def test_an_if_that_depends_on_the_frame_is_refused_with_a_remedy(tmp_path):
    nodes = [
        node("Conv", "x w", "c"),
        node("ReduceMax", "c", "most", keepdims=0),
        node("Cast", "most", "positive", to=TensorProto.BOOL),
        chosen("positive", [node("Relu", "c", "r")], [node("Sigmoid", "c", "r")]),
        node("Conv", "chosen v", "y"),
    ]
    model = build(nodes, "y", {"w": WEIGHT, "v": WEIGHT.repeat(2, 1)})
    with pytest.raises(ModelError, match=r"node 'if': operator If .* its condition depends on the frame; export"):
        read_model(save(model, tmp_path))


@pytest.mark.parametrize(
    "nodes",
    [
        [node("RandomNormalLike", "v", "w")],
        [node("Range", "zero huge one", "r"), node("Reshape", "r shape", "w")],
        [node("Range", "zero huge one", "r"), node("CumSum", "r zero", "w")],
    ],
)
def test_what_is_random_or_huge_is_not_computed(nodes, tmp_path):
    constants = {"zero": np.int64(0), "one": np.int64(1), "huge": np.int64(1) << 50, "shape": np.array([2, 1, 3, 3])}
    model = build([*nodes, node("Conv", "x w", "y")], "y", constants | {"v": WEIGHT})
    with pytest.raises(ModelError, match=r"operator R\w+ is not supported"):
        read_model(save(model, tmp_path))
