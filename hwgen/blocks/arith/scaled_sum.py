"""The datapath of a :class:`~hwgen.blocks.arith.line.Line`: scaled by small tables and adders, without multipliers."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.arith.arithmetic import AdderTree, delay, register
from hwgen.blocks.arith.line import FEW, Line
from hwgen.blocks.stream import element_shape
from hwgen.cost.logic import Logic, adder, adder_register, adder_tree, clipped, delayed, total
from hwgen.cost.needs import MemoryNeed
from hwgen.graph.types import IntType
from hwgen.memory.rom import Columns, Rom, pack, rom_need

#: Bits of a term that one table takes: what one LUT4 is addressed by.
CHUNK_BITS = 4


def chunks(type_: IntType) -> list[np.ndarray]:
    """What a term is worth by each of its chunks, lowest first: int64 [2^bits] that add up to the term."""
    parts = []
    for low in range(0, type_.width, CHUNK_BITS):
        bits = min(CHUNK_BITS, type_.width - low)
        part = np.arange(1 << bits, dtype=np.int64)
        if type_.signed and low + bits == type_.width:
            part = np.where(part >> (bits - 1), part - (1 << bits), part)
        parts.append(part << low)
    return parts


@dataclass(frozen=True, eq=False)
class ScaledSumPlan:
    """``line`` of integers of types ``terms``; ``pair`` are the types of the table's operands."""

    line: Line
    terms: tuple[IntType, ...]
    pair: tuple[IntType, IntType]
    out: IntType

    @cached_property
    def tables(self) -> list[np.ndarray]:
        """Products by chunk; the first bears the offset too."""
        scaled = zip(self.terms, self.line.multipliers, strict=True)
        tables = [part * by for type_, by in scaled for part in chunks(type_)]
        return [tables[0] + self.line.offset, *tables[1:]]

    @cached_property
    def table_shape(self) -> Shape:
        """Holds whatever stands in a table."""
        low, high = (min(map(np.min, self.tables)), max(map(np.max, self.tables)))
        return element_shape(IntType.holding(min(int(low), -1), int(high)))

    @property
    def corrected(self) -> bool:
        """Whether ties or exceptions are corrected."""
        return self.line.ties is not None or self.excepted

    @property
    def excepted(self) -> bool:
        """Whether the line misses some pairs, by one, which are known by heart."""
        return len(self.line.exceptions) > 0

    @property
    def from_rom(self) -> bool:
        """Whether exceptions are looked up in a ROM of all pairs."""
        return len(self.line.exceptions) > FEW

    @property
    def levels(self) -> int:
        """Of adders."""
        return (len(self.tables) - 1).bit_length()

    @property
    def latency(self) -> int:
        """One register after the tables, one after each level of adders, then one for ties and exceptions and one
        to correct by them where there are any, and one for clipping."""
        return 1 + self.levels + 2 * self.corrected + 1

    @property
    def memories(self) -> list[MemoryNeed]:
        """Tables of the terms, and the ROM of exceptions."""
        width = self.table_shape.width
        tables = zip(self.tables, self._columns, strict=True)
        memories = [rom_need("table", width, len(table), columns) for table, columns in tables]
        if self.from_rom:
            memories.append(rom_need("exceptions", 1, 1 << sum(type_.width for type_ in self.pair)))
        return memories

    @cached_property
    def _columns(self) -> list[Columns]:
        return [Columns.of(table[:, None], [self.table_shape.width]) for table in self.tables]

    def emit(self, m: Module, name: str, terms: Value, pair: Value | int) -> Value:
        """The sum of ``terms``, in a submodule of ``m``; see :class:`ScaledSum`."""
        m.submodules[name] = scaled = ScaledSum(self)
        m.d.comb += [scaled.terms.eq(terms), scaled.pair.eq(pair)]
        return scaled.o

    @property
    def logic(self) -> Logic:
        """Counted bits: a table takes a LUT for each bit of its result that is not always 0."""
        spans, logic = [_span(*each) for each in zip(self.tables, self._columns, strict=True)], Logic()
        logic += Logic(register=sum(columns.registers for columns in self._columns))
        tree = Logic()
        while len(spans) > 1:
            tree += total(_adder(*pair) for pair in _pairs(spans))
            spans = [_sum_span(*pair) for pair in _pairs(spans)]
        whole = adder_tree(self.table_shape.width, len(self.tables))
        apart = Logic(apart_adder=whole.adder - tree.adder, apart_register=whole.register - tree.register)
        logic += tree + apart
        quotient, ties = max(spans[0][1] - self.line.shift, 1), self.line.ties is not None
        if not ties:  # nobody reads what is below the point
            unread = max(min(self.line.shift, spans[0][1]) - spans[0][0], 0)
            logic += Logic(register=-unread, apart_register=unread)
        if self.corrected:
            logic += adder_register(quotient + 1) + Logic(logic=self.line.shift // 3 * ties, register=quotient + ties)
        if self.excepted:
            logic += adder(quotient + 1) + self._exception_logic()
        return (
            logic
            + clipped(quotient + self.corrected, *self.line.clamp, self.out.width)
            + Logic(register=self.out.width)
        )

    def _exception_logic(self) -> Logic:
        """Pairs compared, or what a ROM says delayed."""
        bits, cycles = sum(type_.width for type_ in self.pair), 2 + self.levels
        if self.from_rom:
            return Logic(register=1) + delayed(1, cycles - 2)
        return Logic(logic=len(self.line.exceptions) * bits // 4, register=bits) + delayed(2, cycles - 1)


#: The lowest bit that is ever 1, the width, and how many registers the bits between take.
Span = tuple[int, int, int]


def _span(table: np.ndarray, columns: Columns) -> Span:
    used = int(np.bitwise_or.reduce(table))
    low = (used & -used).bit_length() - 1 if used else 0
    high = IntType.holding(min(int(table.min()), 0), max(int(table.max()), 0)).width
    return low, high, columns.different


def _pairs(spans: list[Span]) -> list[list[Span]]:
    return [spans[at : at + 2] for at in range(0, len(spans), 2)]


def _sum_span(first: Span, second: Span | None = None) -> Span:
    if second is None:
        return first
    low, high = min(first[0], second[0]), max(first[1], second[1]) + 1
    return low, high, high - low


def _adder(first: Span, second: Span | None = None) -> Logic:
    """The sum of two numbers and its register; where they do not overlap nothing is added."""
    _, high, registers = _sum_span(first, second)
    return (adder(high - max(first[0], second[0])) if second else Logic()) + Logic(register=registers)


class ScaledSum(wiring.Component):
    """``o`` is the plan's line of ``terms``, and of ``pair`` where it has exceptions, ``plan.latency`` cycles later:
    a new one in every cycle. Operands lie side by side as bits, the first lowest."""

    def __init__(self, plan: ScaledSumPlan):
        self.plan, self.line = plan, plan.line
        super().__init__(
            {
                "terms": In(sum(type_.width for type_ in plan.terms)),
                "pair": In(sum(type_.width for type_ in plan.pair)),
                "o": Out(element_shape(plan.out)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.tree = tree = AdderTree(self.plan.table_shape, len(self.plan.tables))
        at = 0
        for n, table in enumerate(self.plan.tables):
            bits, width = len(table).bit_length() - 1, self.plan.table_shape.width
            m.submodules[f"table_{n}"] = rom = Rom([pack([value], width) for value in table], width)
            m.d.comb += [rom.address.eq(self.terms[at : at + bits]), tree.i[n].eq(rom.data)]
            at += bits
        total = Signal(tree.o.shape())
        m.d.comb += total.eq(tree.o)
        quotient = total >> self.line.shift
        if self.plan.corrected:
            quotient = self._correct(m, total, quotient)
        low, high = self.line.clamp
        result = Signal(element_shape(self.plan.out), reset_less=True)
        m.d.sync += result.eq(Mux(quotient < low, low, Mux(quotient > high, high, quotient)))
        m.d.comb += self.o.eq(result)
        return m

    def _correct(self, m: Module, total: Signal, quotient: Value) -> Signal:
        """Down on ties, up or down at the exceptions: two registers."""
        down = Signal(reset_less=True)
        if self.line.ties is not None:
            tie = ~total[: self.line.shift].any() if self.line.shift else 1
            m.d.sync += down.eq(tie & (quotient[0] != self.line.ties))
        delta = self._exception(m, 2 + self.plan.levels) if self.plan.excepted else 0
        held = register(m, quotient, "quotient_0")
        return register(m, held - down + delta, "quotient_1", signed(len(quotient) + 1))

    def _exception(self, m: Module, cycles: int) -> Value:
        """What is to be added for ``pair``, ``cycles`` later."""
        if self.plan.from_rom:
            return -self._exception_rom(m, cycles)
        pair = delay(m, self.pair, 1, "pair")
        delta = Signal(signed(2))
        with m.Switch(pair):
            for first, second, value in self.line.exceptions.tolist():
                with m.Case(self._bits(first, second)):
                    m.d.comb += delta.eq(value)
        return delay(m, delta, cycles - 1, "delta").as_signed()

    def _exception_rom(self, m: Module, cycles: int) -> Value:
        words = [0] * (1 << len(self.pair))
        for first, second, _ in self.line.exceptions.tolist():
            words[self._bits(first, second)] = 1
        m.submodules.exceptions = rom = Rom(words, 1)
        m.d.comb += rom.address.eq(self.pair)
        return delay(m, rom.data, cycles - rom.latency, "down")

    def _bits(self, first: int, second: int) -> int:
        """The operands at two table indices, as they lie in ``pair``."""
        a, b = self.plan.pair
        return pack([first + a.min], a.width) | pack([second + b.min], b.width) << a.width
