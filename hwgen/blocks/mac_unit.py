"""The hardware of a multiply-accumulate unit: window buffer -> weights -> dot products -> requantiser -> queue."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.memory.queue import Outlet, wrapping_increment
from hwgen.memory.store import LOAD_PORTS, pass_on

from .arithmetic import DotProduct
from .mac import MacPlan
from .packer import Packer, left_over
from .stream import beat_stream, join


class MacBlock(wiring.Component):
    """The hardware of a :class:`MacPlan`."""

    def __init__(self, plan: MacPlan):
        self.plan = plan
        super().__init__(self.ports())

    def ports(self) -> dict:
        """The streams, and what loads the weights."""
        layer, folding = self.plan.layer, self.plan.folding
        streams = {
            "i": In(beat_stream(layer.input.type, folding.lanes_in)),
            "o": Out(beat_stream(layer.output.type, folding.lanes_out)),
        }
        return streams | (LOAD_PORTS if self.plan.weights.loads else {})

    def permit(self, m: Module, window, outlet: Outlet):
        """Whether there is room for what a step gives."""
        return outlet.permit

    def elaborate(self, platform):
        m = Module()
        plan, layer, folding = self.plan, self.plan.layer, self.plan.folding
        window = self._window(m)
        m.submodules.weights = weights = plan.weights.component()
        m.submodules.dot = dot = DotProduct(
            plan.multiplier,
            folding.portion,
            folding.outputs,
            layer.sum_type,
            weights.latency,
            folding.parallel,
        )
        m.submodules.requantizer = requantizer = plan.requantizer.component(
            layer.requantization, layer.sum_type, layer.output.type
        )
        if plan.weights.loads:
            pass_on(m, self, weights, *([requantizer] if layer.loading else []))
        m.submodules.outlet = outlet = Outlet(self.o.payload.shape(), plan.queue, max(plan.beats))
        self._announce(m, window, outlet)
        if plan.weight_depth > 1:
            with m.If(window.strobe):
                m.d.sync += weights.address.eq(wrapping_increment(weights.address, plan.weight_depth))
        m.d.comb += [
            window.permit.eq(self.permit(m, window, outlet)),
            outlet.debit.eq(window.go),
            dot.strobe.eq(window.strobe),
            dot.first.eq(window.first),
            dot.last.eq(window.last),
            dot.x.eq(plan.window.elements(window)),
            dot.weights.as_value().eq(weights.data),
            requantizer.done.eq(dot.done),
            requantizer.sums.eq(dot.sums),
        ]
        self._pack(m, requantizer, outlet)
        join(m, outlet.o, wiring.flipped(self.o), "output")
        return m

    def _announce(self, m: Module, window: wiring.Component, outlet: Outlet) -> None:
        """Tell the outlet how many beats the step that starts will give, where that differs from pass to pass."""
        packing, beats = self.plan.packing, self.plan.beats
        few, many = packing.results // packing.lanes, max(beats)
        usual = many
        if packing.partial:
            _, completes = left_over(m, packing, window.go, window.go_final, "left_over")
            usual = Mux(completes, many, few)
        if len(beats) > 1:
            m.d.comb += outlet.amount.eq(Mux(window.go_final, beats[-1], usual))

    def _pack(self, m: Module, requantizer: wiring.Component, outlet: Outlet) -> None:
        """Push what the requantiser gives into the outlet, with idle lanes closed up."""
        source, payload = requantizer.push, requantizer.o
        if self.plan.packing.partial:
            m.submodules.packer = packer = Packer(self.o.payload.shape(), self.plan.packing)
            m.d.comb += [packer.take.eq(source), packer.i.eq(payload)]
            source, payload = packer.push, packer.o
        m.d.comb += [outlet.push.eq(source), outlet.payload.eq(payload)]

    def _window(self, m: Module) -> wiring.Component:
        """The window buffer, fed from the input."""
        source = wiring.flipped(self.i)
        parts = self.plan.window.parts(source.payload.shape())
        for name, part in parts:
            m.submodules[name] = part
            join(m, source, part.i, f"input of {name}")
            source = getattr(part, "o", None)
        return parts[-1][1]
