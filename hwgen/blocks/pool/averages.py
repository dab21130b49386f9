"""What averages share: sums that a requantiser divides, whose constants can be loaded."""

from abc import abstractmethod

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring

from hwgen.blocks.loaded import Loadable
from hwgen.blocks.requantize.requantizer import ResultPlan
from hwgen.blocks.requantize.staircase import Staircase, requantization
from hwgen.blocks.streamed import Hardware, Streamed, StreamedBlock, StreamedUnit
from hwgen.graph.exact.requantize import Requantization, output_scale
from hwgen.graph.network import Site
from hwgen.graph.types import IntType
from hwgen.memory.store import images, pass_on


class Average(Loadable, Streamed):
    """Sums through ``requantization``, which divides: all that is loaded is what the requantiser holds."""

    @property
    @abstractmethod
    def sum_type(self) -> IntType:
        """Of what is requantised."""

    def load_sums(self, weights: None) -> IntType:
        return self.sum_type

    def built_for(self) -> dict[str, object]:
        """What constants that are loaded later must keep to."""
        return {"input": str(self.input), "output": str(self.output)}


class AverageUnit(StreamedUnit):
    """Hardware for :class:`Average`."""

    op: "Average"

    @property
    @abstractmethod
    def requantizer(self) -> ResultPlan:
        """How its sums are requantised."""

    @property
    def requantizing(self) -> Hardware:
        """What that takes."""
        plan, form = self.requantizer, self.op.requantization
        logic = plan.logic(form, self.op.sum_type, self.op.output.type)
        return Hardware(logic, plan.memories(form), plan.products(form))

    @property
    def image(self) -> bytes:
        """What loads its constants."""
        return images(*self.requantizer.contents(self.op.requantization, self.op.output.type))


class AverageBlock(StreamedBlock):
    """A block of an :class:`AverageUnit`."""

    unit: "AverageUnit"
    op: "Average"

    def requantizer(self, m: Module) -> wiring.Component:
        """The requantiser of its sums, added to ``m``."""
        op, plan = self.op, self.unit.requantizer
        m.submodules.requantizer = requantizer = plan.component(op.requantization, op.sum_type, op.output.type)
        if op.loading:
            pass_on(m, self, requantizer)
        return requantizer


def sum_type(x: IntType, count: int) -> IntType:
    """Holds every partial sum of ``count`` integers."""
    return IntType.holding(min(x.min * count, -1), max(x.max * count, 0))


def average_requantization(site: Site, count: int) -> Requantization | Staircase:
    """Divides a sum of ``count`` elements: ``scale = x_scale / (y_scale * count)`` in float32, for all channels."""
    source, target = site.input.quantization, site.output.quantization
    channels = np.ones(site.input.map.channels, np.int64)
    bias = -source.zero_point * count * channels
    low, high = source.type.min * count * channels, source.type.max * count * channels
    scale = output_scale(source.step, np.ones((), np.float32), np.float32(target.step) * np.float32(count))
    unit = np.float32(1) / np.float32(count)
    return requantization(site, unit * channels, bias, low, high, scale * channels.astype(np.float32))
