"""Linear resizing: rows between rows, then columns between columns, as exact sums, then requantised. Of a map that
becomes smaller, lines that nothing is made of are dropped first."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import lcm

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring

from hwgen.blocks.arith.arithmetic import delay, register
from hwgen.blocks.move.box import Keep
from hwgen.blocks.operator import GoldenOnly, Operator
from hwgen.blocks.pool.pool import AveragePool
from hwgen.blocks.requantize.staircase import Staircase, requantization
from hwgen.blocks.stream import element_shape
from hwgen.blocks.streamed import Hardware, Streamed, StreamedBlock, StreamedUnit
from hwgen.cost.actor import Actor, Give, Take
from hwgen.cost.logic import Logic, counter
from hwgen.cost.needs import Products
from hwgen.graph.complete import complete
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.network import Site
from hwgen.graph.semantics.resize import resized, taps
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap, IntType
from hwgen.memory.loops import LoopNest, lookup
from hwgen.memory.queue import behind, wrapping_increment
from hwgen.memory.ram import ram_need, ram_ports

#: The greatest common denominator of shares.
LARGEST_DENOMINATOR = 1 << 8
_NEAR = 1e-6  # float32 scales and float64 places: what is nearer to a fraction than this is meant to be it
_BLOCKS = 3  # that are kept: two are combined while the next comes


@dataclass(frozen=True, eq=False)
class Shares:
    """Line ``n`` of the result is ``((whole - share[n]) * x[first[n]] + share[n] * x[second[n]]) / whole``, where ``x``
    has the lines ``kept`` of a map only."""

    first: np.ndarray
    second: np.ndarray
    share: np.ndarray
    whole: int
    kept: np.ndarray

    @staticmethod
    def of(size: int, count: int, scale: float, coordinates: str) -> "Shares | None":
        """For a dimension of ``size`` that becomes ``count``; None where shares are no fractions."""
        (first, _), (second, share) = taps(size, count, scale, "linear", coordinates, "floor")
        fractions = [Fraction(value).limit_denominator(LARGEST_DENOMINATOR) for value in share.tolist()]
        whole = lcm(*(fraction.denominator for fraction in fractions))
        near = all(abs(float(f) - value) < _NEAR for f, value in zip(fractions, share.tolist(), strict=True))
        if not near or whole > LARGEST_DENOMINATOR:
            return None
        shares = np.array([int(fraction * whole) for fraction in fractions])
        if np.diff(first, prepend=0).max() > 1 or second[-1] < size - 1:  # what has no share need not be kept
            second = np.where(shares > 0, second, first)
        used = np.union1d(first, second)
        places = np.searchsorted(used, (first, second))
        return Shares(places[0], places[1], shares, whole, used)

    @property
    def changes(self) -> bool:
        """Whether the result is anything but the lines kept."""
        return bool(self.share.any()) or not np.array_equal(self.first, np.arange(len(self.kept)))

    @property
    def comes(self) -> np.ndarray:
        """Lines of the map that each line of the result is the first to need."""
        return np.diff(self.second, prepend=-1)

    @property
    def goes(self) -> np.ndarray:
        """Lines of the map that are done with after each line of the result."""
        return np.diff(np.append(self.first, self.second[-1] + 1))


@dataclass(frozen=True, eq=False)
class LinearResize(GoldenOnly):
    """The exact sum of four pixels by ``rows`` and ``columns``, through ``requantization`` (which divides)."""

    input: FeatureMap
    output: FeatureMap
    rows: Shares
    columns: Shares
    requantization: Requantization | Staircase

    sites = ("Float",)

    @classmethod
    def from_site(cls, site: Site) -> "LinearResize | None":
        settings = site.attributes
        if settings["node"].op not in ("Resize", "Upsample") or len(site.inputs) != 1:
            return None
        ways = _ways(site)
        if ways is None:
            return None
        rows, columns = ways
        whole, source = rows.whole * columns.whole, site.input.quantization
        channels = np.ones(site.input.map.channels, np.int64)
        low, high = (end * whole * channels for end in (source.type.min, source.type.max))
        unit = (np.float32(1) / np.float32(whole)) * channels.astype(np.float32)
        form = requantization(site, unit, -source.zero_point * whole * channels, low, high)
        return cls(site.input.map, site.output.map, rows, columns, form)

    @property
    def parts(self) -> tuple[Operator, ...]:
        kept = FeatureMap(len(self.rows.kept), len(self.columns.kept), self.input.channels, self.input.type)
        parts: list[Operator] = []
        if kept != self.input:
            parts.append(Keep(self.input, kept, self.rows.kept, self.columns.kept))
        for axis, shares in enumerate((self.rows, self.columns)):
            if shares.changes:
                parts.append(Interpolate(parts[-1].output if parts else self.input, axis, shares))
        last = parts[-1].output if parts else self.input
        return (*parts, AveragePool(last, Window((1, 1)), self.output, 0, self.requantization))

    def golden(self, x: np.ndarray) -> np.ndarray:
        for part in self.parts:
            x = part.golden(x)
        return x


def _ways(site: Site) -> tuple[Shares, Shares] | None:
    """Rows and columns of a linear resize of a map whose elements lie as they do in streams; else None."""
    settings, source, result = site.attributes, site.input.map, site.output.map
    node, shape = settings["node"], (1, source.channels, source.height, source.width)
    if node.attributes["mode"] != "linear" or not _channels_last(settings, source, result):
        return None
    scales, sizes = _given(node, settings["constants"])
    modes = {name: value for name, value in node.attributes.items() if name in _MODES}
    size, factors = resized(shape, scales, sizes, **modes)
    if size[:2] != shape[:2] or factors[:2] != (1, 1):
        return None
    coordinates = node.attributes.get("coordinate_transformation_mode", "asymmetric")
    ways = complete(Shares.of(*way, coordinates) for way in zip(shape[2:], size[2:], factors[2:], strict=True))
    return (ways[0], ways[1]) if ways else None


_MODES = ("mode", "coordinate_transformation_mode", "nearest_mode", "axes", "keep_aspect_ratio_policy")


def _given(node, constants) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Scales and sizes: the last two operands of Resize, the last one of Upsample."""
    if node.op == "Upsample":
        return constants[1], None
    return tuple((*constants, None, None)[2:4])


def _channels_last(settings, source: FeatureMap, result: FeatureMap) -> bool:
    def standard(map_: FeatureMap) -> np.ndarray:
        return np.arange(map_.elements).reshape(map_.shape).transpose(2, 0, 1).ravel()

    (order,) = settings["orders"]
    flat = settings["places"].reshape(-1), order.reshape(-1)
    return all(np.array_equal(a, standard(map_)) for a, map_ in zip(flat, (result, source), strict=True))


@dataclass(frozen=True, eq=False)
class Interpolate(Streamed):
    """Rows (``axis`` 0) or columns (1) between those of the map, ``shares.whole`` times as great."""

    input: FeatureMap
    axis: int
    shares: Shares

    @cached_property
    def output(self) -> FeatureMap:
        """Lines along ``axis`` as the shares say, of sums that are not rounded."""
        size, type_, whole = list(self.input.shape), self.input.type, self.shares.whole
        size[self.axis] = len(self.shares.first)
        height, width, channels = size
        return FeatureMap(height, width, channels, IntType.holding(type_.min * whole, type_.max * whole))

    def golden(self, x: np.ndarray) -> np.ndarray:
        shares, x = self.shares, x.astype(np.int64)
        share = shares.share.reshape(-1, *[1] * (2 - self.axis))
        first, second = (x.take(lines, self.axis + 1) for lines in (shares.first, shares.second))
        return ((shares.whole - share) * first + share * second).astype(self.output.type.dtype)

    def certificate(self) -> dict[str, object]:
        """What the report says of it: nothing is rounded here."""
        return {"form": "none", "proved": "exact sums"}


class InterpolateUnit(StreamedUnit, computes=Interpolate):
    """Hardware for :class:`Interpolate`."""

    op: "Interpolate"

    @property
    def block_beats(self) -> int:
        """Beats of a line: a row, or a pixel."""
        return self.op.input.channels // self.folding.lanes * (self.op.input.width if self.op.axis == 0 else 1)

    depth = 4  # read, subtracted, multiplied, added

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        shares, block = self.op.shares, self.block_beats
        turns = 1 if self.op.axis == 0 else self.op.input.height
        comes, goes = (np.tile(lines_, turns).cumsum() for lines_ in (shares.comes, shares.goes))
        need = np.repeat(comes * block, block)
        release = np.repeat(np.append(0, goes[:-1]) * block, block)
        release[block - 1 :: block] = goes * block
        take = Take(need, release, _BLOCKS * block, start_delay=1)
        give = Give(np.arange(1, len(need) + 1), self.latency + behind(self.queue), self.queue)
        return (Actor("interpolate", np.ones_like(need), (take,), (give,)),)

    @property
    def hardware(self) -> Hardware:
        words, width, lanes = _BLOCKS * self.block_beats, self.op.input.type.width, self.folding.lanes
        out, bits = self.op.output.type.width, self.op.shares.whole.bit_length()
        address = counter(words)
        logic = 5 * address + 3 * counter(words + 1) + counter(len(self.op.shares.first)) + Logic(logic=8, register=8)
        logic += lanes * Logic(adder=width + 2 * out, register=3 * width + 3 * out + 2 * bits)
        memories = [ram_need(f"store_{n}", width * lanes, words) for n in range(2)]
        return Hardware(logic, memories, [Products(lanes, width + 2, bits + 1)])

    def block(self) -> wiring.Component:
        return _InterpolateBlock(self)


class _InterpolateBlock(StreamedBlock):
    """A ring of lines, in two memories alike, so that the two lines of a step are read at once."""

    unit: "InterpolateUnit"
    op: "Interpolate"

    def elaborate(self, platform):
        m = Module()
        outlet, shares = self.outlet(m), self.op.shares
        (source,), block, go, stored = self.sources, self.unit.block_beats, Signal(), Signal()
        capacity = _BLOCKS * block
        nest = LoopNest(m, [("beat", block), ("line", len(shares.first))], go)
        line, first, last = nest.index["line"], nest.first("beat"), nest.last("beat")
        comes, goes = (
            lookup(m, line, values, name) for values, name in ((shares.comes, "comes"), (shares.goes, "goes"))
        )
        free, here = Signal(range(capacity + 1), init=capacity), Signal(range(capacity + 1))
        left, one, two = Signal(range(capacity + 1)), Signal(), Signal()
        there = Mux(comes == 2, two, Mux(comes == 1, one, 1)) if shares.comes.max() > 1 else Mux(comes == 1, one, 1)
        m.d.comb += [
            source.ready.eq(free != 0),
            stored.eq(source.valid & source.ready),
            go.eq(outlet.permit & (~first | there)),
            left.eq(here + stored - Mux(go & first, _times(comes, block), 0)),
        ]
        m.d.sync += [
            here.eq(left),
            one.eq(left >= block),
            two.eq(left >= 2 * block),
            free.eq(free - stored + Mux(go & last, _times(goes, block), 0)),
        ]
        lines = self._read(m, stored, self._addresses(m, nest, line, go & last, goes))
        share = delay(m, lookup(m, line, shares.share, "share"), 2, "share")
        for lane in range(self.folding.lanes):
            a, b = (words[lane] for words in lines)
            m.d.comb += outlet.payload[lane].eq(self._between(m, lane, a, b, share))
        push = delay(m, go, self.unit.depth, "push", reset_less=False)
        m.d.comb += [outlet.debit.eq(go), outlet.push.eq(push)]
        return m

    def _addresses(self, m: Module, nest: LoopNest, line: Signal, ends: Value, goes: Signal) -> tuple[Value, Value]:
        """Of the words of the first line and of the second."""
        shares, block = self.op.shares, self.unit.block_beats
        words = _BLOCKS * block
        start, beat = Signal(range(words)), nest.index["beat"]
        with m.If(ends):
            m.d.sync += start.eq(_wrapped(start + _times(goes, block), words))
        other = lookup(m, line, shares.second - shares.first, "other")
        return start + beat, _wrapped(start + Mux(other, block, 0), words) + beat

    def _read(self, m: Module, stored: Signal, addresses: tuple[Value, Value]) -> list[data.View]:
        """Written as beats come; what is at each of ``addresses``, a cycle later."""
        (source,), words = self.sources, _BLOCKS * self.unit.block_beats
        bits, place = source.payload.as_value(), Signal(range(words))
        with m.If(stored):
            m.d.sync += place.eq(wrapping_increment(place, words))
        found = []
        for n, address in enumerate(addresses):
            write, read = ram_ports(m, f"store_{n}", len(bits), words)
            m.d.comb += [write.en.eq(stored), write.addr.eq(place), write.data.eq(bits), read.addr.eq(address)]
            found.append(data.View(source.payload.shape(), read.data))
        return found

    def _between(self, m: Module, lane: int, a: Value, b: Value, share: Value) -> Signal:
        """``whole * a + share * (b - a)``: three registers."""
        type_, whole = self.op.input.type, self.op.shares.whole
        base = Signal(element_shape(type_), name=f"base_{lane}")
        m.d.comb += base.eq(a)
        held = delay(m, base, 2, f"base_{lane}")
        part = register(m, register(m, b - a, f"difference_{lane}") * share, f"part_{lane}")
        return register(m, held * whole + part, f"total_{lane}", element_shape(self.op.output.type))


def _times(lines: Value, block: int) -> Value:
    """``lines`` (0 to 2) times ``block``."""
    return Mux(lines == 0, 0, Mux(lines == 1, block, 2 * block))


def _wrapped(address: Value, words: int) -> Value:
    return Mux(address >= words, address - words, address)
