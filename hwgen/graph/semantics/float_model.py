"""Runs a graph in floating point, frames in batches."""

from collections.abc import Mapping, Sequence

import numpy as np

from hwgen.graph.errors import InputError
from hwgen.graph.ir import Graph, Node
from hwgen.graph.semantics.operators import OPERATORS


def run_float(graph: Graph, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor of ``graph``, constants included, for the frames in ``feeds`` (batch first, any size).

    Batches need a graph whose Reshapes leave the batch alone, as ``hwgen.graph.passes.simplify`` returns it.
    Raises InputError where a frame does not have the input's shape.
    """
    values = dict(graph.constants)
    for name in graph.inputs:
        values[name] = _feed(graph, name, feeds)
    for node in graph.nodes:
        values |= node_results(node, [values[name] if name else None for name in node.inputs])
    return values


def run_node(node: Node, operands: Sequence[np.ndarray | None]) -> np.ndarray:
    """The (first) result of one node."""
    return node_results(node, operands)[node.outputs[0]]


def node_results(node: Node, operands: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    """All results of one node, by name. Overflow to infinity is the model's business and passes without a warning."""
    with np.errstate(all="ignore"):
        results = OPERATORS[node.op].compute(*operands, **node.attributes)
    results = results if isinstance(results, tuple) else (results,)
    return {name: np.asarray(result) for name, result in zip(node.outputs, results, strict=False)}


def _feed(graph: Graph, name: str, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    info = graph.tensors[name]
    if name not in feeds:
        raise InputError(f"no frames given for the input {name!r} of shape {list(info.shape)}")
    frames = np.asarray(feeds[name])
    if frames.shape[1:] != info.shape[1:] or frames.ndim != len(info.shape):
        wanted = ["N", *info.shape[1:]]
        raise InputError(f"input {name!r} takes frames of shape {wanted}, not {list(frames.shape)}")
    return frames.astype(info.dtype, copy=False)
