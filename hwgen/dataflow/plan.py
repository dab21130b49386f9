"""The plan: which layer is laid out how, decided before any hardware is generated, and editable as JSON."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from hwgen.blocks import UNITS
from hwgen.blocks.joints.memory import MemorySource
from hwgen.blocks.operator import OperatorUnit
from hwgen.device.targets import Device
from hwgen.graph.errors import ModelError
from hwgen.graph.network import Layer, Network, screenful
from hwgen.memory.ram import Shape

from .plan_file import FORMAT
from .planned import Edge, Place, PlannedLayer
from .stages import INPUT, Layout, Source, Stage
from .ultra import chosen

LARGEST_QUEUE = 1 << 20

_REMEDY = "end the network before it with --outputs"


@dataclass(frozen=True, eq=False)
class Plan:
    """Layers in topological order, each with its unit and what it reads; ``ultra`` has by stage the shapes (width,
    depth) of RAMs that are in UltraRAM."""

    network: Network
    layers: tuple[PlannedLayer, ...]
    ultra: Mapping[str, frozenset[Shape]] = field(default_factory=dict)

    @staticmethod
    def of(network: Network, units: Iterable[OperatorUnit]) -> "Plan":
        """The plan with a unit for each layer of the network."""
        return Plan.covering(network, (((layer,), unit) for layer, unit in zip(network.layers, units, strict=True)))

    @staticmethod
    def covering(network: Network, units: Iterable[tuple[tuple[Layer, ...], OperatorUnit]]) -> "Plan":
        """The plan with units for chains of layers, each of which only the next one reads."""
        edges = {network.input.name: ("", 0)} | {layer.output: (layer.name, 0) for layer in network.layers}
        layers = (PlannedLayer(covers, unit, tuple(edges[name] for name in covers[0].inputs)) for covers, unit in units)
        return Plan(network, tuple(layers))

    @cached_property
    def named(self) -> dict[str, PlannedLayer]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def readers(self) -> dict[Edge, list[Place]]:
        """Who reads each edge, the network's outputs last."""
        edges = {layer.output: (layer.name, 0) for layer in self.layers} | {self.network.input.name: ("", 0)}
        readers: dict[Edge, list[Place]] = {}
        for layer in self.layers:
            for n, edge in enumerate(layer.inputs):
                readers.setdefault(edge, []).append((layer.name, n))
        for n, stream in enumerate(self.network.results):
            readers.setdefault(edges[stream.name], []).append(("", n))
        return readers

    def __repr__(self) -> str:
        layers = [f"  {x.name:15} {x.folding}, {x.cost.cycles:,} cycles" for x in self.layers]
        return screenful([f"Plan of {self.network.name}: {len(layers)} layers", *layers])

    @cached_property
    def _layout(self) -> Layout:
        return Layout(self.network, self.named, self.readers, self.ultra)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """Every block in topological order, with the forks, queues and converters that join the layers."""
        return tuple(self._layout.stages)

    @property
    def loading(self) -> bool:
        """Whether constants of layers are loaded at run time."""
        return any(layer.unit.loads for layer in self.layers)

    @property
    def large(self) -> str | None:
        """The style of large RAM that has weights in it; None where none are."""
        return next((layer.unit.large for layer in self.layers if layer.unit.large), None)

    @property
    def waits_for_load(self) -> bool:
        """Whether a load must come before the first frame: what is in large RAM is not there at power-up."""
        return self.large is not None

    def load_image(self) -> bytes:
        """All that is loaded, in the order in which the stages take it."""
        return b"".join(stage.unit.image for stage in self.stages if stage.unit.loads)

    @property
    def memories(self) -> dict[int, MemorySource]:
        """What reads from DRAM, by the numbers of the stages."""
        return self._layout.memories

    @property
    def entries(self) -> dict[tuple[str, int], Source]:
        """Where each input of each layer comes from."""
        return self._layout.entries

    @property
    def outputs(self) -> tuple[Source, ...]:
        """Where the network's outputs come from."""
        return self._layout.outputs

    @property
    def lanes_in(self) -> int:
        """Elements in a beat of the input: as whatever reads it wants them."""
        return next(stage.unit.lanes_in for stage in self.stages if INPUT in stage.sources)

    @property
    def lanes_out(self) -> tuple[int, ...]:
        """Elements in a beat of each output."""
        return tuple(self.stages[source.stage].unit.lanes_out for source in self.outputs)

    @property
    def multipliers(self) -> int:
        """Products that all stages make at once."""
        return sum(stage.cost.multipliers for stage in self.stages)

    @property
    def in_luts(self) -> int:
        """Those of them that are made of LUTs."""
        return sum(each.count for stage in self.stages for each in stage.cost.products if each.luts)

    @property
    def memory_bits(self) -> int:
        """Of all memories of all stages."""
        return sum(stage.cost.memory_bits for stage in self.stages)

    def with_queues(self, depths: Mapping[Place, int]) -> "Plan":
        """The same plan with other queues in front of the inputs named."""
        layers = (
            replace(x, queues=tuple(depths.get((x.name, n), queue) for n, queue in enumerate(x.queues)))
            for x in self.layers
        )
        return replace(self, layers=tuple(layers))

    def placed(self, device: Device) -> "Plan":
        """The same plan with RAMs in UltraRAM, as far as ``device`` has any (:mod:`hwgen.dataflow.ultra`)."""
        costs = {stage.name: stage.unit.cost for stage in self.stages}
        return replace(self, ultra=chosen(costs, device))

    def to_json(self) -> str:
        """A form to look at, edit and feed back: see :func:`hwgen.dataflow.plan_reader.parse_plan`."""
        names = {kind: name for name, kind in UNITS.items()}
        layers = [
            {
                "name": layer.name,
                "node": layer.node,
                **({"covers": [each.name for each in layer.covers]} if layer.unit.several else {}),
                "operator": type(layer.op).__name__,
                "unit": names[type(layer.unit)],
                "settings": layer.unit.settings,
                "queues": list(layer.queues),
                **self._ultra_of(layer.name),
            }
            for layer in self.layers
        ]
        return json.dumps({"format": FORMAT, "network": self.network.name, "layers": layers}, indent=2) + "\n"

    def _ultra_of(self, layer: str) -> dict[str, dict[str, list[Shape]]]:
        """The RAMs of a layer's stages in UltraRAM, by what their names have behind the layer's."""
        stages = (stage for stage in self.stages if stage.layer == layer and stage.ultra)
        ultra = {stage.name.removeprefix(layer): sorted(stage.ultra) for stage in stages}
        return {"ultra": ultra} if ultra else {}


def check_hardware(network: Network) -> None:
    """ModelError with a line for each layer that cannot be built."""
    lines = []
    made = {layer.output for layer in network.layers}
    for stream in network.results if network.layers else ():
        if stream.name not in made:
            lines.append(f"the output {stream.name!r} is not computed: no layer makes it; take it out of the outputs")
    if not network.layers:
        lines.append(f"the network {network.name!r} has no layers; there is nothing to build")
    read = {name for layer in network.layers for name in layer.inputs} | {stream.name for stream in network.results}
    for layer in network.layers:
        constants = [name for name in layer.inputs if name in network.constants]
        if layer.op.gap:
            lines.append(f"{layer.place}: {layer.op.gap} has no hardware yet: golden only; {_REMEDY}")
        elif constants:
            lines.append(f"{layer.place}: it reads the constant {constants[0]!r} as a stream: golden only; {_REMEDY}")
        elif layer.output not in read:
            lines.append(f"{layer.place}: nothing reads its result; take it out of the model")
    if lines:
        raise ModelError(*lines)
