"""The specification of graphs finds what is wrong with them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from hwgen.graph.check import check_graph
from hwgen.graph.editor import Editor
from hwgen.graph.ir import Node
from hwgen.graph.onnx.reader import read_model
from tests.graph.models import lenet_like, save


@pytest.fixture
def graph(tmp_path):
    return read_model(save(lenet_like(), tmp_path))


def broken(graph, index, **changes):
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **changes)
    return replace(graph, nodes=tuple(nodes))


FAULTS = [
    (lambda g: replace(g, nodes=g.nodes[::-1]), "reads 'g4', which nothing before it writes"),
    (lambda g: replace(g, nodes=g.nodes + g.nodes[-1:]), "writes 'y', which exists already"),
    (lambda g: replace(g, nodes=g.nodes + g.nodes[-1:]), "node name 'y_node' repeats"),
    (lambda g: replace(g, outputs=("nothing",)), "output 'nothing' is written by no node"),
    (lambda g: replace(g, inputs=("x", "w1")), "input 'w1' is also a constant"),
    (lambda g: replace(g, tensors={}), "tensor 'x' has no shape"),
    (lambda g: replace(g, constants=g.constants | {"w1": np.zeros(3)}), "constant 'w1' is float64[3], not"),
    (lambda g: broken(g, 0, attributes={}), "node 'c1_node' (Conv): attributes [] instead of"),
    (lambda g: broken(g, 0, op="Det"), "operator .Det is not in the table"),
    (lambda g: broken(g, 0, inputs=("x",)), "1 operands; 2 to 3 are allowed"),
    (lambda g: broken(g, 0, outputs=("c1", "more")), "2 results instead of one"),
]


@pytest.mark.parametrize(("fault", "words"), FAULTS)
def test_faults_are_found(graph, fault, words):
    check_graph(graph)
    with pytest.raises(ValueError, match=re.escape(words)):
        check_graph(fault(graph))


def test_editor_names_are_fresh_and_dead_nodes_go(graph):
    editor = Editor(graph)
    assert editor.fresh("x") == "x_1"
    assert editor.fresh("x") == "x_2"
    editor.nodes.append(Node("idle", "Relu", ("x",), ("idle",)))
    editor.constant("unused", np.zeros(3))
    assert editor.done().constants.keys() == graph.constants.keys()
    assert str(editor.done()) == str(graph)


def test_who_writes_and_who_reads(graph):
    assert graph.producer("c1").name == "c1_node"
    assert graph.producer("x") is None
    assert [node.name for node in graph.consumers("c1")] == ["r1_node"]
    assert graph.consumers("y") == ()
