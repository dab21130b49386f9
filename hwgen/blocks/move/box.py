"""Boxes in maps: one cut out of a map, or a map put into a larger one."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring

from hwgen.blocks.mac.mac_folding import divisors
from hwgen.blocks.operator import LaneFolding
from hwgen.blocks.streamed import Hardware, Streamed, StreamedBlock, StreamedUnit
from hwgen.cost.actor import Actor, counting
from hwgen.cost.logic import Logic, loop, total
from hwgen.graph.lower.value import NOWHERE
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap
from hwgen.memory.loops import LoopNest, lookup


@dataclass(frozen=True, eq=False)
class _Box(Streamed):
    """One step for each beat of ``outer``, the larger of the two maps; some of them lie in the box."""

    input: FeatureMap
    output: FeatureMap

    @property
    def outer(self) -> FeatureMap:
        """The map that is walked through."""
        return self.input

    @property
    @abstractmethod
    def indices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns and channels of ``outer`` that are in the box."""

    def foldings(self) -> Iterable[LaneFolding]:
        """Beats lie in the box as a whole or not at all."""
        channels = self.indices[2]
        whole = [n for n in divisors(gcd(self.input.channels, self.output.channels)) if _in_beats(channels, n)]
        return [LaneFolding(lanes) for lanes in whole]


class BoxUnit(StreamedUnit, computes=_Box):
    """Hardware for a box: what is not in it is dropped."""

    op: "_Box"

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Rows, columns and words of ``outer``."""
        return self.op.outer.height, self.op.outer.width, self.op.outer.channels // self.folding.lanes

    @property
    def masks(self) -> list[np.ndarray]:
        """Which rows, columns and words are in the box."""
        rows, columns, channels = self.op.indices
        indices = rows, columns, np.unique(channels // self.folding.lanes)
        return [np.isin(np.arange(size), index) for size, index in zip(self.sizes, indices, strict=True)]

    @property
    def inside(self) -> np.ndarray:
        """Whether each beat of ``outer`` is in the box, in raster order."""
        rows, columns, words = self.masks
        return (rows[:, None, None] & columns[:, None] & words).ravel()

    depth = 1

    @property
    def hardware(self) -> Hardware:
        width = self.op.output.type.width * self.folding.lanes
        sizes, masks = self.sizes, self.masks
        outermost = next((n for n, mask in enumerate(masks) if not mask.all()), len(sizes))
        loops = total(map(loop, sizes[outermost:]))
        tests = sum(len(mask).bit_length() for mask in masks if not mask.all())
        filled = Logic(fixed=width if isinstance(self.op, Pad) and tests else 0)
        return Hardware(loops + filled + Logic(logic=tests + 3, register=width + 1))

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        inside = self.inside
        return self.direct([counting(len(inside))], inside.cumsum())

    def block(self) -> wiring.Component:
        return _BoxBlock(self)


def _in_beats(channels: np.ndarray, lanes: int) -> bool:
    """Whether the channels make up whole beats."""
    return len(channels) % lanes == 0 and np.array_equal(
        channels.reshape(-1, lanes), channels[::lanes, None] // lanes * lanes + np.arange(lanes)
    )


@dataclass(frozen=True, eq=False)
class Slice(_Box):
    """A box out of the map: ``starts`` and ``steps`` in rows, columns and channels. Other beats are dropped."""

    starts: tuple[int, int, int]
    steps: tuple[int, int, int]

    sites = ("Rearrange",)
    by_pixel = True

    @classmethod
    def from_site(cls, site: Site) -> "Slice | None":
        places, source = site.attributes["places"], site.input.map
        if (places == NOWHERE).any():
            return None
        first = np.unravel_index(places[0, 0, 0], source.shape)
        seconds = [places[tuple(np.eye(3, dtype=int)[axis] * (places.shape[axis] > 1))] for axis in range(3)]
        steps = [int(np.unravel_index(n, source.shape)[axis] - first[axis]) or 1 for axis, n in enumerate(seconds)]
        if min(steps) < 0:
            return None  # backwards: to be reordered
        row, column, channel = map(int, first)
        op = cls(source, site.output.map, (row, column, channel), (steps[0], steps[1], steps[2]))
        found = op._places()
        return op if found is not None and np.array_equal(found, places) else None

    @property
    def indices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        settings = zip(self.starts, self.steps, self.output.shape, strict=True)
        rows, columns, channels = (start + step * np.arange(count) for start, step, count in settings)
        return rows, columns, channels

    def _places(self) -> np.ndarray | None:
        indices = self.indices
        if any(i.min() < 0 or i.max() >= size for i, size in zip(indices, self.input.shape, strict=True)):
            return None
        return np.arange(self.input.elements).reshape(self.input.shape)[np.ix_(*indices)]

    def golden(self, x: np.ndarray) -> np.ndarray:
        rows, columns, channels = self.indices
        return x[:, rows][:, :, columns][:, :, :, channels]


@dataclass(frozen=True, eq=False)
class Keep(_Box):
    """The rows and columns of the map with these numbers; the others are dropped."""

    rows: np.ndarray
    columns: np.ndarray

    @property
    def indices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.rows, self.columns, np.arange(self.input.channels)

    def golden(self, x: np.ndarray) -> np.ndarray:
        return x[:, self.rows][:, :, self.columns]


@dataclass(frozen=True, eq=False)
class Pad(_Box):
    """``fill`` around the map: ``pads`` are (before, after) in rows, columns and channels. It is made up on the way."""

    pads: tuple[tuple[int, int], ...]
    fill: int

    sites = ("Rearrange",)
    by_pixel = True

    @classmethod
    def from_site(cls, site: Site) -> "Pad | None":
        places, source = site.attributes["places"], site.input.map
        inside = np.argwhere(places != NOWHERE)
        if not len(inside):
            return None
        low = inside.min(axis=0)
        high = np.array(places.shape) - low - np.array(source.shape)
        if (high < 0).any():
            return None
        pads = tuple((int(before), int(after)) for before, after in zip(low, high, strict=True))
        plain = np.pad(np.arange(source.elements).reshape(source.shape), pads, constant_values=NOWHERE)
        return cls(source, site.output.map, pads, site.attributes["fill"]) if np.array_equal(plain, places) else None

    @property
    def outer(self) -> FeatureMap:
        return self.output

    @property
    def indices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        settings = zip(self.pads, self.input.shape, strict=True)
        rows, columns, channels = (before + np.arange(count) for (before, _), count in settings)
        return rows, columns, channels

    def golden(self, x: np.ndarray) -> np.ndarray:
        return np.pad(x, ((0, 0), *self.pads), constant_values=self.fill)


class PadUnit(BoxUnit, computes=Pad):
    """Hardware for :class:`Pad`: what is around the box is made up."""

    op: "Pad"

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        inside = self.inside
        return self.direct([inside.cumsum()], counting(len(inside)))


class _BoxBlock(StreamedBlock):
    """Three counters say whether the step at hand is in the box; a register before the outlet."""

    unit: "BoxUnit"

    def elaborate(self, platform):
        m = Module()
        op, outlet, (source,) = self.op, self.outlet(m), self.sources
        step, give = Signal(), Signal()
        rows, columns, words = self.unit.sizes
        nest = LoopNest(m, [("word", words), ("x", columns), ("y", rows)], step)
        inside = Const(1)
        for name, mask in zip(("y", "x", "word"), self.unit.masks, strict=True):
            if not mask.all():
                inside = inside & lookup(m, nest.index[name], mask.astype(int).tolist(), f"{name}_inside")
        push, payload = Signal(), Signal.like(outlet.payload, reset_less=True)
        if not isinstance(op, Pad):  # what is dropped needs no room
            m.d.comb += [source.ready.eq(outlet.permit | ~inside), step.eq(source.valid & source.ready)]
            m.d.comb += give.eq(step & inside)
            m.d.sync += payload.eq(source.payload)
        else:  # what is made up needs no input
            m.d.comb += [source.ready.eq(outlet.permit & inside), step.eq(outlet.permit & (source.valid | ~inside))]
            m.d.comb += give.eq(step)
            m.d.sync += [lane.eq(Mux(inside, x, op.fill)) for lane, x in zip(payload, source.payload, strict=True)]
        m.d.sync += push.eq(give)
        m.d.comb += [outlet.debit.eq(give), outlet.push.eq(push), outlet.payload.eq(payload)]
        return m
