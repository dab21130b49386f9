"""What operators on the multiply-accumulate unit have in common: all hardware faces."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from amaranth.lib import wiring

from hwgen.cost.actor import Actor
from hwgen.cost.needs import Cost
from hwgen.memory.weights import LARGE

from .mac import MacFolding, MacPlan
from .mac_folding import MacTable, mac_foldings, mac_interval, mac_problems, mac_table
from .mac_layer import MacLayer, MacShape
from .mac_unit import MacBlock
from .multiplier import PAIR, SINGLE, Multiplier
from .operator import Offers, Operator, OperatorUnit


class MacOperator(Operator):
    """An operator that says with :attr:`layer` what the unit computes; the rest follows."""

    layer: MacLayer

    def foldings(self) -> Iterable[MacFolding]:
        return mac_foldings(self.shape)

    @cached_property
    def shape(self) -> MacShape:
        """What layers have in common that take the same foldings and cycles."""
        return self.layer.shape

    def unit(self, folding: MacFolding) -> "MacUnit":
        return MacUnit(self, folding)

    def offers(self) -> tuple[Offers, ...]:
        """One product in a multiplier, or two; weights in block RAM in large RAM, too."""
        table, (single, digit) = mac_table(self.shape), self.layer.product_kinds
        (pair,) = Multiplier(self.layer.input.type, self.layer.weight_type, PAIR).hardware(PAIR, 1)
        kinds, both = (single, pair, digit), ((SINGLE, table.single), (PAIR, table.pair))
        usual = [Offers(figures, kinds, partial(self._made, table, at_once)) for at_once, figures in both]
        moved = [Offers(table.moved(x.table), kinds, partial(_moved, x.make, table.deep), table.deep) for x in usual]
        return (*usual, *(moved if len(table.deep) else ()))

    def _made(self, table: MacTable, at_once: int, at: int) -> "MacUnit":
        return self.unit(table.folding(at, at_once))


def _moved(make: Callable[[int], "MacUnit"], deep: np.ndarray, at: int) -> "MacUnit":
    """The unit with its weights in large RAM."""
    unit = make(int(deep[at]))
    return unit.op.unit(replace(unit.folding, weights=LARGE))


@dataclass(frozen=True)
class MacUnit(OperatorUnit):
    """Hardware for a :class:`MacOperator`."""

    op: MacOperator
    folding: MacFolding

    def __post_init__(self):
        object.__setattr__(self, "folding", self.folding.holding(self.op.loading is not None))

    @cached_property
    def plan(self) -> MacPlan:
        """The layer with its folding."""
        return MacPlan(self.op.layer, self.folding)

    @property
    def loads(self) -> bool:
        return self.plan.weights.loads

    @property
    def waits(self) -> bool:
        return self.plan.weights.waits

    @property
    def image(self) -> bytes:
        return self.plan.image()

    @cached_property
    def actors(self) -> tuple[Actor, ...]:
        return self.plan.actors()

    @cached_property
    def cost(self) -> Cost:
        return self.costing(self.plan.logic, self.plan.memories, self.plan.products)

    @property
    def interval(self) -> int:
        return mac_interval(self.op.shape, self.folding)

    def problems(self) -> list[str]:
        return mac_problems(self.op.layer, self.folding)

    def block(self) -> wiring.Component:
        return MacBlock(self.plan)
