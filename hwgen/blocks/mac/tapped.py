"""A convolution that hands its input on: to whoever else reads the map, as late as it can.

The rows of its window come in side by side (:mod:`hwgen.blocks.joints.rows`). When the window at row y is worked on,
the topmost row in it is no longer needed after that; it leaves by a second output, a share of a pixel in each pass. In
a residual block that is about when the sum at the end asks for it.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hwgen.blocks.joints.rows import SHORT_QUEUE, RowFork, WindowRows, row_ranges
from hwgen.blocks.mac.conv import Conv
from hwgen.blocks.mac.mac import MacBlock, MacUnit
from hwgen.blocks.mac.mac_folding import MacFolding
from hwgen.blocks.mac.mac_layer import MacLayer
from hwgen.blocks.move.concat import Concat, ConcatUnit
from hwgen.blocks.operator import LaneFolding, Operator
from hwgen.blocks.stream import Port, join
from hwgen.blocks.unit import Block, End
from hwgen.cost.actor import Actor, Give
from hwgen.cost.logic import Logic
from hwgen.cost.needs import MemoryNeed
from hwgen.graph.semantics.window import Window
from hwgen.memory.queue import Outlet, behind, queue_logic
from hwgen.memory.ram import ram_need
from hwgen.memory.ring import Ring, RingTap, RingWindow
from hwgen.memory.window import WINDOW_CREDIT


@dataclass(frozen=True)
class TappedConv(MacUnit):
    """The convolution ``op``, laid out in columns by ``folding``, which gives its input, too: through a queue of
    ``depth`` places. It is made of several blocks; actors and cost are those of the convolution alone."""

    op: Conv
    depth: int

    settings_in = "tapped"

    @classmethod
    def suits(cls, op: Operator) -> bool:
        return op.hands_on

    @classmethod
    def read(cls, op: Any, settings: dict[str, Any]) -> "TappedConv":
        return cls(op, MacFolding(**settings["folding"]), settings["depth"])

    @property
    def settings(self) -> dict[str, Any]:
        return {"folding": super().settings, "depth": self.depth}

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (*super().outputs, *self.inputs)

    def golden(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        return (*super().golden(x), x)

    def problems(self) -> list[str]:
        if self.folding.window != "columns":
            return [f"with window {self.folding.window!r} nothing is handed on; take 'columns', or the unit 'mac'"]
        least = least_depth(self)
        short = [f"depth {self.depth} is less than the {least} beats that a pass hands on"] * (self.depth < least)
        return super().problems() or short

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """A chain of rows, the convolution over them, and what puts the last rows of a frame behind those that the
        convolution hands on."""
        conv = RowConv(self.op, self.folding, self.depth)
        count, top, whole = conv.rows.rows, conv.rows.top, conv.rows.source
        pixel, row = whole.map.channels // whole.lanes, whole.beats // whole.map.height
        chain: list[Block] = []
        for n, used in reversed(list(enumerate(row_ranges(whole.map.height, count, top)))):
            onward = (0 if n else whole.map.height - top, whole.map.height)
            behind = row + SHORT_QUEUE + pixel * (n < count - 1) if n else max(2 * SHORT_QUEUE, pixel)
            fork = RowFork(whole, (used, onward), (SHORT_QUEUE, behind))
            chain.append(Block(f"_row{n}", fork, ((len(chain) - 1, 1 if chain else 0),)))
        rows = tuple((n, 0) for n in reversed(range(count)))
        handed = Concat((conv.outputs[1].map, replace(whole.map, height=top)), whole.map, 0)
        return (
            *chain,
            Block("_rows", conv.rows, rows),
            Block("", conv, ((count, 0),)),
            Block("_handed", ConcatUnit(handed, LaneFolding(whole.lanes)), ((count + 1, 1), (count - 1, 1))),
        )

    @property
    def ends(self) -> tuple[End, ...]:
        count = len(self.blocks)
        return ((count - 2, 0), (count - 1, 0))

    @property
    def held(self) -> int:
        """Bits of its queues on the way of its input, less those that hold whole rows of a window."""
        whole, joint = self.inputs[0], cast(ConcatUnit, self.blocks[-1].unit)
        row = whole.beats // whole.map.height
        behind = sum(unit.depths[1] % row for _, unit, _ in self.blocks if isinstance(unit, RowFork))
        return (joint.queue + self.depth + behind) * whole.width


def least_depth(unit: MacUnit) -> int:
    """The most beats that a pass of a convolution hands on."""
    words, passes = unit.op.input.channels // unit.lanes_in, -(-unit.op.output.channels // unit.folding.outputs)
    return -(-words // passes)


@dataclass(frozen=True)
class RowConv(MacUnit):
    """The convolution ``op``, laid out in columns by ``folding``, over rows side by side, which come from a ring then;
    what it hands on leaves by the second output, through a queue of ``depth``: the topmost row, word by word."""

    op: Conv
    depth: int

    def __post_init__(self):
        super().__post_init__()
        if self.folding.window == "columns":
            lanes_in = self.op.window.kernel[0] * self.folding.lanes_in
            object.__setattr__(self, "folding", replace(self.folding, window="ring", lanes_in=lanes_in))

    @property
    def row_lanes(self) -> int:
        """Elements of each row in a beat."""
        return self.folding.lanes_in // self.op.window.kernel[0]

    @property
    def rows(self) -> WindowRows:
        """What puts the rows side by side."""
        conv = self.op
        return WindowRows(Port(conv.input, self.row_lanes), conv.window.kernel[0], conv.window.pads[0], conv.input_zero)

    @property
    def inputs(self) -> tuple[Port, ...]:
        return self.rows.outputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The result, and the rows that are handed on: all but as many at the end as there is padding above."""
        map_ = self.op.input
        handed = replace(map_, height=map_.height - self.op.window.pads[0])
        return (*super().outputs, Port(handed, self.row_lanes))

    def golden(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        topmost = x.reshape(*x.shape[:3], -1, self.op.window.kernel[0], self.row_lanes)[..., 0, :]
        handed = topmost[:, self.op.window.pads[0] :]
        return self.layer.golden(x), handed.reshape(*handed.shape[:3], -1)

    @cached_property
    def layer(self) -> MacLayer:
        conv, (rows,) = self.op, self.rows.outputs
        (_, left, _, right), (height, columns) = conv.window.pads, conv.window.kernel
        window = Window((1, columns), pads=(0, left, 0, right))
        weights = conv.weights.reshape(len(conv.weights), height, columns, -1, self.row_lanes)
        weights = weights.transpose(0, 2, 3, 1, 4).reshape(len(weights), 1, columns, -1)
        requantization, zero = conv.requantization, conv.input_zero
        return MacLayer(rows.map, conv.output, window, weights, zero, requantization, loading=conv.loading)

    @cached_property
    def tap(self) -> RingTap:
        """Which words of the ring leave a second time."""
        top, left, *_ = self.op.window.pads
        return RingTap.of(left, top, super().window.raster.words, self.passes)

    @cached_property
    def window(self) -> Ring:
        return replace(cast(Ring, super().window), tap=self.tap)  # as its folding says

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        """The actor of the unit, each of whose steps is cut in two where its share of the tap begins."""
        (whole,) = super().actors
        raster, tap = self.window.raster, self.tap
        height, width = raster.outputs
        starts = np.array([tap.column * raster.words + begin for begin in tap.begins])
        busy = np.tile(np.stack([starts, self.portions - starts], axis=1).ravel(), height * width)
        shares = np.zeros((height, width, self.passes, 2), np.int64)
        shares[tap.first_row :, :, :, 0] = tap.shares
        (take,), (give,) = whole.takes, whole.gives
        release = None if take.release is None else _second_half(take.release)
        take = replace(take, need=np.repeat(take.need, 2), release=release)
        reserve = np.repeat(give.give if give.reserve is None else give.reserve, 2)
        debit = np.repeat(give.give, 2)
        give = replace(give, give=_second_half(give.give), reserve=reserve, debit=debit)
        handed = shares.ravel().cumsum()
        room = np.repeat(np.append(0, handed[:-2:2]) + max(tap.shares), 2)
        latency = RingWindow.LATENCY + Outlet.LATENCY + behind(self.depth)
        second = Give(handed, latency, self.depth, room, WINDOW_CREDIT)
        return (Actor(whole.name, busy, (take,), (give, second)),)

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        return (*super().memories, ram_need("tap", self.outputs[1].width, self.depth))

    @property
    def logic(self) -> Logic:
        tests = Logic(logic=4 * self.window.raster.words.bit_length() + self.passes, register=1)
        return super().logic + tests + queue_logic(self.depth, self.outputs[1].width)

    def block(self) -> wiring.Component:
        return TappedBlock(self)


def _second_half(counts: np.ndarray) -> np.ndarray:
    """What is reached with each step, where each is cut in two and only the second half does anything."""
    twice = np.repeat(counts, 2)
    twice[::2] = np.append(0, counts[:-1])
    return twice


class TappedBlock(MacBlock):
    """A :class:`MacBlock` with the output ``o_tap``."""

    unit: RowConv

    def ports(self) -> dict:
        return super().ports() | {"o_tap": Out(self.unit.outputs[1].stream)}

    def permit(self, m: Module, window: RingWindow, outlet: Outlet):
        shape = self.o_tap.payload.shape()
        m.submodules.tap = tap = Outlet(shape, self.unit.depth, max(self.unit.tap.shares))
        join(m, tap.o, wiring.flipped(self.o_tap), "tap")
        m.d.comb += [
            tap.amount.eq(window.tap_share),
            tap.debit.eq(window.go),
            tap.push.eq(window.tapped),
            tap.payload.as_value().eq(window.data.as_value()[: shape.size]),
        ]
        return outlet.permit & tap.permit
