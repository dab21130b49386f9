"""Frames through a real board, as through a simulation."""

from collections.abc import Callable, Mapping

import numpy as np

from hwgen.axi import element_bits
from hwgen.graph import golden
from hwgen.graph.errors import InputError
from hwgen.graph.network import Network
from hwgen.link.capacity import from_bytes, to_bytes
from hwgen.link.host import Line, Session
from hwgen.link.identity import fingerprint
from hwgen.simulate import Simulation, compare


class Runner:
    """A board at the end of ``line`` that holds ``network``.

    Raises :class:`hwgen.link.host.LinkError` where it does not answer or holds something else.
    """

    def __init__(self, network: Network, line: Line, session: Session | None = None):
        self.network = network
        self.session = session or Session(line)
        self.session.require(fingerprint(network))

    def simulate(self, frames: np.ndarray, progress: Callable[[float], None] = lambda share: None) -> Simulation:
        """:func:`hwgen.simulate.simulate` of ``frames`` on the board; its results are compared with golden."""
        network = self.network
        integers = golden.network_input(network, frames)
        if not len(integers):
            raise InputError("no frames given")
        sizes = [stream.map.elements * self._size(stream.map.type) for stream in network.results]
        got = self.session.run(to_bytes(integers, network.input.map.type), len(integers) * sum(sizes), progress)
        streams = self._streams(np.frombuffer(got, np.uint8), len(integers))
        expected = golden.run(network, integers, list(streams))
        mismatches = compare(network, expected, streams)
        return Simulation(
            "board", network, streams, golden.network_outputs(network, streams), streams, mismatches=mismatches
        )

    @property
    def _tagged(self) -> bool:
        return len(self.network.results) > 1

    def _size(self, type_) -> int:
        """Bytes of an element on the line."""
        return element_bits(type_) // 8 + self._tagged

    def _streams(self, got: np.ndarray, frames: int) -> Mapping[str, np.ndarray]:
        """The integers [N, H, W, C] of every stream."""
        results = self.network.results
        parts = [got.reshape(-1, self._size(results[0].map.type))] if not self._tagged else self._untangled(got)
        shapes = ((frames, *stream.map.shape) for stream in results)
        return {
            stream.name: from_bytes(part, stream.map.type).reshape(shape)
            for stream, part, shape in zip(results, parts, shapes, strict=True)
        }

    def _untangled(self, got: np.ndarray) -> list[np.ndarray]:
        """The elements of each stream, from bytes in which every element has its stream's number in front."""
        sizes = [self._size(stream.map.type) for stream in self.network.results]
        content = got.tobytes()
        parts: list[bytearray] = [bytearray() for _ in sizes]
        at = 0
        while at < len(content):
            stream = content[at]
            parts[stream] += content[at + 1 : at + sizes[stream]]
            at += sizes[stream]
        return [
            np.frombuffer(bytes(part), np.uint8).reshape(-1, size - 1) for part, size in zip(parts, sizes, strict=True)
        ]
