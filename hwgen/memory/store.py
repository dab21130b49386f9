"""Memories whose words come over a chain of byte-wide buses, from one store to the next.

Each store takes as many bytes as it holds and passes the others on, so nothing decodes an address across the chip. It
is cut into columns of up to :data:`COLUMN` bits, each a RAM with a write enable of its own; a word of a column
is collected in a register that all columns of a store share.
"""

import builtins
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.logic import Logic, index_bits, stepper
from hwgen.cost.needs import MemoryNeed
from hwgen.hdl.contents import Contents
from hwgen.hdl.elements import LOADED, Library

from .ram import RAM_ATTRIBUTES, ram_need, ram_style
from .rom import rom_latency

#: Bits of a column: the widest word of most block RAMs, of which their narrower ones are parts.
COLUMN = 36
#: The same of large RAM (SPRAM).
LARGE_COLUMN = 16

#: One byte in every cycle with ``strobe``; ``start``, a cycle or more before the first, makes stores begin anew.
LOAD_BUS = wiring.Signature({"start": Out(1), "strobe": Out(1), "data": Out(8)})

#: What a block has through which the chain of buses leads.
LOAD_PORTS = {"load": In(LOAD_BUS), "loaded": Out(LOAD_BUS)}


@dataclass(frozen=True)
class StoreShape:
    """A store of ``depth`` words of ``width`` bits; ``huge``: in RAM of the device's large kind, which has one port,
    and nothing in it at power-up; ``held``: as of a :class:`hwgen.memory.rom.Rom`."""

    width: int
    depth: int
    huge: bool = False
    held: bool = True

    @property
    def style(self) -> str:
        """``"registers"`` for a single word, else where its columns go (:func:`hwgen.memory.rom.ram_style`)."""
        if self.huge:
            return "huge"
        return "registers" if self.depth == 1 else ram_style(self.depth)

    @property
    def latency(self) -> int:
        """Cycles from address to data, as of a :class:`hwgen.memory.rom.Rom`; a single word is there all the time."""
        return rom_latency(self.depth, self.held)

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """Bits of each column."""
        most = LARGE_COLUMN if self.huge else COLUMN
        whole, rest = divmod(self.width, most)
        return (most,) * whole + ((rest,) if rest else ())

    @cached_property
    def column_bytes(self) -> tuple[int, ...]:
        """Bytes in which a word of each column comes, the lowest first."""
        return tuple(-(-width // 8) for width in self.columns)

    @property
    def bytes(self) -> int:
        """All that it takes."""
        return self.depth * sum(self.column_bytes)

    @property
    def collected(self) -> int:
        """Bytes of the register in which a word is collected."""
        return self.column_bytes[0]

    def needs(self, name: str) -> tuple[MemoryNeed, ...]:
        """The RAMs of its columns; a single word is in registers."""
        if self.style == "registers":
            return ()
        return tuple(ram_need(f"{name}{n}", width, self.depth, self.style) for n, width in enumerate(self.columns))

    @property
    def logic(self) -> Logic:
        """Counted bits beside the memory: the word being collected, where it goes, the bus, and registers behind."""
        columns, place = len(self.columns), index_bits(self.depth)
        behind = {"registers": 1, "block": self.held, "huge": self.held, "lutram": self.latency}[self.style]
        shared = Logic(mux=place, logic=1) if self.huge else Logic()  # one port to write and to read
        count = stepper(place) + stepper(index_bits(self.collected)) + Logic(register=place, logic=place)
        turns = Logic(register=columns * (2 if columns > 1 else 1), logic=columns)
        bus = Logic(register=10 + 1, logic=6)  # start, strobe, data; and whether it is full
        return count + turns + bus + shared + Logic(register=8 * self.collected + behind * self.width)

    def cut(self, contents: Contents) -> list[Contents]:
        """What each column holds of ``contents``."""
        bits = np.unpackbits(contents.rows, axis=1, count=self.width, bitorder="little")
        ends = [0, *np.cumsum(self.columns).tolist()]
        return [
            Contents(np.packbits(bits[:, low:high], axis=1, bitorder="little"), high - low)
            for low, high in pairwise(ends)
        ]

    def image(self, contents: Contents) -> builtins.bytes:
        """``contents`` as the bytes that load them: word by word, column by column."""
        return np.concatenate([column.rows for column in self.cut(contents)], axis=1).tobytes()


def images(*contents: Contents) -> bytes:
    """What loads stores with ``contents``, one after the other."""
    return b"".join(StoreShape(words.width, len(words)).image(words) for words in contents)


class Store(wiring.Component):
    """``data`` follows ``address`` by :attr:`latency` cycles, like that of a ROM; ``contents`` are there at power-up,
    unless it is ``huge``.

    ``load`` brings other contents, in the order of :meth:`StoreShape.image`; what it does not take leaves by
    ``loaded``, a cycle later. The last byte is in its place three cycles after it came.
    """

    #: Cycles by which a store delays what it passes on.
    PASSING = 1

    def __init__(self, contents: Contents, huge: bool = False, held: bool = True):
        self.contents, self.shape = contents, StoreShape(contents.width, len(contents), huge, held)
        self.latency = self.shape.latency
        ports = {"address": In(range(max(self.shape.depth, 2))), "data": Out(unsigned(contents.width))}
        super().__init__(ports | LOAD_PORTS)

    def elaborate(self, platform):
        m = Module()
        enables, address, word = self._collect(m)
        column = {"registers": self._registers, "huge": self._large}.get(self.shape.style, self._memory)
        if self.shape.huge:
            address = self._shared(m, enables, address)
        parts = []
        for n, (contents, size) in enumerate(zip(self.shape.cut(self.contents), self.shape.column_bytes, strict=True)):
            start = 8 * (self.shape.collected - size)
            given = word[start : start + contents.width]
            parts.append(column(m, n, contents, enables[n], address, given, platform))
        m.d.comb += self.data.eq(Cat(*parts))
        return m

    def _collect(self, m: Module) -> tuple[Signal, Signal, Signal]:
        """Columns to be written in this cycle, where, and what: the highest bytes of a word."""
        shape, load = self.shape, self.load
        count, most = len(shape.columns), shape.collected
        full, take, ends = Signal(), Signal(), Signal()
        word = Signal(8 * most, reset_less=True)
        place, byte = Signal(range(max(shape.depth, 2))), Signal(range(max(most, 2)), name="byte_index")
        address = Signal(range(max(shape.depth, 2)), reset_less=True)
        turn, enables = Signal(count, init=1), Signal(count)
        last_byte = Mux(turn[-1], shape.column_bytes[-1] - 1, most - 1)
        m.d.comb += [take.eq(load.strobe & ~full), ends.eq(take & (byte == last_byte))]
        m.d.sync += [
            self.loaded.start.eq(load.start),
            self.loaded.strobe.eq(load.strobe & full),
            self.loaded.data.eq(load.data),
            enables.eq(Mux(ends, turn, 0)),
            address.eq(place),
        ]
        with m.If(take):
            m.d.sync += [word.eq(Cat(word[8:], load.data)), byte.eq(Mux(ends, 0, byte + 1))]
        with m.If(ends):
            m.d.sync += turn.eq(turn.rotate_left(1))
            with m.If(turn[-1]):
                m.d.sync += [place.eq(place + 1), full.eq(place == shape.depth - 1)]
        with m.If(load.start):
            m.d.sync += [full.eq(0), place.eq(0), byte.eq(0), turn.eq(1)]
        return enables, address, word

    def _registers(self, m: Module, n: int, contents: Contents, enable, address, given, platform) -> Signal:
        held = Signal(contents.width, name=f"word_{n}", init=contents[0], reset_less=True)
        with m.If(enable):
            m.d.sync += held.eq(given)
        return held

    def _memory(self, m: Module, n: int, contents: Contents, enable, address, given, platform) -> Signal:
        """A RAM with the registers of a ROM."""
        data = Signal(contents.width, name=f"data_{n}")
        if isinstance(platform, Library) and self.shape.style == "block":
            ports = {"address": self.address, "data": data, "enable": enable, "place": address, "given": given}
            ports["held"] = self.shape.held
            m.submodules[f"column_{n}"] = platform.ram(contents, **ports)
            return data
        m.submodules[f"column_{n}"] = store = memory.Memory(
            shape=unsigned(contents.width),
            depth=len(contents),
            init=list(contents),
            attrs={LOADED: 1, **RAM_ATTRIBUTES[self.shape.style]},
        )
        read, write = store.read_port(domain="sync" if self.latency else "comb"), store.write_port()
        m.d.comb += [
            read.addr.eq(self.address),
            write.addr.eq(address),
            write.data.eq(given),
            write.en.eq(enable),
        ]
        value = read.data
        if self.latency > 1:
            value = Signal(contents.width, name=f"held_{n}", reset_less=True)
            m.d.sync += value.eq(read.data)
        m.d.comb += data.eq(value)
        return data

    def _shared(self, m: Module, enables: Signal, written: Signal) -> Signal:
        """The address of large RAM, which has one port: nothing is read while it is loaded."""
        place = Signal.like(written)
        m.d.comb += place.eq(Mux(enables.any(), written, self.address))
        return place

    def _large(self, m: Module, n: int, contents: Contents, enable, address, given, platform) -> Signal:
        """A RAM with one port, and the registers of a ROM."""
        data = Signal(contents.width, name=f"data_{n}", reset_less=True)
        if isinstance(platform, Library):
            ports = {"address": address, "enable": enable, "given": given, "data": data}
            m.submodules[f"column_{n}"] = platform.large_ram(contents.width, len(contents), **ports)
            return data
        m.submodules[f"column_{n}"] = store = memory.Memory(
            shape=unsigned(contents.width), depth=len(contents), init=[], attrs=RAM_ATTRIBUTES["huge"]
        )
        read, write = store.read_port(), store.write_port()
        m.d.comb += [read.addr.eq(address), read.en.eq(~enable)]
        m.d.comb += [write.addr.eq(address), write.en.eq(enable), write.data.eq(given)]
        m.d.sync += data.eq(read.data)
        return data


def bus(m: Module, source, sink) -> None:
    """Join two load buses."""
    m.d.comb += [getattr(sink, name).eq(getattr(source, name)) for name in LOAD_BUS.members]


def pass_on(m: Module, block: wiring.Component, *inside: wiring.Component) -> None:
    """Lead the chain of ``block`` through all that is ``inside`` it, in this order."""
    source = block.load
    for part in inside:
        bus(m, source, part.load)
        source = part.loaded
    bus(m, source, block.loaded)
