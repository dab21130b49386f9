"""The greatest or the least of streams and constants, or one of two by a constant mask: quantised first, then chosen.

What never falls may go before the greatest is taken: ``f(max(a, b)) = max(f(a), f(b))``; with what never rises, the
least is taken. Before a choice by a mask anything may go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal, Value

from hwgen.blocks.arith.arithmetic import delay, register
from hwgen.blocks.arith.float_expression import split
from hwgen.blocks.pointwise.element_form import Definition, Form
from hwgen.blocks.pointwise.fixed_constant import FixedConstant
from hwgen.blocks.pointwise.table import LARGEST_INPUT
from hwgen.blocks.stream import element_shape
from hwgen.blocks.streamed import Hardware
from hwgen.cost.logic import Logic, adder, delayed, total
from hwgen.graph.complete import complete
from hwgen.graph.expression import Expression
from hwgen.graph.types import IntType, Quantization
from hwgen.memory.rom import Columns, Rom, pack, rom_latency, rom_need

#: Bits of an operand of which all values are looked at.
MOST_BITS = 16
_OPPOSITE = {"Max": "Min", "Min": "Max"}
_BIT = IntType(1, False)


@dataclass(frozen=True, eq=False)
class _Choice:
    """One of what is chosen from: operand ``place`` through ``table`` (int64, the least integer first; None where
    integers stay), or the same number ``always``."""

    type: IntType
    place: int | None = None
    table: np.ndarray | None = None
    always: int = 0

    @property
    def entries(self) -> np.ndarray:
        """``table`` where there is one; ValueError where integers stay."""
        if self.table is None:
            raise ValueError("the integers of this choice stay as they are")
        return self.table

    @cached_property
    def words(self) -> list[int]:
        """The table by the operand's bits: 0 comes first, negative ones last."""
        width = IntType.holding(int(self.entries.min()), int(self.entries.max())).width
        return [pack([value], width) for value in np.roll(self.entries, self.type.min).tolist()]


@dataclass(frozen=True, eq=False)
class Chooses(Form):
    """``op`` (Max, Min or Where, which has its mask behind) of ``choices``."""

    op: str
    choices: tuple[_Choice, ...]

    @classmethod
    def of(cls, definition: Definition) -> "Chooses | None":
        """None where the function is no one Max, Min or Where of operands of few enough bits."""
        before, tail = split(definition.function)
        ops = {node.op for node in before.nodes}
        if len(ops) != 1 or any(kind.per_channel or kind.type.width > MOST_BITS for kind in definition.kinds):
            return None
        (op,) = ops
        maker = _Maker(definition, before, tail)
        if op == "Where" and len(before.nodes) == 1:
            return maker.masked()
        return maker.extreme(op) if op in _OPPOSITE else None

    @property
    def _tabled(self) -> list[_Choice]:
        return [choice for choice in self.choices if choice.table is not None]

    @property
    def _wait(self) -> int:
        """Cycles of the longest table."""
        return max((rom_latency(len(choice.words)) for choice in self._tabled), default=0)

    @property
    def latency(self) -> int:
        """Tables, and a register for each level of comparisons."""
        return self._wait + (1 if self.op == "Where" else (len(self.choices) - 1).bit_length())

    @property
    def hardware(self) -> Hardware:
        width = self.definition.out.width
        roms = [rom_need("table", width, len(choice.words)) for choice in self._tabled]
        columns = [Columns.of(choice.entries[:, None], [width]) for choice in self._tabled]
        logic = Logic(register=sum(column.registers for column in columns))
        logic += total(delayed(choice.type.width, self._wait) for choice in self.choices if choice.table is None)
        each = Logic(mux=width, register=width) + (Logic() if self.op == "Where" else adder(width))
        return Hardware(logic + (len(self.choices) - 1) * each, roms)

    def emit(self, m: Module, lane: int, operands: list[Value]) -> Value:
        values = [self._quantized(m, f"choice_{lane}_{n}", c, operands) for n, c in enumerate(self.choices)]
        if self.op == "Where":
            mask = delay(m, operands[len(self.definition.kinds)].any(), self._wait, f"mask_{lane}")
            return self._register(m, f"chosen_{lane}", Mux(mask, *values))
        level = 0
        while len(values) > 1:
            pairs = [values[at : at + 2] for at in range(0, len(values), 2)]
            values = [self._register(m, f"best_{lane}_{level}_{n}", self._best(pair)) for n, pair in enumerate(pairs)]
            level += 1
        return values[0]

    def _best(self, pair: list[Value]) -> Value:
        if len(pair) == 1:
            return pair[0]
        a, b = pair
        return Mux(a > b if self.op == "Max" else a < b, a, b)

    def _register(self, m: Module, name: str, value: Value) -> Signal:
        return register(m, value, name, element_shape(self.definition.out))

    def _quantized(self, m: Module, name: str, choice: _Choice, operands: list[Value]) -> Value:
        if choice.place is None:
            return Const(choice.always, element_shape(self.definition.out))
        if choice.table is None:
            return delay(m, operands[choice.place], self._wait, name)
        type_ = IntType.holding(int(choice.table.min()), int(choice.table.max()))
        m.submodules[name] = rom = Rom(choice.words, type_.width)
        m.d.comb += rom.address.eq(operands[choice.place])
        data = rom.data.as_signed() if type_.signed else rom.data
        return delay(m, data, self._wait - rom.latency, f"{name}_quantized")

    def certificate(self) -> dict[str, object]:
        form = "choice by a mask" if self.op == "Where" else "greatest" if self.op == "Max" else "least"
        return {"form": form, "proved": "every entry of a table, and their order", "tables": len(self._tabled)}


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes the form for a function whose choice comes ``before`` a ``tail``."""

    definition: Definition
    before: Expression
    tail: Expression

    def masked(self) -> Chooses | None:
        """By the mask that a Where has, which must be constant."""
        mask, *names = self.before.nodes[0].inputs
        if mask not in self.before.constants:
            return None
        fixed = [FixedConstant(_places(self.before.constants[mask] != 0).astype(np.int64), _BIT)]
        return self._form("Where", names, fixed)

    def extreme(self, op: str) -> Chooses | None:
        """The greatest or least of what the nodes read that none of them makes."""
        made = {node.outputs[0] for node in self.before.nodes}
        names = [name for node in self.before.nodes for name in node.inputs if name not in made]
        real = np.unique(np.concatenate([self._real(name).ravel() for name in names]))
        changes = np.diff(self._ended(real))
        if (changes < 0).any() and (changes > 0).any():
            return None
        return self._form(_OPPOSITE[op] if (changes < 0).any() else op, list(dict.fromkeys(names)), [])

    def _form(self, op: str, names: Sequence[str], fixed: list[FixedConstant]) -> Chooses | None:
        choices = complete(self._choice(name, fixed) for name in names)
        if choices is None:
            return None
        return Chooses(self.definition, tuple(fixed), op, tuple(choices))

    def _choice(self, name: str, fixed: list[FixedConstant]) -> _Choice | None:
        """What is called ``name``; None where its table would be too large."""
        values, out = self._ended(self._real(name)), self.definition.out
        if name in self.before.constants:
            if values.size == 1:
                return _Choice(out, always=int(values.item()))
            fixed.append(FixedConstant(_places(values), out))
            return _Choice(out, len(self.definition.kinds) + len(fixed) - 1)
        place = self.before.inputs.index(name)
        type_ = self.definition.kinds[place].type
        if (values == np.arange(type_.min, type_.max + 1)).all():
            return _Choice(type_, place)
        return _Choice(type_, place, values) if type_.width <= LARGEST_INPUT else None

    def _real(self, name: str) -> np.ndarray:
        """All that the operand can be."""
        if name in self.before.constants:
            return np.asarray(self.before.constants[name], np.float32)
        kind: Quantization = self.definition.kinds[self.before.inputs.index(name)]
        return kind.dequantize(np.arange(kind.type.min, kind.type.max + 1))

    def _ended(self, real: np.ndarray) -> np.ndarray:
        """Quantised, int64, in the same shape."""
        return self.definition.quantized(self.tail(real.reshape(-1, 1, 1, 1))).reshape(real.shape)


def _places(values: np.ndarray) -> np.ndarray:
    """[H, W, C], with ones where there were fewer dimensions."""
    return values.reshape((1, 1, 1)[values.ndim :] + values.shape)
