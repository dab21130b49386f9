"""Requantisation of sums where no straight line does: through a function, or with scales far apart."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwgen.graph.errors import ModelError
from hwgen.graph.exact.requantization import raw_sums, requantize_reference, rounded, scaled_sums
from hwgen.graph.exact.requantize import Requantization, fit, output_scale
from hwgen.graph.exact.steps import Steps, find_steps
from hwgen.graph.expression import Expression
from hwgen.graph.network import Site
from hwgen.graph.types import Quantization


@dataclass(frozen=True, eq=False)
class Staircase:
    """``acc + bias`` times ``scale`` (float32 [C]) is a real number; through ``function`` to integers of ``target``.

    Without a function ``scale`` is that from sums to steps of the output, as in :class:`Requantization`. ``low`` and
    ``high`` are what raw sums reach, int64 [C]; ``what`` says what it is, for messages.
    """

    scale: np.ndarray
    bias: np.ndarray
    target: Quantization
    clamp: tuple[int, int]
    low: np.ndarray
    high: np.ndarray
    what: str
    function: Expression | None = None

    def reference(self, acc: np.ndarray) -> np.ndarray:
        """The definition, for raw accumulators int64 [..., C]."""
        if self.function is None:
            return requantize_reference(acc + self.bias, self.scale, self.target.zero_point, self.clamp)
        real = self.function((acc + self.bias).astype(np.float32) * self.scale)
        return np.clip(self.target.quantize(real).astype(np.int64), *self.clamp)

    @cached_property
    def _search(self) -> Steps | str:
        """The steps, or why they are not known."""
        function = self.function
        if function is not None and not function.per_channel:
            return "is another one at every pixel"
        try:
            return find_steps(self._rows, self.low, self.high, function is None or function.monotone)
        except ModelError as error:
            return f"has {error}"

    def _rows(self, acc: np.ndarray) -> np.ndarray:
        """:meth:`reference` of [K, C]."""
        return self.reference(acc[:, None, None]).reshape(acc.shape)

    @property
    def steps(self) -> Steps:
        """What hardware searches through. ModelError where there is a :attr:`gap`."""
        if isinstance(self._search, str):
            raise ModelError(f"{self.what} that {self._search}")
        return self._search

    @property
    def gap(self) -> str | None:
        """Why it cannot be built, in a few words; None where it can."""
        return f"{self.what} that {self._search}" if isinstance(self._search, str) else None

    def repeated(self, times: int) -> "Staircase":
        """The same steps for so many times the channels, which come round; :meth:`golden` is that of the first."""
        other = replace(self)
        other.__dict__["_search"] = self.steps.repeated(times)
        return other

    def certificate(self) -> dict[str, object]:
        """What was proved, in a form for reports."""
        steps = self.steps
        return {
            "form": "search",
            "proved": "equal on both sides of every step of every channel",
            "channels": steps.channels,
            "sums": [int(self.low.min()), int(self.high.max())],
            "thresholds": steps.count,
            "levels": steps.levels,
        }

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
        real = source.scales * np.asarray(unit, np.float32)
        what = f"{site.op} with {site.function}"
        return Staircase(real, bias, target, site.clamp, low, high, what, site.function)
    scale = output_scale(source.step, unit, target.step) if scale is None else scale
    try:
        return fit(np.asarray(scale, np.float32), target.zero_point, site.clamp, low + bias, high + bias, bias)
    except ModelError as error:
        return Staircase(scale, bias, target, site.clamp, low, high, f"{site.op} ({error})")
