"""How a network is to be laid out: the plan in a file, or the one found within what is asked for."""

from pathlib import Path
from typing import TypedDict

from hwgen.dataflow.fit import check_dram
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.plan_file import plan_file, read_document
from hwgen.dataflow.plan_reader import parse_plan
from hwgen.dataflow.search.resources import LARGE_NAMES, require_large_ram
from hwgen.dataflow.search.search import Search
from hwgen.device.clocks import Clock
from hwgen.device.targets import Device
from hwgen.graph.errors import FitError, InputError
from hwgen.graph.network import Network
from hwgen.top.loading import AUTO, FIXED, LOADABLE, OWN, ULTRA_RAM, WEIGHTS

LATENCY_OR_RATE = "--latency looks for the shortest way of one frame, --fps for a rate; leave out one of them"


def check_given(
    device: Device, clock: Clock | None, fps: float | None, latency: bool, weights: str, plan: str | Path | None
) -> None:
    """Raise InputError for what need not wait until the model is quantised."""
    if plan is not None:
        read_document(plan_file(plan), str(plan))
    if latency and fps is not None:
        raise InputError(LATENCY_OR_RATE)
    clock = device.clock(clock)
    if fps is not None and clock.hz < fps:
        raise InputError(f"{fps:g} frames per second at {clock} leave no cycle for a frame")
    if weights not in WEIGHTS:
        raise InputError(f"weights {weights!r} are unknown; choose one of {', '.join(WEIGHTS)}")
    if weights in OWN:
        require_large_ram(device, OWN[weights])


def choose_plan(
    network: Network,
    device: Device,
    *,
    multipliers: int | None = None,
    fps: float | None = None,
    clock: Clock | None = None,
    plan: str | Path | None = None,
    latency: bool = False,
    bound: bool = True,
    lenient: bool = False,
    weights: str = AUTO,
) -> Plan:
    """The plan in the file ``plan``, or the one found by the search within what is asked for.

    With ``bound`` it is one that fits ``device``; where there is none that is a FitError, unless ``lenient``. With
    ``latency`` one frame takes the least time from end to end, otherwise frames follow each other at the highest rate.
    ``weights``: where these may be, one of :data:`hwgen.top.loading.WEIGHTS`.
    """
    clock = device.clock(clock)
    if plan is not None:
        given = _checked_plan(read_plan(network, plan), device, weights)
        if bound:
            check_dram(given, device)
        return given

    search = Search(network, device, multipliers, bound, lenient, **large_ram(weights))
    if fps is None:
        return search.least_latency() if latency else search.fastest()
    found = search.for_rate(int(clock.rate(fps)))
    needed = search.spent(found)
    if multipliers is not None and needed > multipliers:
        raise FitError(
            f"{fps:g} frames per second at {clock} take {needed} multipliers "
            f"(limit {multipliers}); raise --multipliers or --clock, or lower --fps"
        )
    return found


def binds(device: str | Device | None, multipliers: int | None, fps: float | None) -> bool:
    """Whether a design must fit the device: one that was named, or where nothing else limits it."""
    return device is not None or (multipliers is None and fps is None)


class LargeRam(TypedDict):
    """Those fields of a :class:`Search`."""

    large: bool
    last_resort: bool


def large_ram(weights: str) -> LargeRam:
    """What a :class:`Search` is told of large RAM. UltraRAM that is not asked for is the last resort: weights in block
    RAM are there at power-up."""
    return {"large": weights not in (AUTO, FIXED), "last_resort": weights in (AUTO, LOADABLE)}


def _checked_plan(plan: Plan, device: Device, weights: str) -> Plan:
    """``plan``, unless it has weights in large RAM that nobody has asked for, or that the device does not have, or
    cascades of blocks or UltraRAM that this does not have."""
    for layer in plan.layers:
        if layer.unit.slices not in (None, *device.family.slices):
            raise InputError(
                f"layer {layer.name!r} of the plan has array {layer.unit.slices!r}, cascades of DSP blocks that "
                f"{device.name} does not have; make it 'tree', or give the --device that the plan is for"
            )
    if plan.ultra and not device.ultra_rams:
        raise InputError(
            f"the plan has RAMs in UltraRAM, of which device {device.name} has none: take the fields 'ultra' out of "
            "its layers, or take another --device"
        )
    if plan.large:
        require_large_ram(device, plan.large)
        own = next(name for name, style in OWN.items() if style == plan.large)
        if weights not in (own, LOADABLE, *([AUTO] if own == ULTRA_RAM else [])):
            raise InputError(
                f"the plan has weights in {LARGE_NAMES[plan.large]}, which are loaded: give --weights {own}"
            )
    return plan


def read_plan(network: Network, path: str | Path) -> Plan:
    """An edited ``plan.json``; InputError where it cannot be read or does not fit the network."""
    return parse_plan(network, plan_file(path), str(path))
