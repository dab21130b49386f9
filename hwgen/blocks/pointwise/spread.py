"""Operands that are broadcast: each beat is taken once and given again wherever the result needs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal

from hwgen.blocks.arith.arithmetic import register
from hwgen.cost.actor import counting
from hwgen.cost.logic import Logic, index_bits, running
from hwgen.cost.needs import MemoryNeed
from hwgen.memory.loops import LoopNest
from hwgen.memory.ram import ram_need, ram_ports, read_register

#: The loops over the result, outermost first.
LOOPS = ("y", "x", "word")
#: Cycles from a step to the operand where it is broadcast.
SPREAD_LATENCY = 2


@dataclass(frozen=True)
class Spread:
    """How an operand of ``own`` rows, columns and words covers ``full`` of them: some of ``own`` are 1 instead.

    Along the innermost such loops the beat at hand is held. Beats that come again after others wait in a RAM of
    ``depth`` words.
    """

    own: tuple[int, int, int]
    full: tuple[int, int, int]

    @property
    def loops(self) -> tuple[str, ...]:
        """The loops along which beats come again."""
        return tuple(loop for loop, own, full in zip(LOOPS, self.own, self.full, strict=True) if own != full)

    @property
    def held(self) -> tuple[str, ...]:
        """Those of them within which nothing else comes."""
        inner = 3
        while inner and (LOOPS[inner - 1] in self.loops or self.full[inner - 1] == 1):
            inner -= 1
        return tuple(loop for loop in LOOPS[inner:] if loop in self.loops)

    @property
    def depth(self) -> int:
        """Words that wait for their turn; 0 where none do."""
        outer = [loop for loop in self.loops if loop not in self.held]
        return prod(self.own[LOOPS.index(outer[0]) + 1 :]) if outer else 0

    @property
    def addresses(self) -> dict[str, int]:
        """Steps of the RAM's address along the loops."""
        steps = [prod(self.own[at + 1 :]) if own > 1 else 0 for at, own in enumerate(self.own)]
        return {loop: step if step < self.depth else 0 for loop, step in zip(LOOPS, steps, strict=True)}

    @property
    def need(self) -> np.ndarray:
        """Beats taken up to and including each step."""
        if not self.loops:
            return counting(prod(self.full))
        taken = np.ones(self.full, np.int64)
        for axis, loop in enumerate(LOOPS):
            if loop in self.loops:
                taken[(slice(None),) * axis + (slice(1, None),)] = 0
        return taken.ravel().cumsum()

    def logic(self, width: int) -> Logic:
        """Counted bits of :func:`spread_operand`."""
        held = Logic(mux=width, logic=4, register=2 * width + 2)
        if not self.depth:
            return held
        address = running(index_bits(self.depth), len(LOOPS)) + Logic(register=index_bits(self.depth))
        return held + Logic(mux=width) + address + read_register(width, self.depth)

    def memories(self, width: int) -> Sequence[MemoryNeed]:
        """What is kept of an operand of ``width`` bits to give it again."""
        return [ram_need("operand", width, self.depth)] if self.depth else []


def again(nest: LoopNest, loops: Sequence[str]):
    """Whether any of ``loops`` is past its first iteration."""
    return Cat(nest.index[loop] != 0 for loop in loops).any()


def spread_operand(m: Module, name: str, spread: Spread, nest: LoopNest, step: Signal, payload) -> Signal:
    """The operand's bits, :data:`SPREAD_LATENCY` cycles after each ``step`` of ``nest``.

    In a step in which no loop of ``spread`` is past its first iteration, ``payload`` is the beat that is taken.
    """
    width = len(payload)
    held = Signal(width, name=f"{name}_held", reset_less=True)
    came = register(m, payload, f"{name}_came", width)
    fresh = register(m, ~again(nest, spread.loops), f"{name}_fresh", reset_less=False)
    keep = register(m, ~step | again(nest, spread.held), f"{name}_keep", reset_less=False)
    waiting = _ram(m, name, spread, nest, came, fresh & ~keep) if spread.depth else came
    m.d.sync += held.eq(Mux(keep, held, Mux(fresh, came, waiting)))
    return held


def _ram(m: Module, name: str, spread: Spread, nest: LoopNest, came: Signal, fresh):
    """Written a cycle after a beat was taken, read as a step starts: the same word at least two steps later."""
    address = nest.affine(f"{name}_address", spread.addresses, modulus=None)
    later = Signal.like(address, name=f"{name}_address_1")
    write, read = ram_ports(m, f"{name}_store", len(came), spread.depth)
    m.d.sync += later.eq(address)
    m.d.comb += [write.en.eq(fresh), write.addr.eq(later), write.data.eq(came), read.addr.eq(address)]
    return read.data
