"""Maps that two layers read, one much later than the other: what a residual block adds at its end."""

from collections.abc import Iterator
from dataclasses import dataclass

from hwgen.blocks.unit import Unit
from hwgen.graph.network import Network
from hwgen.graph.types import FeatureMap


@dataclass(frozen=True)
class Shortcut:
    """A map that ``layer`` reads, and a layer further on with its input ``place`` besides."""

    layer: str
    other: str
    place: int
    map: FeatureMap


def shortcuts(network: Network) -> Iterator[Shortcut]:
    """Maps with two readers, the first a convolution that could hand it on to the second, which joins streams."""
    places: dict[str, list[tuple[str, int]]] = {}
    ops = {layer.name: layer.op for layer in network.layers}
    for layer in network.layers:
        for place, tensor in enumerate(layer.inputs):
            places.setdefault(tensor, []).append((layer.name, place))
    results = {stream.name for stream in network.results}
    for tensor, readers in places.items():
        if len(readers) == 2 and tensor not in results:
            (first, _), (other, place) = readers
            op, joins = ops[first], len(ops[other].inputs) > 1 and other != first
            if joins and op.hands_on:
                yield Shortcut(first, other, place, op.input)


def tap_problems(network: Network, name: str, unit: Unit) -> list[str]:
    """Why layer ``name`` cannot hand its input on as ``unit`` does; empty if it can, or does not."""
    if len(unit.outputs) == 1 or name in {shortcut.layer for shortcut in shortcuts(network)}:
        return []
    return [
        "only a convolution with rows of padding and without stride can hand its input on, to one layer further on "
        'that joins streams; take the unit "mac"'
    ]
