"""The queue behind a tap of a window buffer, where steps give more or less or nothing."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .queue import Queue


class TapOutlet(wiring.Component):
    """A queue of ``depth`` beats and the credits for it; ``share`` says how many the step to be started next gives.

    ``permit`` says that there is room for them, and ``debit`` that the step is started. Steps take two cycles at
    least. A place freed in cycle t can be debited again from cycle t + 1.
    """

    LATENCY = Queue.LATENCY

    def __init__(self, layout, depth: int, most: int):
        if depth < most:
            raise ValueError(f"a queue of {depth} beats cannot hold the {most} of one step")
        self.depth = depth
        super().__init__(
            {
                "share": In(range(most + 1)),
                "permit": Out(1),
                "debit": In(1),
                "push": In(1),
                "payload": In(layout),
                "o": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = Queue(self.payload.shape(), self.depth)
        credits_, left = Signal(range(self.depth + 1), init=self.depth), Signal(range(self.depth + 1))
        permit = Signal(init=1)
        m.d.comb += [
            queue.push.eq(self.push),
            queue.payload.eq(self.payload),
            self.o.payload.eq(queue.o.payload),
            self.o.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.o.ready),
            left.eq(credits_ + (self.o.valid & self.o.ready) - Mux(self.debit, self.share, 0)),
            self.permit.eq(permit),
        ]
        m.d.sync += [credits_.eq(left), permit.eq(left >= self.share)]
        return m
