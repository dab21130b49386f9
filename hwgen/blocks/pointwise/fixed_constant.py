"""Constants that differ from place to place, as one more operand: read from a ROM in step with the streams."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import data

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.pointwise.spread import LOOPS
from hwgen.blocks.stream import beat_layout
from hwgen.cost.logic import Logic, counter
from hwgen.cost.needs import MemoryNeed
from hwgen.graph.types import IntType
from hwgen.memory.loops import LoopNest
from hwgen.memory.rom import Rom, pack, rom_latency, rom_need


@dataclass(frozen=True, eq=False)
class FixedConstant:
    """``values``, integers [H, W, C] of ``type``, each size that of the result or 1."""

    values: np.ndarray
    type: IntType

    def words(self, lanes: int) -> list[int]:
        """Beat by beat; one channel stands in every lane."""
        values = np.repeat(self.values, lanes, axis=2) if self.values.shape[2] == 1 else self.values
        return [pack(beat, self.type.width) for beat in values.reshape(-1, lanes).tolist()]

    def memory(self, lanes: int) -> MemoryNeed:
        """The ROM that gives ``lanes`` elements a beat."""
        return rom_need("constant", self.type.width * lanes, len(self.words(lanes)))

    def logic(self, lanes: int) -> Logic:
        """Counted bits."""
        return Logic(register=self.type.width * lanes) + counter(len(self.words(lanes)))

    def view(self, m: Module, name: str, lanes: int, nest: LoopNest, wait: int) -> Sequence:
        """What it is in this step of ``nest``, ``wait`` cycles later."""
        height, width, channels = self.values.shape
        own = (height, width, max(channels // lanes, 1))
        steps = {loop: prod(own[at + 1 :]) if own[at] > 1 else 0 for at, loop in enumerate(LOOPS)}
        layout, words = beat_layout(self.type, lanes), self.words(lanes)
        m.submodules[name] = rom = Rom(words, layout.size)
        m.d.comb += rom.address.eq(nest.affine(f"{name}_address", steps))
        return data.View(layout, delay(m, rom.data, wait - rom_latency(len(words)), name))
