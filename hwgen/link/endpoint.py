"""The board's end of the link: its ear, its mouth, and what keeps them together."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.link.protocol import HELD_BYTES, POSITION_BITS, ROUND_BITS, Kind
from hwgen.link.receiver import Receiver
from hwgen.link.sender import Sender

_RESET_CYCLES = 16  # the accelerator's reset, and the time until nothing of before comes out of it


@dataclass(frozen=True)
class Buffers:
    """Bytes of the buffers ``down``, to the accelerator, and ``up``, from it: powers of two."""

    down: int = 2048
    up: int = 512


class Endpoint(wiring.Component):
    """The protocol: bytes of the line in (``data``, ``valid``) and out (``line``), the two streams ``down`` and ``up``
    of the accelerator, and its ``reset``. ``last`` comes with the last byte of a frame's results. With ``loads`` the
    greeting says what the accelerator has ``held`` since the last load.
    """

    def __init__(self, buffers: Buffers, design: bytes, loads: bool = False):
        self.buffers, self.design, self.loads = buffers, design, loads
        super().__init__(
            {
                **({"held": In(8 * HELD_BYTES)} if loads else {}),
                "data": In(8),
                "valid": In(1),
                "line": Out(stream.Signature(8)),
                "down": Out(stream.Signature(8)),
                "up": In(stream.Signature(8)),
                "last": In(1),
                "reset": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = Receiver(self.buffers.down)
        m.submodules.sender = sender = Sender(self.buffers.up, self.design, self.loads)
        wiring.connect(m, receiver.o, wiring.flipped(self.down))
        wiring.connect(m, wiring.flipped(self.up), sender.i)
        wiring.connect(m, sender.o, wiring.flipped(self.line))
        if self.loads:
            m.d.comb += sender.held.eq(self.held)
        clear = self._reset(m, receiver, sender)
        taken, round_, rejected = Signal(POSITION_BITS), Signal(ROUND_BITS), Signal()
        told, room = Signal(POSITION_BITS, init=self.buffers.down), Signal(POSITION_BITS)
        m.d.comb += [
            receiver.data.eq(self.data),
            receiver.valid.eq(self.valid),
            sender.last.eq(self.last),
            sender.taken.eq(taken),
            sender.round.eq(round_),
            sender.rejected.eq(rejected),
            sender.expected.eq(receiver.expected),
            sender.limit.eq(receiver.limit),
            room.eq(receiver.limit - told),
        ]
        much = room[(self.buffers.down // 4).bit_length() - 1 :].any()
        heard = receiver.packet & (receiver.kind != Kind.RESET)
        # A cycle later, when all that the answer says is up to date; and when much room has become free.
        m.d.sync += [
            sender.answer.eq(heard | (much & ~clear)),
            sender.back.eq(heard & (receiver.kind == Kind.RESEND)),
        ]
        with m.If(sender.begin):
            m.d.sync += told.eq(receiver.limit)
        with m.If(heard):
            m.d.sync += [taken.eq(receiver.taken), round_.eq(receiver.round)]
            with m.If((receiver.kind == Kind.DATA) | (receiver.round != round_)):
                m.d.sync += rejected.eq(receiver.refused)
        with m.If(clear):
            m.d.sync += [taken.eq(0), round_.eq(0), rejected.eq(0), told.eq(self.buffers.down)]
        return m

    def _reset(self, m: Module, receiver: Receiver, sender: Sender) -> Signal:
        """Begins both streams and the accelerator anew after a packet that says so."""
        asked, clear, left = Signal(), Signal(), Signal(range(_RESET_CYCLES + 1), init=_RESET_CYCLES)
        m.d.comb += [
            asked.eq(receiver.packet & (receiver.kind == Kind.RESET)),
            clear.eq(asked | (left != 0)),
            self.reset.eq(left > _RESET_CYCLES // 2),
            receiver.clear.eq(clear),
            sender.clear.eq(clear),
            sender.greet.eq(asked),
        ]
        m.d.sync += left.eq(Mux(left == 0, 0, left - 1))
        with m.If(asked):
            m.d.sync += [left.eq(_RESET_CYCLES), sender.number.eq(receiver.position)]
        return clear
