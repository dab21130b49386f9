"""A step of a cascade of DSP blocks: one or two products, and the sum of the steps before.

What a step does is the same whatever the family; which cells do it, and their behavioural twin, is in a file for each
kind of block.
"""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.hdl import Module, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hwgen.blocks.array import dsp48, ecp5_slice
from hwgen.blocks.stream import element_shape
from hwgen.graph.types import IntType
from hwgen.hdl.elements import Primitive


@dataclass(frozen=True)
class SliceKind:
    """DSP blocks of a family as a step of a cascade.

    Operands of ``operand`` bits (weights) and ``x`` bits (an activation), both signed, are multiplied; sums have
    ``width`` bits, and what does not fit them is lost. A step gives its products ``latency`` cycles after the
    operands, and the sum of the steps before ``skew`` cycles after it came. A cascade has at most ``longest``
    positions: sums come later with each, and what joins blocks may not go on. ``held``: weights from memory are slow,
    and have a register of their own before those of the block; and so has what leaves a cascade, since logic may be
    far from it.
    """

    name: str
    operand: int
    x: int
    width: int
    latency: int
    skew: int
    longest: int
    held: bool


#: Every kind, by its name; which families have it: :attr:`hwgen.device.family.Family.slices`.
SLICES = {
    kind.name: kind
    for kind in (
        SliceKind("dsp48e2", operand=27, x=18, width=48, latency=4, skew=2, longest=32, held=False),
        SliceKind("dsp48e1", operand=25, x=18, width=48, latency=4, skew=2, longest=32, held=False),
        SliceKind("alu54b", operand=10, x=18, width=ecp5_slice.WIDTH, latency=3, skew=1, longest=8, held=True),
    )
}


@dataclass(frozen=True)
class _Hardware:
    """Makes ``o`` of ``x`` and ``a`` of each position and of ``i``: the ``twin``, and the ``cells``, which also are
    told whether they are first and last."""

    twin: Callable[[Module, list[Value], list[Value], Value], Value]
    cells: Callable[..., Value]


_HARDWARE = {
    "dsp48e2": _Hardware(dsp48.twin, dsp48.DSP48E2.cascade),
    "dsp48e1": _Hardware(dsp48.twin, dsp48.DSP48E1.cascade),
    "alu54b": _Hardware(ecp5_slice.twin, ecp5_slice.cells),
}


class Slice(Primitive):
    """``o(t) = i(t - skew) + the sum over positions of x[n](t - latency) * a[n](t - latency)``, in ``kind.width`` bits.

    ``a`` are weights of ``operand`` bits, ``x`` activations of a type ``x``; all of a slice's come in the same cycle.
    Where it is ``first``, ``i`` is a constant that the sum starts from; elsewhere it is ``o`` of the step before, and
    reached by the wires that blocks have among each other. Where it is ``last``, ``o`` may be read by logic; elsewhere
    only by the next step. Before the first operands come, all of them count as 0.

    ValueError where the blocks cannot do that.
    """

    def __init__(self, kind: SliceKind, x: IntType, operand: int, positions: int, first: bool, last: bool):
        _check(kind, x, operand, positions, first)
        self.kind, self.positions, self.first, self.last = kind, positions, first, last
        self.key = kind, x, operand, positions, first, last
        place = f"{'_first' * first}{'_last' * last}"
        self.label = f"{kind.name}_{positions}_{x}_s{operand}{place}"
        super().__init__(
            {
                "x": In(data.ArrayLayout(element_shape(x), positions)),
                "a": In(data.ArrayLayout(signed(operand), positions)),
                "i": In(signed(kind.width)),
                "o": Out(signed(kind.width)),
            }
        )

    def inside(self, platform):
        m = Module()
        m.d.comb += self.o.eq(_HARDWARE[self.kind.name].twin(m, *self._operands(), self.i))
        return m

    def cells(self) -> Module:
        m, hardware = Module(), _HARDWARE[self.kind.name]
        m.d.comb += self.o.eq(hardware.cells(m, *self._operands(), self.i, first=self.first, last=self.last))
        return m

    def _operands(self) -> tuple[list[Value], list[Value]]:
        return [self.x[n] for n in range(self.positions)], [self.a[n] for n in range(self.positions)]


def _check(kind: SliceKind, x: IntType, operand: int, positions: int, first: bool) -> None:
    """Raise ValueError where blocks of a ``kind`` are no such step."""
    if x.width + (not x.signed) > kind.x:
        raise ValueError(f"{kind.name} multiplies signed integers of {kind.x} bits at most: {x} does not fit")
    if not 1 <= operand <= kind.operand:
        raise ValueError(f"{kind.name} takes weights of 1 to {kind.operand} bits, not {operand}")
    if positions not in (1, 2):
        raise ValueError(f"a step of a cascade has one position or two, not {positions}")
    if positions == 1 and not first:
        raise ValueError(f"a step of one position can only be the first of a cascade of {kind.name}")
