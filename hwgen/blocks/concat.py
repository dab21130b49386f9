"""Streams joined to one."""

from dataclasses import dataclass
from math import prod

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from hwgen.graph.errors import ModelError
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap

from .logic import Logic, counter
from .operator import LaneFolding, SeveralInputs
from .streamed import Hardware, Streamed, StreamedUnit
from .timing import Actor, counting


@dataclass(frozen=True, eq=False)
class Concat(SeveralInputs, Streamed):
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

    def runs(self, folding: LaneFolding) -> tuple[int, ...]:
        """Beats that come from each input before it is the next one's turn."""
        return tuple(prod(map_.shape[self.axis :]) // folding.lanes for map_ in self.inputs)

    def actors(self, folding: LaneFolding) -> tuple[Actor, ...]:
        runs = self.runs(folding)
        turns = np.tile(np.repeat(np.arange(len(runs)), runs), self.output.elements // (sum(runs) * folding.lanes))
        needs = [(turns == n).cumsum() for n in range(len(runs))]
        return self.direct(folding, needs, counting(len(turns)))

    def depth(self, folding: LaneFolding) -> int:
        return 1

    def hardware(self, folding: LaneFolding) -> Hardware:
        width, ways = self.output.type.width * folding.lanes, len(self.maps)
        chosen = Logic(mux=(ways - 1) * width, logic=3 * ways, register=width + ways + 1)
        return Hardware(chosen + counter(max(self.runs(folding))))

    def block(self, folding: LaneFolding) -> wiring.Component:
        return _ConcatUnit(self, folding)


class _ConcatUnit(StreamedUnit):
    """One input is open at a time; what it gives goes through a register to the outlet."""

    def elaborate(self, platform):
        m = Module()
        outlet, runs = self.outlet(m), self.op.runs(self.folding)
        turn = Signal(len(runs), init=1)  # one-hot
        beat, take = Signal(range(max(*runs, 2))), Signal()
        push, payload = Signal(), Signal.like(outlet.payload, reset_less=True)
        m.d.sync += [push.eq(take), payload.as_value().eq(self._chosen(turn))]
        m.d.comb += [outlet.debit.eq(take), outlet.push.eq(push), outlet.payload.eq(payload)]
        for n, (source, run) in enumerate(zip(self.sources, runs, strict=True)):
            m.d.comb += source.ready.eq(outlet.permit & turn[n])
            with m.If(source.valid & source.ready):
                m.d.comb += take.eq(1)
                m.d.sync += beat.eq(beat + 1)
                with m.If(beat == run - 1):
                    m.d.sync += [beat.eq(0), turn.eq(turn.rotate_left(1))]
        return m

    def _chosen(self, turn: Signal):
        """The payload of the input whose turn it is."""
        chosen = 0
        for n, source in enumerate(self.sources):
            bits = source.payload.as_value()
            chosen = chosen | (bits & turn[n].replicate(len(bits)))
        return chosen
