"""Operators of several streams of which some are constants that vary over rows or columns: those come from a ROM."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap
from hwgen.memory.loops import LoopNest
from hwgen.memory.rom import Rom, pack, rom_latency

from .arithmetic import delay
from .elementwise import Elementwise
from .float_sum import FloatSum
from .logic import Logic, counter
from .operator import rom_need
from .pair import Add, Mul
from .spread import LOOPS, SPREAD_LATENCY
from .stream import beat_layout
from .streamed import Hardware
from .zipped import Zipped

#: What can be given constants.
_KINDS = (Add, Mul, FloatSum, Elementwise)


@dataclass(frozen=True, eq=False)
class FixedOperand(Zipped):
    """``op`` with its operands ``constants`` (by number, integers [H, W, C], each size that of the result or 1)."""

    op: Zipped
    constants: Mapping[int, np.ndarray]

    sites = ("Add", "Mul", "Elementwise")

    @classmethod
    def from_site(cls, site: Site) -> "FixedOperand | None":
        if not site.constants or site.op not in cls.sites:
            return None
        op = next(filter(None, (kind.from_site(site) for kind in _KINDS)), None)
        constants = {
            n: site.constants[tensor.name][0] for n, tensor in enumerate(site.inputs) if tensor.name in site.constants
        }
        whole = any(tensor.map.shape == site.output.map.shape for tensor in site.varying)
        return cls(op, constants) if whole and isinstance(op, _KINDS) else None

    @property
    def _varying(self) -> list[int]:
        """The operands that are streams, by number."""
        return [n for n in range(len(self.op.inputs)) if n not in self.constants]

    @property
    def inputs(self) -> tuple[FeatureMap, ...]:
        return tuple(self.op.inputs[n] for n in self._varying)

    @property
    def input(self) -> FeatureMap:
        return self.inputs[0]

    @property
    def output(self) -> FeatureMap:
        return self.op.output

    @property
    def gap(self) -> str | None:
        return self.op.gap

    def certificate(self) -> dict[str, object]:
        """What was proved of the operator, for whatever the operands are."""
        return self.op.certificate()

    def golden(self, *inputs: np.ndarray) -> np.ndarray:
        return self.op.golden(*self._all(inputs, [self.constants[n][None] for n in sorted(self.constants)]))

    def _all(self, streams, constants) -> list:
        """Both in the order of the operands."""
        given = dict(zip(self._varying, streams, strict=True)) | dict(
            zip(sorted(self.constants), constants, strict=True)
        )
        return [given[n] for n in range(len(given))]

    @property
    def _wait(self) -> int:
        return SPREAD_LATENCY

    @property
    def combine_latency(self) -> int:
        return self.op.combine_latency

    def combine_hardware(self) -> Hardware:
        return self.op.combine_hardware()

    def combine(self, m: Module, lane: int, operands: list[Value]) -> Value:
        return self.op.combine(m, lane, operands)

    def hardware(self, folding) -> Hardware:
        logic, memories, products = super().hardware(folding)
        for n in sorted(self.constants):
            words, width = self._words(n, folding.lanes), self.op.inputs[n].type.width * folding.lanes
            logic += Logic(register=width) + counter(len(words))
            memories = [*memories, rom_need("constant", width, len(words))]
        return Hardware(logic, memories, products)

    def _words(self, n: int, lanes: int) -> list[int]:
        """Operand ``n`` beat by beat; one channel stands in every lane."""
        values, width = self.constants[n], self.op.inputs[n].type.width
        values = np.repeat(values, lanes, axis=2) if values.shape[2] == 1 else values
        return [pack(beat, width) for beat in values.reshape(-1, lanes).tolist()]

    def operands(self, m: Module, folding, nest: LoopNest, step: Signal, views: list[data.View]) -> list[data.View]:
        fixed = [self._constant(m, n, folding, nest) for n in sorted(self.constants)]
        return self._all(views, fixed)

    def _constant(self, m: Module, n: int, folding, nest: LoopNest) -> data.View:
        """What operand ``n`` has in this step, ``_wait`` cycles later."""
        height, width, channels = self.constants[n].shape
        own = (height, width, max(channels // folding.lanes, 1))
        steps = {loop: prod(own[at + 1 :]) if own[at] > 1 else 0 for at, loop in enumerate(LOOPS)}
        layout = beat_layout(self.op.inputs[n].type, folding.lanes)
        words = self._words(n, folding.lanes)
        m.submodules[f"constant_{n}"] = rom = Rom(words, layout.size)
        m.d.comb += rom.address.eq(nest.affine(f"constant_{n}_address", steps))
        return data.View(layout, delay(m, rom.data, self._wait - rom_latency(len(words)), f"constant_{n}"))
