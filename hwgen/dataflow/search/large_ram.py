"""Which weights go into a device's large RAM: SPRAM, which has one port, and nothing in it until weights are loaded."""

from dataclasses import replace

from hwgen.blocks.mac_operator import MacOperator
from hwgen.dataflow.plan import Plan, PlannedLayer
from hwgen.device.mapping import needs
from hwgen.device.targets import DEVICES, Device
from hwgen.graph.errors import InputError
from hwgen.memory.rom import LOGIC_DEPTH
from hwgen.memory.weights import LARGE


def has_large_ram(device: Device) -> bool:
    """Whether designs can have weights there."""
    return device.family.large is not None and device.large_rams > 0


def require_large_ram(device: Device) -> None:
    """Raise InputError where there is none."""
    if not has_large_ram(device):
        able = ", ".join(each.name for each in DEVICES if has_large_ram(each))
        raise InputError(
            f"device {device.name} has no SPRAM for weights: take a --device that has ({able}), or --weights fixed or "
            "loadable"
        )


def placed(plan: Plan, device: Device) -> Plan:
    """``plan`` with weights in the large RAM of ``device``: the largest first, as long as there is some left, and only
    where that saves block RAM."""
    layers = {layer.name: layer for layer in plan.layers}
    left = device.large_rams - sum(needs(layer.cost, device).large for layer in plan.layers)
    for layer in sorted(filter(_able, plan.layers), key=_weight_bits, reverse=True):
        moved = layer.folded(replace(layer.folding, weights=LARGE))
        before, after = (needs(each.cost, device) for each in (layer, moved))
        if after.brams < before.brams and after.large <= left:
            layers[layer.name], left = moved, left - after.large
    return Plan(plan.network, tuple(layers.values()))


def _able(layer: PlannedLayer) -> bool:
    if not isinstance(layer.op, MacOperator) or layer.folding.weights == LARGE:
        return False
    return layer.unit.plan.weights.depth > LOGIC_DEPTH


def _weight_bits(layer: PlannedLayer) -> int:
    weights = layer.unit.plan.weights
    return weights.width * weights.depth
