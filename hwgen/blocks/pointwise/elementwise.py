"""Any element-wise function of a few streams: evaluated in real numbers, in one of several forms in hardware."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwgen.blocks.operator import SeveralInputs
from hwgen.blocks.pointwise.choice import Chooses
from hwgen.blocks.pointwise.element_form import Definition, Form
from hwgen.blocks.pointwise.element_forms import Computes, StraightLine, Tabulates
from hwgen.blocks.pointwise.zipped import Zipped
from hwgen.graph.errors import ModelError
from hwgen.graph.expression import Expression
from hwgen.graph.ir import Node
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap, Quantization

_NAMED = {op: Expression((Node(op, op, ("a", "b"), ("y",)),), {}, ("a", "b"), "y") for op in ("Add", "Mul")}
_IDENTITY = Expression((), {}, ("a",), "a")
#: Forms in the order in which they are tried, the smallest first.
_FORMS = (Tabulates.if_small, Chooses.of, StraightLine.of, Computes.of_integers, Computes.of, Tabulates.of)


@dataclass(frozen=True, eq=False)
class Elementwise(SeveralInputs, Zipped):
    """``function`` of the dequantised ``inputs``, quantised to ``target`` and limited to ``clamp``."""

    output: FeatureMap
    quantizations: tuple[Quantization, ...]
    target: Quantization
    clamp: tuple[int, int]
    function: Expression

    sites = ("Elementwise", "Add", "Mul", "Requantize")

    @classmethod
    def from_site(cls, site: Site) -> "Elementwise | None":
        maps, quantizations = zip(*((tensor.map, tensor.quantization) for tensor in site.inputs), strict=True)
        function = site.function or _NAMED.get(site.op, _IDENTITY)
        return cls(maps, site.output.map, quantizations, site.output.quantization, site.clamp, function)

    @cached_property
    def definition(self) -> Definition:
        """What is computed, whatever the maps."""
        return Definition(self.function, self.quantizations, self.target, self.clamp)

    def golden(self, *inputs: np.ndarray) -> np.ndarray:
        result = self.definition(*inputs).astype(self.output.type.dtype)
        return np.broadcast_to(result, (len(result), *self.output.shape))

    @cached_property
    def _found(self) -> Form | str:
        """The first form that there is, or why there is none."""
        reasons: list[str] = []
        for make in _FORMS:
            try:
                form = make(self.definition)
            except (ModelError, ValueError) as error:
                reasons.append(str(error))
                continue
            if form is not None:
                return form
        return reasons[0]

    @property
    def form(self) -> Form:
        if isinstance(self._found, str):
            raise self.golden_only()
        return self._found

    @property
    def gap(self) -> str | None:
        if isinstance(self._found, Form):
            return None
        count = len(self.inputs)
        what = f"an element-wise function ({self.function}) of {count} stream{'s' * (count > 1)}"
        return f"{what} with {self._found}"
