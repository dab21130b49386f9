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

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring

from hwgen.blocks.joints.fork import queues_hardware
from hwgen.blocks.stream import Port, all_of, join
from hwgen.blocks.unit import Joint, Unit, UnitBlock
from hwgen.cost.actor import Actor, Give, Take
from hwgen.cost.logic import Logic, counter
from hwgen.cost.needs import Cost
from hwgen.memory.loops import LoopNest
from hwgen.memory.queue import Outlet, behind, queue_logic
from hwgen.memory.ram import ram_need
from hwgen.memory.rom import pack

#: Places of a queue that only joins two blocks: what a beat a cycle takes.
SHORT_QUEUE = 4


@dataclass(frozen=True)
class RowFork(Joint):
    """Copies rows to outputs: ``o_n`` gets those from ``ranges[n][0]`` up to ``ranges[n][1]``, without it.

    A beat is taken when all outputs that get it have room: ``depths[n]`` beats of queue.
    """

    ranges: tuple[tuple[int, int], ...]
    depths: tuple[int, ...]

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.depths))} deep"

    @property
    def outputs(self) -> tuple[Port, ...]:
        map_, lanes = self.source.map, self.source.lanes
        return tuple(Port(replace(map_, height=end - start), lanes) for start, end in self.ranges)

    def golden(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(x[:, start:end] for start, end in self.ranges)

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        beats, latency = np.arange(1, self.source.beats + 1), Outlet.LATENCY - 1
        inside = zip(_inside(self.ranges, *_sizes(self.source)), self.depths, strict=True)
        gives = tuple(Give(each.cumsum(), latency + behind(depth), depth) for each, depth in inside)
        return (Actor("rows", np.ones_like(beats), (Take(beats),), gives),)

    @cached_property
    def cost(self) -> Cost:
        width, (rows, beats) = self.source.width, _sizes(self.source)
        logic, memories = queues_hardware(self.depths, width)
        return self.costing(logic + counter(rows) + counter(beats), memories)

    def block(self) -> wiring.Component:
        return _RowForkBlock(self)


class _RowForkBlock(UnitBlock):
    unit: "RowFork"

    def elaborate(self, platform):
        m = Module()
        take, (rows, beats) = self.i.valid & self.i.ready, _sizes(self.unit.source)
        nest = LoopNest(m, [("beat", beats), ("row", rows)], take)
        row, ready = nest.index["row"], 1
        for n, ((start, end), depth) in enumerate(zip(self.unit.ranges, self.unit.depths, strict=True)):
            m.submodules[f"outlet_{n}"] = outlet = Outlet(self.i.payload.shape(), depth)
            inside = (row >= start) & (row < end)
            ready = ready & (outlet.permit | ~inside)
            give = take & inside
            m.d.comb += [outlet.debit.eq(give), outlet.push.eq(give), outlet.payload.eq(self.i.payload)]
            join(m, outlet.o, self.sinks[n], f"output {n}")
        m.d.comb += self.i.ready.eq(ready)
        return m


@dataclass(frozen=True)
class WindowRows(Unit):
    """Puts the rows of a window side by side: row ``y - top + k`` of ``source`` comes in on input ``k`` of ``rows``.

    The window moves down by one row, with ``top`` rows of padding above. An input has the rows that are within the
    map; ``pad`` stands for others. A beat of each row makes up a beat, the topmost row first, so the result's channels
    are ordered by word, row and lane.
    """

    source: Port
    rows: int
    top: int
    pad: int

    def __str__(self) -> str:
        return f"{self.rows} rows of {self.source.lanes}"

    @property
    def inputs(self) -> tuple[Port, ...]:
        ranges = row_ranges(self.source.map.height, self.rows, self.top)
        return tuple(replace(self.source, map=replace(self.source.map, height=end - start)) for start, end in ranges)

    @property
    def outputs(self) -> tuple[Port, ...]:
        map_ = self.source.map
        return (Port(replace(map_, channels=self.rows * map_.channels), self.rows * self.source.lanes),)

    def golden(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        below = [(max(self.top - k, 0), max(k - self.top, 0)) for k in range(len(inputs))]
        none = ((0, 0), (0, 0))
        filled = [np.pad(x, ((0, 0), rows, *none), constant_values=self.pad)
                  for x, rows in zip(inputs, below, strict=True)]  # fmt: skip
        n, height, width, _ = filled[0].shape
        words = [x.reshape(n, height, width, -1, 1, self.source.lanes) for x in filled]
        return (np.concatenate(words, axis=4).reshape(n, height, width, -1),)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The output rows for which each input has a row: from, and up to."""
        height = self.source.map.height
        return [(max(self.top - k, 0), height - max(k - self.top, 0)) for k in range(self.rows)]

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        rows, beats = _sizes(self.source)
        give = np.arange(1, rows * beats + 1)
        takes = tuple(Take(each.cumsum()) for each in _inside(self.ranges, rows, beats))
        return (Actor("window_rows", np.ones_like(give), takes, (Give(give, Outlet.LATENCY, 2 * SHORT_QUEUE),)),)

    @cached_property
    def cost(self) -> Cost:
        width, (rows, beats) = self.outputs[0].width, _sizes(self.source)
        logic = Logic(logic=width + 2 * self.rows, register=width + 1) + counter(rows) + counter(beats)
        queue = ram_need("queue", width, 2 * SHORT_QUEUE)
        return self.costing(logic + queue_logic(2 * SHORT_QUEUE, width), [queue])

    def block(self) -> wiring.Component:
        return _WindowRowsBlock(self)


class _WindowRowsBlock(UnitBlock):
    """A step starts when the rows that are within the map are all offered; a register before the outlet."""

    unit: "WindowRows"

    def elaborate(self, platform):
        m = Module()
        unit, source = self.unit, self.unit.source
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), 2 * SHORT_QUEUE)
        join(m, outlet.o, self.sinks[0], "output")
        rows, beats = _sizes(source)
        step = Signal()
        row = LoopNest(m, [("beat", beats), ("row", rows)], step).index["row"]
        inside = [(row >= start) & (row < end) for start, end in unit.ranges]
        there = [stream.valid | ~used for stream, used in zip(self.sources, inside, strict=True)]
        m.d.comb += step.eq(outlet.permit & all_of(there))
        push, payload = Signal(), Signal.like(outlet.payload, reset_less=True)
        pad = Const(pack([unit.pad] * source.lanes, source.map.type.width), source.width)
        for k, (stream, used) in enumerate(zip(self.sources, inside, strict=True)):
            m.d.comb += stream.ready.eq(outlet.permit & used & all_of(there[:k] + there[k + 1 :]))
            part = payload.as_value().word_select(k, len(pad))
            m.d.sync += part.eq(Mux(used, stream.payload.as_value(), pad))
        m.d.sync += push.eq(step)
        m.d.comb += [outlet.debit.eq(step), outlet.push.eq(push), outlet.payload.eq(payload)]
        return m


def row_ranges(height: int, rows: int, top: int) -> list[tuple[int, int]]:
    """For each row of a window, the rows of the map that are ever in it: from, and up to.

    The window moves down by one row, and gives as many rows as there are.
    """
    return [(max(k - top, 0), height - max(top - k, 0)) for k in range(rows)]


def _sizes(source: Port) -> tuple[int, int]:
    """Rows of a map, and beats of a row."""
    return source.map.height, source.beats // source.map.height


def _inside(ranges, rows: int, beats: int) -> list[np.ndarray]:
    """For each of ``ranges`` of rows, whether each beat of a frame is in one of them."""
    row = np.arange(rows)
    return [np.repeat((row >= start) & (row < end), beats) for start, end in ranges]
