"""The plan: which layer is laid out how, decided before any hardware is generated, and editable as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from hwgen.blocks.mac_folding import MacFolding
from hwgen.blocks.operator import LaneFolding, Operator, OperatorUnit
from hwgen.cost.needs import Cost
from hwgen.graph.errors import InputError, ModelError, near
from hwgen.graph.network import Network, screenful

from .plan_file import FORMAT, folding_differences, place, read_document
from .shortcuts import tap_problems
from .stages import INPUT, Layout, Source, Stage

LARGEST_QUEUE = 1 << 20
#: Kinds of foldings of layers, and their definitions in the schema of plans.
FOLDINGS = {MacFolding: "multiplying", LaneFolding: "lanes"}

_REMEDY = "end the network before it with --outputs"


@dataclass(frozen=True, eq=False)
class PlannedLayer:
    """A layer with its unit; ``queues[n]`` beats are kept in front of its input ``n`` (0: no queue)."""

    name: str
    unit: OperatorUnit
    queues: tuple[int, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "queues", self.queues or (0,) * len(self.op.inputs))

    @property
    def op(self) -> Operator:
        """What it computes."""
        return self.unit.op

    @property
    def folding(self) -> Any:
        """How its unit is laid out."""
        return self.unit.folding

    @property
    def cost(self) -> Cost:
        """What its unit takes."""
        return self.unit.cost

    def folded(self, folding: Any) -> "PlannedLayer":
        """The layer laid out in another way."""
        return replace(self, unit=self.op.unit(folding))


@dataclass(frozen=True, eq=False)
class Plan:
    """Layers in topological order, each with its folding."""

    network: Network
    layers: tuple[PlannedLayer, ...]

    def __repr__(self) -> str:
        layers = [f"  {x.name:15} {x.folding}, {x.cost.cycles:,} cycles" for x in self.layers]
        return screenful([f"Plan of {self.network.name}: {len(layers)} layers", *layers])

    @cached_property
    def _layout(self) -> Layout:
        return Layout(self)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every block in topological order, with the forks, queues and converters that join the layers."""
        return tuple(self._layout.stages)

    @property
    def loading(self) -> bool:
        """Whether constants of layers are loaded at run time."""
        return any(layer.unit.loads for layer in self.layers)

    @property
    def waits_for_load(self) -> bool:
        """Whether a load must come before the first frame: what is in large RAM is not there at power-up."""
        return any(layer.unit.waits for layer in self.layers)

    def load_image(self) -> bytes:
        """All that is loaded, in the order in which the stages take it."""
        return b"".join(stage.unit.image for stage in self.stages if stage.unit.loads)

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
    def memory_bits(self) -> int:
        """Of all memories of all stages."""
        return sum(stage.cost.memory_bits for stage in self.stages)

    def with_queues(self, depths: Mapping[tuple[str, int], int]) -> "Plan":
        """The same plan with other queues in front of the inputs named: layer and number."""
        return Plan(
            self.network,
            tuple(
                replace(x, queues=tuple(depths.get((x.name, n), queue) for n, queue in enumerate(x.queues)))
                for x in self.layers
            ),
        )

    def to_json(self) -> str:
        """A form to look at, edit and feed back."""
        layers = [
            {
                "name": layer.name,
                "node": placed.node,
                "operator": type(layer.op).__name__,
                "folding": asdict(layer.folding),
                "queues": list(layer.queues),
            }
            for layer, placed in zip(self.layers, self.network.layers, strict=True)
        ]
        return json.dumps({"format": FORMAT, "network": self.network.name, "layers": layers}, indent=2) + "\n"

    @staticmethod
    def from_json(network: Network, text: str, file: str = "plan") -> "Plan":
        """Read an edited plan; :class:`InputError` lists everything that is wrong with it, and where in ``file``."""
        check_hardware(network)
        entries = read_document(text, file)["layers"]
        places, problems = {}, []
        for n, entry in enumerate(entries):
            first = places.setdefault(network.own_name(entry["name"]), n)
            if first != n:
                problems.append(f"{file}: {place(n, entry)}: the layer stands in layers[{first}], too")
        names = [layer.name for layer in network.layers]
        problems += [
            f"{file}: layer {name!r} is not in the model; near are {near(name, names)}"
            for name in places
            if name not in names
        ]
        problems += [f"{file}: layer {name!r} of the model is missing" for name in names if name not in places]
        layers = []
        for layer in network.layers:
            if layer.name in places:
                entry = entries[places[layer.name]]
                try:
                    layers.append(_read_layer(network, layer.name, layer.op, entry))
                except InputError as error:
                    where = f"{file}: {place(places[layer.name], entry)}"
                    problems += [f"{where}: {line}" for line in error.problems]
        if problems:
            raise InputError(*problems)
        return Plan(network, tuple(layers))


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


def _read_layer(network: Network, name: str, op: Operator, entry: dict[str, Any]) -> PlannedLayer:
    """The layer as ``entry``, of a document that was read, has it; :class:`InputError` where ``op`` cannot be so."""
    kind = type(next(iter(op.foldings())))
    problems = folding_differences(entry["folding"], FOLDINGS[kind])
    queues = entry.get("queues", [0] * len(op.inputs))
    if len(queues) != len(op.inputs):
        problems.append(f"queues must have a depth for each of the {len(op.inputs)} inputs, not {queues!r}")
    if not problems:
        unit = op.unit(kind(**entry["folding"]))
        problems = unit.problems() + tap_problems(network, name, op, unit.folding)
    if problems:
        raise InputError(*problems)
    return PlannedLayer(name, unit, tuple(queues))
