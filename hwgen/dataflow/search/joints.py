"""What joins layers before there are queues: forks behind what several read, width converters in front of readers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwgen.blocks.joints.convert import WidthConverter
from hwgen.blocks.joints.fork import Fork
from hwgen.blocks.stream import Port
from hwgen.blocks.unit import Joint
from hwgen.dataflow.stages import LEAST_FORK
from hwgen.device.targets import Device
from hwgen.graph.network import Network
from hwgen.graph.types import FeatureMap

from .resources import RESOURCES, cost_vector

#: In the place of the layer that makes a map: it is the network's input.
INPUT = -1


@dataclass(frozen=True)
class Edge:
    """Layer ``behind`` reads ``map`` as layer ``before`` gives it; or takes it, where both read the network's input,
    which comes as the first of its readers takes it (``shared``)."""

    before: int
    behind: int
    map: FeatureMap
    shared: bool = False


class Joints:
    """What joins the layers of ``network`` on ``device``, float64 [resources], by the lanes on both sides."""

    def __init__(self, network: Network, device: Device):
        self.device = device
        self._known: dict[Joint, np.ndarray] = {}
        readers = _readers(network)
        makers = {layer.output: n for n, layer in enumerate(network.layers)}
        self.ways = {makers.get(tensor, INPUT): len(found) for tensor, found in readers.items()}
        self.first = next(n for n in readers[network.input.name] if n is not None)
        self.edges = list(self._edges(network, readers, makers))

    def _edges(self, network: Network, readers, makers) -> Iterator[Edge]:
        maps = {layer.output: layer.op.output for layer in network.layers} | {network.input.name: network.input.map}
        for tensor, found in readers.items():
            for reader in found:
                if reader is not None and tensor in makers:
                    yield Edge(makers[tensor], reader, maps[tensor])
                elif reader not in (None, self.first):
                    yield Edge(self.first, reader, maps[tensor], shared=True)

    def forks(self, maker: int) -> bool:
        """Whether several read what layer ``maker``, or the network's input, gives."""
        return self.ways.get(maker, 1) > 1

    def fork(self, maker: int, map_: FeatureMap, lanes: int) -> np.ndarray:
        """The fork behind what gives ``map_`` to several, with queues as short as there are."""
        return self._taken(Fork(Port(map_, lanes), (LEAST_FORK,) * self.ways[maker]))

    def converter(self, map_: FeatureMap, given: int, taken: int) -> np.ndarray:
        """Between lanes that differ."""
        if given == taken:
            return np.zeros(len(RESOURCES))
        return self._taken(WidthConverter(Port(map_, given), taken))

    def _taken(self, unit: Joint) -> np.ndarray:
        if unit not in self._known:
            self._known[unit] = cost_vector(unit.cost, self.device)
        return self._known[unit]


def _readers(network: Network) -> dict[str, list[int | None]]:
    """Numbers of the layers that read each tensor, once for each input; None for an output of the network."""
    readers: dict[str, list[int | None]] = {}
    for n, layer in enumerate(network.layers):
        for tensor in layer.inputs:
            readers.setdefault(tensor, []).append(n)
    for stream in network.results:
        readers.setdefault(stream.name, []).append(None)
    return readers
