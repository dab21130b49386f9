"""The assembled pipeline: every stage of a plan, joined by streams."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.stream import beat_stream, join

from .plan import Plan


class Pipeline(wiring.Component):
    """Streams ``i`` and ``o``: frames back to back, raster order, channels last.

    Once elaborated, ``streams`` holds the output stream of every layer by its name, for those who watch.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.streams: dict[str, object] = {}
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
        names = module_names([stage.name for stage in self.plan.stages])
        for stage, place in zip(self.plan.stages, names, strict=True):
            m.submodules[place] = block = stage.op.block(stage.folding)
            join(m, source, block.i, f"{name} to {stage.name}")
            source, name = block.o, stage.name
            if stage.name == stage.layer:
                self.streams[stage.layer] = block.o
        join(m, source, wiring.flipped(self.o), f"{name} to output")
        return m


def module_name(name: str) -> str:
    """``name`` as an identifier that every hardware language takes."""
    kept = "".join(char if char.isalnum() and char.isascii() else "_" for char in name).strip("_")
    return kept if kept and not kept[0].isdigit() else f"layer_{kept}"


def module_names(names: list[str]) -> list[str]:
    """Identifiers for ``names``, told apart by a number where they would be the same."""
    taken: list[str] = []
    for name in map(module_name, names):
        number = 2
        unique = name
        while unique in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.append(unique)
    return taken
