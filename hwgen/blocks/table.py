"""Any function of one narrow integer, as a table: requantisation between streams, activations."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap
from hwgen.memory.queue import Outlet, queue_depth
from hwgen.memory.rom import Rom, pack, rom_latency

from .arithmetic import delay
from .logic import Logic
from .mac_folding import divisors
from .operator import Cost, GoldenOperator, Operator, rom_need
from .pool import PoolFolding
from .stream import beat_stream, join, queue_logic, queue_memory
from .timing import Actor

#: Bits of the input up to which a table is sensible: one block RAM a lane.
LARGEST_INPUT = 12
#: Bits up to which golden uses one.
MOST_BITS = 16


@dataclass(frozen=True, eq=False)
class Table(Operator):
    """``values[x - input.type.min]`` for each element; checked exhaustively, since it is its own definition."""

    input: FeatureMap
    output: FeatureMap
    values: np.ndarray

    sites = ("Requantize",)

    @classmethod
    def from_site(cls, site: Site) -> "Table | None":
        type_ = site.input.map.type
        if site.op != "Requantize" or type_.width > MOST_BITS:
            return None
        if site.function is not None and not site.function.per_tensor:
            return None
        return cls(site.input.map, site.output.map, tabulated(site)[0])

    @property
    def gap(self) -> str | None:
        width = self.input.type.width
        return f"a table for {width}-bit integers (limit {LARGEST_INPUT} bits)" if width > LARGEST_INPUT else None

    def golden(self, x: np.ndarray) -> np.ndarray:
        return self._outputs.take(np.subtract(x, self.input.type.min, dtype=np.intp))

    @cached_property
    def _outputs(self) -> np.ndarray:
        return self.values.astype(self.output.type.dtype)

    def foldings(self) -> Iterable[PoolFolding]:
        if self.gap:
            raise self.golden_only()
        return [PoolFolding(lanes) for lanes in divisors(self.input.channels)]

    @property
    def _latency(self) -> int:
        return rom_latency(len(self.values)) + Outlet.LATENCY - 1

    @property
    def _queue(self) -> int:
        return queue_depth(self._latency, 1, 1)

    def actors(self, folding: PoolFolding) -> tuple[Actor, ...]:
        beats = np.arange(1, self.input.elements // folding.lanes + 1)
        return (Actor("table", beats, np.ones_like(beats), beats, self._latency, self._queue, credit_delay=1),)

    def cost(self, folding: PoolFolding) -> Cost:
        width = self.output.type.width * folding.lanes
        table = rom_need("table", self.output.type.width, len(self.values))
        memories = [*[table] * folding.lanes, queue_memory("queue", self._queue, width)]
        return Cost.of(self, folding, queue_logic(self._queue, width) + Logic(register=width), memories)

    def block(self, folding: PoolFolding) -> wiring.Component:
        return _TableUnit(self, folding)


@dataclass(frozen=True, eq=False)
class ChannelTable(GoldenOperator):
    """``values[channel, x - input.type.min]``: a function of its own for every channel."""

    input: FeatureMap
    output: FeatureMap
    values: np.ndarray

    sites = ("Requantize",)

    @classmethod
    def from_site(cls, site: Site) -> "ChannelTable | None":
        function = site.function
        if site.op != "Requantize" or function is None or not function.per_channel:
            return None
        if site.input.map.type.width > LARGEST_INPUT:
            return None
        return cls(site.input.map, site.output.map, tabulated(site))

    def golden(self, x: np.ndarray) -> np.ndarray:
        channels = np.arange(self.input.channels)
        return self.values[channels, x.astype(np.int64) - self.input.type.min].astype(self.output.type.dtype)


def tabulated(site: Site) -> np.ndarray:
    """What each input integer becomes, int64 [1 or channels, 2^bits], in real numbers in between."""
    type_ = site.input.map.type
    real = site.input.quantization.dequantize(np.arange(type_.min, type_.max + 1))[:, None, None, None]
    real = real if site.function is None else site.function(real)
    values = site.output.quantization.quantize(real).astype(np.int64)
    return np.clip(values.reshape(1 << type_.width, -1).T, *site.clamp)


class _TableUnit(wiring.Component):
    def __init__(self, op: Table, folding: PoolFolding):
        self.op, self.folding = op, folding
        super().__init__(
            {
                "i": In(beat_stream(op.input.type, folding.lanes)),
                "o": Out(beat_stream(op.output.type, folding.lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        op = self.op
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), op._queue)
        take = self.i.valid & self.i.ready
        # As an address the integer is unsigned, so the table starts at 0 and ends at -1.
        split = -op.input.type.min
        words = [pack([int(value)], op.output.type.width) for value in np.roll(op.values, -split)]
        for lane in range(self.folding.lanes):
            m.submodules[f"table_{lane}"] = rom = Rom(words, op.output.type.width)
            m.d.comb += [rom.address.eq(self.i.payload[lane].as_unsigned()), outlet.payload[lane].eq(rom.data)]
        m.d.comb += [
            self.i.ready.eq(outlet.permit),
            outlet.debit.eq(take),
            outlet.push.eq(delay(m, take, rom_latency(len(words)), "take", reset_less=False)),
        ]
        join(m, outlet.o, wiring.flipped(self.o), "output")
        return m
