"""What a plan reads from DRAM, and whether it waits for that, as plain values and in lines."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

from hwgen.dataflow.plan import Plan
from hwgen.dataflow.planned import PlannedLayer
from hwgen.dataflow.schedule import schedule
from hwgen.device.clocks import Clock
from hwgen.memory.dram.contract import Contract


def dram_data(plan: Plan, clock: Clock) -> dict[str, Any]:
    """``{"dram": ...}`` of a plan that reads from DRAM; nothing of others.

    ``gbps_needed`` are 10^9 bytes a second at the rate that a memory which is never late allows,
    ``cycles_never_late`` the cycles per frame then. ``busy`` is the share of a loop's products that count.
    """
    if not plan.memories:
        return {}
    interval, soonest = schedule(plan).interval, schedule(_never_late(plan)).interval
    loops = [_loop(layer, interval) for layer in plan.layers if layer.unit.several]
    read = sum(memory.read.region.size for memory in plan.memories.values())
    data = {
        "bytes_per_frame": read,
        "weight_bytes": sum(loop["weight_bytes"] for loop in loops),
        "spill_bytes": 0,
        "buffer_bytes": sum(loop["buffer_bytes"] for loop in loops),
        "gbps_needed": read * clock.rate(soonest) / 1e9,
        "cycles_per_frame": interval,
        "cycles_never_late": soonest,
        "loops": loops,
    }
    return {"dram": data}


def _loop(layer: PlannedLayer, interval: int) -> dict[str, Any]:
    unit: Any = layer.unit  # of several layers, which are in a frame buffer
    made, folding = unit.programme, unit.folding
    return {
        "layer": layer.name,
        "covers": [each.name for each in layer.covers],
        "bytes_per_frame": unit.memory.region.size,
        "weight_bytes": sum(each.weights.size for each in unit.op.layers if each.macs) * unit.op.weight.width // 8,
        "buffer_bytes": -(-made.depth * folding.portion * unit.op.bits // 8),
        "busy": unit.op.macs / (folding.portion * folding.outputs * interval),
    }


def _never_late(plan: Plan) -> Plan:
    """``plan`` with memories that bring whatever there is room for, at once, and room for it."""
    return replace(plan, layers=tuple(_soon(layer) if layer.unit.several else layer for layer in plan.layers))


def _soon(layer: PlannedLayer) -> PlannedLayer:
    read, unit = layer.unit.memory, layer.unit
    assert read
    soon = Contract(1, Fraction(read.region.bus))
    places = max(read.places, 2 * read.region.burst)
    folding = replace(unit.folding, latency=soon.latency, rate=str(soon.rate), places=places)
    return replace(layer, unit=replace(unit, folding=folding))


def dram_lines(data: dict[str, Any]) -> list[str]:
    """What is read for each frame, by which loops, and what a slow memory costs."""
    dram = data.get("dram")
    if dram is None:
        return []
    loops = [
        f"Loop         {loop['layer']}: {', '.join(loop['covers'])} one after the other; {loop['busy']:.1%} of its "
        f"products are useful, {loop['buffer_bytes']:,} bytes of maps on chip"
        for loop in dram["loops"]
    ]
    return [
        f"DRAM         {dram['bytes_per_frame']:,} bytes per frame for {dram['weight_bytes']:,} bytes of weights: "
        f"{dram['gbps_needed']:.3g} GB/s",
        *loops,
        f"Weights      {_waits(dram)}",
    ]


def _waits(dram: dict[str, Any]) -> str:
    slow, soon = dram["cycles_per_frame"], dram["cycles_never_late"]
    if slow == soon:
        return "are there in time, even from the slowest memory that keeps its contract"
    return f"are waited for: {slow:,} cycles per frame from the slowest memory, {soon:,} from one that is never late"
