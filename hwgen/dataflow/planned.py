"""A unit in its place: a node of the plan, and how its edges are named."""

from dataclasses import dataclass
from typing import Any

from hwgen.blocks.operator import Operator, OperatorUnit
from hwgen.cost.needs import Cost
from hwgen.graph.network import Layer

#: An output of a layer, by its name and number; that of "" is the network's input.
Edge = tuple[str, int]
#: An input of a layer, by its name and number; those of "" are the network's outputs.
Place = tuple[str, int]


@dataclass(frozen=True, eq=False)
class PlannedLayer:
    """A unit in its place. It ``covers`` layers of the network, the last of which gives its result; each of its inputs
    comes from an edge, with ``queues[n]`` beats in front of input ``n`` (0: no queue)."""

    covers: tuple[Layer, ...]
    unit: OperatorUnit
    inputs: tuple[Edge, ...]
    queues: tuple[int, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "queues", self.queues or (0,) * len(self.inputs))

    @property
    def name(self) -> str:
        """That of the last layer that it covers: whose result it makes."""
        return self.covers[-1].name

    @property
    def node(self) -> str:
        """What it was made of, by the model's name."""
        return self.covers[-1].node

    @property
    def output(self) -> str:
        """The tensor of the network that is its result."""
        return self.covers[-1].output

    @property
    def op(self) -> Operator:
        """What it computes."""
        return self.unit.op

    @property
    def computed(self) -> tuple[tuple[Layer, Any], ...]:
        """Each layer that it covers, and what is computed for it in hardware."""
        return tuple(zip(self.covers, self.unit.computed, strict=True))

    @property
    def folding(self) -> Any:
        """How its unit is laid out."""
        return self.unit.folding

    @property
    def cost(self) -> Cost:
        """What its unit takes."""
        return self.unit.cost
