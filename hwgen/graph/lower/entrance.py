"""How a frame becomes the first stream: what the host computes of it, how it quantises it, and in which order."""

from dataclasses import replace

import numpy as np

from hwgen.graph.errors import quoted
from hwgen.graph.expression import Expression, identity
from hwgen.graph.ir import Graph
from hwgen.graph.lower.value import NOWHERE, Leaf, Pending, Value, is_count, stream_map
from hwgen.graph.network import QuantizedTensor
from hwgen.graph.types import FeatureMap, Quantization


class Entrance:
    """The input stream of ``graph``, once its first reader is known: see :class:`~hwgen.graph.network.Network`."""

    def __init__(self, graph: Graph):
        self.name = graph.inputs[0] if graph.inputs else ""
        self.graph = graph
        self.tensor: QuantizedTensor | None = None
        self.order = "channels_last"
        self.limits: tuple[int, int] | None = None
        self.function: Expression | None = None
        self.places = np.empty(0, np.int64)  # in the stream, of each element of the frame

    @property
    def frame(self) -> Value:
        """The frame as it is given."""
        return Value(self.graph.tensors[self.name].shape)

    @property
    def stream(self) -> QuantizedTensor:
        """The stream; ValueError while nobody has read it."""
        if self.tensor is None:
            raise ValueError(f"nothing reads the input {quoted(self.name)}")
        return self.tensor

    @property
    def range(self) -> tuple[int, int]:
        """The least and greatest integer of the stream."""
        return self.limits or self.stream.map.type.ends

    def real(self, value: Value) -> Value | None:
        """``value``, which is the whole frame and not quantised yet, as real numbers for the host to compute with; None
        where it is something else. They lie as they do in the frame."""
        floats = self.graph.tensors[self.name].dtype.kind == "f"
        if value.tensor is not None or value.entering is not None or not (floats and value.whole):
            return None
        places = value.places()
        frame = replace(value, map=(1, 1, places.size), order=places)
        return replace(frame, pending=Pending({self.name: Leaf(None, (frame,))}, identity(self.name)))

    def start(self, value: Value) -> Value:
        """``value``, which is quantised now, in the stream, whose order the host can make of the frame's."""
        if self.tensor is None and value.entering is not None:
            self._open(value, value.entering)
        seen = value.entering, value.limits
        if (self.stream.quantization, self.limits) != seen or self.function is not value.before:
            raise ValueError(f"the input {self.name!r} is quantised in two ways; quantise it once")
        places = value.places()
        order = np.where(places == NOWHERE, NOWHERE, self.places[places])
        return Value(value.shape, self.stream.map.shape, order, self.stream, fill=value.fill)

    def _open(self, value: Value, quantization: Quantization) -> None:
        """The shape that the first operator sees is the stream's, where it is the frame's with channels first or
        last; otherwise the frame's own shape is."""
        frame = self.frame
        for seen in (value, frame):
            if not seen.whole or seen.places().size != frame.places().size:
                continue
            height, width, channels = stream_map(seen.shape)
            places = seen.places().reshape(channels, height, width)
            raster = places.transpose(1, 2, 0)
            if is_count(raster) or is_count(places):
                self.order = "flat" if is_count(raster) else "channels_last"
                break
        self.places = np.empty(raster.size, np.int64)
        self.places[raster.reshape(-1)] = np.arange(raster.size)
        tensor = FeatureMap(height, width, channels, quantization.type)
        self.tensor, self.limits = QuantizedTensor(self.name, tensor, quantization), value.limits
        self.function = value.before
