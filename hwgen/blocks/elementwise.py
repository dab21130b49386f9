"""Any element-wise function, of any number of streams: evaluated in real numbers."""

from dataclasses import dataclass

import numpy as np

from hwgen.graph.expression import Expression
from hwgen.graph.ir import Node
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap, Quantization

from .operator import GoldenOperator, SeveralInputs

_NAMED = {op: Expression((Node(op, op, ("a", "b"), ("y",)),), {}, ("a", "b"), "y") for op in ("Add", "Mul")}


@dataclass(frozen=True, eq=False)
class Elementwise(SeveralInputs, GoldenOperator):
    """``function`` of the dequantised ``inputs``, quantised to ``target`` and limited to ``clamp``."""

    output: FeatureMap
    quantizations: tuple[Quantization, ...]
    target: Quantization
    clamp: tuple[int, int]
    function: Expression | None

    sites = ("Elementwise", "Add", "Mul", "Requantize")

    @classmethod
    def from_site(cls, site: Site) -> "Elementwise | None":
        if site.op not in cls.sites:
            return None
        maps, quantizations = zip(*((tensor.map, tensor.quantization) for tensor in site.inputs), strict=True)
        function = site.function or _NAMED.get(site.op)
        return cls(maps, site.output.map, quantizations, site.output.quantization, site.clamp, function)

    @property
    def gap(self) -> str:
        return f"an element-wise function ({self.function or 'requantisation'}) of {len(self.inputs)} streams"

    def golden(self, *inputs: np.ndarray) -> np.ndarray:
        real = [kind.dequantize(x) for kind, x in zip(self.quantizations, inputs, strict=True)]
        result = self.target.quantize(self.function(*real) if self.function else real[0])
        result = np.clip(result.astype(np.int64), *self.clamp).astype(self.output.type.dtype)
        return np.broadcast_to(result, (len(result), *self.output.shape))
