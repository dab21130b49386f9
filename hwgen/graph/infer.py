"""Shapes and types of all tensors of a graph, from its inputs and constants."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .errors import ModelError, Problems
from .ir import Graph, Node, TensorInfo
from .operators import OPERATORS
from .shapes import Operand

MAX_ELEMENTS = 1 << 28  # of one tensor: 1 GiB of float32
MAX_RANK = 8


def infer_shapes(graph: Graph) -> Graph:
    """``graph`` with ``tensors`` computed anew from its inputs' and constants' entries.

    Raises ModelError with one line for each node whose operands do not fit.
    """
    problems = Problems(ModelError)
    tensors = {name: graph.tensors[name] for name in graph.inputs}
    tensors |= {name: TensorInfo(value.shape, value.dtype) for name, value in graph.constants.items()}
    for node in graph.nodes:
        if all(name in tensors for name in node.inputs if name):
            try:
                tensors[node.outputs[0]] = infer_node(node, tensors, graph.constants)
            except ValueError as error:
                problems.add(f"{node.place}: {error}")
    problems.raise_any()
    return replace(graph, tensors=tensors)


def infer_node(node: Node, tensors: Mapping[str, TensorInfo], constants: Mapping[str, np.ndarray]) -> TensorInfo:
    """Shape and type of the node's result; ValueError where its operands do not fit or it is too large."""
    operands = [
        Operand(tensors[name].shape, tensors[name].dtype, constants.get(name)) if name else None for name in node.inputs
    ]
    if operands and operands[0] is None:
        raise ValueError("its first operand is missing")
    info = OPERATORS[node.op].infer(*operands, **node.attributes)
    if len(info.shape) > MAX_RANK or math.prod(info.shape) > MAX_ELEMENTS:
        raise ValueError(
            f"a result of shape {list(info.shape)}; the limit is {MAX_ELEMENTS} elements in {MAX_RANK} dimensions"
        )
    return info
