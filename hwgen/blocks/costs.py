"""What hardware takes: multipliers, memories, logic, and cycles where they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from hwgen.memory.rom import Columns, ram_style, rom_style

from .logic import Logic


@dataclass(frozen=True)
class Products:
    """``count`` hardware multipliers of ``a`` by ``b`` bits, signed, that make ``each`` products at once; the target
    says what one of them takes."""

    count: int
    a: int
    b: int
    each: int = 1


@dataclass(frozen=True)
class MemoryNeed:
    """A memory of ``depth`` words of ``width`` bits.

    ``kind`` is ``"rom"`` or ``"ram"``; ``style`` says where it goes: ``"block"``, ``"lutram"``, ``"logic"`` or
    ``"huge"``.
    Synthesis keeps ``kept`` bits of a word.
    """

    name: str
    kind: str
    style: str
    width: int
    depth: int
    kept: int

    @property
    def bits(self) -> int:
        return self.width * self.depth


def rom_need(name: str, width: int, depth: int, columns: Columns | None = None) -> MemoryNeed:
    """A :class:`hwgen.memory.rom.Rom`; ``columns`` say which of its bits synthesis keeps, all unless given."""
    style, kept = rom_style(depth), width
    if columns:
        kept = columns.changing if style == "block" else columns.different - columns.wired
    return MemoryNeed(name, "rom", style, width, depth, kept)


def ram_need(name: str, style: str, width: int, depth: int) -> MemoryNeed:
    """A RAM with one port to write and one to read."""
    return MemoryNeed(name, "ram", style, width, depth, width)


def read_register(width: int, depth: int) -> Logic:
    """The register behind a RAM that is read a cycle later: part of a block RAM, beside one of LUTs."""
    return Logic(register=width if ram_style(depth) == "lutram" else 0)


def ring_memory(name: str, width: int, depth: int) -> MemoryNeed:
    """The RAM of a window buffer."""
    return ram_need(name, ram_style(depth), width, depth)


@dataclass(frozen=True)
class Cost:
    """What a unit takes. ``timed`` evaluates its timing when that is asked for."""

    products: tuple[Products, ...]
    memories: tuple[MemoryNeed, ...]
    logic: Logic
    timed: Callable[[], tuple[int, int]]

    @cached_property
    def _timing(self) -> tuple[int, int]:
        return self.timed()

    @property
    def cycles(self) -> int:
        """Per frame in steady state, with a source that always offers and a sink that always takes."""
        return self._timing[0]

    @property
    def latency(self) -> int:
        """Cycles from the first beat taken to the first beat given, in that case."""
        return self._timing[1]

    @property
    def multipliers(self) -> int:
        """Products that hardware multipliers make at once."""
        return sum(product.count * product.each for product in self.products)

    @property
    def memory_bits(self) -> int:
        return sum(memory.bits for memory in self.memories)

    @property
    def area(self) -> int:
        """Bits of everything but multipliers, with memories at a sixteenth: what decides where these are equal."""
        return self.logic.bits + self.memory_bits // 16
