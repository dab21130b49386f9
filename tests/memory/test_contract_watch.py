"""What hardware says of a memory that breaks its contract: every beat that is late is counted, and no other."""

from dataclasses import replace
from fractions import Fraction

import pytest

from hwgen.memory.dram.contract import Contract
from hwgen.memory.dram.port import MemoryRead, ReadPort
from hwgen.simulate.dram import BROKEN, RANDOM, WORST, Bank, Memory, ReadMemory
from hwgen.testing import Simulated

from .test_read_master import CASES, FRAMES, image


class Seen:
    """When bursts are asked for, and when beats come."""

    def __init__(self, port):
        self.port, self.asked, self.came, self.late, self.held = port.memory, [], [], 0, False

    def __call__(self, ctx, cycle: int) -> None:
        ar, r = self.port.ar, self.port.r
        if ctx.get(ar.valid) and not self.held:
            self.asked.append((cycle, ctx.get(ar.payload.len) + 1))
        self.held = ctx.get(ar.valid) and not ctx.get(ar.ready)
        if ctx.get(r.valid):
            self.came.append(cycle)
        self.late = ctx.get(self.port.late)

    def counted(self, read: MemoryRead) -> int:
        """The beats that came later than from the contract's server."""
        took, free, due = read.contract.beats(read.region.beats, read.region.bus), 0, []
        for asked, beats in self.asked:
            for _ in range(beats):
                free = max(asked, free) + int(took[len(due) % read.region.beats])
                due.append(free + read.contract.latency)
        return sum(came > until for came, until in zip(self.came, due, strict=True))


def seen(read: MemoryRead, contract: Contract, memory: Memory) -> Seen:
    """``read`` from a memory that keeps another ``contract``, or not even that."""
    port = ReadPort(read)
    watch = Seen(port)
    bank = Bank(image(read.region), read.region, contract, memory, frames=FRAMES)
    memories = [ReadMemory(port.memory, bank)]
    Simulated(port)({}, {"o": FRAMES * read.region.beats}, watch=watch, memories=memories)
    return watch


#: The first reads four times as much as the others.
READS = [MemoryRead(*case) for case in CASES[1:]]


@pytest.mark.parametrize("read", READS)
def test_nobody_is_late_who_keeps_the_contract(read):
    for memory in (Memory(WORST), Memory(RANDOM, 4)):
        watch = seen(read, read.contract, memory)
        assert watch.late == watch.counted(read) == 0


@pytest.mark.parametrize("read", READS)
def test_a_cycle_is_noticed(read):
    watch = seen(read, replace(read.contract, latency=read.contract.latency + 1), Memory(WORST))
    assert watch.late == watch.counted(read) > 0


@pytest.mark.parametrize("read", READS)
def test_every_beat_that_is_late_is_counted(read):
    slower = replace(read.contract, rate=read.contract.rate * Fraction(3, 4))
    for contract, memory in ((slower, Memory(WORST)), (slower, Memory(RANDOM, 1)), (read.contract, Memory(BROKEN))):
        watch = seen(read, contract, memory)
        assert watch.late == watch.counted(read)
    assert watch.late > 0


def test_a_full_count_stays(monkeypatch):
    monkeypatch.setattr("hwgen.memory.dram.watch.LATE", 2)
    watch = seen(READS[0], READS[0].contract, Memory(BROKEN))
    assert watch.late == 3 < watch.counted(READS[0])
