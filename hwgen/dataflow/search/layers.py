"""All layers of a network with what they offer on devices of a family, and a choice of one unit for each."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from hwgen.blocks.operator import OperatorUnit
from hwgen.cost.needs import Cost
from hwgen.dataflow.plan import Plan, check_hardware
from hwgen.dataflow.ultra import moved, saving
from hwgen.device.mapping import needs
from hwgen.device.needs import Needs
from hwgen.device.targets import Device
from hwgen.graph.network import Network

from .choose import STEPS, Chooser, Join
from .joints import INPUT, Edge, Joints
from .offers import Choice, LayerOffers
from .resources import RESOURCES, vector

#: Usual offers up to which every one is looked at that could do; of more only those with nearly the least multipliers.
EVERY = 2000
#: The same where products may be made of LUTs, and steps of its exhaustive part.
FEW, FEW_STEPS = 400, 400


class NetworkOffers:
    """The offers of a network's layers, looked at once and chosen from any number of times, by number.

    Cycles are exact for each layer on its own. With ``large`` weights may be in large RAM, with ``in_luts`` products
    may be made of LUTs. ``costs`` of units are kept there, for devices of other families. Raises :class:`ModelError`
    where layers have no hardware.
    """

    def __init__(
        self,
        network: Network,
        device: Device,
        large: bool,
        costs: dict[OperatorUnit, Cost] | None = None,
        in_luts: bool = False,
    ):
        check_hardware(network)
        costs = {} if costs is None else costs
        self.network, self.device, self.large = network, device, large
        self.layers = [LayerOffers(layer.name, layer.op, device, large, costs, in_luts) for layer in network.layers]
        self._every, self._steps = (FEW, FEW_STEPS) if in_luts else (EVERY, STEPS)
        self._lut_product = min(layer.lut_product for layer in self.layers)
        self.joints = Joints(network, device)
        firsts = {layer.alike: n for n, layer in reversed(list(enumerate(self.layers)))}
        self._first = [firsts[layer.alike] for layer in self.layers]
        self._known: dict[tuple[int, int, bool], np.ndarray] = {}

    @property
    def targets(self) -> list[int]:
        """Cycles per frame, rising, at which some layer has an offer more."""
        return np.unique(np.concatenate([layer.cycles for layer in self.layers])).tolist()

    @property
    def fronts(self) -> list[int]:
        """Those at which fewer multipliers than before will do."""
        return sorted({cycles for layer in self.layers for cycles in layer.front[0]})

    def multipliers(self, cycles: int) -> float:
        """The multipliers, in LUTs or not, with which no layer takes more than ``cycles``; infinite if one does with
        any."""
        return sum(layer.least(cycles) for layer in self.layers)

    @property
    def least(self) -> int:
        """The multipliers without which it cannot be built."""
        return sum(layer.front[1][-1] for layer in self.layers)

    def settled(self, picks: Sequence[int]) -> list[Choice] | None:
        """The offers picked; None where making their cycles exact has changed any."""
        if max([layer.settle(at) for layer, at in zip(self.layers, picks, strict=True)]):
            return None
        return self.choices(picks)

    def choices(self, picks: Sequence[int]) -> list[Choice]:
        """The offers picked."""
        return [layer.choice(at) for layer, at in zip(self.layers, picks, strict=True)]

    def plan(self, picks: Sequence[int]) -> Plan:
        """The plan with the offers picked and no queues but the layers' own."""
        return Plan.of(self.network, (layer.unit(at) for layer, at in zip(self.layers, picks, strict=True)))

    def cheapest(self, cycles: int, large_rams: int) -> list[int]:
        """Offers with the least multipliers that take at most ``cycles``, weights in large RAM as far as there is."""
        return self.moved([layer.cheapest(cycles) for layer in self.layers], large_rams)

    def moved(self, picks: list[int], large_rams: float) -> list[int]:
        """The same with weights in large RAM: the most bits first, as long as there is some left, and only where that
        saves block RAM."""
        moves = [layer.moved(at) for layer, at in zip(self.layers, picks, strict=True)]
        able = [(n, at) for n, at in enumerate(moves) if at is not None]
        if not able:
            return picks
        picks = list(picks)
        left = large_rams - sum(self._needs(n, at).large for n, at in enumerate(picks))
        for n, at in sorted(able, key=lambda move: -self._large_bits(*move)):
            before, after = self._needs(n, picks[n]), self._needs(n, at)
            if after.brams < before.brams and after.large <= left:
                picks[n], left = at, left - after.large
        return picks

    def _needs(self, n: int, at: int) -> Needs:
        return needs(self.layers[n].cost(at), self.device)

    def _large_bits(self, n: int, at: int) -> int:
        return sum(memory.bits for memory in self.layers[n].cost(at).memories if memory.style == "huge")

    def taken(self, picks: Sequence[int]) -> np.ndarray:
        """What the offers picked and what joins them take, float64 [resources], before there are queues."""
        able = [np.array([at]) for at in picks]
        return self._chooser(able, np.zeros(len(RESOURCES))).total([0] * len(picks))

    def within(self, cycles: int, limits: np.ndarray) -> list[int] | None:
        """Offers that take at most ``cycles`` and ``limits`` [resources] in sum; None where none are found."""
        spare = limits[0] + limits[1] // self._lut_product - self.multipliers(cycles)
        if spare < 0 or (limits < 0).any():
            return None
        able = [layer.within(cycles, spare + layer.least(cycles)) for layer in self.layers]
        if sum({layer.alike: len(some) for layer, some in zip(self.layers, able, strict=True)}.values()) > self._every:
            able = [np.intersect1d(x.near(cycles), some) for x, some in zip(self.layers, able, strict=True)]
        able = [layer.everywhere(some) for layer, some in zip(self.layers, able, strict=True)]
        rows = self._chooser(able, limits).chosen()
        return rows and _picked(able, rows)

    def nearest(self, able: Sequence[np.ndarray], limits: np.ndarray) -> list[int]:
        """Of the offers ``able`` of each layer some that keep within ``limits``, or lack little of that."""
        return _picked(able, self._chooser(able, limits).nearest())

    def _chooser(self, able: Sequence[np.ndarray], limits: np.ndarray) -> Chooser:
        """With a row for each offer; and where there is UltraRAM, a second time with RAMs in it, behind all others."""
        ways = (False, True) if self.device.ultra_rams else (False,)
        rows = [
            np.stack([self._vector(n, at, ultra) for ultra in ways for at in some.tolist()])
            for n, some in enumerate(able)
        ]
        able = [np.tile(some, len(ways)) for some in able]
        return Chooser(rows, [self._join(edge, able) for edge in self.joints.edges], limits, self._steps)

    def _join(self, edge: Edge, able: Sequence[np.ndarray]) -> Join:
        before, behind = self.layers[edge.before], self.layers[edge.behind]
        gives = before.lanes(able[edge.before])[0 if edge.shared else 1]
        takes = behind.lanes(able[edge.behind])[0]
        return Join(edge.before, edge.behind, gives, takes, partial(self.joints.converter, edge.map))

    def _vector(self, n: int, at: int, ultra: bool = False) -> np.ndarray:
        """What an offer and a fork behind it take, with all RAMs in UltraRAM that can be where ``ultra`` says so.
        Layers that offer the same are taken to be alike; plans are counted exactly."""
        key = self._first[n], at, ultra
        if key not in self._known:
            layer = self.layers[key[0]]
            cost = layer.cost(at)
            cost = moved(cost, saving(cost, self.device)) if ultra else cost
            self._known[key] = vector(needs(cost, self.device), layer.multipliers[at])
        taken, layer = self._known[key], self.layers[n]
        if self.joints.forks(n):
            taken = taken + self.joints.fork(n, layer.op.output, layer.unit(at).lanes_out)
        if n == self.joints.first and self.joints.forks(INPUT):
            taken = taken + self.joints.fork(INPUT, self.network.input.map, layer.unit(at).lanes_in)
        return taken


def _picked(able: Sequence[np.ndarray], rows: Sequence[int]) -> list[int]:
    """The offers that rows of a chooser stand for."""
    return [int(some[at % len(some)]) for some, at in zip(able, rows, strict=True)]
