"""Frames and loads in one stream to a board: how they go over the line, and what takes them apart there."""

import hashlib
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.dataflow.plan import Plan
from hwgen.link.protocol import HELD_BYTES, Message
from hwgen.simulate.load_files import load_rows
from hwgen.top.loader import LoadPlan

#: Beats that the registers at the accelerator's port hold before its gate, which takes a byte a cycle; and to spare.
_AHEAD = 4


def held_by(image: bytes) -> bytes:
    """What a board says that was loaded with ``image``."""
    digest = bytearray(hashlib.sha256(image).digest()[:HELD_BYTES])
    digest[0] |= 1  # gets to its place with the last byte: until then what is held looks like nothing
    return bytes(digest)


def load_message(plan: Plan) -> bytes:
    """The constants of ``plan``, as they go over the line."""
    return bytes((Message.LOAD,)) + load_rows(plan).tobytes() + held_by(plan.load_image())


def frame_messages(content: bytes, frames: int) -> bytes:
    """``frames`` frames, all in ``content``, each as a message."""
    each = np.frombuffer(content, np.uint8).reshape(frames, -1)
    return np.concatenate([np.full((frames, 1), Message.FRAME, np.uint8), each], axis=1).tobytes()


@dataclass(frozen=True)
class Loads:
    """Loads of a design: ``beats`` in each, ``settle`` cycles until all is in its place, and what is ``held`` at
    power-up: 0 where that is nothing."""

    beats: int
    settle: int
    held: bytes

    @staticmethod
    def of(plan: Plan) -> "Loads | None":
        """Those of a design with ``plan``; None where nothing is loaded."""
        if not plan.loading:
            return None
        loads = LoadPlan.of(plan)
        settle = loads.settle + _AHEAD * loads.beat_bytes
        held = bytes(HELD_BYTES) if plan.waits_for_load else held_by(plan.load_image())
        return Loads(loads.load_beats, settle, held)


class Messages(wiring.Component):
    """Takes the stream of bytes ``i`` apart: ``o`` are those of frames of ``beats`` beats and, while ``load`` is 1, of
    loads. ``step``: a beat of them moves, ``full``: one has come together and waits; ``last``: it ends a message.

    ``held`` says which load was the last to be complete. A reset does not change that, as it does not change weights.
    """

    def __init__(self, beats: int, loads: Loads):
        self.beats, self.loads = beats, loads
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "step": In(1),
                "full": In(1),
                "load": Out(1),
                "last": Out(1),
                "held": Out(8 * HELD_BYTES),
            }
        )

    def elaborate(self, platform):
        m = Module()
        loads, first = self.loads, self.i.payload[0]
        held = Signal(8 * HELD_BYTES, init=int.from_bytes(loads.held, "little"), reset_less=True)
        left, settling = Signal(range(max(self.beats, loads.beats))), Signal(range(loads.settle + 1))
        count = Signal(range(HELD_BYTES))
        m.d.comb += [self.held.eq(held), self.last.eq(left == 0), self.o.payload.eq(self.i.payload)]
        with m.FSM():
            with m.State("TAG"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [self.load.eq(first), left.eq(Mux(first, loads.beats - 1, self.beats - 1))]
                    m.next = "BEATS"
                    with m.If(first):
                        m.d.sync += held.eq(0)
            with m.State("BEATS"):
                ends = self.last & self.full
                m.d.comb += [self.o.valid.eq(self.i.valid & ~ends), self.i.ready.eq(self.o.ready & ~ends)]
                with m.If(self.step):
                    m.d.sync += left.eq(left - 1)
                    with m.If(self.last):
                        m.d.sync += settling.eq(loads.settle)
                        m.next = "TAG"
                        with m.If(self.load):
                            m.next = "HELD"
            with m.State("HELD"):
                with m.If(settling != 0):
                    m.d.sync += settling.eq(settling - 1)
                with m.Elif(self.i.valid):
                    m.d.comb += self.i.ready.eq(1)
                    m.d.sync += [held.eq(Cat(held[8:], self.i.payload)), count.eq(count + 1)]
                    with m.If(count == HELD_BYTES - 1):
                        m.next = "TAG"
        return m
