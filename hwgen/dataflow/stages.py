"""Every block of a pipeline: layers, the forks behind them, the queues and width converters in front of them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from hwgen.blocks.joints.convert import WidthConverter
from hwgen.blocks.joints.fork import Fork
from hwgen.blocks.joints.memory import MemorySource
from hwgen.blocks.joints.queue import StreamQueue
from hwgen.blocks.stream import Port
from hwgen.blocks.unit import Unit
from hwgen.cost.actor import Actor, Give
from hwgen.cost.needs import Cost
from hwgen.graph.network import Network
from hwgen.memory.ram import Shape, in_ultra

from .planned import Edge, Place, PlannedLayer
from .ultra import moved

#: Beats that each reader of a fork may be behind at least: what a LUT memory gives at no extra cost.
LEAST_FORK = 16


class Source(NamedTuple):
    """Where a stream comes from: output ``port`` of stage ``stage``, or the network's input (stage -1)."""

    stage: int
    port: int = 0


INPUT = Source(-1)


@dataclass(frozen=True, eq=False)
class Stage:
    """One block of the pipeline. ``layer`` is the one it belongs to; ``sources`` are what it reads, what is from DRAM
    last; RAMs of the shapes in ``ultra`` are in UltraRAM."""

    name: str
    unit: Unit
    layer: str
    sources: tuple[Source, ...]
    ultra: frozenset[Shape] = frozenset()

    @property
    def is_layer(self) -> bool:
        """Whether it is a layer itself and not what stands before or behind one."""
        return self.name == self.layer

    @property
    def actors(self) -> tuple[Actor, ...]:
        """When the unit takes and gives beats."""
        return self.unit.actors

    @property
    def cost(self) -> Cost:
        """What the unit takes."""
        return moved(self.unit.cost, self.ultra)

    def placing(self) -> AbstractContextManager[None]:
        """What its block is elaborated in, so that its RAMs go where they are planned."""
        return in_ultra(self.ultra)

    @property
    def ports(self) -> list[tuple[int, Give]]:
        """The number of the actor behind each output, and what it gives there; in the order of the ports."""
        last = len(self.actors) - 1
        besides = [(n, port) for n, actor in enumerate(self.actors) for port in actor.gives[1:]]
        return [(last, self.actors[last].gives[0]), *besides]


@dataclass(frozen=True)
class _Stream:
    """A stream laid out: what it carries, and the queue that its fork keeps for its reader."""

    source: Source
    port: Port
    queue: int = 0


class Layout:
    """The stages of a plan in topological order, and the sources of the network's outputs.

    ``entries`` are the sources of what each layer reads, by its name and the number of the input: the queue or width
    converter in front of it, or what is before that. ``memories`` are what reads from DRAM, by the numbers of the
    stages. ``ultra``: by stage the shapes of RAMs in UltraRAM.
    """

    def __init__(
        self,
        network: Network,
        layers: Mapping[str, PlannedLayer],
        readers: Mapping[Edge, Sequence[Place]],
        ultra: Mapping[str, frozenset[Shape]],
    ):
        self.stages: list[Stage] = []
        self.entries: dict[tuple[str, int], Source] = {}
        self.memories: dict[int, MemorySource] = {}
        self._waiting: dict[tuple[str, int], _Stream] = {}
        self._layers, self._readers, self._ultra = layers, readers, ultra
        network_input = ("", 0)
        first = readers[network_input][0][0]
        port = Port(network.input.map, layers[first].unit.lanes_in)
        self._hand_out(network_input, _Stream(INPUT, port), first)
        for layer in layers.values():
            inputs = tuple(self._arrive(layer, place) for place in range(len(layer.inputs)))
            self.entries |= {(layer.name, place): source for place, source in enumerate(inputs)}
            for n, stream in enumerate(self._lay_out(layer, inputs)):
                self._hand_out((layer.name, n), stream, layer.name)
        self.outputs = tuple(self._waiting.pop(("", n)).source for n in range(len(network.results)))

    def _add(self, name: str, unit: Unit, layer: str, *sources: Source) -> Source:
        self.stages.append(Stage(name, unit, layer, sources, self._ultra.get(name, frozenset())))
        return Source(len(self.stages) - 1)

    def _lay_out(self, layer: PlannedLayer, inputs: tuple[Source, ...]) -> list[_Stream]:
        """The blocks of a layer, which reads ``inputs``; what leaves it."""
        ends = {(-1, n): source for n, source in enumerate(inputs)}
        for n, (suffix, unit, sources) in enumerate(layer.unit.blocks):
            memory = self._memory(layer.name + suffix, unit, layer.name) if unit.memory else ()
            made = self._add(layer.name + suffix, unit, layer.name, *(ends[source] for source in sources), *memory)
            ends |= {(n, port): Source(made.stage, port) for port in range(len(unit.outputs))}
        return [_Stream(ends[end], port) for end, port in zip(layer.unit.ends, layer.unit.outputs, strict=True)]

    def _memory(self, name: str, reader: Unit, layer: str) -> tuple[Source]:
        """What brings ``reader`` its bytes from DRAM."""
        unit = MemorySource(reader)
        source = self._add(f"{name}_memory", unit, layer)
        self.memories[source.stage] = unit
        return (source,)

    def _hand_out(self, edge: Edge, stream: _Stream, layer: str) -> None:
        """Give a stream to those who read it, through a fork if they are several."""
        readers, layers = self._readers[edge], self._layers
        if len(readers) == 1:
            self._waiting[readers[0]] = stream
            return
        # In front of a converter that widens, the queue stands behind that.
        held = [
            layers[name].queues[place] if name and layers[name].unit.lanes_in <= stream.port.lanes else 0
            for name, place in readers
        ]
        unit = Fork(stream.port, tuple(max(LEAST_FORK, depth) for depth in held))
        fork = self._add(f"{layer}_fork", unit, layer, stream.source)
        for port, (reader, depth) in enumerate(zip(readers, held, strict=True)):
            self._waiting[reader] = _Stream(Source(fork.stage, port), stream.port, depth)

    def _arrive(self, layer: PlannedLayer, place: int) -> Source:
        """What input ``place`` of ``layer`` reads: the stream through a queue and a width converter, where asked.

        The queue is where beats are wide. In front of a converter that widens it would not help: one that is as busy
        as the slowest layer cannot catch up on what it waits for the layer behind it.
        """
        stream, wanted = self._waiting.pop((layer.name, place)), layer.unit.lanes_in
        suffix, source = str(place) if len(layer.queues) > 1 else "", stream.source
        port = stream.port
        added: list[tuple[str, Unit]] = []
        if port.lanes != wanted:
            added.append((f"{layer.name}_lanes{suffix}", WidthConverter(port, wanted)))
        if layer.queues[place] > stream.queue:
            queue = StreamQueue(Port(port.map, max(port.lanes, wanted)), layer.queues[place])
            added.insert(wanted > port.lanes, (f"{layer.name}_queue{suffix}", queue))
        for name, unit in added:
            source = self._add(name, unit, layer.name, source)
        return source
