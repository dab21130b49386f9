"""Sums and products of two streams."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwgen.graph.network import QuantizedTensor, Site
from hwgen.graph.types import FeatureMap

from .operator import SeveralInputs

#: Bits of each operand up to which all pairs are computed once and for all.
LARGEST_OPERAND = 8


@dataclass(frozen=True, eq=False)
class _Pair(SeveralInputs):
    """``values[a - a.min, b - b.min]`` for each element of the two inputs, one of which may be broadcast.

    The table is the definition: all that hardware can meet, at most 65,536 pairs.
    """

    output: FeatureMap
    values: np.ndarray

    @classmethod
    def from_site(cls, site: Site) -> "_Pair | None":
        maps = tuple(tensor.map for tensor in site.inputs)
        if site.op not in cls.sites or max(map_.type.width for map_ in maps) > LARGEST_OPERAND:
            return None
        a, b = (np.arange(map_.type.min, map_.type.max + 1) for map_ in maps)
        arithmetic = cls.fused if is_fused(site) else cls.plain
        steps = arithmetic(a[:, None], b[None, :], *site.inputs, site.output)
        values = np.clip(steps, *site.clamp).astype(site.output.map.type.dtype)
        return cls(maps, site.output.map, values)

    @staticmethod
    def fused(a: np.ndarray, b: np.ndarray, *tensors: QuantizedTensor) -> np.ndarray:
        """ONNX Runtime's kernel: integers not yet saturated, for integers and the quantisations of a, b and result."""
        raise NotImplementedError

    @classmethod
    def plain(cls, a: np.ndarray, b: np.ndarray, *tensors: QuantizedTensor) -> np.ndarray:
        """ONNX's definition: dequantise, combine, quantise, each in float32."""
        x, y, result = (tensor.quantization for tensor in tensors)
        return result.quantize(cls.combine(x.dequantize(a), y.dequantize(b))).astype(np.int64)

    @staticmethod
    def combine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def golden(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rows, columns = (operand.view(np.uint8).astype(np.uint16) for operand in (a, b))
        rows <<= 8
        return self._by_bytes.take(rows | columns)

    @cached_property
    def _by_bytes(self) -> np.ndarray:
        """``values`` by the two bytes that hold the operands, flat; nothing where a type is narrower than a byte."""
        table = np.zeros((256, 256), self.values.dtype)
        first, second = (np.arange(map_.type.min, map_.type.max + 1) & 255 for map_ in self.inputs)
        table[np.ix_(first, second)] = self.values
        return table.reshape(-1)


@dataclass(frozen=True, eq=False)
class Add(_Pair):
    """The sum of two streams."""

    sites = ("Add",)

    @staticmethod
    def fused(a: np.ndarray, b: np.ndarray, *tensors: QuantizedTensor) -> np.ndarray:
        """Three fused multiply-additions in this order, zero points and all, then it is rounded.

        The kernel takes the operand that is broadcast second.
        """
        if tensors[0].map.elements < tensors[1].map.elements:
            (a, b), tensors = (b, a), (tensors[1], tensors[0], tensors[2])
        x, y, result = (tensor.quantization for tensor in tensors)
        first, second = (np.float32(q.scale) / np.float32(result.scale) for q in (x, y))
        zeros = fused_multiply_add(np.array(x.zero_point), first, second * np.float32(y.zero_point))
        fixed = np.float32(result.zero_point) - zeros
        return np.rint(fused_multiply_add(a, first, fused_multiply_add(b, second, fixed)))

    @staticmethod
    def combine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x + y


@dataclass(frozen=True, eq=False)
class Mul(_Pair):
    """The product of two streams."""

    sites = ("Mul",)

    @staticmethod
    def fused(a: np.ndarray, b: np.ndarray, *tensors: QuantizedTensor) -> np.ndarray:
        """The product of the integers times a scale, plus the zero point, each in float32; then it is rounded."""
        x, y, result = (tensor.quantization for tensor in tensors)
        scale = np.float32(x.scale) * np.float32(y.scale) / np.float32(result.scale)
        product = (a - x.zero_point) * (b - y.zero_point)
        return np.rint(product.astype(np.float32) * scale + np.float32(result.zero_point))

    @staticmethod
    def combine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x * y


def is_fused(site: Site) -> bool:
    """Whether ONNX Runtime computes it on integers: one 8-bit type throughout, and no Clip behind it."""
    types = {tensor.quantization.type for tensor in (*site.inputs, site.output)}
    type_ = site.output.quantization.type
    return types == {type_} and type_.width == LARGEST_OPERAND and site.clamp == (type_.min, type_.max)


def fused_multiply_add(a: np.ndarray, b: np.float32, c: np.ndarray) -> np.ndarray:
    """``a * b + c`` rounded once to float32; ``a`` are integers of up to 24 bits, ``c`` is float32.

    The product is exact in float64. The sum is rounded to odd there, so that rounding it again does no harm
    (S. Boldo, G. Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
    """
    product, c = np.asarray(a, np.float64) * np.float64(b), np.asarray(c, np.float64)
    total = product + c
    part = total - product
    error = (product - (total - part)) + (c - part)
    even = total.view(np.int64) & 1 == 0
    total = np.where((error != 0) & even, np.nextafter(total, np.copysign(np.inf, error)), total)
    return total.astype(np.float32)
