"""Average pooling that leaves padding out: at the edges fewer pixels are added up, and divided by their number."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import lcm

import numpy as np
from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import wiring

from hwgen.blocks.pool.pool import AveragePool, AveragePoolBlock, AveragePoolUnit, site_window
from hwgen.blocks.requantize.staircase import requantization
from hwgen.blocks.stream import element_shape
from hwgen.blocks.streamed import Hardware
from hwgen.cost.logic import Logic, adder, adder_register, loop, total
from hwgen.cost.needs import Products
from hwgen.graph.errors import ModelError
from hwgen.graph.exact.requantize import output_scale
from hwgen.graph.network import Site
from hwgen.graph.types import IntType
from hwgen.memory.loops import LoopNest, lookup
from hwgen.memory.ring import RingWindow


@dataclass(frozen=True, eq=False)
class EdgeAveragePool(AveragePool):
    """The average of what lies within each window: ``sum * factor`` through ``requantization``, which divides.

    ``factor`` is the least common multiple of all numbers of pixels by the number in the window, for rows times that
    for columns, so that one division serves all windows, exactly.
    """

    sites = ("AveragePool",)

    @classmethod
    def from_site(cls, site: Site) -> "EdgeAveragePool | None":
        if site.attributes.get("count_include_pad"):
            return None
        source, target, kind = site.input.quantization, site.output.quantization, site.input.map.type
        window = site_window(site)
        counts = _counts(window, site.input.map.shape)
        if not min(map(min, counts)):
            raise ModelError(f"node {site.name!r}: a window lies in the padding as a whole; make its pads smaller")
        whole = lcm(*counts[0]) * lcm(*counts[1])
        channels = np.ones(site.input.map.channels, np.int64)
        low, high = ((end - source.zero_point) * whole * channels for end in (kind.min, kind.max))
        scale = output_scale(source.step, np.ones((), np.float32), np.float32(target.step) * np.float32(whole))
        unit = (np.float32(1) / np.float32(whole)) * channels.astype(np.float32)
        form = requantization(site, unit, 0 * channels, low, high, scale * channels.astype(np.float32))
        return cls(site.input.map, window, site.output.map, source.zero_point, form)

    @cached_property
    def factors(self) -> tuple[list[int], list[int]]:
        """Of every row of windows, and of every column."""
        rows, columns = _counts(self.window, self.input.shape)
        return [lcm(*rows) // count for count in rows], [lcm(*columns) // count for count in columns]

    def golden(self, x: np.ndarray) -> np.ndarray:
        sums = self.window.patches(x.astype(np.int64) - self.input_zero).sum(axis=(3, 4))
        rows, columns = map(np.array, self.factors)
        sums = sums * (rows[:, None] * columns)[..., None]
        return self.requantization.reference(sums).astype(self.output.type.dtype)

    @property
    def term_type(self) -> IntType:
        """Of a pixel, its zero point taken off."""
        kind, zero = self.input.type, self.input_zero
        return IntType.holding(min(kind.min - zero, -1), max(kind.max - zero, 0))

    @property
    def total_type(self) -> IntType:
        """Of the sum of a window."""
        term, taps = self.term_type, self.window.taps
        return IntType.holding(term.min * taps, term.max * taps)

    @property
    def sum_type(self) -> IntType:
        """Of what is requantised."""
        kind, zero = self.input.type, self.input_zero
        rows, columns = _counts(self.window, self.input.shape)
        whole = lcm(*rows) * lcm(*columns)
        return IntType.holding(min((kind.min - zero) * whole, -1), max((kind.max - zero) * whole, 0))

    def built_for(self) -> dict[str, object]:
        """What constants that are loaded later must keep to."""
        return super().built_for() | {"zero point of the input": self.input_zero, "padding": "left out"}


class EdgeAveragePoolUnit(AveragePoolUnit, computes=EdgeAveragePool):
    """Hardware for :class:`EdgeAveragePool`."""

    op: "EdgeAveragePool"

    @property
    def depth(self) -> int:
        return super().depth + 1

    @property
    def hardware(self) -> Hardware:
        last, lanes = self.requantizing, self.folding.lanes
        term, sums = self.op.term_type.width, self.op.total_type.width
        rows, columns = self.op.factors
        bits = (max(rows) * max(columns)).bit_length()
        lane = adder_register(sums) + Logic(gated=sums, fixed=term, register=term + self.op.sum_type.width)
        lane += adder(term) if self.op.input_zero else Logic()
        sizes = (self.window.raster.words, len(columns), len(rows))
        walk = total(map(loop, sizes)) + Logic(logic=_choices(rows) + bits * len(set(rows)), register=bits)
        logic = self.window.logic + lanes * lane + walk + Logic(register=5) + last.logic
        products = [Products(lanes, sums, bits + 1), *last.products]
        return Hardware(logic, [*self.window.memories, *last.memories], products)

    def block(self) -> wiring.Component:
        return _EdgeAverageBlock(self)


def _counts(window, shape: tuple[int, int, int]) -> tuple[list[int], list[int]]:
    """Rows of the map in every row of windows, and columns in every column."""
    height, width, _ = shape
    ones = np.ones((1, height, width, 1), np.int64)
    inside = window.patches(ones)[0, ..., 0]
    return inside.max(axis=(1, 3)).sum(axis=1).tolist(), inside.max(axis=(0, 2)).sum(axis=1).tolist()


def _choices(values: list[int]) -> int:
    """Functions that choose among ``values``."""
    return max(values).bit_length() if len(set(values)) > 1 else 0


class _EdgeAverageBlock(AveragePoolBlock):
    """Like a plain average pool, with one multiplication between the sum and the requantiser."""

    unit: "EdgeAveragePoolUnit"
    op: "EdgeAveragePool"

    def term(self, window: RingWindow, lane: int) -> Value:
        return Mux(window.outside, 0, window.data[lane] - self.op.input_zero)

    def finished(self, m: Module, requantizer: wiring.Component, ends: Value) -> Callable[[int, Signal], Value]:
        m.d.sync += requantizer.soon.eq(ends)
        factor = self._factor(m, ends)

        def product(lane: int, total: Signal) -> Signal:
            result = Signal(element_shape(self.op.sum_type), name=f"product_{lane}", reset_less=True)
            m.d.sync += result.eq(total * factor)
            return result

        return product

    def _factor(self, m: Module, step: Signal) -> Signal:
        """What the sum of the window that ends with ``step`` is multiplied by; with the sum, a cycle later."""
        rows, columns = self.op.factors
        words = self.unit.window.raster.words
        nest = LoopNest(m, [("word", words), ("x", len(columns)), ("y", len(rows))], step)
        kinds = sorted(set(rows))
        kind = lookup(m, nest.index["y"], [kinds.index(row) for row in rows], "kind")
        across = [  # looked up, since a product would take a multiplier
            lookup(m, nest.index["x"], [row * column for column in columns], f"factor_{at}")
            for at, row in enumerate(kinds)
        ]
        factor = Signal(range(max(rows) * max(columns) + 1), reset_less=True)
        m.d.sync += factor.eq(Array(across)[kind])
        return factor
