"""Maps that two layers read, one much later than the other: what a residual block adds at its end."""

from collections.abc import Iterator
from dataclasses import dataclass

from hwgen.blocks import Conv
from hwgen.blocks.operator import Operator, SeveralInputs
from hwgen.blocks.tapped import least_depth, tap_obstacles
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
    places, ops = {}, {layer.name: layer.op for layer in network.layers}
    for layer in network.layers:
        for place, tensor in enumerate(layer.inputs):
            places.setdefault(tensor, []).append((layer.name, place))
    results = {stream.name for stream in network.results}
    for tensor, readers in places.items():
        if len(readers) == 2 and tensor not in results:
            (first, _), (other, place) = readers
            op, joins = ops[first], isinstance(ops[other], SeveralInputs) and other != first
            if joins and isinstance(op, Conv) and not op.gap and not tap_obstacles(op):
                yield Shortcut(first, other, place, op.input)


def tap_problems(network: Network, name: str, op: Operator, folding) -> list[str]:
    """Why layer ``name`` cannot hand its input on as ``folding`` says; empty if it can, or does not."""
    tap = getattr(folding, "tap", 0)
    if not tap:
        return []
    if name not in {shortcut.layer for shortcut in shortcuts(network)}:
        return [
            f"tap {tap}: only a convolution with rows of padding and without stride can hand its input on, to one "
            "layer further on that joins streams; take tap 0"
        ]
    if folding.window != "columns":
        return [f"tap {tap}: with window {folding.window!r} nothing is handed on; take 'columns', or tap 0"]
    least = least_depth(op, folding)
    return [f"tap {tap} is less than the {least} beats that a pass hands on"] if tap < least else []
