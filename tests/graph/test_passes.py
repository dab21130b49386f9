"""Passes keep what the graph computes and leave the form that the rest expects."""

from dataclasses import replace

import numpy as np
import pytest

from hwgen.graph.check import check_graph
from hwgen.graph.errors import ModelError
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import PASSES, simplify
from hwgen.graph.passes.head import strip_head
from hwgen.graph.semantics.float_model import run_float
from tests.graph.models import build, lenet_like, node, save
from tests.graph.reference import session


def read(model, folder):
    return read_model(save(model, folder))


def ops(graph):
    return [n.op for n in graph.nodes]


def test_each_pass_keeps_the_numbers(tmp_path):
    graph = read(lenet_like(), tmp_path)
    x = np.random.default_rng(0).normal(0, 1, (1, 1, 12, 12)).astype(np.float32)
    before = run_float(graph, {"x": x})
    for step in PASSES:
        graph = step(graph)
        check_graph(graph)
        after = run_float(graph, {"x": x})[graph.outputs[0]]
        expected = before["y" if graph.outputs == ("y",) else "g4"]
        np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-5)  # folding rounds weights to float32
    assert ops(graph) == ["Conv", "Relu", "MaxPool", "Conv", "Clip", "Reshape", "Gemm", "Relu", "Gemm"]
    assert [n.op for n in graph.head] == ["Softmax"]
    gemm = graph.nodes[-1]
    assert gemm.attributes == {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
    assert graph.tensors[gemm.inputs[1]].shape == (10, 20)


def test_simplified_graphs_take_batches(tmp_path):
    graph = simplify(read(lenet_like(), tmp_path))
    x = np.random.default_rng(0).normal(0, 1, (3, 1, 12, 12)).astype(np.float32)
    together = run_float(graph, {"x": x})[graph.outputs[0]]
    apart = [run_float(graph, {"x": x[i : i + 1]})[graph.outputs[0]] for i in range(3)]
    np.testing.assert_allclose(together, np.concatenate(apart), rtol=1e-5, atol=1e-6)  # order of BLAS sums


def test_trace_names_each_pass(tmp_path):
    seen = []
    simplify(read(lenet_like(), tmp_path), trace=lambda name, graph: seen.append(name))
    assert seen == [step.__name__ for step in PASSES]


def test_a_pass_that_breaks_the_graph_is_named(tmp_path):
    def spoil(graph):
        return replace(graph, nodes=graph.nodes[1:])

    with pytest.raises(
        ValueError, match=r"pass spoil broke the graph:\nnode 'r1_node' .*reads 'c1', which nothing before it writes"
    ):
        simplify(read(lenet_like(), tmp_path), passes=[spoil])


def test_batch_normalization_alone_becomes_mul_and_add(tmp_path):
    rng = np.random.default_rng(0)
    parameters = {name: rng.uniform(0.5, 2, 3).astype(np.float32) for name in "abcd"}
    model = build([node("BatchNormalization", "x a b c d", "y")], "y", parameters, ("x", (1, 3, 4, 4)))
    graph = read(model, tmp_path)
    after = simplify(graph)
    assert ops(after) == ["Mul", "Add"]
    x = rng.normal(0, 1, (2, 3, 4, 4)).astype(np.float32)
    results = [run_float(g, {"x": x})["y"] for g in (after, graph)]
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)  # two roundings to float32 instead of one


def test_batch_normalization_after_quantised_weights_leaves_the_integers_alone(tmp_path):
    constants = {"w": np.ones((2, 1, 3, 3), np.int8), "s": np.float32(0.5), "g": np.float32([1, 2])}
    nodes = [
        node("DequantizeLinear", "w s", "d"),
        node("Conv", "x d", "c"),
        node("BatchNormalization", "c g g g g", "y"),
    ]
    assert ops(simplify(read(build(nodes, "y", constants), tmp_path))) == ["DequantizeLinear", "Conv", "Mul", "Add"]


def test_scales_behind_a_convolution(tmp_path):
    constants = {"w": np.ones((2, 1, 3, 3), np.float32), "g": np.float32([[[2]], [[3]]]), "b": np.float32([1, 2])}
    constants["two"] = np.float32(2)
    nodes = [
        node("Conv", "x w b", "a"),
        node("Mul", "g a", "c"),
        node("Div", "c two", "d"),
        node("Sub", "d two", "e"),
        node("Mul", "e two", "f"),
        node("Add", "two f", "y"),
    ]
    graph = simplify(read(build(nodes, "y", constants), tmp_path))
    assert ops(graph) == ["Conv"]
    weight, bias = (graph.constants[name] for name in graph.nodes[0].inputs[1:])
    assert weight[:, 0, 0, 0].tolist() == [2, 3]
    assert bias.tolist() == [0, 4]


def test_bias_behind_a_convolution(tmp_path):
    constants = {"w": np.ones((2, 1, 3, 3), np.float32), "b": np.float32([[[1]], [[2]]]), "c": np.float32(5)}
    nodes = [node("Conv", "x w", "a"), node("Add", "b a", "d"), node("Add", "d c", "y")]
    graph = simplify(read(build(nodes, "y", constants), tmp_path))
    assert ops(graph) == ["Conv"]
    assert graph.constants[graph.nodes[0].inputs[2]].tolist() == [6, 7]


def test_a_sum_over_columns_is_no_bias(tmp_path):
    constants = {"w": np.ones((2, 1, 3, 3), np.float32), "b": np.ones((1, 1, 1, 6), np.float32)}
    nodes = [node("Conv", "x w", "a"), node("Add", "a b", "y")]
    assert ops(simplify(read(build(nodes, "y", constants), tmp_path))) == ["Conv", "Add"]


def test_constants_are_folded_up_to_the_dequantizer(tmp_path):
    constants = {
        "w": np.ones((2, 1, 3, 3), np.float32),
        "s": np.float32(0.5),
        "z": np.int8(0),
        "t": np.array([2, 1, 9]),
    }
    nodes = [
        node("Reshape", "w t", "v"),
        node("Flatten", "v", "u"),
        node("Unsqueeze", "u axes", "k"),
        node("QuantizeLinear", "w s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("Conv", "x d", "y"),
    ]
    graph = simplify(read(build(nodes, "y", constants | {"axes": np.array([0])}), tmp_path))
    assert ops(graph) == ["DequantizeLinear", "Conv"]
    assert graph.constants["q"].dtype == np.int8
    assert (graph.constants["q"] == 2).all()


@pytest.mark.parametrize(
    ("nodes", "head", "left"),
    [
        ([node("Softmax", "g", "s"), node("ArgMax", "s", "y", axis=1)], ["Softmax", "ArgMax"], ["Flatten"]),
        ([node("Softmax", "g", "s"), node("Flatten", "s", "y")], ["Softmax"], ["Flatten"]),
        ([node("TopK", "g five", "v y")], ["TopK"], ["Flatten"]),
        ([node("Relu", "g", "y")], [], ["Flatten", "Relu"]),
    ],
)
def test_head(tmp_path, nodes, head, left):
    constants = {"five": np.array([5])}
    graph = strip_head(read(build([node("Flatten", "x", "g"), *nodes], "y", constants), tmp_path))
    assert [n.op for n in graph.head] == head
    assert ops(graph) == left


def test_softmax_over_some_channels_stays(tmp_path):
    graph = strip_head(read(build([node("Softmax", "x", "y", axis=2)], "y", {}), tmp_path))
    assert graph.head == ()


def test_relu_moves_before_pooling(tmp_path):
    constants = {"w": np.ones((2, 1, 3, 3), np.float32)}
    nodes = [
        node("Conv", "x w", "a"),
        node("MaxPool", "a", "b", kernel_shape=[2, 2]),
        node("Flatten", "b", "c"),
        node("Relu", "c", "y"),
    ]
    graph = read(build(nodes, "y", constants), tmp_path)
    x = np.random.default_rng(0).normal(0, 1, (1, 1, 8, 8)).astype(np.float32)
    after = simplify(graph)
    assert ops(after) == ["Conv", "Relu", "MaxPool", "Reshape"]
    assert np.array_equal(run_float(after, {"x": x})["y"], run_float(graph, {"x": x})["y"])


def test_several_normalisations_in_a_row(tmp_path):
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(0, 1, (2, 1, 3, 3)).astype(np.float32)}
    constants |= {name: rng.uniform(0.5, 2, 2).astype(np.float32) for name in "abcd"}
    nodes = [
        node("Conv", "x w", "e"),
        node("BatchNormalization", "e a b c d", "f"),
        node("BatchNormalization", "f b a d c", "y"),
    ]
    graph = read(build(nodes, "y", constants), tmp_path)
    x = rng.normal(0, 1, (1, 1, 8, 8)).astype(np.float32)
    after = simplify(graph)
    assert ops(after) == ["Conv"]
    results = [run_float(g, {"x": x})["y"] for g in (after, graph)]
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)  # folding rounds weights to float32


def test_negative_variance_is_refused(tmp_path):
    constants = {"w": np.ones((1, 1, 1, 1), np.float32), "g": np.ones(1, np.float32), "v": np.float32([-1])}
    nodes = [node("Conv", "x w", "c"), node("BatchNormalization", "c g g g v", "y")]
    with pytest.raises(ModelError, match="not finite; check its variance and scale"):
        simplify(read(build(nodes, "y", constants), tmp_path))


def same_results(nodes, constants, folder, source=("x", (1, 4, 6, 8)), **options):
    """Names of the operators after simplification; the numbers are checked to stay what they were."""
    graph = read(build(nodes, "y", constants, source, **options), folder)
    after = simplify(graph)
    x = np.random.default_rng(0).normal(0, 1, source[1]).astype(np.float32)
    results = [run_float(g, {"x": x})[g.outputs[0]] for g in (after, graph)]
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-5)  # order of sums
    return after


def test_several_results_become_slices(tmp_path):
    nodes = [node("Split", "x", "a b", axis=1), node("Sum", "a b a", "y")]
    assert ops(same_results(nodes, {}, tmp_path)) == ["Slice", "Slice", "Add", "Add"]


@pytest.mark.parametrize(
    ("operands", "expected"), [("x", []), ("x a", ["Add", "Mul"]), ("x a b", ["Add", "Add", "Div"])]
)
def test_a_mean_is_a_sum_by_the_number_of_its_operands(operands, expected, tmp_path):
    nodes = [node("Relu", "x", "a"), node("Neg", "x", "b"), node("Mean", operands, "m"), node("Abs", "m", "y")]
    assert [op for op in ops(same_results(nodes, {}, tmp_path)) if op not in ("Relu", "Neg", "Abs")] == expected


def test_split_into_unequal_parts(tmp_path):
    nodes = [node("Split", "x sizes", "a b", axis=-1), node("Concat", "b a", "y", axis=3)]
    assert ops(same_results(nodes, {"sizes": np.array([3, 5])}, tmp_path)) == ["Slice", "Slice", "Concat"]


def test_old_resize(tmp_path):
    constants = {"s": np.float32([1, 1, 2, 3])}
    for opset, op in ((9, "Upsample"), (10, "Resize")):
        graph = same_results([node(op, "x s", "y", mode="linear")], constants, tmp_path, opset=opset)
        assert ops(graph) == ["Resize"]
        assert graph.nodes[0].attributes["coordinate_transformation_mode"] == "asymmetric"


@pytest.mark.parametrize("keepdims", [0, 1])
def test_means_over_space_are_global_pools(keepdims, tmp_path):
    graph = same_results([node("ReduceMean", "x", "y", axes=[-1, 2], keepdims=keepdims)], {}, tmp_path)
    assert ops(graph) == ["GlobalAveragePool"] + ([] if keepdims else ["Reshape"])


def test_zeros_go_into_the_convolution(tmp_path):
    constants = {"w": np.ones((2, 4, 3, 3), np.float32), "p": np.array([0, 0, 1, 2, 0, 0, 3, 0])}
    nodes = [node("Pad", "x p", "a"), node("Conv", "a w", "y", pads=[1, 1, 1, 1])]
    graph = same_results(nodes, constants, tmp_path)
    assert ops(graph) == ["Conv"]
    assert graph.nodes[0].attributes["pads"] == (2, 3, 4, 1)


@pytest.mark.parametrize("counts", [0, 1])
def test_zeros_go_into_the_average(counts, tmp_path):
    pool = node("AveragePool", "a", "y", kernel_shape=[3, 3], count_include_pad=counts)
    graph = same_results([node("Pad", "x p", "a"), pool], {"p": np.array([0, 0, 1, 2, 0, 0, 0, 0])}, tmp_path)
    assert ops(graph) == ["AveragePool"]
    assert graph.nodes[0].attributes["count_include_pad"] == 1


@pytest.mark.parametrize(
    ("pads", "value", "mode"),
    [
        ([0, 1, 1, 2, 0, 0, 3, 0], 0, "constant"),
        ([0, 0, 1, 1, 0, 0, 1, 1], 1, "constant"),
        ([0, 0, 1, 1] * 2, 0, "edge"),
    ],
)
def test_other_pads_stay(pads, value, mode, tmp_path):
    channels = 4 + pads[1]
    constants = {"w": np.ones((2, channels, 3, 3), np.float32), "p": np.array(pads), "v": np.float32(value)}
    nodes = [node("Pad", "x p v", "a", mode=mode), node("Conv", "a w", "y")]
    assert ops(same_results(nodes, constants, tmp_path)) == ["Pad", "Conv"]


def test_channels_last_graphs_lose_their_transposes(tmp_path):
    """As exporters from channels-last frameworks leave them: everything between convolutions is channels last."""
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.normal(0, 1, (6, 4, 3, 3)).astype(np.float32),
        "w2": rng.normal(0, 1, (6, 6, 1, 1)).astype(np.float32),
        "b": rng.normal(0, 1, 6).astype(np.float32),
        "p": np.array([0, 1, 1, 0, 0, 1, 1, 0]),
        "sizes": np.array([2, 4]),
        "half": np.float32(0.5),
        "starts": np.array([1, 0]),
        "ends": np.array([7, 5]),
        "axes": np.array([1, -1]),
    }
    nodes = [
        node("Pad", "x p", "x1"),
        node("Transpose", "x1", "a", perm=[0, 3, 1, 2]),
        node("Conv", "a w", "c"),
        node("Transpose", "c", "d", perm=[0, 2, 3, 1]),
        node("Add", "d b", "e"),
        node("Relu", "e", "f"),
        node("Pad", "f p", "g"),
        node("Slice", "g starts ends axes", "h"),
        node("Split", "f sizes", "i j", axis=3),
        node("Concat", "j i", "k", axis=-1),
        node("Mul", "k half", "l"),
        node("Transpose", "l", "m", perm=[0, 3, 1, 2]),
        node("Conv", "m w2", "n"),
        node("Transpose", "n", "o", perm=[0, 2, 3, 1]),
        node("Add", "o f", "q"),
        node("ReduceMean", "q", "r", axes=[1, 2], keepdims=0),
        node("ReduceMean", "h", "t", axes=[1, 2, 3], keepdims=0),
        node("Add", "r t", "y"),
    ]
    graph = same_results(nodes, constants, tmp_path, ("x", (1, 6, 8, 4)))
    assert ops(graph).count("Transpose") == 1
    assert "GlobalAveragePool" in ops(graph)


def test_transposes_that_do_not_cancel_stay(tmp_path):
    nodes = [
        node("Reshape", "x s", "a"),
        node("Transpose", "a", "b", perm=[0, 2, 1, 3, 4]),
        node("Relu", "b", "c"),
        node("Reshape", "c t", "y"),
    ]
    constants = {"s": np.array([1, 2, 2, 6, 8]), "t": np.array([1, 4, 6, 8])}
    assert ops(same_results(nodes, constants, tmp_path)) == ["Reshape", "Relu", "Transpose", "Reshape"]


@pytest.mark.parametrize("quantised", [False, True])
def test_products_with_pixels_are_convolutions(quantised, tmp_path):
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(0, 1, (4, 7)).astype(np.float32), "b": rng.normal(0, 1, 7).astype(np.float32)}
    nodes = [node("MatMul", "x w", "a"), node("Add", "a b", "y")]
    if quantised:
        constants |= {"w": rng.integers(-128, 128, (4, 7)).astype(np.int8), "s": np.float32(range(1, 8))}
        nodes = [node("DequantizeLinear", "w s", "d", axis=1), node("MatMul", "x d", "a"), node("Add", "b a", "y")]
    graph = same_results(nodes, constants, tmp_path, ("x", (1, 6, 8, 4)))
    assert [op for op in ops(graph) if op != "DequantizeLinear"] == ["Transpose", "Conv", "Transpose"]
    if quantised:
        weight = next(n for n in graph.nodes if n.op == "DequantizeLinear")
        assert graph.constants[weight.inputs[0]].shape == (7, 4, 1, 1)


def test_averages_whose_last_window_hangs_over(tmp_path):
    """As PyTorch writes them: padding is to be counted, but there is none."""
    settings = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1}
    graph = same_results([node("AveragePool", "x", "y", **settings)], {}, tmp_path)
    assert graph.nodes[0].attributes["count_include_pad"] == 0
    path = tmp_path / "model.onnx"
    x = np.random.default_rng(0).normal(0, 1, (1, 4, 6, 8)).astype(np.float32)
    expected = session(str(path)).run(None, {"x": x})[0]
    np.testing.assert_allclose(run_float(graph, {"x": x})["y"], expected, rtol=1e-5, atol=1e-6)  # order of sums


def test_a_pad_before_a_transpose_goes_into_the_convolution(tmp_path):
    """As tf2onnx writes it: channels last, padded, then turned."""
    weight = np.random.default_rng(1).normal(size=(2, 3, 3, 3)).astype(np.float32)
    pads = np.int64([0, 1, 0, 0, 0, 2, 1, 0])
    nodes = [node("Pad", "x pads", "p"), node("Transpose", "p", "t", perm=[0, 3, 1, 2]), node("Conv", "t w", "y")]
    graph = same_results(nodes, {"w": weight, "pads": pads}, tmp_path, ("x", (1, 8, 8, 3)))
    assert ops(graph) == ["Transpose", "Conv"]
    assert graph.nodes[1].attributes["pads"] == (1, 0, 2, 1)
