"""The hardware of a multiply-accumulate unit: window buffer -> weights -> dot products -> requantiser -> queue."""

from amaranth.hdl import Const, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.memory.queue import Outlet, wrapping_increment
from hwgen.memory.ring import RingWindow
from hwgen.memory.rom import Rom, pack
from hwgen.memory.sliding import SlidingWindow

from .arithmetic import DotProduct
from .mac import MacPlan
from .requantizer import Requantizer
from .stream import beat_layout, beat_stream, join


class MacUnit(wiring.Component):
    """The hardware of a :class:`MacPlan`."""

    def __init__(self, plan: MacPlan):
        self.plan = plan
        layer, folding = plan.layer, plan.folding
        super().__init__(
            {
                "i": In(beat_stream(layer.input.type, folding.lanes_in)),
                "o": Out(beat_stream(layer.output.type, folding.lanes_out)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, layer, folding = self.plan, self.plan.layer, self.plan.folding
        m.submodules.window = window = self._window()
        m.submodules.weights = weights = Rom(plan.weight_words(), plan.weight_width)
        m.submodules.dot = dot = DotProduct(
            layer.input.type,
            layer.weight_type,
            folding.portion,
            folding.outputs,
            layer.sum_type,
            weights.latency,
            folding.parallel,
        )
        m.submodules.requantizer = requantizer = Requantizer(
            layer.requantization, plan.requantizer, layer.sum_type, layer.output.type
        )
        full, last = plan.beats
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), plan.queue, full, last)
        join(m, wiring.flipped(self.i), window.i, "input of the window buffer")
        if plan.weight_depth > 1:
            with m.If(window.strobe):
                m.d.sync += weights.address.eq(wrapping_increment(weights.address, plan.weight_depth))
        m.d.comb += [
            window.permit.eq(outlet.permit),
            outlet.debit.eq(window.go),
            outlet.short.eq(window.go_final),
            dot.strobe.eq(window.strobe),
            dot.first.eq(window.first),
            dot.last.eq(window.last),
            dot.x.eq(self._padded(window)),
            dot.weights.as_value().eq(weights.data),
            requantizer.done.eq(dot.done),
            requantizer.sums.eq(dot.sums),
            outlet.push.eq(requantizer.push),
            outlet.payload.eq(requantizer.o),
        ]
        join(m, outlet.o, wiring.flipped(self.o), "output")
        return m

    def _window(self):
        plan, folding = self.plan, self.plan.folding
        layout = beat_layout(plan.layer.input.type, folding.lanes_in)
        if folding.window == "ring":
            return RingWindow(layout, plan.raster, plan.packs, plan.passes, plan.capacity)
        return SlidingWindow(layout, plan.raster, plan.cut, plan.layer.input_zero)

    def _padded(self, window):
        """Ring data with padding put in; a sliding window has it already."""
        if self.plan.folding.window != "ring" or not any(self.plan.layer.window.pads):
            return window.data
        layer, lanes = self.plan.layer, self.plan.folding.lanes_in
        pad = Const(pack([layer.input_zero] * lanes, layer.input.type.width), lanes * layer.input.type.width)
        return Mux(window.outside, pad, window.data.as_value())
