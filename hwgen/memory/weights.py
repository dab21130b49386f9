"""Where the weights of a layer are: in a ROM of block RAM or LUTs, in a store that is loaded, or in a device's large
RAM (SPRAM or UltraRAM), loaded as well."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from hwgen.cost.logic import Logic, index_bits
from hwgen.cost.needs import HUGE, ULTRA, MemoryNeed
from hwgen.hdl.contents import Contents
from hwgen.memory.rom import LAST_LOGIC_DEPTH, LOGIC_DEPTH, Columns, Rom, rom_latency, rom_need, rom_style
from hwgen.memory.store import Store, StoreShape

ROM, LUTS, STORE, LARGE = "rom", "luts", "store", "large"


@dataclass(frozen=True, eq=False)
class WeightSource(ABC):
    """``depth`` words of ``fields`` weights of ``bits`` each, which ``values`` makes: int64 [depth, fields].

    ``held``: whether they are in a register of their own at the end (:class:`hwgen.memory.rom.Rom`). ``idle``: bits of
    a word that are 0 in all of them.
    """

    depth: int
    fields: int
    bits: int
    values: Callable[[], np.ndarray]
    held: bool = True
    idle: int = 0

    #: Whether words come over the load bus; and the style of large RAM, where there are none before they do.
    loads: ClassVar[bool] = True
    large: ClassVar[str | None] = None

    @property
    def width(self) -> int:
        """Bits of a word."""
        return self.fields * self.bits

    @property
    def latency(self) -> int:
        """Cycles from address to data."""
        return rom_latency(self.depth, self.held)

    @property
    def contents(self) -> Contents:
        """The words."""
        return Contents.packed(self.values(), self.bits)

    @property
    def problems(self) -> list[str]:
        """Why weights cannot be there; empty if they can."""
        return []

    @property
    def image(self) -> bytes:
        """What loads them."""
        return b""

    @property
    @abstractmethod
    def memories(self) -> tuple[MemoryNeed, ...]:
        """The memories that it takes."""

    @property
    @abstractmethod
    def logic(self) -> Logic:
        """What it takes beside them, without the counter of the words."""

    @abstractmethod
    def component(self) -> Rom | Store:
        """The hardware: ``data`` follows ``address``."""


class RomWeights(WeightSource):
    """Fixed, in block RAM, or in LUTs where there are few words."""

    loads = False

    @property
    def style(self) -> str:
        """Where the ROM goes."""
        return rom_style(self.depth)

    @cached_property
    def _columns(self) -> Columns | None:
        """Its bits where words are few; None where they are not, for then hardly any two bits are the same."""
        return None if self.depth > LOGIC_DEPTH else Columns.of(self.values(), self.bits)

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        need = rom_need("weights", self.width, self.depth, self._columns, self.style)
        return (replace(need, kept=need.kept - self.idle) if self._columns is None else need,)

    @property
    def logic(self) -> Logic:
        if not self.held:
            return Logic()
        return Logic(register=self._columns.registers if self._columns else self.width - self.idle)

    def component(self) -> Rom:
        return Rom(self.contents, self.width, self.held, self.style)


class LutWeights(RomWeights):
    """Fixed, in LUTs though there are more words than usually go there."""

    style = "logic"

    @property
    def logic(self) -> Logic:
        return super().logic + Logic(register=index_bits(self.depth))

    @property
    def problems(self) -> list[str]:
        if LOGIC_DEPTH < self.depth <= LAST_LOGIC_DEPTH:
            return []
        return [
            f"{self.depth} words of weights are not {LOGIC_DEPTH + 1} to {LAST_LOGIC_DEPTH} (weights {LUTS!r}): "
            f"weights {ROM!r} for fewer or more"
        ]


class StoredWeights(WeightSource):
    """In RAM that is loaded, and holds them at power-up."""

    @property
    def shape(self) -> StoreShape:
        """The store."""
        return StoreShape(self.width, self.depth, self.large, self.held)

    @property
    def image(self) -> bytes:
        return self.shape.image(self.contents)

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        return self.shape.needs("weights")

    @property
    def logic(self) -> Logic:
        return self.shape.logic

    def component(self) -> Store:
        return Store(self.contents, self.large, self.held)


class UltraWeights(StoredWeights):
    """In UltraRAM, which holds nothing at power-up."""

    large = ULTRA

    @property
    def problems(self) -> list[str]:
        if self.depth > LOGIC_DEPTH:
            return []
        name = next(name for name, kind in WEIGHT_SOURCES.items() if kind is type(self))
        return [
            f"{self.depth} words of weights are too few for large RAM (weights {name!r}): {LOGIC_DEPTH + 1} or more"
        ]


class LargeWeights(UltraWeights):
    """In SPRAM, likewise; it is slow, and has a register behind it."""

    large = HUGE

    @property
    def latency(self) -> int:
        return rom_latency(self.depth)

    @property
    def shape(self) -> StoreShape:
        return StoreShape(self.width, self.depth, self.large)

    def component(self) -> Store:
        return Store(self.contents, self.large)


#: By what a plan calls them.
WEIGHT_SOURCES: dict[str, type[WeightSource]] = {
    ROM: RomWeights,
    LUTS: LutWeights,
    STORE: StoredWeights,
    LARGE: LargeWeights,
    ULTRA: UltraWeights,
}

#: The places that hold nothing at power-up, by the style of the RAM.
LARGE_PLACES = {kind.large: name for name, kind in WEIGHT_SOURCES.items() if kind.large}
