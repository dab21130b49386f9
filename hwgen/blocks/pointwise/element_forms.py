"""Forms of an element-wise function in hardware: all in a table, a straight line, or the arithmetic itself."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Cat, Module, Value

from hwgen.blocks.arith.computation import Computation, operand
from hwgen.blocks.arith.finish import Finish, Searched, finish
from hwgen.blocks.arith.float_expression import head_of, split
from hwgen.blocks.arith.line import Line, fit_line
from hwgen.blocks.arith.scaled_sum import ScaledSumPlan
from hwgen.blocks.pointwise.element_form import Definition, Form
from hwgen.blocks.pointwise.fixed_constant import FixedConstant
from hwgen.blocks.pointwise.table import LARGEST_INPUT
from hwgen.blocks.streamed import Hardware
from hwgen.cost.logic import Logic, index_bits
from hwgen.graph.errors import ModelError
from hwgen.graph.exact.steps import find_steps
from hwgen.graph.expression import Expression
from hwgen.graph.types import IntType
from hwgen.memory.rom import Columns, Rom, pack, rom_latency, rom_need

#: Bits of all operands together up to which a table of all combinations is possible at all.
LARGEST_TABLE = 16
#: Bits of each of two operands of a line.
_LARGEST_PAIR = 8


class Tabulates(Form):
    """All combinations of operands in a ROM, addressed by their bits, the first lowest."""

    @classmethod
    def if_small(cls, definition: Definition) -> "Tabulates | None":
        """The table, where it is no larger than other forms would be; else None."""
        return cls(definition, ()) if definition.uniform and definition.bits <= LARGEST_INPUT else None

    @classmethod
    def of(cls, definition: Definition) -> "Tabulates":
        """The table, however large up to a limit; ValueError where there is none."""
        if not definition.uniform:
            raise ValueError("another function at every channel or place")
        if definition.bits > LARGEST_TABLE:
            raise ValueError(f"{definition.bits} bits in all (limit {LARGEST_TABLE} bits for a table)")
        return cls(definition, ())

    @cached_property
    def words(self) -> list[int]:
        """The table by the operands' bits, the first lowest."""
        values = self.definition(*(x[:, None, None, None] for x in self.definition.combinations)).ravel()
        return [pack([value], self.definition.out.width) for value in values.tolist()]

    @property
    def latency(self) -> int:
        return rom_latency(len(self.words))

    @property
    def hardware(self) -> Hardware:
        width = self.definition.out.width
        contents = Columns.of(np.array(self.words)[:, None], [width])
        return Hardware(Logic(register=contents.registers), [rom_need("table", width, len(self.words), contents)])

    def emit(self, m: Module, lane: int, operands: list[Value]) -> Value:
        m.submodules[f"table_{lane}"] = rom = Rom(self.words, self.definition.out.width)
        m.d.comb += rom.address.eq(Cat(*operands))
        return rom.data

    def certificate(self) -> dict[str, object]:
        return {"form": "table", "proved": "every entry is the definition", "entries": len(self.words)}


@dataclass(frozen=True, eq=False)
class StraightLine(Form):
    """A sum or difference of two integers of up to 8 bits, and clips: equal on all pairs."""

    line: Line

    @classmethod
    def of(cls, definition: Definition) -> "StraightLine | None":
        """None where there are not two narrow operands, or no line equals the definition on all pairs."""
        if len(definition.kinds) != 2 or not definition.uniform:
            return None
        before, tail = split(definition.function)
        signs = _signs(before)
        if signs is None or tail.bounds() is None or max(k.type.width for k in definition.kinds) > _LARGEST_PAIR:
            return None
        a, b = (np.arange(kind.type.min, kind.type.max + 1) for kind in definition.kinds)
        values = definition(a[:, None, None, None], b[:, None, None])[..., 0, 0]
        terms = [sign * x for sign, x in zip(signs, (a[:, None], b), strict=True)]
        ratios = [kind.step / definition.target.step for kind in definition.kinds]
        line = fit_line(terms, ratios, values)
        if line is None:
            return None
        signed_ = tuple(by * sign for by, sign in zip(line.multipliers, signs, strict=True))
        return cls(definition, (), line.times(signed_))

    @cached_property
    def plan(self) -> ScaledSumPlan:
        """How the line is computed."""
        first, second = types = tuple(kind.type for kind in self.definition.kinds)
        return ScaledSumPlan(self.line, types, (first, second), self.definition.out)

    @property
    def latency(self) -> int:
        return self.plan.latency

    @property
    def hardware(self) -> Hardware:
        return Hardware(self.plan.logic, self.plan.memories)

    def emit(self, m: Module, lane: int, operands: list[Value]) -> Value:
        return self.plan.emit(m, f"sum_{lane}", Cat(*operands), Cat(*operands))

    def certificate(self) -> dict[str, object]:
        pairs = 1 << self.definition.bits
        return self.line.certificate() | {"proved": "equal on all pairs", "pairs": pairs}


def _signs(before: Expression) -> tuple[int, int] | None:
    """What the two operands of a sum or difference are multiplied by; None where it is neither."""
    if len(before.nodes) != 1 or before.nodes[0].op not in ("Add", "Sum", "Sub"):
        return None
    first, second = before.nodes[0].inputs
    if {first, second} != set(before.inputs):
        return None
    signs = {first: 1, second: -1 if before.nodes[0].op == "Sub" else 1}
    return signs[before.inputs[0]], signs[before.inputs[1]]


@dataclass(frozen=True, eq=False)
class Computes(Form):
    """The float32 arithmetic itself in fixed point, and a :class:`~hwgen.blocks.arith.finish.Finish`."""

    computation: Computation
    end: Finish

    @classmethod
    def of(cls, definition: Definition) -> "Computes":
        """The arithmetic of any definition; ValueError where an operation has no exact form in fixed point."""
        head = head_of(definition.function, definition.kinds)
        every = None
        if definition.bits <= LARGEST_TABLE and not head.fixed:
            every = np.unique(head.computation.apply(*definition.combinations))
        return cls(definition, head.fixed, *finish(head.computation, head.tail, definition, every))

    @classmethod
    def of_integers(cls, definition: Definition) -> "Computes | None":
        """Of a single stream: its integers are searched among as they are, where the steps are not too many."""
        kind, function = definition.kinds[0], definition.function
        if len(definition.kinds) > 1 or kind.per_channel or not function.per_channel:
            return None
        channels = max((value.size for value in function.constants.values()), default=1)
        low, high = (np.full(channels, end) for end in (kind.type.min, kind.type.max))

        def steps_of(x: np.ndarray) -> np.ndarray:
            return definition(x[:, None, None, :]).reshape(x.shape)

        try:
            steps = find_steps(steps_of, low, high, function.monotone)
        except ModelError:
            return None
        number = operand(0, kind.type.min, kind.type.max)
        numbers = FixedConstant(np.arange(channels).reshape(1, 1, -1), IntType(max(index_bits(channels), 1), False))
        fixed = (numbers,) if channels > 1 else ()
        return cls(definition, fixed, Computation(number), Searched(number, definition.out, steps))

    @property
    def by_channel(self) -> bool:
        """Whether steps differ from channel to channel; the only constant is then the channel's number."""
        return isinstance(self.end, Searched) and self.end.channel_bits > 0

    @property
    def latency(self) -> int:
        return self.computation.latency + self.end.latency

    @property
    def hardware(self) -> Hardware:
        logic, memories, products = self.computation.hardware
        last = self.end.hardware
        return Hardware(logic + last.logic, [*memories, *last.memories], products)

    def emit(self, m: Module, lane: int, operands: list[Value]) -> Value:
        number = self.computation.emit(m, f"number_{lane}", operands)
        if self.by_channel:
            number = Cat(number, operands[-1])
        return self.end.emit(m, f"end_{lane}", number)

    def certificate(self) -> dict[str, object]:
        proved = "each step of the definition, rounded as float32 rounds it"
        if isinstance(self.end, Searched):
            proved += "; equal on both sides of every step of the result"
        return self.end.certificate() | {"proved": proved}
