"""Elements of a stream in another order, repeated or left out: stored block by block and read again."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.mac.mac_folding import divisors
from hwgen.blocks.operator import LaneFolding
from hwgen.blocks.streamed import Hardware, Streamed, StreamedBlock, StreamedUnit
from hwgen.cost.actor import Actor, Give, Take
from hwgen.cost.logic import Logic, adder, below, counter, delayed, index_bits, loop, running, stepper, total, wrapped
from hwgen.graph.lower.value import NOWHERE
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap
from hwgen.memory.loops import LoopNest
from hwgen.memory.queue import behind, wrapping_increment
from hwgen.memory.ram import ram_need, ram_ports, read_register
from hwgen.memory.rom import Columns, Rom, rom_latency, rom_need


@dataclass(frozen=True, eq=False)
class Order:
    """Of every ``block`` beats that come, those at ``pattern`` go on, in this order; lane ``n`` from ``lanes[n]``."""

    block: int
    pattern: np.ndarray
    lanes: np.ndarray

    @cached_property
    def loops(self) -> tuple[tuple[int, int], ...] | None:
        """``pattern`` as nested loops, innermost first: how many times, in which steps; None where it is not."""
        found, rest = [], self.pattern
        while len(rest) > 1:
            count = _run(rest)
            if count == 1:
                return None
            found.append((count, int(rest[1] - rest[0])))
            rest = rest[::count]
        return tuple(found)

    @property
    def lookup_latency(self) -> int:
        """Cycles for which a place must outlive its release: the address comes from a ROM where there are no loops."""
        return 0 if self.loops is not None else rom_latency(len(self.pattern))

    @property
    def capacity(self) -> int:
        """Beats that are kept: one block is read while the next comes."""
        return 2 * self.block

    @property
    def words(self) -> int:
        """Of the memory."""
        return self.capacity + self.lookup_latency


def _run(pattern: np.ndarray) -> int:
    """The most beats of which each such run of ``pattern`` is in the same even steps; 1 if there is none."""
    steps = np.diff(pattern)
    uneven = np.flatnonzero(steps != steps[0])
    longest = int(uneven[0]) + 1 if len(uneven) else len(pattern)
    for count in sorted(divisors(len(pattern)), reverse=True):
        if 1 < count <= longest:
            runs = pattern.reshape(-1, count)
            if (runs - runs[:, :1] == runs[0] - runs[0, 0]).all():
                return count
    return 1


def find_order(places: np.ndarray, elements: int, lanes: int) -> Order | None:
    """How ``places`` (of output elements, in an input of ``elements``) go beat by beat; None where beats are torn."""
    beats = places.reshape(-1, lanes)
    source, within = beats // lanes, beats % lanes
    if (source != source[:, :1]).any() or (within != within[:1]).any():
        return None
    source, taken = source[:, 0], elements // lanes
    for blocks in sorted(divisors(gcd(len(source), taken)), reverse=True):
        block, pattern = taken // blocks, source[: len(source) // blocks]
        if pattern.max() < block:
            starts = block * np.arange(blocks)[:, None]
            if (source.reshape(blocks, -1) == pattern + starts).all():
                return Order(block, pattern, within[0])
    return None


@dataclass(frozen=True, eq=False)
class _Reorder(Streamed):
    """One step for each beat of the result, once the block that it is in has come."""

    input: FeatureMap
    output: FeatureMap

    @property
    @abstractmethod
    def repeated(self) -> tuple[np.ndarray, int]:
        """Places of the least part of the result that repeats itself, and the input elements of that part."""

    @cached_property
    def _orders(self) -> dict[int, Order]:
        places, elements = self.repeated
        lanes = divisors(gcd(self.input.channels, self.output.channels))
        orders = {n: find_order(places, elements, n) for n in lanes}
        return {n: order for n, order in orders.items() if order}

    def foldings(self) -> Iterable[LaneFolding]:
        return [LaneFolding(lanes) for lanes in self._orders]


class ReorderUnit(StreamedUnit, computes=_Reorder):
    """Hardware for :class:`_Reorder`."""

    op: "_Reorder"

    @property
    def order(self) -> Order:
        """What goes where, for beats of so many lanes."""
        return self.op._orders[self.folding.lanes]

    @property
    def depth(self) -> int:
        return 1 + self.order.lookup_latency

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        order = self.order
        steps = np.arange(self.op.output.elements // self.folding.lanes)
        per_block = len(order.pattern)
        need, release = (steps // per_block + 1) * order.block, (steps + 1) // per_block * order.block
        take = Take(need, release, order.capacity, start_delay=1)
        give = Give(steps + 1, self.latency + behind(self.queue), self.queue)
        return (Actor(type(self.op).__name__.lower(), np.ones_like(steps), (take,), (give,)),)

    @property
    def hardware(self) -> Hardware:
        order, width = self.order, self.op.input.type.width * self.folding.lanes
        address, level = index_bits(order.words), order.capacity.bit_length()
        levels = 2 * stepper(level) + below(level, order.block)
        levels += Logic(logic=8, register=1 + self.depth)
        logic = levels + counter(order.words) + read_register(width, order.words)
        memories = [ram_need("store", width, order.words)]
        if order.loops is None:
            wrap = 2 * (adder(address) + wrapped(address)) + Logic(register=address)
            contents = Columns.of(order.pattern[:, None], [_address_bits(order)])
            logic += loop(len(order.pattern)) + wrap + delayed(address, order.lookup_latency)
            logic += Logic(register=contents.registers)
            memories.append(rom_need("order", _address_bits(order), len(order.pattern), contents))
        else:
            logic += total(loop(count) for count, _ in order.loops) + running(address, len(order.loops), modulus=True)
        return Hardware(logic, memories)

    def block(self) -> wiring.Component:
        return _ReorderBlock(self)


def _address_bits(order: Order) -> int:
    return max(order.block - 1, 1).bit_length()


@dataclass(frozen=True, eq=False)
class Rearrange(_Reorder):
    """Element ``n`` of the output is element ``places[n]`` of the input's raster."""

    places: np.ndarray

    sites = ("Rearrange",)

    @classmethod
    def from_site(cls, site: Site) -> "Rearrange | None":
        if (site.attributes["places"] == NOWHERE).any():
            return None
        return cls(site.input.map, site.output.map, site.attributes["places"])

    @property
    def repeated(self) -> tuple[np.ndarray, int]:
        return self.places, self.input.elements

    def golden(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1)[:, self.places]


@dataclass(frozen=True, eq=False)
class Upsample(_Reorder):
    """Every pixel ``scales`` times (rows, columns)."""

    scales: tuple[int, int]

    sites = ("Rearrange",)

    @classmethod
    def from_site(cls, site: Site) -> "Upsample | None":
        source, result = site.input.map, site.output.map
        if result.height % source.height or result.width % source.width:
            return None
        op = cls(source, result, (result.height // source.height, result.width // source.width))
        places = np.arange(source.elements).reshape(1, *source.shape)
        return op if np.array_equal(op.golden(places)[0], site.attributes["places"]) else None

    @property
    def repeated(self) -> tuple[np.ndarray, int]:
        """One row."""
        row = np.arange(self.input.width * self.input.channels).reshape(1, 1, self.input.width, self.input.channels)
        return self.golden(row), row.size

    def golden(self, x: np.ndarray) -> np.ndarray:
        return x.repeat(self.scales[0], axis=1).repeat(self.scales[1], axis=2)


@dataclass(frozen=True, eq=False)
class ShuffleChannels(_Reorder):
    """Channels in another order, some left out or repeated: output channel ``n`` is input channel ``order[n]``."""

    channels: np.ndarray

    sites = ("Rearrange",)

    @classmethod
    def from_site(cls, site: Site) -> "ShuffleChannels | None":
        source, result = site.input.map, site.output.map
        if source.shape[:2] != result.shape[:2]:
            return None
        channels = site.attributes["places"][0, 0]
        op = cls(source, result, channels)
        if channels.min() < 0 or channels.max() >= source.channels:
            return None
        places = np.arange(source.elements).reshape(1, *source.shape)
        return op if np.array_equal(op.golden(places)[0], site.attributes["places"]) else None

    @property
    def repeated(self) -> tuple[np.ndarray, int]:
        """One pixel."""
        return self.channels, self.input.channels

    def golden(self, x: np.ndarray) -> np.ndarray:
        return x[..., self.channels]


class _ReorderBlock(StreamedBlock):
    """A ring of two blocks: a block is read in its new order once all of it has come, then its places are free."""

    unit: "ReorderUnit"
    op: "_Reorder"

    def elaborate(self, platform):
        m = Module()
        order, outlet, (source,) = self.unit.order, self.outlet(m), self.sources
        block, go, stored = order.block, Signal(), Signal()
        loops = order.loops if order.loops is not None else [(len(order.pattern), 0)]
        nest = LoopNest(m, [(f"loop_{n}", count) for n, (count, _) in enumerate(loops)] or [("loop_0", 1)], go)
        outermost = nest.names[-1]
        first, last = nest.first(outermost), nest.last(outermost)
        free, here = Signal(range(order.capacity + 1), init=order.capacity), Signal(range(order.capacity + 1))
        left, enough = Signal(range(order.capacity + 1)), Signal()
        m.d.comb += [
            source.ready.eq(free != 0),
            stored.eq(source.valid & source.ready),
            go.eq(outlet.permit & (~first | enough)),
            left.eq(here + stored - Mux(go & first, block, 0)),
        ]
        m.d.sync += [
            here.eq(left),
            enough.eq(left >= block),
            free.eq(free - stored + Mux(go & last, block, 0)),
        ]
        data = self._memory(m, order, stored, self._address(m, order, nest, go & last))
        push = delay(m, go, self.unit.depth, "push", reset_less=False)
        m.d.comb += [outlet.debit.eq(go), outlet.push.eq(push)]
        width = self.op.input.type.width
        for lane, origin in enumerate(order.lanes):
            m.d.comb += outlet.payload.as_value().word_select(lane, width).eq(data.word_select(int(origin), width))
        return m

    def _memory(self, m: Module, order: Order, stored: Signal, address: Signal):
        """Written as beats come; the word at ``address`` a cycle later."""
        (source,) = self.sources
        bits = source.payload.as_value()
        write, read = ram_ports(m, "store", len(bits), order.words)
        m.d.comb += [write.en.eq(stored), write.data.eq(bits), read.addr.eq(address)]
        with m.If(stored):
            m.d.sync += write.addr.eq(wrapping_increment(write.addr, order.words))
        return read.data

    def _address(self, m: Module, order: Order, nest: LoopNest, next_block) -> Signal:
        """Of the word to read: kept up by an adder, or the block's start and what a ROM says."""
        words, steps = order.words, {"frame": order.block}
        if order.loops is not None:
            steps |= {f"loop_{n}": step for n, (_, step) in enumerate(order.loops)}
            return nest.affine("address", steps, int(order.pattern[0]), words)
        m.submodules.order = rom = Rom(order.pattern.tolist(), _address_bits(order))
        base, address = Signal(range(words)), Signal(range(words))
        with m.If(next_block):
            moved = base + order.block
            m.d.sync += base.eq(Mux(moved >= words, moved - words, moved))
        total = delay(m, base, rom.latency, "base", reset_less=False) + rom.data
        m.d.comb += [
            rom.address.eq(nest.index["loop_0"]),
            address.eq(Mux(total >= words, total - words, total)),
        ]
        return address
