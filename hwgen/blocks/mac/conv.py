"""Convolution in one or two dimensions, in groups or not; depthwise where every channel is a group."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwgen.blocks.loaded import Loadable, stored_type, window_text
from hwgen.blocks.mac.mac import MacOperator
from hwgen.blocks.mac.mac_layer import MacLayer, raw_range, widest_sums
from hwgen.blocks.requantize.staircase import Staircase, requantization
from hwgen.graph.exact.loadable import LoadForm
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.network import QuantizedConstant, Site
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap, IntType


@dataclass(frozen=True, eq=False)
class Conv(Loadable, MacOperator):
    """``weights`` int64 [OC, KH, KW, IC/group], zero points taken off; the sum goes through ``requantization``.

    ``stored`` holds all weights that the model could have; ``loading`` is as in :class:`MacLayer`.
    """

    input: FeatureMap
    output: FeatureMap
    window: Window
    weights: np.ndarray
    input_zero: int
    requantization: Requantization | Staircase
    group: int = 1
    stored: IntType | None = None
    loading: LoadForm | None = None

    sites = ("Conv",)

    @classmethod
    def from_site(cls, site: Site) -> "Conv | None":
        if site.op != "Conv":
            return None
        settings = site.attributes
        window = Window(settings["kernel"], settings["strides"], settings["dilations"], settings["pads"])
        weights = stored_weights(site.weights).transpose(0, 2, 3, 1)
        return cls(
            site.input.map,
            site.output.map,
            window,
            weights,
            site.input.quantization.zero_point,
            site_requantization(site, weights),
            settings["group"],
            stored_type(site.weights),
        )

    def golden(self, x: np.ndarray) -> np.ndarray:
        return self._layer.golden(x)

    @cached_property
    def _layer(self) -> MacLayer:
        return MacLayer(
            self.input,
            self.output,
            self.window,
            self.weights,
            self.input_zero,
            self.requantization,
            self.group,
            self.loading,
        )

    @property
    def by_pixel(self) -> bool:
        return self.window.kernel == (1, 1)

    @property
    def hands_on(self) -> bool:
        """In one group, without stride or dilation, as large as its input, with rows of padding."""
        moves = self.group, self.window.strides, self.window.dilations
        plain = moves == (1, (1, 1), (1, 1)) and self.output.shape[:2] == self.input.shape[:2]
        return plain and 0 < self.window.pads[0] < self.window.kernel[0] and not self.gap

    def load_sums(self, weights: IntType) -> IntType:
        return widest_sums(self.weights, weights, self.input.type)

    def built_for(self) -> dict[str, object]:
        """Padding is of the input's zero point, which is not loaded."""
        padding = {"zero point of the padding": self.input_zero} if any(self.window.pads) else {}
        return {
            "input": str(self.input),
            "output": str(self.output),
            "window": window_text(self.window),
            "groups": self.group,
            **padding,
        }


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
    return requantization(site, np.broadcast_to(site.weights.scale, channels), bias, low, high)
