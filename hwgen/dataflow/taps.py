"""Shortcuts without a queue of rows: a convolution hands on what it has read to whoever adds it later.

In a residual block the sum at the end wants a row of the block's input when the last convolution gives that row.
The first convolution has just done with it then. So the input is not copied into a queue of some rows: it stays in the
first convolution's window buffer, and leaves from there (:mod:`hwgen.blocks.tapped`). What is left of the queue holds
the pixels that come while the second convolution works.
"""

from dataclasses import dataclass, replace

from hwgen.blocks import Conv
from hwgen.blocks.convert import WidthConverter
from hwgen.blocks.fork import Fork
from hwgen.blocks.mac_folding import MacFolding
from hwgen.blocks.multiplier import SINGLE
from hwgen.blocks.operator import SeveralInputs
from hwgen.blocks.queue import StreamQueue
from hwgen.blocks.rows import SHORT_QUEUE, RowFork
from hwgen.blocks.tapped import RowConv, least_depth
from hwgen.cost.timing import Deadlock
from hwgen.device.mapping import counted
from hwgen.device.targets import Device

from .plan import Plan, PlannedLayer
from .queues import by_pixel
from .schedule import schedule
from .shortcuts import Shortcut, shortcuts
from .stages import INPUT, LEAST_FORK, Source, Stage

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
        for place in range(len(layer.op.inputs) if isinstance(layer.op, SeveralInputs) else 0):
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
        unit, width = stage.unit, stage.unit.inputs[0].width
        if isinstance(unit, Fork):
            return bits + unit.depths[source.port] * width, None
        if isinstance(unit, StreamQueue):
            bits += unit.depth * width
        elif not isinstance(unit, WidthConverter) and not (stage.is_layer and by_pixel(unit.op)):
            made = plan.stages[stage.sources[0].stage] if stage.sources[0] != INPUT else stage
            handed = isinstance(made.unit, RowConv) and not stage.is_layer
            return (bits + _handed_bits(plan, stage, made), made.layer) if handed else None
        (source,) = stage.sources
    return None


def _handed_bits(plan: Plan, joint: Stage, made: Stage) -> int:
    """Bits of what stands between a tapped convolution and whoever gets its map, and what its rows take beyond rows."""
    whole = made.unit.rows.source
    row = whole.beats // whole.map.height
    beats = joint.unit.queue + made.unit.depth
    for stage in plan.stages:
        if isinstance(stage.unit, RowFork) and stage.layer == made.layer:
            beats += stage.unit.depths[1] % row
    return beats * whole.width


def tap_shortcuts(plan: Plan, target: int, spare: int, device: Device) -> Plan:
    """``plan`` with the shortcuts that wait for a row or longer handed on by convolutions, where it takes at most
    ``spare`` multipliers more, as budgets count those of ``device``, and at most ``target`` cycles per frame all the
    same; else as it is."""
    layers = {layer.name: layer for layer in plan.layers}
    tapped: dict[str, PlannedLayer] = {}
    found = []
    for shortcut in shortcuts(plan.network):
        layer, other = layers[shortcut.layer], layers[shortcut.other]
        lanes = max(other.unit.lanes_in, _lanes_before(plan, shortcut))
        if other.queues[shortcut.place] * lanes < shortcut.map.width * shortcut.map.channels:
            continue  # less than a row
        folding = _folding(layer.op, layer.folding, target, spare, device)
        if folding:
            spare -= _multipliers(layer.op, folding, device) - _multipliers(layer.op, layer.folding, device)
            tapped[layer.name] = replace(layer.folded(folding), queues=(0,))
            found.append(shortcut)
    if not found:
        return plan
    handing = Plan(plan.network, tuple(tapped.get(layer.name, layer) for layer in plan.layers))
    for halves in _HALF_PIXELS:
        tried = handing.with_queues({(each.other, each.place): _depth(handing, each, halves) for each in found})
        if _interval(tried) <= target:
            return tried
    return plan


def _lanes_before(plan: Plan, shortcut: Shortcut) -> int:
    """Lanes of whatever makes the map; 1 for the network's input."""
    network = plan.network
    tensor = next(placed for placed in network.layers if placed.name == shortcut.other).inputs[shortcut.place]
    makers = zip(network.layers, plan.layers, strict=True)
    return next((layer.unit.lanes_out for placed, layer in makers if placed.output == tensor), 1)


def _depth(plan: Plan, shortcut: Shortcut, halves: int) -> int:
    """Places for so many half pixels in front of the layer further on."""
    layers = {layer.name: layer.unit.lanes_in for layer in plan.layers}
    lanes = max(layers[shortcut.layer], layers[shortcut.other])
    return max(-(-halves * shortcut.map.channels // (2 * lanes)) - LEAST_FORK, 0)


def _multipliers(conv: Conv, folding: MacFolding, device: Device) -> int:
    return counted(conv.unit(folding).products, device)


def _folding(conv: Conv, folding: MacFolding, target: int, spare: int, device: Device) -> MacFolding | None:
    """The cheapest folding in columns that is as fast as asked for and takes at most ``spare`` multipliers more than
    ``folding``."""
    most, fitting = _multipliers(conv, folding, device) + spare, []
    for each in [folding] if folding.window == "columns" else conv.foldings():
        if each.window == "columns" and conv.unit(each).interval <= target:
            alike = replace(each, products=folding.products if each.outputs > 1 else SINGLE)
            moved = replace(alike, weights=folding.weights)
            alike = alike if conv.unit(moved).weights.problems else moved
            depth = max(2 * least_depth(conv, alike), SHORT_QUEUE)  # so that no pass waits for the one before
            count = _multipliers(conv, alike, device)
            if count <= most:
                fitting.append((count, conv.unit(alike).cost.area, len(fitting), replace(alike, tap=depth)))
    return min(fitting)[-1] if fitting else None


def _interval(plan: Plan) -> float:
    try:
        return schedule(plan).interval
    except Deadlock:
        return float("inf")
