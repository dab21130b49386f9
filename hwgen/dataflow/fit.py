"""Whether a design fits a device: used, available and free of every resource."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hwgen.cost.needs import Cost
from hwgen.device.mapping import needs
from hwgen.device.needs import Needs
from hwgen.device.targets import DEVICES, Device
from hwgen.graph.errors import FitError
from hwgen.memory.dram.contract import PAGE

from .ultra import chosen, moved, unmoved

if TYPE_CHECKING:
    from hwgen.dataflow.plan import Plan


@dataclass(frozen=True)
class FitRow:
    """One resource; ``free`` is negative where it does not suffice."""

    resource: str
    used: int
    available: int

    @property
    def free(self) -> int:
        """What is left; negative where it is too much."""
        return self.available - self.used


@dataclass(frozen=True)
class FitTable:
    """What is needed of ``device``: in all, and by stage; ``costs`` of the stages where these are known."""

    device: Device
    total: Needs
    stages: Mapping[str, Needs]
    costs: tuple[Cost, ...] = ()

    @cached_property
    def rows(self) -> tuple[FitRow, ...]:
        """A row for each resource that the device has."""
        return _rows(self.total, self.device)

    @property
    def lacking(self) -> list[FitRow]:
        """The resources of which there are too few."""
        return [row for row in self.rows if row.free < 0]

    @property
    def fits(self) -> bool:
        """Whether nothing takes more than there is."""
        return not self.lacking

    @cached_property
    def problems(self) -> list[str]:
        """One line for every resource that does not suffice, with what can be done."""
        return [
            f"{self.device.name} has {row.available:,} {row.resource} and the design needs {row.used:,}, "
            f"{-row.free:,} more: {self._remedy()}"
            for row in self.lacking
        ]

    def _remedy(self) -> str:
        smaller = "use fewer multipliers or fewer frames per second"
        return f"{smaller}, or a larger device ({self.larger})" if self.larger else smaller

    @property
    def larger(self) -> str | None:
        """The smallest device of the family on which it fits, else of any other; None if there is none."""
        alike = (device for device in DEVICES if device.family is self.device.family and self._fits_on(device))
        others = (device for device in sorted(DEVICES, key=lambda device: device.luts) if self._fits_on(device))
        found = next(alike, None) or next(others, None)
        return found.name if found else None

    def _fits_on(self, device: Device) -> bool:
        """Whether it fits another device; one of another family, or with another count of UltraRAM, needs other things,
        which only costs tell."""
        if device.family is self.device.family and device.ultra_rams == self.device.ultra_rams:
            return FitTable(device, self.total, {}).fits
        return bool(self.costs) and FitTable(device, _sum(needs(cost, device) for cost in self._on(device)), {}).fits

    def _on(self, device: Device) -> Iterable[Cost]:
        """The costs with RAMs in UltraRAM as far as ``device`` has any."""
        costs = {str(n): unmoved(cost) for n, cost in enumerate(self.costs)}
        ultra = chosen(costs, device)
        return [moved(cost, ultra.get(n, frozenset())) for n, cost in costs.items()]

    @property
    def data(self) -> dict[str, Any]:
        """Plain values for a report."""
        rows = [asdict(row) | {"free": row.free} for row in self.rows]
        return {"name": self.device.name, "fits": self.fits, "resources": rows, "problems": self.problems}


def fit_table(plan: "Plan", device: Device) -> FitTable:
    """What the stages of ``plan`` need of ``device``, by estimate; the AXI ports, under 100 LUTs, are left out."""
    return fit_costs({stage.name: stage.cost for stage in plan.stages}, device)


def check_dram(plan: "Plan", device: Device) -> None:
    """FitError where what ``plan`` reads from DRAM has no room in that of ``device``."""
    needed = (1 + sum(unit.read.pages for unit in plan.memories.values())) * PAGE
    if not plan.memories or (device.dram_mb or 0) << 20 >= needed:
        return
    able = [known.name for known in DEVICES if (known.dram_mb or 0) << 20 >= needed]
    there = f"holds {device.dram_mb << 20:,}" if device.dram_mb else "is not known to be there"
    raise FitError(
        f"the design has {needed:,} bytes of weights in DRAM, and that of {device.name} {there}; take a --device with "
        f"more ({', '.join(able[-3:]) or 'none is known'})"
    )


def fit_costs(costs: Mapping[str, Cost], device: Device) -> FitTable:
    """What stages with ``costs`` need of ``device``."""
    stages = {name: needs(cost, device) for name, cost in costs.items()}
    return FitTable(device, _sum(stages.values()), stages, tuple(costs.values()))


def by_layer(plan: "Plan", stages: Mapping[str, Needs]) -> dict[str, Needs]:
    """What each layer takes, with the stages before and behind it, of what ``stages`` take by name."""
    layers: dict[str, Needs] = {}
    for stage in plan.stages:
        layers[stage.layer] = layers.get(stage.layer, Needs()) + stages[stage.name]
    return layers


def fit_needs(total: Needs, device: Device) -> FitTable:
    """The same table for what synthesis has counted."""
    return FitTable(device, total, {})


def _sum(parts: Iterable[Needs]) -> Needs:
    return sum(parts, Needs())


def _rows(total: Needs, device: Device) -> tuple[FitRow, ...]:
    family = device.family
    rows = [
        FitRow(family.lut_name, total.luts, device.luts),
        FitRow("flip-flops", total.ffs, device.ffs),
        FitRow(family.dsp_name, total.dsps, device.dsps),
        FitRow(family.bram_name, total.brams, device.brams),
    ]
    if family.large and (device.large_rams or total.large):
        rows.append(FitRow(family.large_name, total.large, device.large_rams))
    if family.lutram:
        rows.insert(1, FitRow(f"{family.lut_name} as RAM", total.ram_luts, device.ram_luts))
    return tuple(rows)
