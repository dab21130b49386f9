"""Fully connected layer."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.lib import wiring

from hwgen.graph.network import Site
from hwgen.graph.requantize import Requantization
from hwgen.graph.types import FeatureMap
from hwgen.graph.window import Window

from .conv import site_requantization, stored_weights
from .mac import MacFolding, MacLayer, MacPlan, MacUnit
from .mac_folding import mac_foldings, mac_problems
from .operator import Cost, Operator, Products
from .staircase import Staircase, requantization_gap
from .timing import Actor


@dataclass(frozen=True, eq=False)
class Dense(Operator):
    """``weights`` int64 [OC, features], features in the raster order of ``input``: flattening needs no hardware."""

    input: FeatureMap
    output: FeatureMap
    weights: np.ndarray
    requantization: Requantization | Staircase

    sites = ("Gemm",)

    @classmethod
    def from_site(cls, site: Site) -> "Dense | None":
        if site.op != "Gemm":
            return None
        weights = stored_weights(site.weight)
        return cls(site.input.map, site.output.map, weights, site_requantization(site, weights))

    def golden(self, x: np.ndarray) -> np.ndarray:
        return self._layer.golden(x.reshape(len(x), *self._layer.input.shape))

    @property
    def gap(self) -> str | None:
        return requantization_gap(self)

    @property
    def layer(self) -> MacLayer:
        """What the multiply-accumulate unit computes. ModelError where there is a :attr:`gap`."""
        if self.gap:
            raise self.golden_only()
        return self._layer

    @cached_property
    def _layer(self) -> MacLayer:
        """A 1x1 window on a map of one pixel."""
        flat = FeatureMap(1, 1, self.input.elements, self.input.type)
        weights = self.weights.reshape(len(self.weights), 1, 1, -1)
        return MacLayer(flat, self.output, Window((1, 1)), weights, 0, self.requantization)

    def foldings(self) -> Iterable[MacFolding]:
        return [f for f in mac_foldings(self.layer) if f.window == "ring" and self.input.channels % f.lanes_in == 0]

    def plan(self, folding: MacFolding) -> MacPlan:
        return MacPlan(self.layer, folding)

    def actors(self, folding: MacFolding) -> tuple[Actor, ...]:
        return self.plan(folding).actors()

    def cost(self, folding: MacFolding) -> Cost:
        return self.plan(folding).cost(self)

    def interval(self, folding: MacFolding) -> int:
        return self.plan(folding).interval

    def price(self, folding: MacFolding) -> tuple[tuple[Products, ...], int]:
        return self.plan(folding).price

    def folding_problems(self, folding: MacFolding) -> list[str]:
        return mac_problems(self.layer, folding)

    def block(self, folding: MacFolding) -> wiring.Component:
        return MacUnit(self.plan(folding))
