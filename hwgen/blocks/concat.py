"""Streams joined to one."""

from dataclasses import dataclass

import numpy as np

from hwgen.graph.errors import ModelError
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap

from .operator import SeveralInputs


@dataclass(frozen=True, eq=False)
class Concat(SeveralInputs):
    """``inputs`` one after the other along ``axis`` (0 to 2: rows, columns, channels).

    All have the quantisation of the result: what has not is requantised by a table of its own before.
    """

    output: FeatureMap
    axis: int

    sites = ("Concat",)

    @classmethod
    def from_site(cls, site: Site) -> "Concat | None":
        if site.op != "Concat":
            return None
        if any(tensor.quantization != site.output.quantization for tensor in site.inputs):
            raise ModelError(f"node {site.name!r}: its operands are quantised differently; quantise them alike")
        return cls(tuple(tensor.map for tensor in site.inputs), site.output.map, site.attributes["axis"])

    def golden(self, *inputs: np.ndarray) -> np.ndarray:
        return np.concatenate(inputs, axis=1 + self.axis)
