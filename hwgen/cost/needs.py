"""What hardware takes: multipliers, memories, logic, and cycles where they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from hwgen.cost.logic import Logic

#: The styles of large RAM, which has nothing in it at power-up: with one port (SPRAM), and with two (UltraRAM).
LARGE_STYLES = HUGE, ULTRA = "huge", "ultra"


@dataclass(frozen=True)
class Products:
    """``count`` hardware multipliers of ``a`` by ``b`` bits, signed, that make ``each`` products at once; the target
    says what one of them takes, unless it is a ``cell`` of the device, or made of LUTs (``luts``), which are counted
    as logic."""

    count: int
    a: int
    b: int
    each: int = 1
    cell: bool = False
    luts: bool = False


@dataclass(frozen=True)
class MemoryNeed:
    """A memory of ``depth`` words of ``width`` bits.

    ``kind`` is ``"rom"`` or ``"ram"``; ``style`` says where it goes: ``"block"``, ``"lutram"``, ``"logic"``, or large
    RAM with one port (``"huge"``) or two (``"ultra"``). Synthesis keeps ``kept`` bits of a word. ``empty``: it holds
    nothing at power-up, and has a port to write and one to read, so that it may be in large RAM with two.
    """

    name: str
    kind: str
    style: str
    width: int
    depth: int
    kept: int
    empty: bool = False

    @property
    def bits(self) -> int:
        """All that it holds."""
        return self.width * self.depth


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
        """Products made at once, in hardware multipliers or in LUTs."""
        return sum(product.count * product.each for product in self.products)

    @property
    def memory_bits(self) -> int:
        """Of all memories together."""
        return sum(memory.bits for memory in self.memories)

    @property
    def area(self) -> int:
        """Bits of everything but multipliers, with memories at a sixteenth: what decides where these are equal."""
        return self.logic.bits + self.memory_bits // 16
