"""Shortcuts without a queue of rows: a convolution hands on what it has read to whoever adds it later.

In a residual block the sum at the end wants a row of the block's input when the last convolution gives that row.
The first convolution has just done with it then. So the input is not copied into a queue of some rows: it stays in the
first convolution's window buffer, and leaves from there (:mod:`hwgen.blocks.mac.tapped`). What is left of the queue
holds the pixels that come while the second convolution works.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from hwgen.blocks.array.multiplier import SINGLE
from hwgen.blocks.joints.rows import SHORT_QUEUE
from hwgen.blocks.mac.conv import Conv
from hwgen.blocks.mac.mac import MacUnit
from hwgen.blocks.mac.tapped import TappedConv, least_depth
from hwgen.blocks.operator import OperatorUnit
from hwgen.device.mapping import counted
from hwgen.device.targets import Device

from .plan import Plan
from .schedule import interval_of
from .shortcuts import Shortcut, shortcuts
from .stages import INPUT, LEAST_FORK, Source

#: Pixels that the queue behind a tap may hold, in halves: the first number with which the pipeline keeps its rate.
_HALF_PIXELS = (4, 5, 6, 7, 8, 12, 16)


@dataclass(frozen=True)
class Waiting:
    """An operand of ``layer``, input ``place``, that is there long before the other.

    ``two_rows`` of it, in bytes, is what a queue takes past two convolutions with three rows of weights; ``bytes`` is
    what the queues take in which it waits. ``handed_by``: the convolution that hands it on, if one does.
    """

    layer: str
    place: int
    two_rows: int
    bytes: int
    handed_by: str | None


def waiting(plan: Plan) -> list[Waiting]:
    """The shortcuts of a plan: operands that come from a fork, or from a convolution that hands them on, by way of
    layers that take a pixel at a time."""
    found = []
    for layer in plan.layers:
        for place in range(len(layer.op.inputs) if len(layer.op.inputs) > 1 else 0):
            held = _held(plan, plan.entries[layer.name, place])
            if held:
                map_ = layer.op.inputs[place]
                rows = 2 * map_.width * map_.channels * map_.type.width
                found.append(Waiting(layer.name, place, _bytes(rows), _bytes(held[0]), held[1]))
    return found


def _bytes(bits: int) -> int:
    return -(-bits // 8)


def _held(plan: Plan, source: Source) -> tuple[int, str | None] | None:
    """Bits of the queues from a fork up to ``source``, and who hands the map on; None where it is no shortcut."""
    bits = 0
    while source != INPUT:
        stage = plan.stages[source.stage]
        unit = stage.unit
        if not unit.by_pixel:
            if stage.is_layer:
                return None
            tapped = cast(TappedConv, plan.named[stage.layer].unit)  # nobody else has stages that hold pixels up
            return bits + tapped.held, stage.layer
        bits += unit.holds[source.port] * unit.inputs[0].width
        if len(unit.outputs) > 1:
            return bits, None
        (source,) = stage.sources
    return None


def hand_on(plan: Plan, units: Mapping[str, OperatorUnit]) -> Plan:
    """``plan`` with ``units`` for these layers: whoever else reads the input of one has it from that one's second
    output."""
    handed = {
        reader: (name, 1) for name in units for reader in plan.readers[plan.named[name].inputs[0]] if reader[0] != name
    }
    layers = (
        replace(
            layer,
            unit=units.get(layer.name, layer.unit),
            inputs=tuple(handed.get((layer.name, n), edge) for n, edge in enumerate(layer.inputs)),
        )
        for layer in plan.layers
    )
    return replace(plan, layers=tuple(layers))


def tap_shortcuts(plan: Plan, target: int, spare: int, device: Device) -> Plan:
    """``plan`` with the shortcuts that wait for a row or longer handed on by convolutions, where it takes at most
    ``spare`` multipliers more, as budgets count those of ``device``, and at most ``target`` cycles per frame all the
    same; else as it is."""
    tapped: dict[str, TappedConv] = {}
    found = []
    for shortcut in shortcuts(plan.network):
        layer, other = plan.named[shortcut.layer], plan.named[shortcut.other]
        lanes = max(other.unit.lanes_in, _lanes_before(plan, shortcut))
        if other.queues[shortcut.place] * lanes < shortcut.map.width * shortcut.map.channels:
            continue  # less than a row
        now = cast(MacUnit, layer.unit)  # shortcuts begin at convolutions
        unit = _tapped(now, target, spare, device)
        if unit:
            spare -= _multipliers(unit, device) - _multipliers(now, device)
            tapped[layer.name] = unit
            found.append(shortcut)
    if not found:
        return plan
    handing = hand_on(plan, tapped).with_queues({(name, 0): 0 for name in tapped})
    for halves in _HALF_PIXELS:
        tried = handing.with_queues({(each.other, each.place): _depth(handing, each, halves) for each in found})
        if interval_of(tried) <= target:
            return tried
    return plan


def _lanes_before(plan: Plan, shortcut: Shortcut) -> int:
    """Lanes of whatever makes the map; 1 for the network's input."""
    name, _ = plan.named[shortcut.other].inputs[shortcut.place]
    return plan.named[name].unit.lanes_out if name else 1


def _depth(plan: Plan, shortcut: Shortcut, halves: int) -> int:
    """Places for so many half pixels in front of the layer further on."""
    lanes = max(plan.named[name].unit.lanes_in for name in (shortcut.layer, shortcut.other))
    return max(-(-halves * shortcut.map.channels // (2 * lanes)) - LEAST_FORK, 0)


def _multipliers(unit: MacUnit, device: Device) -> int:
    return counted(unit.cost.products, device)


def _tapped(now: MacUnit, target: int, spare: int, device: Device) -> TappedConv | None:
    """The cheapest unit in columns that is as fast as asked for and takes at most ``spare`` multipliers more than the
    one that there is ``now``."""
    most, conv = _multipliers(now, device) + spare, cast(Conv, now.op)
    fitting: list[tuple[int, int, int, TappedConv]] = []
    for each in [now] if now.folding.window == "columns" else conv.units():
        if each.folding.window == "columns" and each.interval <= target:
            products = now.folding.products if each.folding.outputs > 1 else SINGLE
            alike = replace(each, folding=replace(each.folding, products=products, array=now.folding.array))
            moved = replace(alike, folding=replace(alike.folding, weights=now.folding.weights))
            alike = alike if moved.array.problems else moved
            depth = max(2 * least_depth(alike), SHORT_QUEUE)  # so that no pass waits for the one before
            unit = TappedConv(conv, alike.folding, depth)
            count = _multipliers(unit, device)
            if count <= most:
                fitting.append((count, unit.cost.area, len(fitting), unit))
    return min(fitting)[-1] if fitting else None
