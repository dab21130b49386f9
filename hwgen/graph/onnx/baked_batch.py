"""Models exported for several frames at a time, as models of one: shapes in constants that count frames say one."""

import math
from dataclasses import replace

import numpy as np

from hwgen.graph.errors import ModelError, quoted
from hwgen.graph.ir import Graph, Node, TensorInfo
from hwgen.graph.semantics.infer import infer_shapes
from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import ARITHMETIC, of_kind

_MOST = 1 << 24  # elements of a tensor whose frames are followed one by one
_JOINING = ARITHMETIC | of_kind(Kind.JOIN, Kind.NARY)


def for_one_frame(graph: Graph, frames: int) -> Graph:
    """``graph``, whose inputs have a batch of one, from a model for ``frames``; with its shapes.

    Raises ModelError, naming the node, where what is meant for one frame does not follow.
    """
    given = {name: graph.tensors[name] for name in graph.inputs}
    many = {name: TensorInfo((frames, *info.shape[1:]), info.dtype) for name, info in given.items()}
    try:
        large = infer_shapes(replace(graph, tensors=many))
    except ModelError:  # it is too large, or wrong for one frame, too
        return infer_shapes(graph)
    constants, nodes = dict(graph.constants), []
    for node in graph.nodes:
        place = {"Reshape": 1, "Expand": 1, "Resize": 3}.get(node.op)
        changed = None
        if place is not None and node.input(place) in constants:
            changed = {place: _sizes(large, node, constants[node.inputs[place]], frames)}
        elif node.op in _JOINING:
            changed = {n: _first(node, constants, name, large, frames) for n, name in enumerate(node.inputs)}
        inputs = list(node.inputs)
        for at, value in (changed or {}).items():
            if value is not None:
                inputs[at] = f"{node.name}/one_frame/{at}"
                constants[inputs[at]] = value
        nodes.append(replace(node, inputs=tuple(inputs)))
    small = infer_shapes(replace(graph, nodes=tuple(nodes), constants=constants))
    _check(small, large, frames)
    return small


def _sizes(large: Graph, node: Node, sizes: np.ndarray, frames: int) -> np.ndarray | None:
    """The shape that ``node`` gives to one frame; None where it says so already."""
    before, after = (large.tensors[name].shape for name in (node.inputs[0], node.outputs[0]))
    if node.op != "Reshape":
        counts = before[:1] == after[:1] == (frames,) and sizes.size == len(after)
        return np.array([1, *sizes.reshape(-1)[1:]], np.int64) if counts else None
    if after[:1] == (frames,):
        return np.array([1, *after[1:]], np.int64)
    if before[:1] != (frames,):
        return None
    if math.prod(after) > _MOST:
        raise _baked(node, frames)
    owner = np.repeat(np.arange(frames), math.prod(before[1:])).reshape(after)
    places = np.argwhere(owner == 0)
    ends = places.max(axis=0) + 1
    if math.prod(ends) != len(places):
        raise _baked(node, frames)
    return ends.astype(np.int64)


def _first(node: Node, constants: dict, name: str, large: Graph, frames: int) -> np.ndarray | None:
    """The constant for one frame, where it has as many as the model and as many dimensions as the result."""
    value = constants.get(name)
    shape = large.tensors[node.outputs[0]].shape
    if value is None or len(value.shape) != len(shape) or shape[:1] != (frames,) or value.shape[:1] != (frames,):
        return None
    if (value != value[:1]).any():
        raise ModelError(
            f"{node.place}: its constant {quoted(name)} is another one for each of {frames} frames; export the "
            "model with a batch of 1"
        )
    return value[:1]


def _check(small: Graph, large: Graph, frames: int) -> None:
    """Every tensor must hold one frame of those that there were."""
    for node in small.following():
        one, many = (math.prod(graph.tensors[node.outputs[0]].shape) for graph in (small, large))
        if one * frames != many:
            raise _baked(node, frames)


def _baked(node: Node, frames: int) -> ModelError:
    return ModelError(
        f"{node.place}: the model's batch of {frames} is part of its shapes; export the model with a batch of 1"
    )
