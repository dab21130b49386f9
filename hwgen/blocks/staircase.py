"""Requantisation of sums in a form that hardware does not have yet: through a function, or with scales far apart."""

from dataclasses import dataclass

import numpy as np

from hwgen.graph.errors import ModelError
from hwgen.graph.expression import Expression
from hwgen.graph.network import Site
from hwgen.graph.requantization import raw_sums, requantize_reference, rounded, scaled_sums
from hwgen.graph.requantize import Requantization, fit, output_scale
from hwgen.graph.types import Quantization


@dataclass(frozen=True, eq=False)
class Staircase:
    """``acc + bias`` times ``scale`` (float32 [C]) is a real number; through ``function`` to integers of ``target``.

    Without a function ``scale`` is that from sums to steps of the output, as in :class:`Requantization`. ``why`` says
    what hardware misses.
    """

    scale: np.ndarray
    bias: np.ndarray
    target: Quantization
    clamp: tuple[int, int]
    why: str
    function: Expression | None = None

    def reference(self, acc: np.ndarray) -> np.ndarray:
        """The definition, for raw accumulators int64 [..., C]."""
        if self.function is None:
            return requantize_reference(acc + self.bias, self.scale, self.target.zero_point, self.clamp)
        real = self.function((acc + self.bias).astype(np.float32) * self.scale)
        return np.clip(self.target.quantize(real).astype(np.int64), *self.clamp)

    def golden(self, sums: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """:meth:`reference` of raw sums that integers or floats hold exactly, as ``dtype``; may overwrite them."""
        if self.function is None:
            return rounded(scaled_sums(sums, self.bias, self.scale), self.target.zero_point, self.clamp, dtype)
        real = self.function(scaled_sums(sums, self.bias, self.scale))
        return np.clip(self.target.quantize(real), *self.clamp).astype(dtype)


def requantization(
    site: Site,
    unit: np.ndarray,
    bias: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    scale: np.ndarray | None = None,
) -> Requantization | Staircase:
    """How sums of ``site`` become integers: the proved form where there is one.

    ``unit`` float32 [C] times the input's scale is what a sum counts in; ``low`` and ``high`` are what raw sums reach,
    int64 [C], before ``bias``. ``scale`` replaces that from sums to output steps.
    """
    source, target = site.input.quantization, site.output.quantization
    if site.raw:
        return raw_sums(bias, target.type)
    if site.function is not None:
        real = np.float32(source.scale) * np.asarray(unit, np.float32)
        return Staircase(real, bias, target, site.clamp, f"{site.op} with {site.function}", site.function)
    scale = output_scale(source.scale, unit, target.scale) if scale is None else scale
    try:
        return fit(np.asarray(scale, np.float32), target.zero_point, site.clamp, low + bias, high + bias, bias)
    except ModelError as error:
        return Staircase(scale, bias, target, site.clamp, f"{site.op} ({error})")


def requantization_gap(op) -> str | None:
    """What :attr:`Operator.gap` is for an operator that ends in a requantisation."""
    return op.requantization.why if isinstance(op.requantization, Staircase) else None
