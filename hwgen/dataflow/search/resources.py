"""What a design takes, and what there is for it: one number for each resource, which add up."""

import numpy as np

from hwgen.cost.needs import HUGE, ULTRA, Cost
from hwgen.device.mapping import counted, needs
from hwgen.device.needs import Needs
from hwgen.device.targets import DEVICES, Device
from hwgen.graph.errors import InputError

#: The order of resources in vectors: multipliers as budgets count them, then what :class:`Needs` says.
RESOURCES = ("multipliers", "luts", "ram_luts", "ffs", "dsps", "brams", "large")
#: What styles of large RAM are called.
LARGE_NAMES = {HUGE: "SPRAM", ULTRA: "UltraRAM"}
_NAMED = 3  # devices that are named where another has none
#: More than there is of anything.
NO_END = 1 << 50


def vector(taken: Needs, multipliers: int) -> np.ndarray:
    """float64 [resources]."""
    return np.array([multipliers, *(getattr(taken, name) for name in RESOURCES[1:])], float)


def cost_vector(cost: Cost, device: Device) -> np.ndarray:
    """What ``cost`` takes of ``device`` and of a budget."""
    return vector(needs(cost, device), counted(cost.products, device))


def limits(device: Device, budget: float, *, large: bool) -> np.ndarray:
    """What there is: a ``budget`` of multipliers, and of ``device`` all it has; SPRAM, which is for weights alone, only
    where ``large`` says that it may be used."""
    has = (device.luts, device.ram_luts, device.ffs, device.dsps, device.brams)
    return np.array([budget, *has, device.large_rams if large else device.ultra_rams], float)


def has_large_ram(device: Device) -> bool:
    """Whether designs can have weights in RAM of its large kind, which has nothing in it at power-up."""
    return device.large_style is not None


def require_large_ram(device: Device, style: str) -> None:
    """Raise InputError where there is none of this ``style``."""
    if device.large_style != style:
        able = [each.name for each in DEVICES if each.large_style == style]
        more = f" and {len(able) - _NAMED} more" if len(able) > _NAMED else ""
        raise InputError(
            f"device {device.name} has no {LARGE_NAMES[style]} for weights: take a --device that has "
            f"({', '.join(able[:_NAMED])}{more}), or --weights fixed or loadable"
        )
