"""What :mod:`hwgen.graph.lower.trace` knows of a tensor: its stream, and where in it each element lies."""

from dataclasses import dataclass

import numpy as np

from hwgen.graph.expression import Expression
from hwgen.graph.ir import Node
from hwgen.graph.network import QuantizedTensor
from hwgen.graph.types import Quantization

Size = tuple[int, int, int]
NOWHERE = -1  # the place of an element that padding made up
#: Stream axes (rows, columns, channels: 0 to 2) of ONNX's axes after the batch, by their number; the usual one first.
_LAYOUTS = {3: ((2, 0, 1), (0, 1, 2)), 2: ((2, 1), (1, 2)), 1: ((2,),)}


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph: ``shape`` is ONNX's, ``map`` (height, width, channels) that of its stream.

    ``order``, of ``shape`` without the batch, holds each element's place in the stream; None where the stream is
    simply channels last. ``tensor`` is None for a ``pending`` result and for the graph's input before it enters a
    stream, ``order`` being the place in the frame as given; ``entering`` is what it will be quantised to,
    ``limits`` the integers that leaves where they are fewer than its type has, and ``before`` what the host computes of
    it until then.
    ``constant`` has the real numbers [H, W, C] of what is the same for every frame, which has no stream yet.
    ``fill`` is the real number of elements that are NOWHERE.
    """

    shape: tuple[int, ...]
    map: Size | None = None
    order: np.ndarray | None = None
    tensor: QuantizedTensor | None = None
    pending: "Pending | None" = None
    entering: Quantization | None = None
    limits: tuple[int, int] | None = None
    before: Expression | None = None
    constant: np.ndarray | None = None
    fill: float = 0.0

    @property
    def stream(self) -> QuantizedTensor:
        """The ``tensor`` of a value that is one; ValueError for any other."""
        if self.tensor is None:
            raise ValueError("its operand is not quantised")
        return self.tensor

    @property
    def size(self) -> Size:
        """The ``map`` of what lies in rows and columns; ValueError for the frame as given."""
        if self.map is None:
            raise ValueError(f"its operand of shape {list(self.shape)} does not lie in rows and columns yet")
        return self.map

    def places(self) -> np.ndarray:
        """``order``, made explicit."""
        if self.order is not None:
            return self.order
        if self.map is None:
            return count(self.shape[1:])
        return count(self.map).transpose(2, 0, 1).reshape(self.shape[1:])

    @property
    def whole(self) -> bool:
        """Whether every element of the stream is there once, in whatever order."""
        if self.order is None:
            return True
        size = int(np.prod(self.map)) if self.map else self.order.size
        return self.order.size == size and is_count(np.sort(self.order, axis=None))

    @property
    def layout(self) -> tuple[int, ...] | None:
        """The stream axis of each ONNX axis after the batch; None where elements lie in another way."""
        if self.map is None:
            return None
        places = self.places()
        for axes in _LAYOUTS.get(places.ndim, ()):
            if laid_out(self.shape, axes) == self.map and (places == stream_places(self.map, axes)).all():
                return axes
        return None


def standard(shape: tuple[int, ...]) -> tuple[int, ...]:
    """ONNX's own layout, channels first; ValueError for more than two dimensions behind the channels."""
    if shape[:1] != (1,) or not 2 <= len(shape) <= 4:
        raise ValueError(f"its tensor of shape {list(shape)} is not [1, C, H, W], [1, C, W] or [1, C]")
    return _LAYOUTS[len(shape) - 1][0]


def laid_out(shape: tuple[int, ...], axes: tuple[int, ...]) -> Size:
    """The map of a tensor of ``shape`` (batch first) whose axes are ``axes`` of its stream."""
    lengths = dict(zip(axes, shape[1:], strict=True))
    return lengths.get(0, 1), lengths.get(1, 1), lengths.get(2, 1)


def stream_places(size: Size, axes: tuple[int, ...]) -> np.ndarray:
    """The place in the stream of each element of a tensor laid out along ``axes``."""
    missing = [axis for axis in range(3) if axis not in axes]
    places = count(size).transpose((*missing, *axes))
    return places.reshape(places.shape[len(missing) :])


def turned(places: np.ndarray, axis: int, count: int) -> np.ndarray:
    """``places`` of elements of which the first ``count`` along ``axis`` go behind the others in the stream."""
    length = places.shape[axis]
    return places.take((np.arange(length) - count) % length, axis)


@dataclass(frozen=True, eq=False)
class Leaf:
    """Where real numbers come from: ``node`` applied to ``sources``, or the dequantised source itself.

    ``map`` is that of the node's result.
    """

    node: Node | None
    sources: tuple[Value, ...]
    map: Size | None = None


@dataclass(frozen=True, eq=False)
class Pending:
    """Real numbers that are not quantised yet: ``expression`` of the ``leaves`` of the same names."""

    leaves: dict[str, Leaf]
    expression: Expression

    @property
    def only(self) -> Leaf | None:
        """The leaf, where there is one."""
        return next(iter(self.leaves.values())) if len(self.leaves) == 1 else None

    @property
    def of_the_input(self) -> bool:
        """Whether it is computed of the graph's input before that enters a stream."""
        return any(leaf.node is None and leaf.sources[0].tensor is None for leaf in self.leaves.values())


def stream_map(shape: tuple[int, ...]) -> Size:
    """(height, width, channels) of an ONNX tensor [1, C, H, W], [1, C, W] or [1, C]."""
    return laid_out(shape, standard(shape))


def count(shape: tuple[int, ...]) -> np.ndarray:
    """0, 1, 2 and so on as int64 of ``shape``: the places of elements that lie one after the other."""
    return np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)


def is_count(places: np.ndarray) -> bool:
    """Whether elements lie one after the other."""
    return bool((places.reshape(-1) == np.arange(places.size)).all())
