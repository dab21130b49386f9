"""The branch of an If, put where the If stands."""

from copy import deepcopy

import onnx
from onnx import helper

from hwgen.graph.ir import fresh
from hwgen.graph.onnx.model_file import graphs_of


def branch_nodes(node: onnx.NodeProto, branch: onnx.GraphProto, taken: set[str]) -> list[onnx.NodeProto]:
    """The nodes of ``branch``, whose results are those of ``node``, an If.

    Names that are ``taken`` already are changed; the set grows by those that are new.
    """
    inner = [tensor.name for tensor in branch.initializer]
    inner += [name for each in branch.node for name in each.output if name]
    made = {name for each in branch.node for name in each.output}
    names = {name: fresh(f"{node.output[0]}/{name}" if name in taken else name, taken) for name in inner}
    copies = []
    for given, wanted in zip(branch.output, node.output, strict=False):
        if given.name in made:  # the first result of this name is the node's own
            made.remove(given.name)
            names[given.name] = wanted
        elif wanted:
            copies.append(helper.make_node("Identity", [names.get(given.name, given.name)], [wanted]))
    constants = [
        helper.make_node("Constant", [], [names[tensor.name]], names[tensor.name], value=tensor)
        for tensor in branch.initializer
    ]
    return [*constants, *(_renamed(each, names) for each in branch.node), *copies]


def _renamed(node: onnx.NodeProto, names: dict[str, str]) -> onnx.NodeProto:
    """``node`` reading and writing what ``names`` says instead, graphs within it included."""
    result = deepcopy(node)
    result.input[:] = [names.get(name, name) for name in node.input]
    result.output[:] = [names.get(name, name) for name in node.output]
    for attribute in result.attribute:
        for graph in graphs_of(attribute):
            _rename_graph(graph, names)
    return result


def _rename_graph(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    own = {value.name for value in (*graph.input, *graph.initializer)}
    names = {old: new for old, new in names.items() if old not in own}
    nodes = [_renamed(node, names) for node in graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    for value in graph.output:
        value.name = names.get(value.name, value.name)
