"""Requantisation by binary search: sums go through any function whose steps are known, with no multiplier.

One comparison with a threshold of the channel's own is a stage of the pipeline, so that a beat leaves in every cycle.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Module, Value
from amaranth.lib import wiring

from hwgen.blocks.arith.arithmetic import delay, register
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

    spacing = 1

    @property
    def search(self) -> "SearchShape":
        """What each lane does."""
        return SearchShape(self.rounds, self.levels, self.tabled)

    @property
    def latency(self) -> int:
        """Cycles from sums to the first ``push``."""
        return 1 + self.search.latency

    def memories(self, staircase: Staircase) -> tuple[MemoryNeed, ...]:
        """Thresholds and values of every lane."""
        steps, width = staircase.steps, point_type(staircase.steps).width
        kinds = [(f"thresholds{level}", width, self.search.depth(level)) for level in range(self.levels)]
        if self.tabled:
            kinds.append(("values", value_type(steps).width, self.search.depth(self.levels)))
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
            waits = (sum_.width + beat + level) * (self.search.wait(level) + 1) + 1
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
    blocks: str = "",
) -> ResultPlan:
    """The plan for ``requantization``, in whichever form it is; see :meth:`RequantizerPlan.of`."""
    if not isinstance(requantization, Staircase):
        return RequantizerPlan.of(requantization, results, lanes, serial, period, lut_cycles, blocks)
    steps = requantization.steps
    return StepSearchPlan(
        results, lanes, steps.channels, period or steps.channels, steps.levels, tabled=steps.values is not None
    )


@dataclass(frozen=True)
class SearchShape:
    """A search through the steps of so many ``channels``, by ``levels`` comparisons, a memory each; with ``tabled``
    what is found is looked up in one more."""

    channels: int
    levels: int
    tabled: bool

    def depth(self, level: int) -> int:
        """Words of the memory at a level of the search; behind the last it is the table of values."""
        return self.channels << level

    def wait(self, level: int) -> int:
        """Cycles of that memory."""
        return rom_latency(self.depth(level))

    @property
    def latency(self) -> int:
        """Cycles of all comparisons, each a threshold and itself, and of the result."""
        comparisons = sum(self.wait(level) + 1 for level in range(self.levels))
        return comparisons + (self.wait(self.levels) if self.tabled else 1)


def point_type(steps: Steps) -> IntType:
    """Of thresholds."""
    return IntType.holding(int(steps.points.min()), int(steps.points.max()))


def value_type(steps: Steps) -> IntType:
    """Of the table of values."""
    return IntType.holding(int(steps.table.min()), int(steps.table.max()))


def search(m: Module, name: str, steps: Steps, own, x: Value, channel: Value, out: IntType) -> Value:
    """The value of the step in which ``x`` lies; the comparisons made are its number, the first one highest.

    ``channel`` is a number among the channels ``own`` (an index of these), of which the memories are.
    """

    def table(what: str, values: np.ndarray, type_: IntType) -> tuple[Value, int]:
        words = [pack([value], type_.width) for value in values[own].ravel().tolist()]
        m.submodules[f"{name}_{what}"] = rom = Rom(words, type_.width)
        m.d.comb += rom.address.eq(Cat(index, channel))
        return rom.data.as_signed() if type_.signed else rom.data, rom.latency

    def later(cycles: int, place: str, **values: Value) -> list[Value]:
        return [delay(m, value, cycles, f"{name}_{what}{place}") for what, value in values.items()]

    index: Value = Cat()
    for level in range(steps.levels):
        threshold, wait = table(f"steps{level}", steps.level(level), point_type(steps))
        x, index, channel = later(wait, f"{level}", x=x, index=index, channel=channel)
        above = register(m, x >= threshold, f"{name}_above{level}")
        x, index, channel = later(1, f"{level}_then", x=x, index=index, channel=channel)
        index = Cat(above, index)
    if steps.values is not None:
        return table("values", steps.table, value_type(steps))[0]
    return register(m, index + steps.base, f"{name}_result", element_shape(out))


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
            own = plan.slots[lane :: plan.lanes]
            found = search(m, f"lane_{lane}", self.requantization.steps, own, x, beat, self.out_type)
            m.d.comb += self.o[lane].eq(found)
        return m
