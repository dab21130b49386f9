"""The assembled pipeline: every stage of a plan, joined by streams."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.stream import beat_stream, join

from .plan import Plan


class Pipeline(wiring.Component):
    """Streams ``i`` and ``o``: frames back to back, raster order, channels last."""

    def __init__(self, plan: Plan):
        self.plan = plan
        first, last = plan.layers[0], plan.layers[-1]
        self.lanes_in, self.lanes_out = first.folding.lanes_in, last.folding.lanes_out
        super().__init__(
            {
                "i": In(beat_stream(first.op.input.type, self.lanes_in)),
                "o": Out(beat_stream(last.op.output.type, self.lanes_out)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        source, name = wiring.flipped(self.i), "input"
        for stage in self.plan.stages:
            m.submodules[module_name(stage.name)] = block = stage.op.block(stage.folding)
            join(m, source, block.i, f"{name} to {stage.name}")
            source, name = block.o, stage.name
        join(m, source, wiring.flipped(self.o), f"{name} to output")
        return m


def module_name(name: str) -> str:
    """``name`` as an identifier that every hardware language takes."""
    kept = "".join(char if char.isalnum() and char.isascii() else "_" for char in name).strip("_")
    return kept if kept and not kept[0].isdigit() else f"layer_{kept}"
