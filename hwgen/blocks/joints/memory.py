"""What a unit reads from DRAM, as a stage of its own in front of it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.lib import wiring

from hwgen.blocks.stream import Port
from hwgen.blocks.unit import Unit
from hwgen.cost.actor import Actor
from hwgen.cost.needs import Cost
from hwgen.graph.types import U8, FeatureMap
from hwgen.memory.dram.port import MemoryRead, ReadPort


@dataclass(frozen=True, eq=False)
class MemorySource(Unit):
    """Gives ``reader`` what that reads from DRAM, frame after frame: it takes no stream, and runs ahead.

    Its block has the port ``memory`` of :attr:`hwgen.memory.dram.port.MemoryRead.port`.
    """

    reader: Unit

    @cached_property
    def read(self) -> MemoryRead:
        """What is read."""
        if self.reader.memory is None:
            raise ValueError(f"{self.reader} reads nothing from DRAM")
        return self.reader.memory

    @property
    def image(self) -> bytes:
        """What the region holds."""
        return self.reader.memory_image

    @property
    def inputs(self) -> tuple[Port, ...]:
        return ()

    @property
    def outputs(self) -> tuple[Port, ...]:
        bus = self.read.region.bus
        return (Port(FeatureMap(1, self.read.beats, bus, U8), bus),)

    def golden(self, *inputs: Any, **unused: Any) -> tuple[np.ndarray, ...]:
        """One frame."""
        given = self.read.given(self.image)
        return (np.frombuffer(given, np.uint8).reshape(1, *self.outputs[0].map.shape),)

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        return self.read.actors

    @cached_property
    def cost(self) -> Cost:
        return self.costing(self.read.logic, self.read.memories)

    def block(self) -> wiring.Component:
        return ReadPort(self.read)

    def __str__(self) -> str:
        region = self.read.region
        return f"{region.size:,} bytes a frame, {region.bus} at a time, {self.read.places} beats ahead"
