"""Nested loops in hardware: counters, and quantities that are affine in them, kept up by one adder each."""

from collections.abc import Mapping, Sequence

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal


class LoopNest:
    """Loops named innermost first, each with its count; the outermost repeats for ever.

    Adds counters to ``m`` that step in every cycle in which ``advance`` is 1. A loop's ``final`` flag is a register,
    and so is its ``initial`` one where it is asked for, so that neither carries nor comparisons chain up.
    """

    def __init__(self, m: Module, loops: Sequence[tuple[str, int]], advance):
        self.m, self.advance = m, advance
        self.names = [name for name, _ in loops]
        self.counts = [count for _, count in loops]
        self.index = {name: Signal(range(max(count, 2)), name=f"{name}_index") for name, count in loops}
        self._final = {name: Signal(init=count == 1, name=f"{name}_final") for name, count in loops}
        self._initial: dict[str, Signal] = {}
        for level, (name, count) in enumerate(loops):
            if count > 1:
                self._count(name, count, self._carry(level))

    def _count(self, name: str, count: int, carry) -> None:
        index, final = self.index[name], self._final[name]
        with self.m.If(self.advance & carry):
            self.m.d.sync += [index.eq(Mux(final, 0, index + 1)), final.eq(index == count - 2)]

    def _carry(self, level: int):
        """All loops inside ``level`` are in their last iteration."""
        carry = 1
        for name, count in zip(self.names[:level], self.counts[:level], strict=True):
            carry = carry & self._final[name] if count > 1 else carry
        return carry

    def last(self, name: str):
        """The loop ``name`` and all inside it are in their last iteration."""
        return self._carry(self.names.index(name) + 1)

    def first(self, name: str):
        """The loop ``name`` and all inside it are in their first iteration."""
        first = Const(1)
        for loop, count in zip(self.names[: self.names.index(name) + 1], self.counts, strict=False):
            first = first & self._starts(loop) if count > 1 else first
        return first

    def _starts(self, name: str) -> Signal:
        """The loop is in its first iteration."""
        if name not in self._initial:
            self._initial[name] = Signal(init=1, name=f"{name}_initial")
            with self.m.If(self.advance & self._carry(self.names.index(name))):
                self.m.d.sync += self._initial[name].eq(self._final[name])
        return self._initial[name]

    def affine(self, name: str, steps: Mapping[str, int], init: int = 0, modulus: int | None = None) -> Signal:
        """A register equal to ``init + sum(steps[loop] * index[loop])``, modulo ``modulus`` where given.

        The step of the outermost loop goes on accumulating from round to round.
        """
        deltas, values = [], [init]
        rewind = 0
        for loop, count in zip(self.names, self.counts, strict=True):
            deltas.append(steps.get(loop, 0) - rewind)
            rewind += steps.get(loop, 0) * (count - 1)
            values += [value + steps.get(loop, 0) * (count - 1) for value in values]
        deltas.append(-rewind + steps.get("frame", 0))
        if modulus:
            value = Signal(range(modulus), name=name, init=init % modulus)
        else:
            value = Signal(Shape.cast(range(min(values), max(values) + 1)), name=name, init=init)
        self._accumulate(value, deltas, modulus)
        return value

    def _accumulate(self, value: Signal, deltas: list[int], modulus: int | None) -> None:
        """Add the delta of the outermost loop that steps."""
        if modulus:
            deltas = [delta % modulus for delta in deltas]
        total = value + self._chosen(f"{value.name}_delta", deltas)
        if modulus:
            # Both sums at once: one carry chain, not two.
            wrapped = value + self._chosen(f"{value.name}_wrapped", [delta - modulus for delta in deltas])
            total = Mux(wrapped < 0, total, wrapped)
        with self.m.If(self.advance):
            self.m.d.sync += value.eq(total)

    def _chosen(self, name: str, deltas: list[int]) -> Signal:
        """The one that belongs to the outermost loop that steps."""
        result = Signal(Shape.cast(range(min(*deltas, 0), max(*deltas, 0) + 1)), name=name)
        chosen = deltas[-1]
        for level in reversed(range(len(self.names))):
            if self.counts[level] > 1:
                chosen = Mux(self._final[self.names[level]], chosen, deltas[level])
        self.m.d.comb += result.eq(chosen)
        return result


def lookup(m: Module, index: Signal, values: Sequence[int] | np.ndarray, name: str) -> Signal:
    """``values[index]`` as logic: the commonest value by default, a case for every other index."""
    values = [int(value) for value in values]
    common = max(set(values), key=values.count)
    result = Signal(range(max(values) + 1), name=name)
    m.d.comb += result.eq(common)
    with m.Switch(index):
        for value in sorted(set(values) - {common}):
            with m.Case(*(at for at, other in enumerate(values) if other == value)):
                m.d.comb += result.eq(value)
    return result


def lookup_2d(m: Module, y: Signal, x: Signal, values: np.ndarray, edge: int, name: str) -> Signal:
    """``values[y, x]`` as logic.

    Cheap for what windows give: rows that differ only in column ``edge`` and by being all zero elsewhere. Other
    tables are looked up whole.
    """
    values = np.asarray(values)
    edge %= values.shape[1]
    inner = np.delete(values, edge, axis=1)
    active = inner.any(axis=1)
    common = inner[active][0] if active.any() else np.zeros(inner.shape[1], np.int64)
    if not (inner[active] == common).all():
        padded = np.zeros((len(values), 1 << len(x)), np.int64)
        padded[:, : values.shape[1]] = values
        return lookup(m, Cat(x, y), padded.ravel().tolist(), name)
    row = lookup(m, y, values[:, edge].tolist(), f"{name}_row")
    column = lookup(m, x, np.insert(common, edge, 0).tolist(), f"{name}_column")
    use = lookup(m, y, active.astype(int).tolist(), f"{name}_active")
    result = Signal(range(int(values.max(initial=0)) + 1), name=name)
    m.d.comb += result.eq(Mux(x == edge, row, Mux(use, column, 0)))
    return result
