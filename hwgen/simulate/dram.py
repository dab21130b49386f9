"""A memory behind an AXI read port in Amaranth's simulator: as slow as its contract allows, at random within it, or
beyond it."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from random import Random
from typing import NamedTuple

import numpy as np

from hwgen.dataflow.plan import Plan
from hwgen.graph.errors import InputError
from hwgen.memory.dram.contract import MOST_BEATS, PAGE, Contract, Region
from hwgen.memory.dram.port import memory_names

#: As slow as the contract allows; anything within it; later than it allows.
WORST, RANDOM, BROKEN = "worst", "random", "broken"
MODES = (WORST, RANDOM, BROKEN)
#: Where the first region begins in a simulated memory, in pages.
FIRST_PAGE = 3
#: A byte of what is no answer.
POISON = b"\xa5"
#: How much later than its contract a broken memory answers.
LATE = 4


@dataclass(frozen=True)
class Memory:
    """How a memory behaves, one of :data:`MODES`, with a ``seed`` for what is random."""

    mode: str = WORST
    seed: int = 0

    def __post_init__(self):
        if self.mode not in MODES:
            raise InputError(f"a memory is {', '.join(MODES)}, not {self.mode!r}")

    @staticmethod
    def asked(mode: str | None, seed: int | None) -> "Memory | None":
        """From the options of a command. InputError where there is a seed for nothing that is random."""
        if seed is not None and mode in (None, WORST):
            raise InputError(f"--memory-seed is for --memory {RANDOM} or {BROKEN}; leave it out")
        return None if mode is None else Memory(mode, seed or 0)


@dataclass(frozen=True, eq=False)
class Bank:
    """A memory with ``image`` from page ``page`` on, which is read as ``region`` for a number of ``frames``, or without
    end (None), and behaves as ``memory`` says within ``contract``."""

    image: bytes
    region: Region
    contract: Contract
    memory: Memory = Memory()
    page: int = 0
    frames: int | None = None

    @property
    def most(self) -> int | None:
        """Beats after which nothing more is to be asked for."""
        return None if self.frames is None else self.frames * self.region.beats

    @property
    def most_wait(self) -> int:
        """Cycles that a request may wait, as part of the latency: fewer than any burst has beats."""
        if self.memory.mode != RANDOM:
            return 0
        return min(self.contract.latency // 4, self.region.burst - 1, self.region.last - 1)


class MemoryFault(AssertionError):
    """A read that AXI or the memory's contents do not allow."""


class _Burst(NamedTuple):
    """What was asked for: ``beats`` from ``address`` on, in cycle ``asked``."""

    address: int
    beats: int
    asked: int


class ReadMemory:
    """``bank`` behind ``port``, of :attr:`hwgen.memory.dram.port.MemoryRead.port`.

    Beats come in the order asked for. With a number of frames it takes ``go`` back once what these need was asked for.
    It fails at once (:class:`MemoryFault`) where a request is withdrawn or changed, crosses a page, is longer than AXI
    allows, or lies outside the image. ``bytes`` counts what it brought. Where it brings nothing, ``r`` is poison.
    """

    def __init__(self, port, bank: Bank):
        region, contract = bank.region, bank.contract
        self.port, self.image, self.region, self.contract = port, bank.image, region, contract
        self.mode, self.base, self._random = bank.memory.mode, bank.page * PAGE, Random(bank.memory.seed)
        self._most, self._most_wait = bank.most, bank.most_wait
        self.bytes = 0
        self._poison = int.from_bytes(POISON * region.bus, "little")
        self._took = contract.beats(region.beats, region.bus).tolist()
        self._due: deque[tuple[int, int, bool]] = deque()
        self._shown: tuple[int, bool] | None = None
        self._held: tuple[int, int] | None = None
        self._asked = self._wait = self._cycle = self._count = 0
        self._free, self._last_due = 0, -1

    def drive(self, ctx) -> None:
        """Take a request, or let it wait, and offer the beat that is due."""
        if self._cycle == 0:
            ctx.set(self.port.page, self.base // PAGE)
            ctx.set(self.port.go, 1)
        if self._most is not None:
            asks = ctx.get(self.port.ar.payload.len) + 1 if ctx.get(self.port.ar.valid) else 0
            ctx.set(self.port.go, self._count + asks < self._most)
        if self._shown is None and self._due and self._due[0][0] <= self._cycle:
            _, word, last = self._due.popleft()
            self._shown = word, last
            ctx.set(self.port.r.payload.data, word)
            ctx.set(self.port.r.payload.last, last)
            ctx.set(self.port.r.valid, 1)
        elif self._shown is None:
            ctx.set(self.port.r.valid, 0)
            ctx.set(self.port.r.payload.data, self._poison)
        ctx.set(self.port.ar.ready, self._cycle >= self._asked + self._wait if self._held else self._wait == 0)

    def sample(self, ctx, cycle: int) -> None:
        """What moved in this cycle."""
        self._cycle = cycle + 1
        if self._shown is not None and ctx.get(self.port.r.ready):
            self._shown, self.bytes = None, self.bytes + self.region.bus
        asks = ctx.get(self.port.ar.valid)
        request = (ctx.get(self.port.ar.payload.addr), ctx.get(self.port.ar.payload.len)) if asks else None
        if self._held is not None and request != self._held:
            raise MemoryFault(f"cycle {cycle}: the read of {self._held} was withdrawn or changed to {request}")
        if request is None:
            return
        if self._held is None:
            self._asked = cycle
        if ctx.get(self.port.ar.ready):
            self._accept(_Burst(request[0], request[1] + 1, self._asked), cycle)
            self._held, self._wait = None, self._random.randint(0, self._most_wait) if self._most_wait else 0
        else:
            self._held = request

    def _accept(self, burst: _Burst, cycle: int) -> None:
        self._check(burst, cycle)
        at = burst.address - self.base
        for n in range(burst.beats):
            took = self._took[self._count % self.region.beats]
            start = max(burst.asked, self._free)
            self._count, self._free = self._count + 1, start + took
            self._last_due = self._when(start + took, cycle)
            word = self.image[at + n * self.region.bus : at + (n + 1) * self.region.bus]
            self._due.append((self._last_due, int.from_bytes(word, "little"), n == burst.beats - 1))

    def _when(self, served: int, cycle: int) -> int:
        """The cycle in which a beat comes that the contract's server has served by cycle ``served``."""
        if self.mode == WORST:
            return served + self.contract.latency
        if self.mode == BROKEN:
            return max(served + LATE * self.contract.latency, self._last_due + self._random.randint(1, 3))
        soonest = max(cycle, self._last_due) + 1
        return self._random.randint(soonest, max(soonest, served + self.contract.latency - self._most_wait))

    def _check(self, burst: _Burst, cycle: int) -> None:
        size = burst.beats * self.region.bus
        what = f"cycle {cycle}: the read of {size} bytes at {burst.address:#x}"
        if burst.address // PAGE != (burst.address + size - 1) // PAGE:
            raise MemoryFault(f"{what} crosses a page of {PAGE} bytes")
        if burst.beats > MOST_BEATS[self.region.axi]:
            raise MemoryFault(f"{what} has {burst.beats} beats (limit {MOST_BEATS[self.region.axi]})")
        if not self.base <= burst.address <= self.base + len(self.image) - size:
            raise MemoryFault(f"{what} leaves the image of {len(self.image)} bytes at {self.base:#x}")


def first_pages(plan: Plan) -> list[int]:
    """The page at which each region of ``plan`` begins: one behind the other, and not at the memory's very start."""
    pages = [unit.read.pages for unit in plan.memories.values()]
    return list(accumulate(pages, initial=FIRST_PAGE))[:-1]


def banks(plan: Plan, memory: Memory, frames: int) -> list[Bank]:
    """What answers each port of the hardware of ``plan`` while it computes ``frames``, with a seed of its own."""
    made: list[Bank] = []
    for unit, page in zip(plan.memories.values(), first_pages(plan), strict=True):
        own = replace(memory, seed=memory.seed + len(made))
        made.append(Bank(unit.image, unit.read.region, unit.read.contract, own, page, frames))
    return made


def memories(pipeline, plan: Plan, memory: Memory, frames: int) -> list[ReadMemory]:
    """:func:`banks` at the ports of a ``pipeline`` in Amaranth's simulator."""
    ports = (getattr(pipeline, name) for name in memory_names(pipeline))
    return [ReadMemory(port, bank) for port, bank in zip(ports, banks(plan, memory, frames), strict=True)]


def patience(plan: Plan) -> int:
    """Cycles in which even broken memories bring a frame, each burst asked for when the one before is there."""
    reads = [unit.read for unit in plan.memories.values()]
    return sum(LATE * (read.contract.latency * read.region.bursts + int(read.actors[0].busy.sum())) for read in reads)


def beats_of(image: bytes, bus: int) -> Iterator[int]:
    """The words of ``bus`` bytes that a region holds, in order."""
    rows = np.frombuffer(image, np.uint8).reshape(-1, bus)
    return (int.from_bytes(row.tobytes(), "little") for row in rows)
