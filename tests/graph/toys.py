"""The fewest operators that a network needs, straight from the definition. Doubles for ``hwgen.blocks``."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwgen.graph.exact.requantize import requantize_reference
from hwgen.graph.ir import Graph
from hwgen.graph.lower.subsample import subsampled
from hwgen.graph.lower.trace import Trace
from hwgen.graph.network import Site
from hwgen.graph.notice import warn_caller
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap


def sites(graph: Graph, warn: Callable[[str], None] = warn_caller) -> tuple[Site, ...]:
    """The sites of a quantised graph, in topological order; ModelError with a line per problem."""
    trace = Trace(graph, warn).run()
    trace.problems.raise_any()
    return tuple(subsampled(trace.emitter.sites, trace.emitter.streams))


def window(site: Site) -> Window:
    return Window(*(site.attributes[name] for name in ("kernel", "strides", "dilations", "pads")))


@dataclass(frozen=True, eq=False)
class Toy:
    site: Site

    def infer(self, map: FeatureMap) -> FeatureMap:
        assert map == self.site.input.map
        return self.site.output.map

    @property
    def parts(self):
        return (self,)

    def requantize(self, acc, scale):
        output = self.site.output.quantization
        result = requantize_reference(acc, scale / np.float32(output.scale), output.zero_point, self.site.clamp)
        return result.astype(output.type.dtype)

    def weights(self):
        weight = self.site.weight
        zero = weight.zero_point.reshape(-1, *[1] * (weight.values.ndim - 1))
        bias = 0 if self.site.bias is None else self.site.bias
        scale = np.float32(self.site.input.quantization.scale) * weight.scale
        return weight.values.astype(np.float64) - zero, bias, scale


class ToyConv(Toy):
    sites = ("Conv",)

    @classmethod
    def from_site(cls, site):
        return cls(site)

    def golden(self, x):
        weights, bias, scale = self.weights()
        group = self.site.attributes["group"]
        patches = window(self.site).patches(x.astype(np.float64) - self.site.input.quantization.zero_point)
        parts = zip(np.split(patches, group, -1), np.split(weights, group), strict=True)
        acc = np.concatenate([np.einsum("nhwklc,ockl->nhwo", p, w, optimize=True) for p, w in parts], -1)
        return self.requantize(acc.astype(np.int64) + bias, scale)


class ToyDense(Toy):
    sites = ("Gemm",)

    @classmethod
    def from_site(cls, site):
        return cls(site)

    def golden(self, x):
        weights, bias, scale = self.weights()
        x = x.reshape(len(x), -1).astype(np.float64) - self.site.input.quantization.zero_point
        return self.requantize((x @ weights.T).astype(np.int64) + bias, scale)[:, None, None]


class ToyMaxPool(Toy):
    sites = ("MaxPool",)

    @classmethod
    def from_site(cls, site):
        return cls(site)

    def golden(self, x):
        return window(self.site).patches(x, self.site.input.map.type.min).max(axis=(3, 4))


class ToyRequantize(Toy):
    sites = ("Requantize",)

    @classmethod
    def from_site(cls, site):
        return cls(site)

    def golden(self, x):
        real = self.site.input.quantization.dequantize(x)
        low, high = self.site.clamp
        return np.clip(self.site.output.quantization.quantize(real), low, high)


class ToyAveragePool(Toy):
    """Integer sum times input_scale / (output_scale * count)."""

    sites = ("AveragePool", "GlobalAveragePool")

    @classmethod
    def from_site(cls, site):
        return cls(site)

    def golden(self, x):
        zero = self.site.input.quantization.zero_point
        patches = window(self.site).patches(x.astype(np.int64) - zero, 0)
        scale = np.float32(self.site.input.quantization.scale) / np.float32(patches.shape[3] * patches.shape[4])
        return self.requantize(patches.sum(axis=(3, 4)), scale)


class ToyRearrange(Toy):
    sites = ("Rearrange",)

    @classmethod
    def from_site(cls, site):
        return cls(site)

    def golden(self, x):
        places = self.site.attributes["places"]
        taken = x.reshape(len(x), -1)[:, places]
        return np.where(places < 0, self.site.attributes["fill"], taken).astype(x.dtype)


TOYS = (ToyConv, ToyDense, ToyMaxPool, ToyRequantize, ToyAveragePool)
