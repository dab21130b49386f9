"""Two-dimensional convolution."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwgen.graph.network import QuantizedConstant, Site
from hwgen.graph.requantize import Requantization
from hwgen.graph.types import FeatureMap
from hwgen.graph.window import Window

from .mac import MacLayer, raw_range
from .mac_operator import MacOperator
from .staircase import Staircase, requantization, requantization_gap
from .sums import channel_sums, exact_float


@dataclass(frozen=True, eq=False)
class Conv(MacOperator):
    """``weights`` int64 [OC, KH, KW, IC/group], zero points taken off; the sum goes through ``requantization``."""

    input: FeatureMap
    output: FeatureMap
    window: Window
    weights: np.ndarray
    input_zero: int
    requantization: Requantization | Staircase
    group: int = 1

    sites = ("Conv",)

    @classmethod
    def from_site(cls, site: Site) -> "Conv | None":
        if site.op != "Conv":
            return None
        settings = site.attributes
        window = Window(settings["kernel"], settings["strides"], settings["dilations"], settings["pads"])
        weights = stored_weights(site.weight).transpose(0, 2, 3, 1)
        return cls(
            site.input.map,
            site.output.map,
            window,
            weights,
            site.input.quantization.zero_point,
            site_requantization(site, weights),
            settings["group"],
        )

    def golden(self, x: np.ndarray) -> np.ndarray:
        return self.requantization.golden(self._raw(x), self.output.type.dtype)

    def _raw(self, x: np.ndarray) -> np.ndarray:
        """Sums [N, OH, OW, OC] of products."""
        if self.group == self.input.channels:
            return self._depthwise(x)
        parts, weights = np.split(x, self.group, axis=3), np.split(self.weights, self.group)
        raw = [self._layer(w).raw(part) for w, part in zip(weights, parts, strict=True)]
        return np.concatenate(raw, axis=3)

    def _depthwise(self, x: np.ndarray) -> np.ndarray:
        """One tap of the window after the other, all channels at once."""
        exact = exact_float(self.weights, self.input.type)
        return channel_sums(x, self.weights[..., 0], self.window, self.input_zero, exact)

    @property
    def gap(self) -> str | None:
        if self.group != 1:
            return f"Conv with group={self.group}"
        return requantization_gap(self)

    def _layer(self, weights: np.ndarray) -> MacLayer:
        source, result = self.input, self.output
        part = FeatureMap(source.height, source.width, source.channels // self.group, source.type)
        out = FeatureMap(result.height, result.width, len(weights), result.type)
        return MacLayer(part, out, self.window, weights, self.input_zero, self.requantization)

    @cached_property
    def layer(self) -> MacLayer:
        """What the multiply-accumulate unit computes. ModelError where there is a :attr:`gap`."""
        if self.gap:
            raise self.golden_only()
        return self._layer(self.weights)


def stored_weights(weight: QuantizedConstant) -> np.ndarray:
    """Weights as int64 with their zero points taken off, in the layout they have."""
    values = weight.values.astype(np.int64)
    return values - weight.zero_point.astype(np.int64).reshape(-1, *[1] * (values.ndim - 1))


def site_requantization(site: Site, weights: np.ndarray) -> Requantization | Staircase:
    """The requantisation of a site with ``weights`` int64 [OC, ...]; bias and input zero point are in it."""
    source = site.input.quantization
    channels = len(weights)
    bias = np.zeros(channels, np.int64) if site.bias is None else site.bias.astype(np.int64)
    bias = bias - source.zero_point * weights.reshape(channels, -1).sum(axis=1)
    low, high = raw_range(weights, source.type)
    return requantization(site, np.broadcast_to(site.weight.scale, channels), bias, low, high)
