"""Requantisation by binary search: sums go through any function whose steps are known, with no multiplier.

One comparison with a threshold of the channel's own is a stage of the pipeline, so that a beat leaves in every cycle.
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.requantize.requantizer import Requantizer, RequantizerPlan, ResultPlan, serialiser_logic
from hwgen.blocks.requantize.staircase import Staircase
from hwgen.blocks.stream import element_shape
from hwgen.cost.logic import Logic, adder, index_bits
from hwgen.cost.needs import MemoryNeed, Products
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.exact.steps import Steps
from hwgen.graph.types import IntType
from hwgen.memory.rom import Columns, Rom, pack, rom_latency, rom_need


@dataclass(frozen=True)
class StepSearchPlan(ResultPlan):
    """How ``results`` sums at a time become beats of ``lanes`` integers; like :class:`RequantizerPlan`, which see."""

    results: int
    lanes: int
    channels: int
    period: int
    levels: int
    tabled: bool

    serial = False
    spacing = 1

    @property
    def busy(self) -> int:
        """Cycles that a set of results takes."""
        return self.packing.loose

    def depth(self, level: int) -> int:
        """Words that a lane has at a level of the search; behind the last it is the table of values."""
        return self.rounds << level

    def level_latency(self, level: int) -> int:
        """Cycles of a comparison: its threshold, and itself."""
        return rom_latency(self.depth(level)) + 1

    @property
    def latency(self) -> int:
        """Cycles from ``done`` to the first ``push``."""
        result = rom_latency(self.depth(self.levels)) if self.tabled else 1
        return 1 + sum(map(self.level_latency, range(self.levels))) + result

    def memories(self, staircase: Staircase) -> tuple[MemoryNeed, ...]:
        """Thresholds and values of every lane."""
        steps, width = staircase.steps, point_type(staircase.steps).width
        kinds = [(f"thresholds{level}", width, self.depth(level)) for level in range(self.levels)]
        if self.tabled:
            kinds.append(("values", value_type(steps).width, self.depth(self.levels)))
        return tuple(
            rom_need(*kind, columns) for kind, columns in zip(kinds * self.lanes, self._columns(staircase), strict=True)
        )

    def products(self, staircase: Staircase) -> tuple[Products, ...]:
        return ()

    def logic(self, staircase: Staircase, sum_: IntType, out: IntType) -> Logic:
        """Counted bits of the pipeline: sums and numbers of beats wait for each threshold."""
        width, beat = max(point_type(staircase.steps).width, sum_.width), index_bits(self.rounds)
        logic, columns = serialiser_logic(self, sum_), self._columns(staircase)
        for level in range(self.levels):
            waits = (sum_.width + beat + level) * self.level_latency(level) + 1
            logic += self.lanes * (adder(width) + Logic(register=waits))
        result = Logic() if self.tabled else Logic(register=out.width)
        return logic + self.lanes * result + Logic(register=sum(column.registers for column in columns))

    def _columns(self, staircase: Staircase) -> list[Columns]:
        """What the memories hold: lane by lane the thresholds of each level, and values."""
        steps = staircase.steps
        parts = [(steps.level(level), point_type(steps)) for level in range(self.levels)]
        if self.tabled:
            parts.append((steps.table, value_type(steps)))
        owns = [self.slots[lane :: self.lanes] for lane in range(self.lanes)]
        return [Columns.of(values[own].reshape(-1, 1), [type_.width]) for own in owns for values, type_ in parts]

    def component(self, staircase: Staircase, sum_: IntType, out: IntType) -> wiring.Component:
        return StepSearch(staircase, self, sum_, out)


def requantizer_plan(
    requantization: Requantization | Staircase,
    results: int,
    lanes: int,
    serial: bool = False,
    period: int | None = None,
    lut_cycles: int = 0,
) -> ResultPlan:
    """The plan for ``requantization``, in whichever form it is; see :meth:`RequantizerPlan.of`."""
    if not isinstance(requantization, Staircase):
        return RequantizerPlan.of(requantization, results, lanes, serial, period, lut_cycles)
    steps = requantization.steps
    return StepSearchPlan(
        results, lanes, steps.channels, period or steps.channels, steps.levels, tabled=steps.values is not None
    )


def point_type(steps: Steps) -> IntType:
    """Of thresholds."""
    return IntType.holding(int(steps.points.min()), int(steps.points.max()))


def value_type(steps: Steps) -> IntType:
    """Of the table of values."""
    return IntType.holding(int(steps.table.min()), int(steps.table.max()))


class StepSearch(Requantizer):
    """A :class:`Requantizer` that looks results up: the same ports, another pipeline."""

    plan: "StepSearchPlan"

    def elaborate(self, platform):
        m = Module()
        plan = self.plan
        sums, beat, _, issue = self._serialise(m)
        m.d.comb += self.push.eq(delay(m, issue, plan.latency - 1, "push", reset_less=False))
        for lane in range(plan.lanes):
            x = sums.word_select(lane, self.sum_type.width)
            x = x.as_signed() if self.sum_type.signed else x
            m.d.comb += self.o[lane].eq(self._result(m, lane, x, beat))
        return m

    def _result(self, m: Module, lane: int, x: Value, beat: Value) -> Value:
        """The value of the step in which ``x`` lies; the comparisons made are its number, the first one highest."""
        plan, steps, index = self.plan, self.requantization.steps, Cat()
        points = point_type(steps)

        def later(cycles: int, place: str, **values: Value) -> list[Value]:
            return [delay(m, value, cycles, f"{name}{place}") for name, value in values.items()]

        for level in range(plan.levels):
            threshold = self._rom(m, f"thresholds{level}_{lane}", steps.level(level), points, lane, Cat(index, beat))
            wait = plan.level_latency(level) - 1
            x, beat, index = later(wait, f"{level}_{lane}", x=x, beat=beat, index=index)
            above = Signal(name=f"above{level}_{lane}", reset_less=True)
            m.d.sync += above.eq(x >= threshold)
            x, beat, index = later(1, f"{level}_{lane}_then", x=x, beat=beat, index=index)
            index = Cat(above, index)
        if plan.tabled:
            return self._rom(m, f"values_{lane}", steps.table, value_type(steps), lane, Cat(index, beat))
        result = Signal(element_shape(self.out_type), name=f"result_{lane}", reset_less=True)
        m.d.sync += result.eq(index + steps.base)
        return result

    def _rom(self, m: Module, name: str, values, type_: IntType, lane: int, address: Value) -> Value:
        """What the channels of ``lane`` have at ``address``, of ``values`` int64 [C, words]."""
        own = values[self.plan.slots[lane :: self.plan.lanes]]
        words = [pack([value], type_.width) for value in own.ravel().tolist()]
        m.submodules[name] = rom = Rom(words, type_.width)
        m.d.comb += rom.address.eq(address)
        return rom.data.as_signed() if type_.signed else rom.data
