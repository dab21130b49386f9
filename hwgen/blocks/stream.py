"""Streams between blocks: what they carry, how two are joined, and what the queue at their end takes."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import and_

from amaranth.hdl import Const, Module, Shape, Value
from amaranth.lib import data, stream, wiring

from hwgen.graph.types import FeatureMap, IntType


def element_shape(type_: IntType) -> Shape:
    """The Amaranth shape of one integer."""
    return Shape(type_.width, type_.signed)


def beat_layout(type_: IntType, lanes: int) -> data.ArrayLayout:
    """What one beat carries: ``lanes`` integers, the first in raster order at index 0."""
    return data.ArrayLayout(element_shape(type_), lanes)


def beat_stream(type_: IntType, lanes: int) -> stream.Signature:
    """A stream of :func:`beat_layout`."""
    return stream.Signature(beat_layout(type_, lanes))


@dataclass(frozen=True)
class Port:
    """What a stream carries: ``map``, frame after frame, ``lanes`` elements in a beat."""

    map: FeatureMap
    lanes: int

    @property
    def beats(self) -> int:
        """Beats of a frame."""
        return self.map.elements // self.lanes

    @property
    def width(self) -> int:
        """Bits of a beat."""
        return self.map.type.width * self.lanes

    @property
    def stream(self) -> stream.Signature:
        """The Amaranth stream."""
        return beat_stream(self.map.type, self.lanes)


def numbered(name: str, count: int) -> list[str]:
    """What so many streams are called: ``name`` alone, or ``name_0`` and so on."""
    return [name] if count == 1 else [f"{name}_{n}" for n in range(count)]


def all_of(conditions: Iterable[Value]) -> Value:
    """Whether all ``conditions`` hold."""
    return reduce(and_, conditions, Const(1))


def join(m: Module, source, sink, what: str) -> None:
    """Connect two streams after comparing what they carry; ``what`` names both ends in the error."""
    if source.payload.shape() != sink.payload.shape():
        raise TypeError(f"{what}: {source.payload.shape()!r} does not fit {sink.payload.shape()!r}")
    m.d.comb += [
        sink.payload.eq(source.payload),
        sink.valid.eq(source.valid),
        source.ready.eq(sink.ready),
    ]


def port_names(block: wiring.Component) -> tuple[list[str], list[str]]:
    """The input streams of a block (``i``, or ``i_0`` and so on, then ``w`` if it reads from DRAM) and its output
    streams, in order."""
    names = list(block.signature.members)
    inputs, outputs = ([n for n in names if n == kind or n.startswith(f"{kind}_")] for kind in "io")
    return inputs + ["w"] * ("w" in names), outputs
