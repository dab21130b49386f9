"""What projects and drivers are made from, decided once as plain data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.dataflow.schedule import schedule
from hwgen.graph import golden
from hwgen.graph.network import Network
from hwgen.hdl.export import Verilog
from hwgen.simulate.load_files import Load
from hwgen.top.axi import AxiTop, CoreInstance

from .host import Dialect, HostTop, frame_blob, frame_bytes, host_width
from .parts import Part

if TYPE_CHECKING:
    from hwgen.flow.design import Design
    from hwgen.flow.retraining import Retrained

#: Bytes in a word at the most: what the memory ports of a processor take.
WIDEST = 16


@dataclass(frozen=True, eq=False)
class Facts:
    """A design with its ``part``: ``samples`` [N, *input_shape] are frames to try, ``tensors`` the integers
    [N, H, W, C] that go in and come out for them. Of a network that is loaded into hardware which is there: no part,
    Verilog and clock, and the ``name`` of the hardware."""

    name: str
    network: Network
    top: AxiTop
    verilog: Verilog | None
    part: Part | None
    clock: float
    interval: int
    latency: int
    samples: np.ndarray
    tensors: Mapping[str, np.ndarray]

    @staticmethod
    def of(design: "Design", part: Part | None) -> "Facts":
        times = design.schedule.interval, design.schedule.latency
        tensors = _tensors(design.network, design.samples)
        hardware = design.component, design.verilog, part, design.clock
        return Facts(design.name, design.network, *hardware, *times, design.samples, tensors)

    @staticmethod
    def loaded(made: "Retrained") -> "Facts":
        network, samples, times = made.network, made.front.samples, schedule(made.plan)
        tensors = _tensors(network, samples)
        hardware = made.component, None, None, 0.0
        return Facts(made.hardware, network, *hardware, times.interval, times.latency, samples, tensors)

    @property
    def image(self) -> bytes | None:
        """The load of its weights, in whole beats; None where they are fixed."""
        return Load.of(self.top.core.plan).image if self.top.loads else None

    @property
    def waits(self) -> bool:
        """Whether it has no weights before they are loaded."""
        return bool(self.top.loads) and self.top.core.plan.waits_for_load

    @property
    def in_flight(self) -> int:
        """Frames that are between the ports at full speed, with one to spare at each end."""
        return math.ceil(self.latency / self.interval) + 2

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Bytes in a word of the host, of the input and of each output."""
        ports = (self.top.source, *self.top.results)
        return tuple(host_width(frame_bytes(port), self.interval, WIDEST) for port in ports)

    @property
    def header_bytes(self) -> int:
        """What is in front of a transfer to the accelerator: a word where weights are loaded."""
        return self.widths[0] if self.top.loads else 0

    @cached_property
    def blobs(self) -> tuple[tuple[bytes, ...], ...]:
        """The frames of the input and of each output as they lie in memory."""
        streams = (self.network.input, *self.network.results)
        ports = (self.top.source, *self.top.results)
        return tuple(
            tuple(frame_blob(frame, port) for frame in self.tensors[stream.name])
            for stream, port in zip(streams, ports, strict=True)
        )

    def host(self, dialect: Dialect) -> HostTop:
        """The top for hosts, around the module :attr:`name`."""
        core = CoreInstance(self.name, self.top)
        return HostTop(self.top, core, dialect, self.widths, self.in_flight)

    def values(self, name: str, top: HostTop) -> dict[str, Any]:
        """What the templates of every vendor take, for a project whose ``top`` is called ``name``."""
        return {
            "name": self.name,
            "top": name,
            "part": self.part,
            "mhz": f"{self.clock / 1e6:g}",
            "period": f"{1e9 / self.clock:.3f}",
            "memories": self.memories,
            "loads": top.loads,
        }

    @property
    def memories(self) -> Sequence[str]:
        """The files that the Verilog reads."""
        return sorted(self.verilog.memories)


def _tensors(network: Network, samples: np.ndarray) -> dict[str, np.ndarray]:
    source = golden.network_input(network, samples)
    names = [stream.name for stream in network.results]
    return {network.input.name: source} | golden.run(network, source, names)
