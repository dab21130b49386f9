"""The smallest known device that takes a network, without a search for the fastest design on it.

Each device is asked for the units that take least of what it has, with all the time of the world for a frame. What
these are made of is looked at once for all devices, and taken together once for each family.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hwgen.blocks.operator import Operator, OperatorUnit
from hwgen.cost.needs import Cost
from hwgen.dataflow.fit import FitRow, FitTable, fit_table
from hwgen.device.targets import DEVICES, Device
from hwgen.graph.network import Network
from hwgen.graph.types import IntType

from .search import Search

#: Seconds of processor time after which no further device is tried.
SECONDS = 10.0


@dataclass(frozen=True)
class Verdict:
    """``device`` takes the network; None where none is known that does, or where that took too long (``late``).

    ``table`` is what the network takes of the device, or of the last one that was tried. ``queues``: those between
    layers are counted in.
    """

    device: Device | None
    table: FitTable
    late: bool = False
    queues: bool = True

    def line(self) -> str:
        """The same in one line."""
        if self.device is not None:
            board = f" (as on {self.device.board})" if self.device.board else ""
            but = "" if self.queues else ", before the queues between layers"
            return f"The smallest known device that takes it is {self.device.name}{board}{but}."
        if self.late:
            return f"It does not fit {self.table.device.name}, for it takes {self.lack}; larger ones were not tried."
        return f"No known device takes it; the nearest is {self.table.device.name}, of which it takes {self.lack}."

    @property
    def lack(self) -> str:
        """What is lacking most, by share of what the device has."""
        row = max(self.table.rows, key=_share)
        return f"{row.used:,} {row.resource} (it has {row.available:,})"

    @property
    def most_lacking(self) -> float:
        """That share."""
        return max(map(_share, self.table.rows))


def by_size(devices: Sequence[Device] = DEVICES) -> list[Device]:
    """The smallest first: by LUTs, which most designs run out of, then by block RAM and multipliers."""
    return sorted(devices, key=lambda device: (device.luts, device.brams, device.dsps))


def smallest(network: Network, devices: Sequence[Device] = DEVICES, seconds: float = SECONDS, **large: bool) -> Verdict:
    """The smallest of ``devices`` that takes ``network``; ``large``: where weights may be, as a :class:`Search` is
    told."""
    end = time.process_time() + seconds
    searches = shared(network, **large)
    best = None
    weights = weight_bits(network)
    able = [device for device in by_size(devices) if memory_bits(device) >= weights]
    for device in able or by_size(devices)[-1:]:
        verdict = takes(searches(device))
        if verdict.device is not None:
            return verdict
        best = verdict if best is None or verdict.most_lacking <= best.most_lacking else best
        if time.process_time() > end:
            return Verdict(None, verdict.table, late=True)
    if best is None:
        raise ValueError("there are no devices to choose from")
    return best


def shared(network: Network, **large: bool) -> Callable[[Device], Search]:
    """Searches on any device, which share what they have found of the layers."""
    costs: dict[OperatorUnit, Cost] = {}
    families: dict[str, Search] = {}

    def search(device: Device) -> Search:
        first = families.get(device.family.name)
        made = first.on(device) if first else Search(network, device, costs=costs, **large)
        return families.setdefault(device.family.name, made) if first is None else made

    return search


def memory_bits(device: Device) -> int:
    """What all memories of a device and tables in all of its LUTs hold."""
    width, depth = device.family.brams[0].shapes[-1]
    blocks = device.brams * width * depth // device.family.brams[0].units
    return blocks + device.large_rams * device.large_kbit * 1024 + device.luts * (1 << device.family.lut_inputs)


def weight_bits(network: Network) -> int:
    """What the weights of all layers take, each layer's as narrow as they allow."""
    return sum(_weight_bits(layer.op) for layer in network.layers)


def _weight_bits(op: Operator) -> int:
    weights = getattr(op, "weights", None)
    return 0 if weights is None else weights.size * IntType.holding(int(weights.min()), int(weights.max())).width


def takes(search: Search) -> Verdict:
    """Whether the device takes the network at any speed."""
    plan, queues = search.slowest()
    table = fit_table(plan, search.device)
    return Verdict(search.device if table.fits else None, table, queues=queues)


def _share(row: FitRow) -> float:
    return row.used / max(row.available, 0.5)
