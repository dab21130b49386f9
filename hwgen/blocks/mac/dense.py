"""Fully connected layer."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwgen.blocks.loaded import Loadable, stored_type
from hwgen.blocks.mac.conv import site_requantization, stored_weights
from hwgen.blocks.mac.mac import MacOperator, MacUnit
from hwgen.blocks.mac.mac_folding import MacFolding
from hwgen.blocks.mac.mac_layer import MacLayer, MacShape, widest_sums
from hwgen.blocks.requantize.staircase import Staircase
from hwgen.graph.exact.loadable import LoadForm
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.network import Site
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap, IntType


@dataclass(frozen=True, eq=False)
class Dense(Loadable, MacOperator):
    """``weights`` int64 [OC, features], features in the raster order of ``input``: flattening needs no hardware.

    ``stored`` and ``loading`` are as in :class:`Conv`.
    """

    input: FeatureMap
    output: FeatureMap
    weights: np.ndarray
    requantization: Requantization | Staircase
    stored: IntType | None = None
    loading: LoadForm | None = None

    sites = ("Gemm",)

    @classmethod
    def from_site(cls, site: Site) -> "Dense | None":
        if site.op != "Gemm":
            return None
        weights = stored_weights(site.weights)
        return cls(
            site.input.map, site.output.map, weights, site_requantization(site, weights), stored_type(site.weights)
        )

    def golden(self, x: np.ndarray) -> np.ndarray:
        return self._layer.golden(x.reshape(len(x), *self._layer.input.shape))

    @cached_property
    def _layer(self) -> MacLayer:
        """A 1x1 window on a map of one pixel."""
        flat = FeatureMap(1, 1, self.input.elements, self.input.type)
        weights = self.weights.reshape(len(self.weights), 1, 1, -1)
        return MacLayer(flat, self.output, Window((1, 1)), weights, 0, self.requantization, loading=self.loading)

    def load_sums(self, weights: IntType) -> IntType:
        return widest_sums(self.weights, weights, self.input.type)

    def built_for(self) -> dict[str, object]:
        """What weights that are loaded later must keep to."""
        return {"input": str(self.input), "output": str(self.output)}

    @cached_property
    def shape(self) -> MacShape:
        return replace(self.layer.shape, flat=self.input.channels)

    def _laid_out(self, folding: MacFolding) -> "DenseUnit":
        return DenseUnit(self, folding)


class DenseUnit(MacUnit):
    """Hardware for :class:`Dense`."""

    op: Dense

    def problems(self) -> list[str]:
        lanes, channels = self.folding.lanes_in, self.op.input.channels
        if channels % lanes:
            return [f"lanes_in {lanes} does not divide the {channels} channels of a pixel"]
        return super().problems()
