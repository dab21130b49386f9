"""What operators on the multiply-accumulate unit have in common: all hardware faces."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from amaranth.lib import wiring

from hwgen.cost.actor import Actor
from hwgen.cost.needs import Cost

from .mac import MacFolding, MacPlan
from .mac_folding import mac_foldings, mac_interval, mac_offers, mac_problems
from .mac_layer import MacLayer, MacShape
from .mac_unit import MacBlock
from .multiplier import PAIR, SINGLE, Multiplier
from .operator import Offer, Operator, OperatorUnit, Weigh


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

    def offers(self, weigh: Weigh) -> Sequence[Offer]:
        """Two products in a multiplier, wherever a pair weighs no more than a single one."""
        single, digit = (weigh(product) for product in self.layer.product_kinds)
        (pair,) = Multiplier(self.layer.input.type, self.layer.weight_type, PAIR).hardware(PAIR, 1)
        paired = weigh(pair)
        return mac_offers(self.shape, min(single, paired), digit, PAIR if paired <= single else SINGLE)


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
