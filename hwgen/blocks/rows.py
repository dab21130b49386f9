"""Rows of a map side by side: what a window needs, from a chain of queues that hold a row each.

```text
 i --> RowFork ---------------------------> WindowRows --> columns of a window, padding included
          | a row                            ^   ^
          +------> RowFork ------------------+   |
                      | a row                    |
                      +------> RowFork ----------+
                                  +--> the last rows of the frame, for whoever else reads the map
```

A row moves on to the next queue as it is read, so all queues together hold the rows between the oldest and the newest
and nothing twice. No part waits for the next frame: the last rows of one leave on their own while the first of the
next come in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap
from hwgen.memory.loops import LoopNest
from hwgen.memory.queue import Outlet
from hwgen.memory.rom import pack

from .costs import Cost
from .fork import ForkFolding
from .logic import Logic, counter
from .operator import Operator, SeveralInputs, Unit
from .stream import beat_stream, join, queue_logic, queue_memory
from .timing import Actor, Give, Take

#: Places of a queue that only joins two blocks: what a beat a cycle takes.
SHORT_QUEUE = 4


@dataclass(frozen=True)
class RowFork(Operator):
    """Copies rows to outputs: ``o_n`` gets those from ``ranges[n][0]`` up to ``ranges[n][1]``, without it.

    A beat is taken when all outputs that get it have room.
    """

    input: FeatureMap
    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def from_site(cls, site: Site) -> "RowFork | None":
        return None  # placed by the pipeline, not by a model

    @property
    def output(self) -> FeatureMap:
        return self.outputs[0]

    @property
    def outputs(self) -> tuple[FeatureMap, ...]:
        size = self.input.width, self.input.channels, self.input.type
        return tuple(FeatureMap(end - start, *size) for start, end in self.ranges)

    def golden(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(x[:, start:end] for start, end in self.ranges)

    def foldings(self) -> Iterable[ForkFolding]:
        return [ForkFolding(1, (depth,) * len(self.ranges)) for depth in (SHORT_QUEUE, 16)]

    def unit(self, folding: Any) -> "RowForkUnit":
        return RowForkUnit(self, folding)


class RowForkUnit(Unit):
    """Hardware for :class:`RowFork`."""

    @property
    def _inside(self) -> list[np.ndarray]:
        """For each output and beat of a frame, whether it goes there."""
        beats = self.op.input.width * self.op.input.channels // self.folding.lanes
        rows = np.arange(self.op.input.height)
        return [np.repeat((rows >= start) & (rows < end), beats) for start, end in self.op.ranges]

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        beats, latency = np.arange(1, self.op.input.elements // self.folding.lanes + 1), Outlet.LATENCY - 1
        inside = zip(self._inside, self.folding.depths, strict=True)
        first, *rest = (Give(each.cumsum(), latency, depth, credit_delay=Outlet.CREDIT) for each, depth in inside)
        return (
            Actor("rows", beats, np.ones_like(beats), first.give, latency, first.queue, credit_delay=Outlet.CREDIT,
                  more_gives=(*rest,)),
        )  # fmt: skip

    @cached_property
    def cost(self) -> Cost:
        width = self.op.input.type.width * self.folding.lanes
        logic = sum((queue_logic(depth, width) for depth in self.folding.depths), Logic())
        loops = counter(self.op.input.height) + counter(
            self.op.input.width * self.op.input.channels // self.folding.lanes
        )
        memories = [queue_memory("queue", depth, width) for depth in self.folding.depths]
        return self.costing(logic + loops, memories)

    def block(self) -> wiring.Component:
        return _RowForkBlock(self)


class _RowForkBlock(wiring.Component):
    def __init__(self, unit: RowForkUnit):
        self.unit, self.op, self.folding = unit, unit.op, unit.folding
        beat = beat_stream(self.op.input.type, self.folding.lanes)
        super().__init__({"i": In(beat), **{f"o_{n}": Out(beat) for n in range(len(self.op.ranges))}})

    def elaborate(self, platform):
        m = Module()
        map_, take = self.op.input, self.i.valid & self.i.ready
        beats = map_.width * map_.channels // self.folding.lanes
        nest = LoopNest(m, [("beat", beats), ("row", map_.height)], take)
        row, ready = nest.index["row"], 1
        for n, ((start, end), depth) in enumerate(zip(self.op.ranges, self.folding.depths, strict=True)):
            m.submodules[f"outlet_{n}"] = outlet = Outlet(self.i.payload.shape(), depth)
            inside = (row >= start) & (row < end)
            ready = ready & (outlet.permit | ~inside)
            give = take & inside
            m.d.comb += [outlet.debit.eq(give), outlet.push.eq(give), outlet.payload.eq(self.i.payload)]
            join(m, outlet.o, wiring.flipped(getattr(self, f"o_{n}")), f"output {n}")
        m.d.comb += self.i.ready.eq(ready)
        return m


@dataclass(frozen=True)
class RowsFolding:
    """``lanes`` elements of each of ``rows`` rows at a time."""

    lanes: int
    rows: int

    @property
    def lanes_in(self) -> int:
        return self.lanes

    @property
    def lanes_out(self) -> int:
        return self.lanes * self.rows

    def __str__(self) -> str:
        return f"{self.rows} rows of {self.lanes}"


@dataclass(frozen=True, eq=False)
class WindowRows(SeveralInputs):
    """Puts the rows of a window side by side: row ``y - top + k`` of the map comes in on input ``k``.

    An input has the rows that are within the map of ``height``; ``pad`` stands for others. ``lanes`` channels of
    each row make up a beat, the topmost row first, so the result's channels are ordered by word, row and lane.
    """

    height: int
    top: int
    pad: int
    lanes: int

    @classmethod
    def from_site(cls, site: Site) -> "WindowRows | None":
        return None  # placed by the pipeline, not by a model

    @staticmethod
    def of(map_: FeatureMap, rows: int, top: int, pad: int, lanes: int) -> "WindowRows":
        """For a window of ``rows`` rows that moves down ``map_`` by one, with ``top`` rows of padding above."""
        ranges = row_ranges(map_.height, rows, top)
        maps = tuple(FeatureMap(end - start, map_.width, map_.channels, map_.type) for start, end in ranges)
        return WindowRows(maps, map_.height, top, pad, lanes)

    @property
    def output(self) -> FeatureMap:
        first = self.input
        return FeatureMap(self.height, first.width, len(self.maps) * first.channels, first.type)

    def golden(self, *inputs: np.ndarray) -> np.ndarray:
        below = [(max(self.top - k, 0), max(k - self.top, 0)) for k in range(len(inputs))]
        none = ((0, 0), (0, 0))
        filled = [np.pad(x, ((0, 0), rows, *none), constant_values=self.pad)
                  for x, rows in zip(inputs, below, strict=True)]  # fmt: skip
        n, height, width, channels = filled[0].shape
        words = [x.reshape(n, height, width, channels // self.lanes, 1, self.lanes) for x in filled]
        return np.concatenate(words, axis=4).reshape(n, height, width, -1)

    def foldings(self) -> Iterable[RowsFolding]:
        return [RowsFolding(self.lanes, len(self.maps))]

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows, and beats of a row."""
        return self.height, self.input.width * self.input.channels // self.lanes

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The output rows for which each input has a row: from, and up to."""
        return [(max(self.top - k, 0), self.height - max(k - self.top, 0)) for k in range(len(self.maps))]

    def unit(self, folding: Any) -> "WindowRowsUnit":
        return WindowRowsUnit(self, folding)


class WindowRowsUnit(Unit):
    """Hardware for :class:`WindowRows`."""

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        rows, beats = self.op.sizes
        inside = [
            np.repeat((np.arange(rows) >= start) & (np.arange(rows) < end), beats) for start, end in self.op.ranges
        ]
        give = np.arange(1, rows * beats + 1)
        main, *rest = (Take(each.cumsum()) for each in inside)
        return (
            Actor("window_rows", main.need, np.ones_like(give), give, Outlet.LATENCY, 2 * SHORT_QUEUE,
                  credit_delay=Outlet.CREDIT, more_takes=(*rest,)),
        )  # fmt: skip

    @cached_property
    def cost(self) -> Cost:
        width = self.op.input.type.width * self.folding.lanes_out
        rows, beats = self.op.sizes
        logic = Logic(logic=width + 2 * len(self.op.maps), register=width + 1) + counter(rows) + counter(beats)
        queue = queue_memory("queue", 2 * SHORT_QUEUE, width)
        return self.costing(logic + queue_logic(2 * SHORT_QUEUE, width), [queue])

    def block(self) -> wiring.Component:
        return _WindowRowsBlock(self)


class _WindowRowsBlock(wiring.Component):
    """A step starts when the rows that are within the map are all offered; a register before the outlet."""

    def __init__(self, unit: WindowRowsUnit):
        self.unit, self.op, self.folding = unit, unit.op, unit.folding
        beat = beat_stream(self.op.input.type, self.folding.lanes)
        ports = {f"i_{k}": In(beat) for k in range(len(self.op.maps))}
        super().__init__({**ports, "o": Out(beat_stream(self.op.output.type, self.folding.lanes_out))})

    def elaborate(self, platform):
        m = Module()
        op, lanes = self.op, self.folding.lanes
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), 2 * SHORT_QUEUE)
        join(m, outlet.o, wiring.flipped(self.o), "output")
        rows, beats = op.sizes
        step = Signal()
        row = LoopNest(m, [("beat", beats), ("row", rows)], step).index["row"]
        sources = [getattr(self, f"i_{k}") for k in range(len(op.maps))]
        inside = [(row >= start) & (row < end) for start, end in op.ranges]
        there = [source.valid | ~used for source, used in zip(sources, inside, strict=True)]
        m.d.comb += step.eq(outlet.permit & _all(there))
        push, payload = Signal(), Signal.like(outlet.payload, reset_less=True)
        pad = Const(pack([op.pad] * lanes, op.input.type.width), op.input.type.width * lanes)
        for k, (source, used) in enumerate(zip(sources, inside, strict=True)):
            m.d.comb += source.ready.eq(outlet.permit & used & _all(there[:k] + there[k + 1 :]))
            part = payload.as_value().word_select(k, len(pad))
            m.d.sync += part.eq(Mux(used, source.payload.as_value(), pad))
        m.d.sync += push.eq(step)
        m.d.comb += [outlet.debit.eq(step), outlet.push.eq(push), outlet.payload.eq(payload)]
        return m


def row_ranges(height: int, rows: int, top: int) -> list[tuple[int, int]]:
    """For each row of a window, the rows of the map that are ever in it: from, and up to.

    The window moves down by one row, and gives as many rows as there are.
    """
    return [(max(k - top, 0), height - max(top - k, 0)) for k in range(rows)]


def _all(conditions):
    result = Const(1)
    for condition in conditions:
        result = result & condition
    return result
