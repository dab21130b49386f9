"""Maximum over a whole map: the greatest integer of each channel kept while the map passes, no window buffer."""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring

from hwgen.blocks.pool.global_pool import Arrival, GlobalPool, GlobalPoolBlock, GlobalPoolUnit
from hwgen.blocks.pool.pool import limited, same_quantization, site_window
from hwgen.blocks.stream import element_shape
from hwgen.blocks.streamed import Hardware
from hwgen.cost.logic import Logic, adder, clipped, index_bits
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap
from hwgen.memory.ram import ram_need, ram_ports, read_register


@dataclass(frozen=True, eq=False)
class GlobalMaxPool(GlobalPool):
    """The greatest integer of each channel, limited to ``clamp``. It takes every MaxPool with but one window that has
    all pixels in it."""

    input: FeatureMap
    clamp: tuple[int, int]

    sites = ("MaxPool",)

    @classmethod
    def from_site(cls, site: Site) -> "GlobalMaxPool | None":
        source = site.input.map
        if not site_window(site).covers(source.height, source.width):
            return None
        same_quantization(site)
        return cls(source, site.clamp)

    @property
    def output(self) -> FeatureMap:
        """One pixel, of the input's integers."""
        return FeatureMap(1, 1, self.input.channels, self.input.type)

    def golden(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x.max(axis=(1, 2), keepdims=True), *self.clamp).astype(x.dtype)


class GlobalMaxPoolUnit(GlobalPoolUnit, computes=GlobalMaxPool):
    """Hardware for :class:`GlobalMaxPool`."""

    op: "GlobalMaxPool"

    @property
    def depth(self) -> int:
        return 1

    @property
    def hardware(self) -> Hardware:
        type_, words = self.op.input.type, self.words
        lane = adder(type_.width) + Logic(logic=1, mux=type_.width, register=type_.width)
        if self.op.clamp != (type_.min, type_.max):
            lane += clipped(type_.width, *self.op.clamp, type_.width)
        kept = self.folding.lanes * type_.width
        store = [ram_need("maxima", kept, words)] if words > 1 else []
        address = Logic(register=index_bits(words)) + read_register(kept, words)
        return Hardware(self.folding.lanes * lane + self.loops + address, store)

    def block(self) -> wiring.Component:
        return _MaxBlock(self)


class _MaxBlock(GlobalPoolBlock):
    """Every beat is compared with its channels' maxima; those of the last pixel go into the queue."""

    op: "GlobalMaxPool"

    def elaborate(self, platform):
        m = Module()
        op, lanes, outlet = self.op, self.folding.lanes, self.outlet(m)
        within = Signal(self.i.payload.shape())  # before they are compared, where it delays nothing
        for x, given in zip(within, self.i.payload, strict=True):
            m.d.comb += x.eq(limited(given, op.clamp, op.input.type))
        beat = self.arrive(m, outlet, within)
        shape = element_shape(op.input.type)
        best = [Signal(shape, name=f"best_{lane}") for lane in range(lanes)]
        earlier = self._earlier(m, beat, Cat(*best))
        for x, kept, greatest in zip(beat.x, earlier, best, strict=True):
            m.d.comb += greatest.eq(Mux(beat.first | (x > kept), x, kept))
        m.d.comb += [outlet.push.eq(beat.strobe & beat.last), outlet.payload.as_value().eq(Cat(*best))]
        return m

    def _earlier(self, m: Module, beat: Arrival, best: Value) -> data.View:
        """The maxima of this beat's channels before it came; ``best`` takes their place.

        They are read as the beat is taken and written a cycle later; where a pixel has but one word, that would be too
        late for the next, and a register holds them.
        """
        layout, words = self.i.payload.shape(), self.unit.words
        if words == 1:
            kept = Signal(layout, name="maxima", reset_less=True)
            with m.If(beat.strobe):
                m.d.sync += kept.as_value().eq(best)
            return kept
        write, read = ram_ports(m, "maxima", len(best), words)
        m.d.comb += [read.addr.eq(beat.word), read.en.eq(beat.take), write.en.eq(beat.strobe), write.data.eq(best)]
        m.d.sync += write.addr.eq(beat.word)
        return data.View(layout, read.data)
