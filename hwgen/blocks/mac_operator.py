"""What operators on the multiply-accumulate unit have in common: all hardware faces."""

from collections.abc import Iterable, Sequence
from functools import cached_property

from amaranth.lib import wiring

from .costs import Cost
from .mac import MacFolding, MacPlan
from .mac_folding import mac_foldings, mac_interval, mac_offers, mac_problems
from .mac_layer import MacLayer, MacShape
from .mac_unit import MacUnit
from .multiplier import PAIR, SINGLE, Multiplier
from .operator import Offer, Operator, Weigh
from .timing import Actor


class MacOperator(Operator):
    """An operator that says with :attr:`layer` what the unit computes; the rest follows."""

    layer: MacLayer

    def foldings(self) -> Iterable[MacFolding]:
        return mac_foldings(self.shape)

    def folding_problems(self, folding: MacFolding) -> list[str]:
        return mac_problems(self.layer, folding)

    @cached_property
    def shape(self) -> MacShape:
        """What layers have in common that take the same foldings and cycles."""
        return self.layer.shape

    def plan(self, folding: MacFolding) -> MacPlan:
        """The layer with its folding."""
        return MacPlan(self.layer, folding)

    def loads(self, folding: MacFolding) -> bool:
        return self.plan(folding).loads

    def actors(self, folding: MacFolding) -> tuple[Actor, ...]:
        return self.plan(folding).actors()

    def cost(self, folding: MacFolding) -> Cost:
        return self.plan(folding).cost(self)

    def interval(self, folding: MacFolding) -> int:
        return mac_interval(self.shape, folding)

    def offers(self, weigh: Weigh) -> Sequence[Offer]:
        """Two products in a multiplier, wherever a pair weighs no more than a single one."""
        single, digit = (weigh(product) for product in self.layer.product_kinds)
        (pair,) = Multiplier(self.layer.input.type, self.layer.weight_type, PAIR).hardware(PAIR, 1)
        paired = weigh(pair)
        return mac_offers(self.shape, min(single, paired), digit, PAIR if paired <= single else SINGLE)

    def image(self, folding: MacFolding) -> bytes:
        """What loads its constants."""
        return self.plan(folding).image()

    def block(self, folding: MacFolding) -> wiring.Component:
        return MacUnit(self.plan(folding))
