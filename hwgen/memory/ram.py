"""RAM: where one of so many words goes, what it takes, and the register behind it."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from amaranth.hdl import Module, unsigned
from amaranth.lib import memory

from hwgen.cost.logic import Logic
from hwgen.cost.needs import HUGE, ULTRA, MemoryNeed

#: Width and depth of a RAM.
Shape = tuple[int, int]

#: Up to this many words a RAM is made of LUTs: the smallest block RAM is 512 words deep.
LUTRAM_DEPTH = 64

#: The shapes of RAMs that go to UltraRAM in what is being elaborated.
_ULTRA: ContextVar[frozenset[Shape]] = ContextVar("ultra", default=frozenset())


def ram_style(depth: int) -> str:
    """Where a RAM of ``depth`` words goes unless said otherwise: ``"lutram"`` or ``"block"``."""
    return "lutram" if depth <= LUTRAM_DEPTH else "block"


def slow(depth: int) -> bool:
    """Whether a RAM of ``depth`` words is slow without a register more behind it, which it has in itself: block RAM."""
    return ram_style(depth) == "block"


#: How the styles of RAM are spelled for synthesis tools.
RAM_ATTRIBUTES: Mapping[str, Mapping[str, Any]] = {
    "lutram": {"ram_style": "distributed"},
    "block": {"ram_style": "block", "no_rw_check": 1},
    HUGE: {"ram_style": "huge"},
    ULTRA: {"ram_style": "ultra", "no_rw_check": 1},
}


@contextmanager
def in_ultra(shapes: Collection[Shape]) -> Iterator[None]:
    """While something is elaborated in it, :func:`ram_ports` puts RAMs of ``shapes`` that would go to block RAM into
    UltraRAM. A simulation is the same either way: both are read a cycle later."""
    before = _ULTRA.set(frozenset(shapes))
    try:
        yield
    finally:
        _ULTRA.reset(before)


def ram_need(name: str, width: int, depth: int, style: str | None = None) -> MemoryNeed:
    """A RAM with one port to write and one to read, of the :func:`ram_style` for its depth unless said otherwise."""
    return MemoryNeed(name, "ram", style or ram_style(depth), width, depth, width, empty=style is None)


def ram_ports(m: Module, name: str, width: int, depth: int, style: str | None = None, domain: str = "sync"):
    """The RAM of such a need, added to ``m``: its ports to write and to read, this one in ``domain``."""
    where = style or ram_style(depth)
    if style is None and where == "block" and (width, depth) in _ULTRA.get():
        where = ULTRA
    attributes = RAM_ATTRIBUTES[where]
    m.submodules[name] = store = memory.Memory(shape=unsigned(width), depth=depth, init=[], attrs=attributes)
    write, read = store.write_port(), store.read_port(domain=domain)  # what Verilog calls them, too
    return write, read


def read_register(width: int, depth: int) -> Logic:
    """The register behind a RAM that is read a cycle later: part of a block RAM, beside one of LUTs."""
    return Logic(register=width if ram_style(depth) == "lutram" else 0)
