"""Operands of one operator beside each other: constants laid out like the streams, and what is made of both."""

import numpy as np

from hwgen.graph.errors import quoted
from hwgen.graph.ir import Graph, Node
from hwgen.graph.lower.value import NOWHERE, Value, laid_out, standard, stream_places
from hwgen.graph.weights import find_weight


def constant_operand(graph: Graph, node: Node, name: str, value: Value) -> np.ndarray:
    """A constant operand as it lies in the stream of ``value``: a scalar, or [H, W, C] with ones."""
    weight = find_weight(graph, name)
    if weight is None:
        what = "bounds" if node.op == "Clip" else f"operand {quoted(name)}"
        raise ValueError(f"its {what} must be constant")
    real = np.asarray(weight.real)
    if real.size == 1:
        return real.reshape(())
    rank = len(value.shape)
    aligned = real.reshape((1,) * (rank - real.ndim) + real.shape)[0]
    axes = value.layout
    if axes is None:
        full = np.empty(int(np.prod(value.size)), real.dtype)
        full[value.places().reshape(-1)] = np.broadcast_to(aligned, value.shape[1:]).reshape(-1)
        return full.reshape(value.size)
    result = aligned.transpose(np.argsort(axes))
    return result.reshape(laid_out((1, *aligned.shape), axes))


def fixed(graph: Graph, name: str, axes: tuple[int, ...]) -> Value:
    """A constant operand, laid out like the streams beside it."""
    weight = find_weight(graph, name)
    if weight is None or weight.real.shape[:1] != (1,):
        raise ValueError(f"its operand {quoted(name)} is neither a stream nor a constant for one frame")
    size = laid_out(weight.real.shape, axes)
    places = stream_places(size, axes)
    constant = np.empty(places.size, np.float32)
    constant[places.reshape(-1)] = weight.real.reshape(-1)
    return Value(weight.real.shape, size, places, constant=constant.reshape(size))


def padding(value: Value, constants: list[np.ndarray | None]) -> float:
    """The real number that a Pad puts around."""
    given = constants[1] if len(constants) > 1 else None
    fill = 0.0
    if given is not None and given.dtype.kind == "f":
        fill = float(given.item())
    elif given is not None and value.tensor is not None:
        fill = float(value.tensor.quantization.dequantize(given).item())
    if (value.places() == NOWHERE).any() and value.fill != fill:
        raise ValueError("it pads twice, with different numbers; quantise in between")
    return fill


def joint(shape: tuple[int, ...], values: list[Value]) -> tuple[tuple[int, int, int], np.ndarray | None]:
    """Map and order of what aligned ``values`` broadcast to."""
    for value in values:
        if value.shape == shape:
            return value.size, value.order
    axes = values[0].layout
    if axes is None or any(len(value.shape) != len(shape) for value in values):
        raise ValueError(f"operands of shapes {[list(v.shape) for v in values]} are not supported; give both alike")
    size = laid_out(shape, axes)
    return size, None if axes == standard(shape) else stream_places(size, axes)
