"""Which RAMs are in UltraRAM: on devices that have it, those that so save most block RAM, as many as there is room for.

UltraRAM has no contents at power-up and needs none for what hardware writes before it reads: rings of windows, line
memories, queues. Of a stage, RAMs of the same width and depth go to the same place.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from hwgen.cost.needs import Cost, MemoryNeed
from hwgen.device.mapping import brams, large_rams
from hwgen.device.targets import Device
from hwgen.memory.ram import Shape


@dataclass(frozen=True)
class Move:
    """The RAMs of one ``shape`` of a stage in UltraRAM: how many ``ultra`` RAMs they take, and block RAMs they save."""

    stage: str
    shape: Shape
    ultra: int
    saved: int


def movable(cost: Cost) -> dict[Shape, int]:
    """The shapes of RAMs that can be in UltraRAM instead of block RAM, and how many there are of each."""
    return Counter((each.width, each.depth) for each in cost.memories if _able(each))


def moved(cost: Cost, shapes: frozenset[Shape]) -> Cost:
    """``cost`` with RAMs of ``shapes`` in UltraRAM."""
    if not shapes:
        return cost
    memories = (_moved(each) if (each.width, each.depth) in shapes else each for each in cost.memories)
    return replace(cost, memories=tuple(memories), timed=lambda: (cost.cycles, cost.latency))


def chosen(costs: Mapping[str, Cost], device: Device) -> dict[str, frozenset[Shape]]:
    """By stage the shapes that go to UltraRAM: those first that save most block RAM for an UltraRAM, as long as there
    is some left, and only where that saves block RAM. ``costs`` are those with all of them in block RAM."""
    left = device.ultra_rams - sum(large_rams(x, device) for cost in costs.values() for x in cost.memories)
    found: dict[str, frozenset[Shape]] = {}
    moves = [move for stage, cost in costs.items() for move in _moves(stage, cost, device)] if left > 0 else []
    for move in sorted(moves, key=lambda move: -move.saved / move.ultra):
        if move.ultra <= left:
            found[move.stage] = found.get(move.stage, frozenset()) | {move.shape}
            left -= move.ultra
    return found


def saving(cost: Cost, device: Device) -> frozenset[Shape]:
    """The shapes that save block RAM in UltraRAM, however much of it there is."""
    return frozenset(move.shape for move in _moves("", cost, device))


def unmoved(cost: Cost) -> Cost:
    """``cost`` with none in UltraRAM but weights, which are made for it."""
    memories = (replace(x, style="block") if x.style == "ultra" and x.empty else x for x in cost.memories)
    return replace(cost, memories=tuple(memories))


def _moves(stage: str, cost: Cost, device: Device) -> Iterator[Move]:
    for shape, count in movable(cost).items():
        width, depth = shape
        before = MemoryNeed("", "ram", "block", width, depth, width, empty=True)
        saved = count * brams(before, device)
        if saved > 0:
            yield Move(stage, shape, count * large_rams(_moved(before), device), saved)


def _able(memory: MemoryNeed) -> bool:
    return memory.empty and memory.style == "block"


def _moved(memory: MemoryNeed) -> MemoryNeed:
    return replace(memory, style="ultra") if _able(memory) else memory
