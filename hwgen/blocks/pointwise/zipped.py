"""Operators that combine several streams element by element, any of which may be broadcast."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import data, wiring

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.pointwise.element_form import Combination
from hwgen.blocks.pointwise.fixed_constant import FixedConstant
from hwgen.blocks.pointwise.spread import LOOPS, SPREAD_LATENCY, Spread, again, spread_operand
from hwgen.blocks.stream import all_of
from hwgen.blocks.streamed import Hardware, Streamed, StreamedBlock, StreamedUnit
from hwgen.cost.actor import Actor, counting
from hwgen.cost.logic import Logic, delayed, loop, total
from hwgen.memory.loops import LoopNest


class Zipped(Streamed):
    """One step for each beat of the result: takes a beat of every operand, or gives one again that is broadcast."""

    @property
    @abstractmethod
    def form(self) -> Combination:
        """How operands are combined. ModelError where there is a :attr:`gap`."""

    def certificate(self) -> dict[str, object]:
        """The form in hardware, and what was proved of it, for reports."""
        return self.form.certificate()

    @property
    def fixed(self) -> Sequence[FixedConstant]:
        """Constants that are combined, too."""
        return self.form.fixed

    def joined(self, streams: list, fixed: list) -> list:
        """Streams' beats and constants in the order in which they are combined."""
        return [*streams, *fixed]

    @property
    def alike(self) -> bool:
        return all(map_.shape == self.output.shape for map_ in self.inputs) and not self.fixed

    @property
    def _wait(self) -> int:
        return 0 if self.alike else SPREAD_LATENCY


class ZippedUnit(StreamedUnit, computes=Zipped):
    """Hardware for :class:`Zipped`."""

    op: "Zipped"

    @property
    def spreads(self) -> list[Spread]:
        """How each operand covers the result."""
        lanes, pixels = self.folding.lanes, max(self.folding.lanes // self.op.output.channels, 1)
        sizes = [
            (m.height, max(m.width // pixels, 1), max(m.channels // lanes, 1))
            for m in (*self.op.inputs, self.op.output)
        ]
        return [Spread(own, sizes[-1]) for own in sizes[:-1]]

    @property
    def depth(self) -> int:
        return self.op._wait + self.op.form.latency

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        needs = [spread.need for spread in self.spreads]
        return self.direct(needs, counting(len(needs[0])))

    @property
    def hardware(self) -> Hardware:
        logic, memories, products = self.op.form.hardware
        logic, memories = self.folding.lanes * logic, [*memories] * self.folding.lanes
        spreads = self.spreads
        for spread, map_ in zip(spreads, self.op.inputs, strict=True):
            width = map_.type.width * self.folding.lanes
            if spread.loops:
                logic, memories = logic + spread.logic(width), [*memories, *spread.memories(width)]
            else:
                logic += delayed(width, self.op._wait)
        for constant in self.op.fixed:
            logic += constant.logic(self.folding.lanes)
            memories.append(constant.memory(self.folding.lanes))
        loops = total(map(loop, spreads[0].full)) if self.op._wait else Logic()
        loops += Logic(logic=3, register=self.depth)
        return Hardware(logic + loops, memories, [*products] * self.folding.lanes)

    def block(self) -> wiring.Component:
        return _ZippedBlock(self)


class _ZippedBlock(StreamedBlock):
    """A step starts when all that it takes is offered and there is room for what it gives."""

    unit: "ZippedUnit"
    op: "Zipped"

    def elaborate(self, platform):
        m = Module()
        op, outlet, step = self.op, self.outlet(m), Signal()
        spreads = self.unit.spreads
        nest = LoopNest(m, list(zip(reversed(LOOPS), reversed(spreads[0].full), strict=True)), step)
        idle = [again(nest, spread.loops) if spread.loops else Const(0) for spread in spreads]
        there = [source.valid | rest for source, rest in zip(self.sources, idle, strict=True)]
        m.d.comb += step.eq(outlet.permit & all_of(there))
        for n, (source, rest) in enumerate(zip(self.sources, idle, strict=True)):
            m.d.comb += source.ready.eq(outlet.permit & ~rest & all_of(there[:n] + there[n + 1 :]))
        views = []
        for n, (source, spread) in enumerate(zip(self.sources, spreads, strict=True)):
            bits = source.payload.as_value()
            if spread.loops:
                bits = spread_operand(m, f"operand_{n}", spread, nest, step, bits)
            else:
                bits = delay(m, bits, op._wait, f"operand_{n}")
            views.append(data.View(source.payload.shape(), bits))
        fixed = [
            constant.view(m, f"constant_{n}", self.folding.lanes, nest, op._wait) for n, constant in enumerate(op.fixed)
        ]
        views = op.joined(views, fixed)
        for lane in range(self.folding.lanes):
            m.d.comb += outlet.payload[lane].eq(op.form.emit(m, lane, [view[lane] for view in views]))
        push = delay(m, step, self.unit.depth, "push", reset_less=False)
        m.d.comb += [outlet.debit.eq(step), outlet.push.eq(push)]
        return m
