"""Transposed convolution."""

from dataclasses import dataclass

import numpy as np

from hwgen.graph.network import Site
from hwgen.graph.requantize import Requantization
from hwgen.graph.types import FeatureMap
from hwgen.graph.window import TransposedWindow

from .mac_layer import raw_range
from .operator import GoldenOperator
from .staircase import Staircase, requantization
from .sums import exact_float, window_sums


@dataclass(frozen=True, eq=False)
class ConvTranspose(GoldenOperator):
    """``weights`` int64 [OC, KH, KW, IC/group], zero points taken off and turned round, over the spread map."""

    input: FeatureMap
    output: FeatureMap
    window: TransposedWindow
    weights: np.ndarray
    input_zero: int
    requantization: Requantization | Staircase
    group: int

    sites = ("ConvTranspose",)

    @classmethod
    def from_site(cls, site: Site) -> "ConvTranspose | None":
        if site.op != "ConvTranspose":
            return None
        group, source = site.attributes["group"], site.input.quantization
        weights = turned(site, group)
        low, high = raw_range(weights, source.type)
        zeros = np.abs(weights.reshape(len(weights), -1)).sum(axis=1) * abs(source.zero_point)
        bias = np.zeros(len(weights), np.int64) if site.bias is None else site.bias.astype(np.int64)
        unit = np.resize(site.weight.scale, len(weights))  # the same scales for each group
        form = requantization(site, unit, bias, low - zeros, high + zeros)
        return cls(site.input.map, site.output.map, site.attributes["window"], weights, source.zero_point, form, group)

    def golden(self, x: np.ndarray) -> np.ndarray:
        exact = exact_float(self.weights, self.input.type) if not self.input_zero else np.float64
        spread = self.window.spread(x.astype(exact) - exact(self.input_zero))
        parts = zip(np.split(spread, self.group, axis=-1), np.split(self.weights, self.group), strict=True)
        raw = np.concatenate([window_sums(part, w, self.window.window, 0, exact) for part, w in parts], axis=-1)
        return self.requantization.golden(raw, self.output.type.dtype)


def turned(site: Site, group: int) -> np.ndarray:
    """[IC, OC/group, KH, KW] as [OC, KH, KW, IC/group], last tap first."""
    values, zero = site.weight.values.astype(np.int64), site.weight.zero_point
    values = values - (zero.reshape(1, -1, 1, 1) if zero.size > 1 else zero.reshape(()))
    parts = [part.transpose(1, 2, 3, 0) for part in np.split(values, group)]
    return np.concatenate(parts)[:, ::-1, ::-1]
