"""Models cut at their tail: the network in golden and the tail in ONNX Runtime are the whole in ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen import flow
from hwgen.graph import golden
from hwgen.graph.cut import host_nodes, loose_ends
from hwgen.graph.errors import InputError, ModelError
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.onnx.writer import write_tail
from hwgen.graph.passes import simplify
from tests.graph.models import node, save
from tests.graph.reference import session

RNG = np.random.default_rng(3)
ANCHORS, CLASSES = 2, 3
WIDTH = 4 + CLASSES
CONSTANTS = {
    "s": np.float32(0.02),
    "z": np.uint8(9),
    "s2": np.float32(0.05),
    "z2": np.uint8(128),
    "w": RNG.integers(-128, 128, (8, 3, 3, 3)).astype(np.int8),
    "wh": RNG.integers(-128, 128, (ANCHORS * WIDTH, 8, 1, 1)).astype(np.int8),
    "ws": np.float32(0.003),
    "wz": np.int8(0),
    "b": RNG.integers(-2000, 2000, 8).astype(np.int32),
    "bs": np.float32(0.02) * np.float32(0.003),
    "bz": np.int32(0),
    "rows": np.array([0, ANCHORS, WIDTH, -1]),
    "list": np.array([0, -1, WIDTH]),
    "parts": np.array([2, 2, CLASSES]),
    "anchors": RNG.uniform(0.5, 2, (1, ANCHORS * 36, 2)).astype(np.float32),
    "grid": RNG.uniform(0, 6, (1, ANCHORS * 36, 2)).astype(np.float32),
    "half": np.float32(0.5),
    "most": np.array([10]),
    "overlap": np.float32([0.5]),
    "least": np.float32([0.3]),
}
LAYERS = [
    node("QuantizeLinear", "x s z", "xq"),
    node("DequantizeLinear", "xq s z", "xd"),
    node("DequantizeLinear", "w ws wz", "wd"),
    node("DequantizeLinear", "wh ws wz", "whd"),
    node("DequantizeLinear", "b bs bz", "bd"),
    node("Conv", "xd wd bd", "c", pads=[1, 1, 1, 1]),
    node("Relu", "c", "r"),
    node("QuantizeLinear", "r s2 z2", "rq"),
    node("DequantizeLinear", "rq s2 z2", "rd"),
    node("Conv", "rd whd", "h"),
]
LEAVE = [node("QuantizeLinear", "h s2 z2", "hq"), node("DequantizeLinear", "hq s2 z2", "hd")]


def decoding(heads):
    """Boxes and scores of every place, and those that non-maximum suppression leaves."""
    return [
        node("Reshape", f"{heads} rows", "a"),
        node("Transpose", "a", "t", perm=[0, 1, 3, 2]),
        node("Reshape", "t list", "l"),
        node("Split", "l parts", "xy wh_ classes", axis=2),
        node("Sigmoid", "xy", "xys"),
        node("Add", "xys grid", "centre"),
        node("Exp", "wh_", "e"),
        node("Mul", "e anchors", "size"),
        node("Mul", "size half", "offset"),
        node("Sub", "centre offset", "first"),
        node("Add", "centre offset", "last"),
        node("Concat", "first last", "boxes", axis=2),
        node("Sigmoid", "classes", "probabilities"),
        node("Transpose", "probabilities", "scores", perm=[0, 2, 1]),
        node("NonMaxSuppression", "boxes scores most overlap least", "picked"),
    ]


def saved(folder, nodes, outputs, constants=CONSTANTS, shape=(1, 3, 6, 6)):
    kinds = {"picked": TensorProto.INT64, "best": TensorProto.INT64}
    shapes = {"picked": ("count", 3)}
    used = {name for each in nodes for name in each.input}
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shapes.get(name))
            for name in outputs.split()
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in used],
    )
    return save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder)


def network_of(path, outputs, **settings):
    """Without calibration frames what is not quantised stays so."""
    with pytest.MonkeyPatch.context() as patch:
        if not settings:
            patch.setattr("hwgen.flow.front.quantize", lambda graph, *frames, **options: graph)
        return flow.quantised(path, outputs=outputs, warn=lambda line: None, **settings).network


def whole_and_parts(path, folder, outputs=(), **settings):
    """The network; results of the file in ONNX Runtime, and of network in golden and tail in ONNX Runtime."""
    frame = np.random.default_rng(8).normal(0.5, 1, (1, 3, 6, 6)).astype(np.float32)
    network = network_of(path, outputs, **settings)
    integers = golden.run(network, golden.network_input(network, frame))
    given = golden.network_outputs(network, integers)
    if network.tail is not None:
        write_tail(network.tail, folder / "tail.onnx")
        tail = session(str(folder / "tail.onnx"))
        feeds = {name: given[name] for name in network.tail.inputs}
        given |= dict(zip(network.tail.results, tail.run(list(network.tail.results), feeds), strict=True))
    runtime = session(str(path))
    names = [output.name for output in runtime.get_outputs()]
    return network, dict(zip(names, runtime.run(names, {"x": frame}), strict=True)), given


@pytest.mark.parametrize("heads", ["h", "hd"])
def test_a_detector(tmp_path, heads):
    """Whether its heads are quantised or not, the cut is right behind them."""
    path = saved(tmp_path, [*LAYERS, *LEAVE, *decoding(heads)], "boxes scores picked")
    network, whole, parts = whole_and_parts(path, tmp_path)
    assert [output.name for output in network.outputs] == [heads]
    assert len(whole["picked"]) > 3
    assert np.array_equal(parts["picked"], whole["picked"])
    for name in ("boxes", "scores"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-4, atol=1e-5)
    ops = [op for _, op in network.tail.nodes]
    assert ops == [each.op_type for each in decoding(heads)]
    assert str(network.tail).startswith(f"15 nodes from '{heads}' to 'boxes', 'scores', 'picked' (Reshape, Transpose, ")


def test_the_file_of_the_tail(tmp_path):
    path = saved(tmp_path, [*LAYERS, *decoding("h")], "picked")
    whole_and_parts(path, tmp_path)
    tail = onnx.load(tmp_path / "tail.onnx")
    onnx.checker.check_model(tail, full_check=True)
    (source,) = tail.graph.input
    kind = source.type.tensor_type
    assert (source.name, kind.elem_type) == ("h", TensorProto.FLOAT)
    assert [dim.dim_value for dim in kind.shape.dim] == [1, ANCHORS * WIDTH, 6, 6]
    assert {"w", "wh", "b"}.isdisjoint(value.name for value in tail.graph.initializer)


def test_weights_beside_the_file_come_into_the_tail(tmp_path):
    path = saved(tmp_path, [*LAYERS, *decoding("h")], "picked")
    onnx.save(onnx.load(path), path, save_as_external_data=True, size_threshold=200, location="weights.bin")
    network, whole, parts = whole_and_parts(path, tmp_path)
    (tmp_path / "weights.bin").unlink()
    assert network.tail is not None
    session(str(tmp_path / "tail.onnx"))
    assert np.array_equal(parts["picked"], whole["picked"])


def test_shared_scores_of_the_network_and_the_tail(tmp_path):
    """A tensor may be a result of the model and what the tail works on."""
    nodes = [*LAYERS, *LEAVE, node("Exp", "hd", "e"), node("ReduceSum", "e", "y")]
    network, whole, parts = whole_and_parts(saved(tmp_path, nodes, "hd y"), tmp_path)
    assert [output.name for output in network.outputs] == ["hd"]
    assert np.array_equal(parts["hd"], whole["hd"])
    np.testing.assert_allclose(parts["y"], whole["y"], rtol=1e-4)


def test_a_body_that_reads_from_outside(tmp_path):
    """Nodes with graphs inside take tensors that no list of operands names."""
    inner = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("then", "else")]
    branches = [
        helper.make_graph([node("Mul", "hd half", "then")], "a", [], inner[:1]),
        helper.make_graph([node("Neg", "rd", "else")], "b", [], inner[1:]),
    ]
    nodes = [*LAYERS, *LEAVE, node("ReduceMax", "hd", "top", keepdims=0), node("Greater", "top half", "large")]
    nodes.append(helper.make_node("If", ["large"], ["y"], "choice", then_branch=branches[0], else_branch=branches[1]))
    network, whole, parts = whole_and_parts(saved(tmp_path, nodes, "y"), tmp_path)
    assert {output.name for output in network.outputs} == {"hd", "rd"}
    np.testing.assert_allclose(parts["y"], whole["y"], rtol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "output"),
    [
        ([node("Softmax", "hd", "y", axis=1)], "y"),
        ([node("ArgMax", "hd", "best", axis=1)], "best"),
        ([node("Concat", "xd hd", "y", axis=1)], "y"),
        ([node("Neg", "hd", "n"), node("Where", "yes hd n", "y")], "y"),
        ([node("Add", "hd hd", "a"), node("MatMul", "a a", "y")], "y"),
    ],
    ids=["softmax of channels", "classes of pixels", "concat of kinds", "where", "product of results"],
)
def test_what_has_no_integers_is_left_to_the_host(tmp_path, nodes, output):
    constants = CONSTANTS | {"yes": np.array([True])}
    path = saved(tmp_path, [*LAYERS, *LEAVE, *nodes], output, constants)
    network, whole, parts = whole_and_parts(path, tmp_path)
    assert [op for _, op in network.tail.nodes][-1] == nodes[-1].op_type
    np.testing.assert_allclose(parts[output], whole[output], rtol=1e-4, atol=1e-4)


def test_scores_keep_their_head(tmp_path):
    """Softmax over all scores at the very end is no tail: the network's results are in its order."""
    nodes = [*LAYERS, *LEAVE, node("GlobalAveragePool", "hd", "p"), node("Flatten", "p", "f")]
    graph = flow.cut_model(saved(tmp_path, [*nodes, node("Softmax", "f", "y", axis=1)], "y"))
    assert graph.tail is None
    assert [each.op for each in graph.head] == ["Softmax"]


def test_a_float_model_is_cut_before_it_is_calibrated(tmp_path):
    """Exp of boxes would spoil 8 bits."""
    constants = CONSTANTS | {"fw": RNG.normal(0, 0.2, (ANCHORS * WIDTH, 3, 3, 3)).astype(np.float32)}
    nodes = [node("Conv", "x fw", "h", pads=[1, 1, 1, 1]), *decoding("h")]
    frames = RNG.normal(0.5, 1, (8, 3, 6, 6)).astype(np.float32)
    path = saved(tmp_path, nodes, "boxes", constants)
    network, whole, parts = whole_and_parts(path, tmp_path, calibration=frames)
    assert [layer.name for layer in network.layers] == ["h_node"]
    assert np.abs(parts["boxes"] - whole["boxes"]).max() < 0.2 * np.abs(whole["boxes"]).max()


# Chosen by the user


def test_the_user_chooses_the_cut(tmp_path):
    path = saved(tmp_path, [*LAYERS, *LEAVE, *decoding("hd")], "picked")
    network, whole, parts = whole_and_parts(path, tmp_path, outputs=("rd",))
    assert [output.name for output in network.outputs] == ["rd"]
    assert np.array_equal(parts["picked"], whole["picked"])
    assert ("h_node", "Conv") in network.tail.nodes


def test_several_chosen_tensors(tmp_path):
    nodes = [*LAYERS, *LEAVE, node("Neg", "rd", "n"), node("GlobalAveragePool", "hd", "p"), node("Exp", "p", "y")]
    network, whole, parts = whole_and_parts(saved(tmp_path, nodes, "y n"), tmp_path, outputs=("hd", "rd"))
    assert [output.name for output in network.outputs] == ["hd", "rd"]
    assert network.tail.results == ("y", "n")
    assert np.array_equal(parts["n"], whole["n"])
    np.testing.assert_allclose(parts["y"], whole["y"], rtol=1e-5)


def test_results_that_the_chosen_tensors_do_not_lead_to_are_named(tmp_path):
    nodes = [*LAYERS, *LEAVE, node("GlobalAveragePool", "rd", "p"), node("GlobalAveragePool", "hd", "q")]
    nodes += [node("Concat", "p q", "y", axis=1), node("Exp", "q", "u")]
    tail = read_model(saved(tmp_path, nodes, "y u"), outputs=("hd",)).tail
    assert tail.results == ("u",)
    assert tail.missing == (("y", "p"),)
    assert str(tail).endswith("; 'y' is not computed, as it needs 'p' too")
    alone = read_model(saved(tmp_path, nodes, "y"), outputs=("hd",)).tail
    assert str(alone) == "nothing; 'y' is not computed, as it needs 'p' too"


def test_unknown_names_end_in_one_line_each(tmp_path):
    path = saved(tmp_path, [*LAYERS, *LEAVE], "hd")
    with pytest.raises(InputError) as caught:
        read_model(path, outputs=("hdd", "x"))
    assert caught.value.problems[0].startswith(
        "--outputs hdd: the model computes no tensor of this name; near are 'hd'"
    )
    assert caught.value.problems[1].startswith("--outputs x: the model computes no tensor of this name; near are ")


def test_an_unknown_operator_before_a_layer_is_refused(tmp_path):
    nodes = [LAYERS[0], node("NonMaxSuppression", "x x most", "picked"), node("Cast", "picked", "k", to=1)]
    nodes += [*LAYERS[2:5], node("Conv", "k wd bd", "y")]
    with pytest.raises(ModelError, match="operator NonMaxSuppression is not supported"):
        read_model(saved(tmp_path, nodes, "y"))


def test_nothing_but_unknown_operators_is_refused(tmp_path):
    with pytest.raises(ModelError, match="operator NonMaxSuppression is not supported"):
        read_model(saved(tmp_path, [node("NonMaxSuppression", "x x most", "picked")], "picked"))


def test_loose_ends(tmp_path):
    graph = simplify(read_model(saved(tmp_path, [*LAYERS, node("Exp", "h", "e"), node("Add", "e h", "y")], "y")))
    assert loose_ends(graph) == {"e_node", "y_node"}
    assert host_nodes(graph) == {"e_node"}


@pytest.mark.slow
def test_a_build_writes_the_tail(tmp_path):
    nodes = [*LAYERS, *LEAVE, node("Exp", "hd", "y")]
    design = flow.build(saved(tmp_path, nodes, "y"), tmp_path / "build", multipliers=60)
    runtime = session(str(tmp_path / "build" / "tail.onnx"))
    assert [(source.name, source.shape) for source in runtime.get_inputs()] == [("hd", [1, ANCHORS * WIDTH, 6, 6])]
    said = "Left to the host in tail.onnx: 1 node from 'hd' to 'y' (Exp)"
    assert said in (Path(tmp_path) / "build" / "report.txt").read_text()
    assert design.report.data["network"]["tail"] == said.partition(": ")[2]
