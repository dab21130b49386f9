"""Passes keep what the graph computes and leave the form that the rest expects."""

from dataclasses import replace

import numpy as np
import pytest

from hwgen.graph.check import check_graph
from hwgen.graph.errors import ModelError
from hwgen.graph.float_model import run_float
from hwgen.graph.passes import PASSES, simplify
from hwgen.graph.passes.head import strip_head
from hwgen.graph.reader import read_model
from tests.graph.models import build, lenet_like, node, save


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


def test_batch_normalization_alone_is_refused(tmp_path):
    parameters = {name: np.ones(1, np.float32) for name in "abcd"}
    model = build([node("BatchNormalization", "x a b c d", "y")], "y", parameters)
    with pytest.raises(ModelError, match=r"node 'y_node' \(BatchNormalization\): no Conv or Gemm before it is free"):
        simplify(read(model, tmp_path))


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
        ([node("Relu", "g", "y")], [], ["Flatten", "Relu"]),
    ],
)
def test_head(tmp_path, nodes, head, left):
    graph = strip_head(read(build([node("Flatten", "x", "g"), *nodes], "y", {}), tmp_path))
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
