"""Shapes and types of all tensors of a graph, from its inputs and constants."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hwgen.graph.errors import ModelError, Problems
from hwgen.graph.ir import Graph, Node, TensorInfo
from hwgen.graph.semantics.float_model import node_results
from hwgen.graph.semantics.operators import OPERATORS
from hwgen.graph.semantics.shapes import Operand

MAX_ELEMENTS = 1 << 28  # of one tensor: 1 GiB of float32
MAX_RANK = 8
MAX_KNOWN = 1 << 14  # elements of results that are computed while shapes are inferred


def infer_shapes(graph: Graph) -> Graph:
    """``graph`` with ``tensors`` computed anew from its inputs' and constants' entries.

    Raises ModelError with one line for each node whose operands do not fit.
    """
    problems = Problems(ModelError)
    tensors = {name: graph.tensors[name] for name in graph.inputs}
    tensors |= {name: TensorInfo(value.shape, value.dtype) for name, value in graph.constants.items()}
    values = dict(graph.constants)
    for node in graph.nodes:
        if all(name in tensors for name in node.inputs if name):
            with problems.at(node.place):
                tensors.update(infer_node(node, tensors, values))
                values.update(known_results(node, tensors, values))
    problems.raise_any()
    return replace(graph, tensors=tensors)


def infer_node(
    node: Node, tensors: Mapping[str, TensorInfo], constants: Mapping[str, np.ndarray]
) -> dict[str, TensorInfo]:
    """Shape and type of the node's results; ValueError where its operands do not fit or one is too large."""
    operands = [
        Operand(tensors[name].shape, tensors[name].dtype, constants.get(name)) if name else None for name in node.inputs
    ]
    if operands and operands[0] is None:
        raise ValueError("its first operand is missing")
    infos = OPERATORS[node.op].infer(*operands, **node.attributes)
    infos = infos if isinstance(infos, tuple) else (infos,)
    for info in infos:
        if len(info.shape) > MAX_RANK or math.prod(info.shape) > MAX_ELEMENTS:
            raise ValueError(
                f"a result of shape {list(info.shape)}; the limit is {MAX_ELEMENTS} elements in {MAX_RANK} dimensions"
            )
    return dict(zip(node.outputs, infos, strict=False))


def known_results(
    node: Node, tensors: Mapping[str, TensorInfo], values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The node's results where they are small and hang on no input, as shapes of other operators may use them."""
    if any(math.prod(tensors[name].shape) > MAX_KNOWN for name in node.outputs):
        return {}
    if node.op == "Shape":
        shape = np.array(tensors[node.inputs[0]].shape, np.int64)
        return {node.outputs[0]: shape[node.attributes["start"] : node.attributes["end"]]}
    if not all(name in values for name in node.inputs if name):
        return {}
    return node_results(node, [values[name] if name else None for name in node.inputs])
