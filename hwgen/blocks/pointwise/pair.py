"""Sums and products of two streams."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Cat, Module, Value

from hwgen.blocks.arith.arithmetic import delay, register
from hwgen.blocks.arith.line import Line, fit_line
from hwgen.blocks.arith.scaled_sum import ScaledSumPlan
from hwgen.blocks.array.multiplier import product_type
from hwgen.blocks.operator import SeveralInputs
from hwgen.blocks.pointwise.element_form import Combination
from hwgen.blocks.pointwise.table import ChannelTable
from hwgen.blocks.pointwise.zipped import Zipped
from hwgen.blocks.stream import element_shape
from hwgen.blocks.streamed import Hardware
from hwgen.cost.logic import Logic, adder_register, delayed, total
from hwgen.cost.needs import Products
from hwgen.graph.network import QuantizedTensor, Site
from hwgen.graph.types import FeatureMap, IntType
from hwgen.memory.rom import Rom, pack, rom_latency, rom_need

#: Bits of each operand up to which all pairs are computed once and for all.
LARGEST_OPERAND = 8


@dataclass(frozen=True, eq=False)
class _Pair(SeveralInputs, Zipped, Combination):
    """``values[a - a.min, b - b.min]`` for each element of the two inputs, either of which may be broadcast.

    The table is the definition: all that hardware can meet, at most 65,536 pairs. In hardware it is a
    :class:`~hwgen.blocks.arith.line.Line` of the operands' :meth:`terms`, equal on all pairs; where there is none, a
    ROM. A step of a term is about ``ratios`` steps of the output; ``zeros`` are the operands' zero points.
    """

    output: FeatureMap
    values: np.ndarray
    ratios: tuple[float, ...]
    zeros: tuple[int, int]

    fixed = ()

    @property
    def form(self) -> Combination:
        return self

    @classmethod
    def from_site(cls, site: Site) -> "_Pair | ChannelTable | None":
        maps = tuple(tensor.map for tensor in site.inputs)
        if max(map_.type.width for map_ in maps) > LARGEST_OPERAND:
            return None
        a, b = (np.arange(map_.type.min, map_.type.max + 1) for map_ in maps)
        arithmetic = cls.fused if is_fused(site) else cls.plain
        steps = arithmetic(a[:, None], b[None, :], *site.inputs, site.output)
        values = np.clip(steps, *site.clamp).astype(site.output.map.type.dtype)
        first, second = (tensor.quantization.zero_point for tensor in site.inputs)
        op = cls(maps, site.output.map, values, cls.steps(*site.inputs, site.output), (first, second))
        return op.with_constant(site) or op

    def with_constant(self, site: Site) -> ChannelTable | None:
        """A table for each channel, where one operand is constant along rows and columns."""
        if len(site.varying) != 1 or site.varying[0].map.shape != self.output.shape:
            return None
        axis = site.inputs.index(site.varying[0])
        constant = site.constants[site.inputs[1 - axis].name]
        if constant.shape[:3] != (1, 1, 1):
            return None
        places = constant.ravel().astype(np.int64) - self.types[1 - axis].min
        tables = np.take(self.values, places, axis=1 - axis).astype(np.int64)
        tables = np.broadcast_to(tables.T if axis == 0 else tables, (self.output.channels, tables.shape[axis]))
        return ChannelTable(site.varying[0].map, self.output, tables)

    @staticmethod
    def steps(*tensors: QuantizedTensor) -> tuple[float, ...]:
        """``ratios`` for a, b and the result."""
        raise NotImplementedError

    @staticmethod
    def fused(a: np.ndarray, b: np.ndarray, *tensors: QuantizedTensor) -> np.ndarray:
        """ONNX Runtime's kernel: integers not yet saturated, for integers and the quantisations of a, b and result."""
        raise NotImplementedError

    @classmethod
    def plain(cls, a: np.ndarray, b: np.ndarray, *tensors: QuantizedTensor) -> np.ndarray:
        """ONNX's definition: dequantise, combine, quantise, each in float32."""
        x, y, result = (tensor.quantization for tensor in tensors)
        return result.quantize(cls.real(x.dequantize(a), y.dequantize(b))).astype(np.int64)

    @staticmethod
    def real(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The operator on real numbers."""
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

    @property
    def types(self) -> tuple[IntType, IntType]:
        """Of the operands."""
        first, second = self.inputs
        return first.type, second.type

    @property
    def term_types(self) -> tuple[IntType, ...]:
        """Of what the line takes: the operands, unless it is something else."""
        return self.types

    def terms(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
        """What the line takes, for operands that broadcast to each other."""
        return a, b

    @cached_property
    def line(self) -> Line | None:
        """Equal to ``values`` on all pairs; None where there is none."""
        a, b = (np.arange(type_.min, type_.max + 1) for type_ in self.types)
        return fit_line(self.terms(a[:, None], b[None, :]), self.ratios, self.values.astype(np.int64))

    def certificate(self) -> dict[str, object]:
        form = self.line.certificate() if self.line else {"form": "rom"}
        return form | {"proved": "equal on all pairs", "pairs": self.values.size}

    @cached_property
    def _sum(self) -> ScaledSumPlan | None:
        return ScaledSumPlan(self.line, self.term_types, self.types, self.output.type) if self.line else None

    @property
    def latency(self) -> int:
        return self._sum.latency if self._sum else rom_latency(self.values.size)

    @property
    def hardware(self) -> Hardware:
        rom = [rom_need("pairs", self.output.type.width, self.values.size)]
        registers = Logic(register=self.output.type.width)
        return Hardware(self._sum.logic, self._sum.memories) if self._sum else Hardware(registers, rom)

    def emit(self, m: Module, lane: int, operands: list[Value]) -> Value:
        if self._sum is None:
            return self._all_pairs(m, lane, operands)
        return self._sum.emit(m, f"sum_{lane}", Cat(*operands), Cat(*operands))

    def _all_pairs(self, m: Module, lane: int, operands: list[Value]) -> Value:
        """Addressed by the operands' bits, the first lowest; negative ones come last."""
        a, b = self.types
        table = np.roll(self.values, (a.min, b.min), axis=(0, 1)).T.ravel()
        width = self.output.type.width
        m.submodules[f"pairs_{lane}"] = rom = Rom([pack([value], width) for value in table], width)
        m.d.comb += rom.address.eq(Cat(*operands))
        return rom.data


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
        first, second = (np.float32(q.step) / np.float32(result.step) for q in (x, y))
        zeros = fused_multiply_add(np.array(x.zero_point), first, second * np.float32(y.zero_point))
        fixed = np.float32(result.zero_point) - zeros
        return np.rint(fused_multiply_add(a, first, fused_multiply_add(b, second, fixed)))

    @staticmethod
    def real(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x + y

    @staticmethod
    def steps(*tensors: QuantizedTensor) -> tuple[float, ...]:
        x, y, result = (tensor.quantization.step for tensor in tensors)
        return x / result, y / result


@dataclass(frozen=True, eq=False)
class Mul(_Pair):
    """The product of two streams."""

    sites = ("Mul",)

    @staticmethod
    def fused(a: np.ndarray, b: np.ndarray, *tensors: QuantizedTensor) -> np.ndarray:
        """The product of the integers times a scale, plus the zero point, each in float32; then it is rounded."""
        x, y, result = (tensor.quantization for tensor in tensors)
        scale = np.float32(x.step) * np.float32(y.step) / np.float32(result.step)
        product = (a - x.zero_point) * (b - y.zero_point)
        return np.rint(product.astype(np.float32) * scale + np.float32(result.zero_point))

    @staticmethod
    def real(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x * y

    @staticmethod
    def steps(*tensors: QuantizedTensor) -> tuple[float, ...]:
        x, y, result = (tensor.quantization.step for tensor in tensors)
        return (x * y / result,)

    @property
    def centred_types(self) -> tuple[IntType, ...]:
        """Of the operands with their zero points taken off."""
        centred = zip(self.types, self.zeros, strict=True)
        return tuple(IntType.holding(type_.min - zero, type_.max - zero) for type_, zero in centred)

    @property
    def term_types(self) -> tuple[IntType, ...]:
        return (product_type(*self.centred_types),)

    def terms(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
        return ((a - self.zeros[0]) * (b - self.zeros[1]),)

    @property
    def latency(self) -> int:
        return super().latency + (2 if self.line else 0)

    @property
    def hardware(self) -> Hardware:
        logic, memories, _ = super().hardware
        if self._sum is None:
            return Hardware(logic, memories)
        a, b = self.centred_types
        logic += total(
            adder_register(type_.width) if zero else Logic(register=type_.width)
            for type_, zero in zip((a, b), self.zeros, strict=True)
        )
        logic += Logic(register=self.term_types[0].width)
        if self._sum.excepted:
            logic += delayed(sum(type_.width for type_ in self.types), 2)
        widths = [type_.width + (not type_.signed) for type_ in (a, b)]
        return Hardware(logic, memories, [Products(1, widths[0], widths[1])])

    def emit(self, m: Module, lane: int, operands: list[Value]) -> Value:
        if self._sum is None:
            return super().emit(m, lane, operands)
        a, b = (
            register(m, operand - zero, f"centred_{n}_{lane}", element_shape(type_))
            for n, (operand, type_, zero) in enumerate(zip(operands, self.centred_types, self.zeros, strict=True))
        )
        product = register(m, a * b, f"product_{lane}", element_shape(self.term_types[0]))
        pair = delay(m, Cat(*operands), 2, f"pair_{lane}") if self._sum.excepted else 0
        return self._sum.emit(m, f"sum_{lane}", product, pair)


def is_fused(site: Site) -> bool:
    """Whether ONNX Runtime computes it on integers: one 8-bit type throughout, and no Clip behind it."""
    types = {tensor.quantization.type for tensor in (*site.inputs, site.output)}
    type_ = site.output.quantization.type
    return types == {type_} and type_.width == LARGEST_OPERAND and site.clamp == (type_.min, type_.max)


def fused_multiply_add(a: np.ndarray, b: np.float32, c: np.ndarray | np.float32) -> np.ndarray:
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
