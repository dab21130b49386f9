"""Any element-wise function of a few streams: evaluated in real numbers, a table of all combinations in hardware."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Cat, Module, Value

from hwgen.graph.expression import Expression
from hwgen.graph.ir import Node
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap, Quantization
from hwgen.memory.rom import Columns, Rom, pack, rom_latency

from .logic import Logic
from .operator import SeveralInputs, rom_need
from .streamed import Hardware
from .table import LARGEST_INPUT
from .zipped import Zipped

_NAMED = {op: Expression((Node(op, op, ("a", "b"), ("y",)),), {}, ("a", "b"), "y") for op in ("Add", "Mul")}


@dataclass(frozen=True, eq=False)
class Elementwise(SeveralInputs, Zipped):
    """``function`` of the dequantised ``inputs``, quantised to ``target`` and limited to ``clamp``."""

    output: FeatureMap
    quantizations: tuple[Quantization, ...]
    target: Quantization
    clamp: tuple[int, int]
    function: Expression | None

    sites = ("Elementwise", "Add", "Mul", "Requantize")

    @classmethod
    def from_site(cls, site: Site) -> "Elementwise | None":
        if site.op not in cls.sites:
            return None
        maps, quantizations = zip(*((tensor.map, tensor.quantization) for tensor in site.inputs), strict=True)
        function = site.function or _NAMED.get(site.op)
        return cls(maps, site.output.map, quantizations, site.output.quantization, site.clamp, function)

    @property
    def _bits(self) -> int:
        """Of all operands side by side."""
        return sum(map_.type.width for map_ in self.inputs)

    @property
    def gap(self) -> str | None:
        what = f"an element-wise function ({self.function or 'requantisation'}) of {len(self.inputs)} streams"
        if self.function and not self.function.per_tensor:
            return f"{what} that is not the same for every element"
        if self._bits > LARGEST_INPUT:
            return f"{what} with {self._bits} bits in all (limit {LARGEST_INPUT} bits)"
        return None

    def golden(self, *inputs: np.ndarray) -> np.ndarray:
        real = [kind.dequantize(x) for kind, x in zip(self.quantizations, inputs, strict=True)]
        result = self.target.quantize(self.function(*real) if self.function else real[0])
        result = np.clip(result.astype(np.int64), *self.clamp).astype(self.output.type.dtype)
        return np.broadcast_to(result, (len(result), *self.output.shape))

    @cached_property
    def _words(self) -> list[int]:
        """The result for every combination of operands' bits, the first operand lowest."""
        combinations, grids = np.arange(1 << self._bits), []
        for map_ in self.inputs:
            bits = combinations & ((1 << map_.type.width) - 1)
            grids.append(np.where(bits > map_.type.max, bits - (1 << map_.type.width), bits))
            combinations = combinations >> map_.type.width
        real = [kind.dequantize(x) for kind, x in zip(self.quantizations, grids, strict=True)]
        values = self.target.quantize(self.function(*real) if self.function else real[0]).astype(np.int64)
        return [pack([value], self.output.type.width) for value in np.clip(values.ravel(), *self.clamp)]

    def certificate(self) -> dict[str, object]:
        """What was proved, in a form for reports."""
        return {"form": "table", "proved": "every entry is the definition", "entries": 1 << self._bits}

    @property
    def combine_latency(self) -> int:
        return rom_latency(1 << self._bits)

    def combine_hardware(self) -> Hardware:
        contents = Columns.of(np.array(self._words)[:, None], [self.output.type.width])
        rom = rom_need("table", self.output.type.width, 1 << self._bits, contents)
        return Hardware(Logic(register=contents.registers), [rom])

    def combine(self, m: Module, lane: int, operands: list[Value]) -> Value:
        m.submodules[f"table_{lane}"] = rom = Rom(self._words, self.output.type.width)
        m.d.comb += rom.address.eq(Cat(*operands))
        return rom.data
