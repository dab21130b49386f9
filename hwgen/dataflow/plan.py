"""The plan: which layer is laid out how, decided before any hardware is generated, and editable as JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from hwgen.blocks import StreamQueue, WidthConverter
from hwgen.blocks.convert import ConvertFolding
from hwgen.blocks.operator import Cost, Operator
from hwgen.blocks.queue import QueueFolding
from hwgen.blocks.timing import Actor
from hwgen.graph.errors import InputError, ModelError
from hwgen.graph.network import Network

FORMAT = 1


@dataclass(frozen=True, eq=False)
class PlannedLayer:
    """A layer with its folding; ``queue`` beats are kept in front of it (0: no queue)."""

    name: str
    op: Operator
    folding: Any
    queue: int = 0

    @cached_property
    def cost(self) -> Cost:
        return self.op.cost(self.folding)


@dataclass(frozen=True, eq=False)
class Stage:
    """One block of the pipeline: a layer, or a queue or width converter in front of one."""

    name: str
    op: Operator
    folding: Any
    layer: str

    @cached_property
    def cost(self) -> Cost:
        return self.op.cost(self.folding)

    @property
    def actors(self) -> tuple[Actor, ...]:
        return self.op.actors(self.folding)


@dataclass(frozen=True, eq=False)
class Plan:
    """Layers in the order of the pipeline."""

    network: Network
    layers: tuple[PlannedLayer, ...]

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """Every block, with the queues and converters that join the layers."""
        return tuple(self._stages())

    def _stages(self) -> Iterator[Stage]:
        lanes = None
        for layer in self.layers:
            source, wanted = layer.op.input, layer.folding.lanes_in
            lanes = lanes or wanted
            if layer.queue:
                yield Stage(f"{layer.name}_queue", StreamQueue(source), QueueFolding(lanes, layer.queue), layer.name)
            if lanes != wanted:
                yield Stage(f"{layer.name}_lanes", WidthConverter(source), ConvertFolding(lanes, wanted), layer.name)
            yield Stage(layer.name, layer.op, layer.folding, layer.name)
            lanes = layer.folding.lanes_out

    @property
    def multipliers(self) -> int:
        return sum(stage.cost.multipliers for stage in self.stages)

    @property
    def memory_bits(self) -> int:
        return sum(stage.cost.memory_bits for stage in self.stages)

    def with_queues(self, depths: dict[str, int]) -> "Plan":
        """The same plan with other queues in front of the layers named."""
        return Plan(self.network, tuple(replace(x, queue=depths.get(x.name, x.queue)) for x in self.layers))

    def to_json(self) -> str:
        """A form to look at, edit and feed back."""
        layers = [
            {
                "name": layer.name,
                "operator": type(layer.op).__name__,
                "folding": asdict(layer.folding),
                "queue": layer.queue,
            }
            for layer in self.layers
        ]
        return json.dumps({"format": FORMAT, "network": self.network.name, "layers": layers}, indent=2) + "\n"

    @staticmethod
    def from_json(network: Network, text: str) -> "Plan":
        """Read an edited plan; :class:`InputError` lists everything that is wrong with it."""
        check_hardware(network)
        try:
            data = json.loads(text)
            listed = {entry["name"]: entry for entry in data["layers"]}
            version = data["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"plan: not a plan file ({error}); start from the plan.json that build writes") from None
        if version != FORMAT:
            raise InputError(f"plan: format {version!r} is not the {FORMAT} that this version reads; build it anew")
        names = [layer.name for layer in network.layers]
        problems = [f"plan: layer {name!r} is not in the model" for name in listed if name not in names]
        problems += [f"plan: layer {name!r} of the model is missing" for name in names if name not in listed]
        layers = []
        for layer in network.layers:
            if layer.name in listed:
                try:
                    layers.append(_read_layer(layer.name, layer.op, listed[layer.name]))
                except (TypeError, ValueError, KeyError, AttributeError, ModelError) as error:
                    problems.append(f"plan: layer {layer.name!r}: {error}")
        if problems:
            raise InputError(*problems)
        return Plan(network, tuple(layers))


def check_hardware(network: Network) -> None:
    """ModelError with a line for each layer that cannot be built, and one where the layers are not a chain."""
    lines = [
        f"node {layer.name!r}: {layer.op.gap} has no hardware yet: golden only"
        for layer in network.layers
        if layer.op.gap
    ]
    if len(network.results) > 1:
        names = ", ".join(repr(stream.name) for stream in network.results)
        lines.append(f"{len(network.results)} streams leave the network ({names}); one has hardware yet: golden only")
    if not network.layers:
        lines.append(f"the network {network.name!r} has no layers; there is nothing to build")
    before = [network.input.name, *(layer.output for layer in network.layers)]
    for layer, name in zip(network.layers, before, strict=False):
        if layer.inputs != (name,):
            lines.append(
                f"node {layer.name!r}: it reads {', '.join(map(repr, layer.inputs))} and not {name!r} alone, and a "
                "network that is no chain of layers has no hardware yet: golden only"
            )
            break
    if lines:
        raise ModelError(*lines)


def _read_layer(name: str, op: Operator, entry: dict) -> PlannedLayer:
    template = next(iter(op.foldings()))
    folding = type(template)(**entry["folding"])
    for field, value in asdict(template).items():
        if type(getattr(folding, field)) is not type(value):
            raise ValueError(f"{field} must be a {type(value).__name__}, not {getattr(folding, field)!r}")
    problems = op.folding_problems(folding)
    if problems:
        raise ValueError("; ".join(problems))
    queue = entry.get("queue", 0)
    if type(queue) is not int or not 0 <= queue <= 1 << 20:
        raise ValueError(f"queue must be 0 to {1 << 20} beats, not {queue!r}")
    return PlannedLayer(name, op, folding, queue)
