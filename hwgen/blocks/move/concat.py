"""Streams joined to one, constants among them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from math import gcd, prod
from operator import or_

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.mac.mac_folding import divisors
from hwgen.blocks.operator import LaneFolding, SeveralInputs
from hwgen.blocks.streamed import Hardware, Streamed, StreamedBlock, StreamedUnit
from hwgen.cost.actor import Actor, counting
from hwgen.cost.logic import Logic, counter, delayed
from hwgen.graph.errors import ModelError
from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap
from hwgen.memory.rom import Rom, pack, rom_latency, rom_need


@dataclass(frozen=True, eq=False)
class Concat(SeveralInputs, Streamed):
    """``maps`` one after the other along ``axis`` (0 to 2: rows, columns, channels).

    All have the quantisation of the result: what has not is requantised by a table of its own before. ``constants``
    has the integers [H, W, C] of those maps, by number, that are the same for every frame: they come from a ROM. The
    first map is none of them, as nothing would say when a frame begins.
    """

    output: FeatureMap
    axis: int
    constants: Mapping[int, np.ndarray] = field(default_factory=dict)

    sites = ("Concat",)

    @classmethod
    def from_site(cls, site: Site) -> "Concat | None":
        if any(tensor.quantization != site.output.quantization for tensor in site.inputs):
            raise ModelError(f"node {site.name!r}: its operands are quantised differently; quantise them alike")
        constants = {
            n: site.constants[tensor.name][0] for n, tensor in enumerate(site.inputs) if tensor.name in site.constants
        }
        return cls(tuple(tensor.map for tensor in site.inputs), site.output.map, site.attributes["axis"], constants)

    @property
    def inputs(self) -> tuple[FeatureMap, ...]:
        return tuple(self.maps[n] for n in self.varying)

    @property
    def varying(self) -> list[int]:
        """The maps that are streams, by number."""
        return [n for n in range(len(self.maps)) if n not in self.constants]

    def golden(self, *inputs: np.ndarray) -> np.ndarray:
        frames = len(inputs[0])
        parts = dict(zip(self.varying, inputs, strict=True))
        parts |= {n: np.broadcast_to(value, (frames, *value.shape)) for n, value in self.constants.items()}
        return np.concatenate([parts[n] for n in range(len(parts))], axis=1 + self.axis)

    def foldings(self) -> Iterable[LaneFolding]:
        """All lanes that whole beats have, fewest first; ModelError where there is no hardware."""
        return [LaneFolding(lanes) for lanes in divisors(reduce(gcd, (map_.channels for map_ in self.maps)))]


class ConcatUnit(StreamedUnit, computes=Concat):
    """Hardware for :class:`Concat`."""

    op: "Concat"

    @property
    def runs(self) -> tuple[int, ...]:
        """Beats that come from each input before it is the next one's turn."""
        return tuple(prod(map_.shape[self.op.axis :]) // self.folding.lanes for map_ in self.op.maps)

    def words(self, n: int) -> list[int]:
        """Constant ``n`` beat by beat, as often as it takes to start again with the first."""
        beats = self.op.constants[n].reshape(-1, self.folding.lanes)
        for count in divisors(len(beats)):
            if (beats.reshape(-1, count, self.folding.lanes) == beats[:count]).all():
                return [pack(beat, self.op.output.type.width) for beat in beats[:count].tolist()]
        raise AssertionError("the number of beats divides itself")

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        runs = self.runs
        turns = np.tile(
            np.repeat(np.arange(len(runs)), runs), self.op.output.elements // (sum(runs) * self.folding.lanes)
        )
        needs = [(turns == n).cumsum() for n in self.op.varying]
        return self.direct(needs, counting(len(turns)))

    @property
    def wait(self) -> int:
        """Cycles that a ROM takes."""
        return max((rom_latency(len(self.words(n))) for n in self.op.constants), default=0)

    @property
    def depth(self) -> int:
        return 1 + self.wait

    @property
    def hardware(self) -> Hardware:
        width, ways = self.op.output.type.width * self.folding.lanes, len(self.op.maps)
        chosen = Logic(mux=(ways - 1) * width, logic=3 * ways, register=width + ways + 1)
        waiting = delayed(len(self.op.varying) * width + ways + 1, self.wait)
        lengths = [len(self.words(n)) for n in self.op.constants]
        roms = [rom_need("constant", width, length) for length in lengths]
        counters = sum((counter(length) for length in lengths), Logic())
        return Hardware(chosen + waiting + counters + counter(max(self.runs)), roms)

    def block(self) -> wiring.Component:
        return _ConcatBlock(self)


class _ConcatBlock(StreamedBlock):
    """One map has its turn at a time; what it gives goes through a register to the outlet."""

    unit: "ConcatUnit"
    op: "Concat"

    def elaborate(self, platform):
        m = Module()
        outlet, runs = self.outlet(m), self.unit.runs
        turn = Signal(len(runs), init=1)  # one-hot
        beat, take = Signal(range(max(*runs, 2))), Signal()
        payload = Signal.like(outlet.payload, reset_less=True)
        sources = dict(zip(self.op.varying, self.sources, strict=True))
        parts = {}
        for n, run in enumerate(runs):
            step = Signal(name=f"step_{n}")
            if n in sources:
                m.d.comb += [sources[n].ready.eq(outlet.permit & turn[n]), step.eq(sources[n].valid & sources[n].ready)]
                parts[n] = delay(m, sources[n].payload.as_value(), self.unit.wait, f"part_{n}")
            else:
                m.d.comb += step.eq(outlet.permit & turn[n])
                parts[n] = self._constant(m, n, step)
            with m.If(step):
                m.d.comb += take.eq(1)
                m.d.sync += beat.eq(beat + 1)
                with m.If(beat == run - 1):
                    m.d.sync += [beat.eq(0), turn.eq(turn.rotate_left(1))]
        whose = delay(m, turn, self.unit.wait, "whose")
        chosen = [parts[n] & whose[n].replicate(len(parts[n])) for n in range(len(runs))]
        m.d.sync += payload.as_value().eq(reduce(or_, chosen))
        push = delay(m, take, self.unit.depth, "push", reset_less=False)
        m.d.comb += [outlet.debit.eq(take), outlet.push.eq(push), outlet.payload.eq(payload)]
        return m

    def _constant(self, m: Module, n: int, step: Signal) -> Value:
        """The beats of constant ``n``, one a ``step``, each as late as those of the streams."""
        words = self.unit.words(n)
        m.submodules[f"constant_{n}"] = rom = Rom(words, self.op.output.type.width * self.folding.lanes)
        with m.If(step):
            m.d.sync += rom.address.eq(Mux(rom.address == len(words) - 1, 0, rom.address + 1))
        return delay(m, rom.data, self.unit.wait - rom.latency, f"constant_{n}")
