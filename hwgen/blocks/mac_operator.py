"""What operators on the multiply-accumulate unit have in common: all hardware faces."""

from collections.abc import Iterable
from dataclasses import replace

from amaranth.lib import wiring

from .mac import MacFolding, MacPlan
from .mac_folding import mac_foldings, mac_problems
from .mac_layer import MacLayer
from .mac_unit import MacUnit
from .multiplier import PAIR, SINGLE, Multiplier
from .operator import Cost, Operator, Products, Weigh
from .timing import Actor


class MacOperator(Operator):
    """An operator that says with :attr:`layer` what the unit computes; the rest follows."""

    layer: MacLayer

    def foldings(self) -> Iterable[MacFolding]:
        return mac_foldings(self.layer)

    def foldings_for(self, weigh: Weigh) -> Iterable[MacFolding]:
        """Two products in a multiplier, wherever two output channels share an activation and a pair weighs no more than
        a single one."""
        layer = self.layer
        kinds = (Multiplier(layer.input.type, layer.weight_type, each) for each in (SINGLE, PAIR))
        single, pair = (weigh(kind.hardware(kind.lanes, 1)[0]) for kind in kinds)
        at_once = PAIR if pair <= single else SINGLE
        return [replace(f, products=at_once if f.outputs > 1 else SINGLE) for f in self.foldings()]

    def folding_problems(self, folding: MacFolding) -> list[str]:
        return mac_problems(self.layer, folding)

    def plan(self, folding: MacFolding) -> MacPlan:
        """The layer with its folding."""
        return MacPlan(self.layer, folding)

    def actors(self, folding: MacFolding) -> tuple[Actor, ...]:
        return self.plan(folding).actors()

    def cost(self, folding: MacFolding) -> Cost:
        return self.plan(folding).cost(self)

    def interval(self, folding: MacFolding) -> int:
        return self.plan(folding).interval

    def price(self, folding: MacFolding) -> tuple[tuple[Products, ...], int]:
        return self.plan(folding).price

    def block(self, folding: MacFolding) -> wiring.Component:
        return MacUnit(self.plan(folding))
