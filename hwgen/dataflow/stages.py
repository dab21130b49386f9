"""Every block of a pipeline: layers, the forks behind them, the queues and width converters in front of them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hwgen.blocks import Concat
from hwgen.blocks.convert import WidthConverter
from hwgen.blocks.fork import Fork
from hwgen.blocks.operator import LaneFolding, Unit
from hwgen.blocks.queue import StreamQueue
from hwgen.blocks.rows import SHORT_QUEUE, RowFork, row_ranges
from hwgen.blocks.stream import Port
from hwgen.blocks.tapped import RowConv
from hwgen.cost.actor import Actor, Give
from hwgen.cost.needs import Cost

if TYPE_CHECKING:
    from .plan import Plan

#: Beats that each reader of a fork may be behind at least: what a LUT memory gives at no extra cost.
LEAST_FORK = 16


@dataclass(frozen=True)
class Source:
    """Where a stream comes from: output ``port`` of stage ``stage``, or the network's input (stage -1)."""

    stage: int
    port: int = 0


INPUT = Source(-1)


@dataclass(frozen=True, eq=False)
class Stage:
    """One block of the pipeline. ``layer`` is the one it belongs to; ``sources`` are what it reads."""

    name: str
    unit: Unit
    layer: str
    sources: tuple[Source, ...]

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
        return self.unit.cost

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
    converter in front of it, or what is before that.
    """

    def __init__(self, plan: "Plan"):
        self.stages: list[Stage] = []
        self.entries: dict[tuple[str, int], Source] = {}
        self._waiting: dict[tuple[str, int], _Stream] = {}
        self._readers = _readers(plan)
        self._handed = handed_on(plan)
        network = plan.network
        first = self._readers[network.input.name][0][0]
        lanes = next(layer.unit.lanes_in for layer in plan.layers if layer.name == first)
        self._hand_out(plan, network.input.name, _Stream(INPUT, Port(network.input.map, lanes)), first)
        for layer, placed in zip(plan.layers, network.layers, strict=True):
            inputs = tuple(self._arrive(layer, place) for place in range(len(placed.inputs)))
            self.entries |= {(layer.name, place): source for place, source in enumerate(inputs)}
            if getattr(layer.folding, "tap", 0):
                made = self._tapped(layer, *inputs, self._other_reader(layer.name, placed.inputs[0]))
            else:
                made = self._add(layer.name, layer.unit, layer.name, *inputs)
            self._hand_out(plan, placed.output, _Stream(made, layer.unit.outputs[0]), layer.name)
        self.outputs = tuple(self._waiting.pop(("", n)).source for n in range(len(_outputs(plan))))

    def _add(self, name: str, unit: Unit, layer: str, *sources: Source) -> Source:
        self.stages.append(Stage(name, unit, layer, sources))
        return Source(len(self.stages) - 1)

    def _hand_out(self, plan: "Plan", tensor: str, stream: _Stream, layer: str) -> None:
        """Give a tensor to those who read it, through a fork if they are several and none hands it on."""
        readers = [reader for reader in self._readers[tensor] if reader not in self._handed]
        if len(readers) == 1:
            self._waiting[readers[0]] = stream
            return
        layers = {layer.name: layer for layer in plan.layers}
        # In front of a converter that widens, the queue stands behind that.
        held = [
            layers[name].queues[place] if name and layers[name].unit.lanes_in <= stream.port.lanes else 0
            for name, place in readers
        ]
        unit = Fork(stream.port, tuple(max(LEAST_FORK, depth) for depth in held))
        fork = self._add(f"{layer}_fork", unit, layer, stream.source)
        for port, (reader, depth) in enumerate(zip(readers, held, strict=True)):
            self._waiting[reader] = _Stream(Source(fork.stage, port), stream.port, depth)

    def _other_reader(self, layer: str, tensor: str) -> tuple[str, int]:
        (other,) = (reader for reader in self._readers[tensor] if reader[0] != layer)
        return other

    def _tapped(self, layer, source: Source, other: tuple[str, int]) -> Source:
        """A layer that hands its input on to ``other``: a chain of rows, the layer, and what puts the last rows of a
        frame behind those that the layer has handed on."""
        unit, name = RowConv(layer.op, layer.folding, layer.folding.tap), layer.name
        rows, top = unit.rows.rows, unit.rows.top
        whole, (_, tapped) = unit.rows.source, unit.outputs
        pixel = whole.map.channels // whole.lanes
        row, parts = whole.map.width * pixel + SHORT_QUEUE, []
        for n, used in reversed(list(enumerate(row_ranges(whole.map.height, rows, top)))):
            onward = (0 if n else whole.map.height - top, whole.map.height)
            behind = row + pixel * (n < rows - 1) if n else max(2 * SHORT_QUEUE, pixel)
            part = self._add(f"{name}_row{n}", RowFork(whole, (used, onward), (SHORT_QUEUE, behind)), name, source)
            parts, source = [part, *parts], Source(part.stage, 1)
        side_by_side = self._add(f"{name}_rows", unit.rows, name, *parts)
        made = self._add(name, unit, name, side_by_side)
        both = Concat((tapped.map, replace(whole.map, height=top)), whole.map, 0).unit(LaneFolding(whole.lanes))
        handed = self._add(f"{name}_handed", both, name, Source(made.stage, 1), source)
        self._waiting[other] = _Stream(handed, whole)
        return made

    def _arrive(self, layer, place: int) -> Source:
        """What input ``place`` of ``layer`` reads: the stream through a queue and a width converter, where asked.

        The queue is where beats are wide. In front of a converter that widens it would not help: one that is as busy
        as the slowest layer cannot catch up on what it waits for the layer behind it.
        """
        stream, wanted = self._waiting.pop((layer.name, place)), layer.unit.lanes_in
        suffix, source = str(place) if len(layer.queues) > 1 else "", stream.source
        added, port = [], stream.port
        if port.lanes != wanted:
            added.append((f"{layer.name}_lanes{suffix}", WidthConverter(port, wanted)))
        if layer.queues[place] > stream.queue:
            unit = StreamQueue(Port(port.map, max(port.lanes, wanted)), layer.queues[place])
            added.insert(wanted > port.lanes, (f"{layer.name}_queue{suffix}", unit))
        for name, unit in added:
            source = self._add(name, unit, layer.name, source)
        return source


def handed_on(plan: "Plan") -> set[tuple[str, int]]:
    """The inputs of layers whose map comes from another layer that reads it, and not from the one that makes it."""
    readers, handed = _readers(plan), set()
    for layer, placed in zip(plan.layers, plan.network.layers, strict=True):
        if getattr(layer.folding, "tap", 0):
            handed |= {reader for reader in readers[placed.inputs[0]] if reader[0] != layer.name}
    return handed


def _outputs(plan: "Plan") -> tuple[str, ...]:
    return tuple(stream.name for stream in plan.network.results)


def _readers(plan: "Plan") -> dict[str, list[tuple[str, int]]]:
    """Who reads each tensor: layers with the number of the input, and the network's outputs under the name ""."""
    readers: dict[str, list[tuple[str, int]]] = {}
    for layer in plan.network.layers:
        for place, tensor in enumerate(layer.inputs):
            readers.setdefault(tensor, []).append((layer.name, place))
    for number, tensor in enumerate(_outputs(plan)):
        readers.setdefault(tensor, []).append(("", number))
    return readers
