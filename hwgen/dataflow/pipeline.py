"""The assembled pipeline: every stage of a plan, joined by streams."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.stream import beat_stream, join, numbered, port_names
from hwgen.hdl.elements import Library
from hwgen.memory.store import LOAD_BUS, bus

from .plan import Plan
from .stages import INPUT, Source, Stage

#: Characters of a module's name; what is inside appends its own.
LONGEST_NAME = 64


class Pipeline(wiring.Component):
    """Streams ``i`` and ``o``, or ``o_0`` and so on where several leave: frames back to back, raster order, channels
    last. Whoever reads several must take from all of them: the pipeline waits for each.

    Once elaborated, ``streams`` holds the output stream of every layer by its name and ``blocks`` those of all stages,
    for those who watch. With
    ``watched`` there are outputs ``watch_n_moves`` and ``watch_n_payload`` for layer ``n``: whether a beat leaves it in
    this cycle, and which. Where constants are loaded, ``load`` brings them to the stages in order, a byte a cycle: no
    frame may be inside then. Where units read from DRAM, they do so over ``memory``, or ``memory_0`` and so on
    (:attr:`hwgen.memory.dram.port.MemoryRead.port`), in the order of ``plan.memories``, which ``memories`` names.
    """

    def __init__(self, plan: Plan, watched: bool = False):
        self.plan, self.watched = plan, watched
        self.streams: dict[str, Any] = {}
        self.blocks: list[wiring.Component] = []
        self.lanes_in, self.lanes_out = plan.lanes_in, plan.lanes_out
        network = plan.network
        ports = {
            "i": In(beat_stream(network.input.map.type, self.lanes_in)),
        }
        names = numbered("o", len(network.results))
        self.results = dict(zip(names, network.results, strict=True))
        ports |= {
            name: Out(beat_stream(stream.map.type, lanes))
            for (name, stream), lanes in zip(self.results.items(), self.lanes_out, strict=True)
        }
        if plan.loading:
            ports["load"] = In(LOAD_BUS)
        self.memories = dict(zip(numbered("memory", len(plan.memories)), plan.memories, strict=True))
        ports |= {name: Out(plan.memories[stage].read.port) for name, stage in self.memories.items()}
        for n, layer in enumerate(plan.layers if watched else ()):
            width = layer.op.output.type.width * layer.unit.lanes_out
            ports |= {f"watch_{n}_moves": Out(1), f"watch_{n}_payload": Out(width)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        stages = self.plan.stages
        self.blocks = blocks = [stage.unit.block() for stage in stages]
        names = module_names([stage.name for stage in stages])
        for stage, block, name in zip(stages, blocks, names, strict=True):
            m.submodules[name] = _made(platform, block, stage, name)
            sources = [self._stream(blocks, source) for source in stage.sources]
            for stream, port in zip(sources, port_names(block)[0], strict=True):
                join(m, stream, getattr(block, port), f"{port} of {stage.name}")
            if stage.is_layer:
                self.streams[stage.layer] = getattr(block, port_names(block)[1][0])
        for name, source in zip(self.results, self.plan.outputs, strict=True):
            join(m, self._stream(blocks, source), wiring.flipped(getattr(self, name)), f"output {name}")
        for name, number in self.memories.items():
            wiring.connect(m, blocks[number].memory, wiring.flipped(getattr(self, name)))
        self._chain(m)
        for n, stream in enumerate(self.streams.values() if self.watched else ()):
            m.d.comb += [
                getattr(self, f"watch_{n}_moves").eq(stream.valid & stream.ready),
                getattr(self, f"watch_{n}_payload").eq(stream.payload.as_value()),
            ]
        return m

    def _chain(self, m: Module) -> None:
        """The load bus from block to block, in the order of the stages."""
        source = self.load if self.plan.loading else None
        for stage, block in zip(self.plan.stages, self.blocks, strict=True):
            if stage.unit.loads:
                bus(m, source, block.load)
                source = block.loaded

    def _stream(self, blocks: list[wiring.Component], source: Source):
        if source == INPUT:
            return wiring.flipped(self.i)
        block = blocks[source.stage]
        return getattr(block, port_names(block)[1][source.port])


def _made(platform, block: wiring.Component, stage: Stage, name: str):
    if not isinstance(platform, Library):
        return block
    with stage.placing():
        return platform.stage(block, stage, name)


def module_name(name: str) -> str:
    """``name`` as an identifier that every hardware language takes, no longer than files of memories may be called."""
    kept = "".join(char if char.isalnum() and char.isascii() else "_" for char in name).strip("_")
    if len(kept) > LONGEST_NAME:  # some exporters join the names of all that they have fused
        kept = f"{kept[: LONGEST_NAME // 2]}__{kept[-(LONGEST_NAME // 2 - 2) :]}"
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
