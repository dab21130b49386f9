"""Any function of one narrow integer, as a table: requantisation between streams, activations."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.streamed import Hardware, Streamed, StreamedBlock, StreamedUnit
from hwgen.cost.actor import Actor, counting
from hwgen.cost.logic import Logic, counter
from hwgen.graph.exact.loadable import TableForm
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap
from hwgen.hdl.contents import Contents
from hwgen.memory.queue import wrapping_increment
from hwgen.memory.rom import Columns, Rom, pack, rom_latency, rom_need
from hwgen.memory.store import Store, StoreShape, images, pass_on

#: Bits of the input up to which a table is sensible: one block RAM a lane.
LARGEST_INPUT = 12


@dataclass(frozen=True, eq=False)
class _Tabulated(Streamed):
    """``values`` of each element, checked exhaustively, since it is its own definition."""

    input: FeatureMap
    output: FeatureMap
    values: np.ndarray
    loading: TableForm | None = None

    sites = ("Requantize",)
    by_pixel = True

    @property
    @abstractmethod
    def tables(self) -> np.ndarray:
        """int64 [1 or channels, 2^bits], the least integer first."""

    @property
    def alike(self) -> bool:
        return len(self.tables) == 1

    def loadable(self, form: TableForm | None = None) -> "_Tabulated":
        return replace(self, loading=form or TableForm())

    def certificate(self) -> dict[str, object]:
        """What was proved, in a form for reports."""
        return {"form": "table", "proved": "every entry is the definition", "entries": self.values.size}

    def built_for(self) -> dict[str, object]:
        return {"input": str(self.input), "output": str(self.output)}


class TableUnit(StreamedUnit, computes=_Tabulated):
    """Hardware for :class:`_Tabulated`."""

    op: "_Tabulated"

    def rom_words(self, lane: int) -> list[int]:
        """The tables that a lane meets in turn, each by the input's bits: 0 comes first, negative ones last."""
        met = np.roll(self._met(lane), self.op.input.type.min, axis=1)
        return [pack([value], self.op.output.type.width) for value in met.ravel()]

    def contents(self, lane: int) -> Contents:
        """The memory of a lane."""
        return Contents.of(self.rom_words(lane), self.op.output.type.width)

    @property
    def image(self) -> bytes:
        """What loads the tables, lane by lane."""
        return images(*(self.contents(lane) for lane in range(self.folding.lanes)))

    @property
    def turns(self) -> int:
        """How many tables a lane meets."""
        return max(len(self.op.tables) // self.folding.lanes, 1)

    @property
    def _rom_depth(self) -> int:
        return self.turns << self.op.input.type.width

    @property
    def depth(self) -> int:
        return rom_latency(self._rom_depth)

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        beats = counting(self.op.input.elements // self.folding.lanes)
        return self.direct([beats], beats)

    @property
    def hardware(self) -> Hardware:
        width = self.op.output.type.width
        if self.op.loading:
            store = StoreShape(width, self._rom_depth)
            memories = store.needs("table") * self.folding.lanes
            logic = self.folding.lanes * store.logic + Logic(register=self.depth, logic=1)
            return Hardware(logic + counter(self.turns), memories)
        contents = [self._contents(lane) for lane in range(min(self.folding.lanes, len(self.op.tables)))]
        each = self.folding.lanes // len(contents)
        roms = [rom_need("table", width, self._rom_depth, content) for content in contents] * each
        registers = each * sum(content.registers for content in contents) + self.depth
        return Hardware(Logic(register=registers, logic=1) + counter(self.turns), roms)

    def _contents(self, lane: int) -> Columns:
        return Columns.of(self._met(lane).reshape(-1, 1), [self.op.output.type.width])

    def _met(self, lane: int) -> np.ndarray:
        tables = self.op.tables
        return tables if len(tables) == 1 else tables[lane :: self.folding.lanes]

    def block(self) -> wiring.Component:
        return _TableBlock(self)


@dataclass(frozen=True, eq=False)
class Table(_Tabulated):
    """``values[x - input.type.min]`` for each element."""

    @classmethod
    def from_site(cls, site: Site) -> "Table | None":
        type_ = site.input.map.type
        if type_.width > LARGEST_INPUT:
            return None
        if site.function is not None and not site.function.per_tensor:
            return None
        return cls(site.input.map, site.output.map, tabulated(site)[0])

    @property
    def tables(self) -> np.ndarray:
        return self.values[None]

    def golden(self, x: np.ndarray) -> np.ndarray:
        return self._outputs.take(np.subtract(x, self.input.type.min, dtype=np.intp))

    @cached_property
    def _outputs(self) -> np.ndarray:
        return self.values.astype(self.output.type.dtype)


@dataclass(frozen=True, eq=False)
class ChannelTable(_Tabulated):
    """``values[channel, x - input.type.min]``: a function of its own for every channel."""

    @classmethod
    def from_site(cls, site: Site) -> "ChannelTable | None":
        function = site.function
        if function is None or not function.per_channel:
            return None
        if site.input.map.type.width > LARGEST_INPUT:
            return None
        return cls(site.input.map, site.output.map, tabulated(site))

    @property
    def tables(self) -> np.ndarray:
        return self.values

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


class _TableBlock(StreamedBlock):
    """Beats address the memories of their lanes; a counter says which table is a channel's."""

    unit: "TableUnit"
    op: "_Tabulated"

    def elaborate(self, platform):
        m = Module()
        op, outlet, (source,) = self.op, self.outlet(m), self.sources
        take = Signal()
        turns = self.unit.turns
        turn = Signal(range(turns)) if turns > 1 else Cat()
        if turns > 1:
            with m.If(take):
                m.d.sync += turn.eq(wrapping_increment(turn, turns))
        roms = []
        for lane in range(self.folding.lanes):
            contents = self.unit.contents(lane)
            m.submodules[f"table_{lane}"] = rom = Store(contents) if op.loading else Rom(contents, contents.width)
            roms.append(rom)
            m.d.comb += [rom.address.eq(Cat(source.payload[lane], turn)), outlet.payload[lane].eq(rom.data)]
        if op.loading:
            pass_on(m, self, *roms)
        m.d.comb += [
            source.ready.eq(outlet.permit),
            take.eq(source.valid & source.ready),
            outlet.debit.eq(take),
            outlet.push.eq(delay(m, take, self.unit.depth, "take", reset_less=False)),
        ]
        return m
