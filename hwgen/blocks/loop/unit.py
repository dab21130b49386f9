"""A loop as a unit: its cycles, what it takes, and what it reads of memory."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hwgen.blocks.array.multiplier import PAIR, SINGLE
from hwgen.blocks.loop import count
from hwgen.blocks.loop.hardware import LoopBlock
from hwgen.blocks.loop.looped import LoopedLayers
from hwgen.blocks.loop.programme import LEAST, LoopFolding, Programme
from hwgen.blocks.operator import Operator, OperatorUnit
from hwgen.cost.actor import Actor, Give, Take
from hwgen.cost.needs import Cost
from hwgen.memory.dram.contract import Region
from hwgen.memory.dram.port import MemoryRead
from hwgen.memory.queue import Outlet, queue_depth


@dataclass(frozen=True)
class LoopUnit(OperatorUnit):
    """Hardware for :class:`hwgen.blocks.loop.looped.LoopedLayers`. Its last input are beats of weights."""

    op: LoopedLayers
    folding: LoopFolding

    folds = LoopFolding
    settings_in = "loop"
    several = True

    #: From the end of a step to its beat being pushed: memory, its register, the part of the word.
    GIVES = 3

    @classmethod
    def suits(cls, op: Operator) -> bool:
        return isinstance(op, LoopedLayers)

    @property
    def computed(self) -> tuple[Any, ...]:
        return self.op.looped

    @cached_property
    def programme(self) -> Programme:
        """What it does with a frame."""
        return Programme(self.op, self.folding)

    @cached_property
    def memory(self) -> MemoryRead:
        region = Region(self.programme.read, self.folding.bus)
        return MemoryRead(region, self.folding.contract, self.folding.places, self.programme.replay)

    @property
    def memory_image(self) -> bytes:
        return self.programme.image

    @property
    def latency(self) -> int:
        """From the end of a step to its beat being offered."""
        return self.GIVES + Outlet.LATENCY - 1

    @property
    def queue(self) -> int:
        """Places of the outlet's queue."""
        return queue_depth(self.latency, 1, 1)

    def problems(self) -> list[str]:
        """Why it cannot be built; empty if it can."""
        folding, found = self.folding, []
        for name, lanes in (("portion", folding.portion), ("outputs", folding.outputs)):
            if lanes % folding.lanes:
                found.append(f"lanes {folding.lanes} do not divide {name} {lanes}: a divisor of both")
        ends = ("lanes_in", folding.lanes_in, self.op.input), ("lanes_out", folding.lanes_out, self.op.output)
        for name, lanes, map_ in ends:
            if map_.channels % lanes:
                found.append(f"{name} {lanes} does not divide the {map_.channels} channels of a pixel")
            if (lanes != map_.channels and folding.portion % lanes) or lanes > folding.portion:
                found.append(f"{name} {lanes} does not divide portion {folding.portion}: a divisor, or a whole pixel")
        for name, value in (("bus", folding.bus), ("portion / lanes", folding.portion // folding.lanes or 1)):
            if value < 1 or value & (value - 1):
                found.append(f"{name} is {value}: a power of 2")
        if folding.positions < LEAST:
            found.append(f"positions {folding.positions} (limit {LEAST} or more)")
        if folding.products not in (SINGLE, PAIR):
            found.append(f"products {folding.products} a multiplier (limit {SINGLE} or {PAIR})")
        if not folding.promises:
            found.append(f'rate {folding.rate!r} is not a number of bytes a cycle over 0, as text: "8" or "16/3"')
        return found or self._waiting()

    def _waiting(self) -> list[str]:
        """What is wrong with the places for beats that wait."""
        read, found = self.memory, []
        if read.places < read.region.burst:
            found.append(f"places {read.places} do not hold a burst (limit {read.region.burst} or more)")
        if read.replay and read.replay.places < read.replay.least:
            found.append(f"kept {read.replay.places} does not hold a set (limit {read.replay.least} or more, or 0)")
        return found

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        programme, folding = self.programme, self.folding
        come, go = self.op.input.elements // folding.lanes_in, self.op.output.elements // folding.lanes_out
        holds = programme.holds
        busy = np.concatenate([np.ones(come, np.int64), np.stack([np.ones_like(holds), holds - 1], 1).ravel(),
                               np.ones(go, np.int64)])  # fmt: skip
        middle = 2 * len(holds)
        taken = np.concatenate([np.arange(1, come + 1), np.full(middle + go, come)])
        given = np.concatenate([np.zeros(come + middle, np.int64), np.arange(1, go + 1)])
        give = Give(given, self.latency, self.queue)
        return (Actor("loop", busy, (Take(taken), self._weights(come, go)), (give,)),)

    def _weights(self, come: int, go: int) -> Take:
        """A hold takes its word as it begins; then the next word may come, and constants behind that."""
        beats, word = self.programme.beats, self.programme.word_beats
        total = int(beats[-1])
        further = np.concatenate([beats, beats + total, beats + 2 * total])
        room = further[2 : 2 + len(beats)] - word  # what may have come when the hold has begun
        places = int(further[1]) - word
        begun = np.cumsum(self.programme.takes)
        need, release = (np.r_[0, counts][begun] for counts in (beats, room - places))
        need = np.concatenate([np.zeros(come, np.int64), np.repeat(need, 2), np.full(go, total)])
        release = np.concatenate([np.zeros(come, np.int64), np.repeat(release, 2), np.full(go, total)])
        return Take(need, release, places, start_delay=1)

    def block(self) -> LoopBlock:
        return LoopBlock(self, self.programme, self.queue)

    @cached_property
    def cost(self) -> Cost:
        programme, queue = self.programme, self.queue
        found = count.logic(programme, queue), count.memories(programme, queue), count.products(programme)
        return self.costing(*found)
