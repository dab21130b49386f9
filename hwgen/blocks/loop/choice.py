"""How a loop is laid out within a limit of multipliers: the fewest cycles by its formula, then the fewest bytes."""

from collections.abc import Iterator
from dataclasses import replace
from math import gcd

from hwgen.blocks.array.multiplier import PAIR
from hwgen.blocks.loop import count
from hwgen.blocks.loop.looped import LoopedLayers
from hwgen.blocks.loop.programme import LEAST, Geometry, LoopFolding, Programme
from hwgen.blocks.loop.unit import LoopUnit
from hwgen.graph.errors import FitError
from hwgen.memory.dram.contract import Contract
from hwgen.memory.dram.master import ReadMaster

#: Pixels whose sums are in memory at a time, at the most.
MOST_POSITIONS = 256
_LANES = (1, 2, 4, 8, 16)
_PORTIONS = tuple(1 << n for n in range(11))


def choose_folding(op: LoopedLayers, multipliers: int, bus: int, contract: Contract) -> LoopFolding:
    """The folding of ``op`` that takes the fewest cycles with at most so many hardware multipliers, and with weights
    over ``bus`` bytes from a memory that keeps ``contract``. FitError where there is none."""
    best: tuple[tuple[int, ...], LoopFolding] | None = None
    for folding in _foldings(op, multipliers, bus, contract):
        cycles, size = estimate(op, folding)
        key = cycles, size, folding.portion * folding.outputs, folding.lanes, folding.positions
        if best is None or key < best[0]:
            best = key, folding
    if best is None:
        raise FitError(f"a loop takes more than {multipliers} multipliers; raise --multipliers")
    return _with_places(op, best[1])


def estimate(op: LoopedLayers, folding: LoopFolding) -> tuple[int, int]:
    """Cycles per frame where each layer's weights come while it is computed, and bytes that are read for each."""
    programme = Programme(op, folding)
    cycles = op.input.elements // folding.lanes_in + op.output.elements // folding.lanes_out
    size = 0
    for layer in programme.layers:
        given = _beats(programme, layer, layer.strips)
        read = _beats(programme, layer, 1) if folding.kept else given
        cycles += max(_cycles(layer), given, -(-read * folding.bus // folding.contract.rate))
        size += read * folding.bus
    return cycles, size


def _cycles(layer: Geometry) -> int:
    """Of all holds of a layer: the sum of :attr:`Geometry.holds`."""
    full, last = (
        (layer.steps - 1) * layer.held(pixels, False) + layer.held(pixels, True) for pixels in (layer.full, layer.last)
    )
    return layer.sets * ((layer.strips - 1) * full + last) - layer.held(layer.last, True) + layer.tail


def _beats(programme: Programme, layer: Geometry, strips: int) -> int:
    """Constants of each set of a layer, and its words for so many strips."""
    if layer.pooled:
        return 0
    return layer.sets * (layer.rounds * programme.constant_beats + strips * layer.steps * programme.word_beats)


def _foldings(op: LoopedLayers, multipliers: int, bus: int, contract: Contract) -> Iterator[LoopFolding]:
    """Those worth looking at, which read each set once."""
    widest = max(map_.channels for map_ in (op.input, *(layer.output for layer in op.layers)))
    pixels = sorted({layer.output.height * layer.output.width for layer in op.layers})
    positions = sorted({max(min(-(-n // parts), MOST_POSITIONS), LEAST) for n in pixels for parts in (1, 2, 4, 8)})
    for portion in (n for n in _PORTIONS if n < 2 * widest):
        for lanes in (n for n in _LANES if n <= portion):
            ends = _lanes(op.input.channels, portion), _lanes(op.output.channels, portion)
            least = LoopFolding(
                portion, lanes, lanes, positions[0], bus, PAIR, *ends, contract.latency, str(contract.rate), kept=1
            )
            for outputs in _outputs(op, least, multipliers):
                for held in positions:
                    yield replace(least, outputs=outputs, positions=held)


def _lanes(channels: int, portion: int) -> int:
    """The most elements of a pixel at once that a loop takes or gives."""
    return channels if channels <= portion else gcd(channels, portion)


def _outputs(op: LoopedLayers, least: LoopFolding, multipliers: int) -> list[int]:
    """Numbers of output channels at a time: the most, and those with which sets of a layer are even."""
    lanes = least.lanes
    beside = _multipliers(op, least) - -(-least.portion * lanes // PAIR)
    most = max(multipliers - beside, 0) * PAIR // least.portion // lanes * lanes
    channels = {layer.output.channels for layer in op.layers if layer.macs}
    most = min(most, max(-(-number // lanes) * lanes for number in channels))
    if not most:
        return []
    even = {-(-number // -(-number // most)) for number in channels}
    found = sorted({most, *(-(-each // lanes) * lanes for each in even)})
    return [each for each in found if _multipliers(op, replace(least, outputs=each)) <= multipliers]


def _multipliers(op: LoopedLayers, folding: LoopFolding) -> int:
    return sum(each.count for each in count.products(Programme(op, folding)))


def _with_places(op: LoopedLayers, folding: LoopFolding) -> LoopFolding:
    """``folding`` with places that never let the memory wait, and that keep sets where several strips take them."""
    programme = Programme(op, folding)
    replay, strips = programme.replay, max(layer.strips for layer in programme.layers)
    made = replace(folding, kept=replay.least if replay and strips > 1 else 0)
    region = LoopUnit(op, made).memory.region
    return replace(made, places=-(-region.places(made.contract, ReadMaster.round_trip()) // 16) * 16)
