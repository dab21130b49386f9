"""Frames through a real board, as through a simulation."""

from collections.abc import Callable, Mapping

import numpy as np

from hwgen.dataflow.plan import Plan
from hwgen.graph import golden
from hwgen.graph.errors import InputError
from hwgen.graph.network import Network
from hwgen.graph.types import IntType
from hwgen.link.host import Line, LinkError, Session
from hwgen.link.identity import fingerprint, identity
from hwgen.link.messages import frame_messages, held_by, load_message
from hwgen.link.protocol import HELD_BYTES
from hwgen.simulate.feed import unpacked
from hwgen.simulate.simulation import Simulation, compare
from hwgen.top.tdata import element_bytes, tdata_rows


class Runner:
    """A board at the end of ``line`` that holds ``source``: a network, or the plan of hardware with loaded weights.
    Those of the plan are then loaded, ``loaded`` bytes, unless the board has them already.

    Raises :class:`hwgen.link.host.LinkError` where it does not answer, holds something else, or takes weights and there
    is no plan.
    """

    def __init__(
        self,
        source: Network | Plan,
        line: Line,
        session: Session | None = None,
        progress: Callable[[float], None] = lambda share: None,
    ):
        self.session = session or Session(line)
        self._held = self.session.hello.held
        self.loaded = 0
        if isinstance(source, Plan) and source.loading:
            self.loaded = self.load(source, progress)
            return
        self.network = source.network if isinstance(source, Plan) else source
        if self._held:
            raise LinkError(
                f"the board at {self.session.line.name} takes its weights over the link, and frames only after them: "
                "name the folder of its build, so that they are loaded"
            )
        self.session.require(fingerprint(self.network))

    def load(self, plan: Plan, progress: Callable[[float], None] = lambda share: None) -> int:
        """Load the constants of ``plan``, for the frames from now on; the bytes it took, 0 where the board has them.

        Raises LinkError where the board holds other hardware.
        """
        self.session.require(identity(plan))
        self.network = plan.network
        wanted = held_by(plan.load_image())
        if self._held == wanted:
            return 0
        message = load_message(plan)
        self._held = bytes(HELD_BYTES)  # should this be cut off
        self.session.run(message, 0, progress)
        self._held = wanted
        return len(message)

    def simulate(self, frames: np.ndarray, progress: Callable[[float], None] = lambda share: None) -> Simulation:
        """:func:`hwgen.simulate.simulation.simulate` of ``frames`` on the board, compared with golden."""
        network = self.network
        integers = golden.network_input(network, frames)
        if not len(integers):
            raise InputError("no frames given")
        sizes = [stream.map.elements * self._size(stream.map.type) for stream in network.results]
        data = tdata_rows(integers, network.input.map.type).tobytes()
        data = frame_messages(data, len(integers)) if self._held else data
        got = self.session.run(data, len(integers) * sum(sizes), progress)
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
        return element_bytes(type_) + self._tagged

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


def from_bytes(content: np.ndarray, type_: IntType) -> np.ndarray:
    """The integers of bytes, uint8 [elements, size], of which every bit counts, in the type's own dtype."""
    whole = IntType(8 * content.shape[1], type_.signed)
    return unpacked(content, whole, 1).astype(type_.dtype)
