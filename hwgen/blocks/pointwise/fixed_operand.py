"""Operators of several streams of which some are constants that vary over rows or columns: those come from a ROM."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hwgen.blocks.pointwise.element_form import Combination
from hwgen.blocks.pointwise.elementwise import Elementwise
from hwgen.blocks.pointwise.fixed_constant import FixedConstant
from hwgen.blocks.pointwise.pair import Add, Mul
from hwgen.blocks.pointwise.zipped import Zipped
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap

#: What can be given constants.
_KINDS = (Add, Mul, Elementwise)


@dataclass(frozen=True, eq=False)
class FixedOperand(Zipped):
    """``op`` with its operands ``constants`` (by number, integers [H, W, C], each size that of the result or 1)."""

    op: Zipped
    constants: Mapping[int, np.ndarray]

    sites = ("Add", "Mul", "Elementwise")

    @classmethod
    def from_site(cls, site: Site) -> "FixedOperand | None":
        if not site.constants:
            return None
        op = next(filter(None, (kind.from_site(site) for kind in _KINDS if site.op in kind.sites)), None)
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
        """The first stream."""
        return self.inputs[0]

    @property
    def output(self) -> FeatureMap:
        """As of the operator whose operands are all streams."""
        return self.op.output

    @property
    def gap(self) -> str | None:
        return self.op.gap

    @property
    def form(self) -> Combination:
        return self.op.form

    def golden(self, *inputs: np.ndarray) -> np.ndarray:
        return self.op.golden(*self._all(inputs, [self.constants[n][None] for n in sorted(self.constants)]))

    def _all(self, streams, constants) -> list:
        """Both in the order of the operands."""
        given = dict(zip(self._varying, streams, strict=True)) | dict(
            zip(sorted(self.constants), constants, strict=True)
        )
        return [given[n] for n in range(len(given))]

    @property
    def fixed(self) -> list[FixedConstant]:
        own = (FixedConstant(self.constants[n], self.op.inputs[n].type) for n in sorted(self.constants))
        return [*own, *self.op.fixed]

    def joined(self, streams: list, fixed: list) -> list:
        own = len(self.constants)
        return self.op.joined(self._all(streams, fixed[:own]), fixed[own:])
