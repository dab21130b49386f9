"""What projects and drivers are made from, decided once as plain data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from hwgen.accelerator import Accelerator, Hardware
from hwgen.simulate.load_files import load_rows
from hwgen.tools import templates
from hwgen.top.axi import AxiPort, CoreInstance

from .host import Dialect, HostTop, host_width

#: Bytes in a word at the most: what the memory ports of a processor take.
WIDEST = 16

#: The text of a template of this folder.
render = partial(templates.render, "hwgen.projects")


@dataclass(frozen=True, eq=False)
class Facts:
    """What was ``made``, as a host sees it."""

    made: Hardware

    @property
    def image(self) -> bytes | None:
        """The load of its weights, in whole beats; None where they are fixed."""
        return load_rows(self.made.plan).tobytes() if self.made.component.loads else None

    @property
    def load(self) -> bytes:
        """``image`` where there is one; ValueError where weights are fixed."""
        if self.image is None:
            raise ValueError(f"the weights of {self.made.name} are fixed")
        return self.image

    @property
    def waits(self) -> bool:
        """Whether it has no weights before they are loaded."""
        return bool(self.made.component.loads) and self.made.plan.waits_for_load

    @property
    def in_flight(self) -> int:
        """Frames that are between the ports at full speed, with one to spare at each end."""
        return math.ceil(self.made.schedule.latency / self.made.schedule.interval) + 2

    @property
    def _ports(self) -> tuple[AxiPort, ...]:
        return self.made.component.source, *self.made.component.results

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Bytes in a word of the host, of the input and of each output."""
        return tuple(host_width(port.frame_bytes, self.made.schedule.interval, WIDEST) for port in self._ports)

    @property
    def header_bytes(self) -> int:
        """What is in front of a transfer to the accelerator: a word where weights are loaded."""
        return self.widths[0] if self.made.component.loads else 0

    @cached_property
    def blobs(self) -> tuple[tuple[bytes, ...], ...]:
        """The frames of the input and of each output as they lie in memory."""
        tensors = zip(self._ports, self.made.tensors.values(), strict=True)
        return tuple(tuple(port.words(frame).rows.tobytes() for frame in frames) for port, frames in tensors)

    def host(self, dialect: Dialect) -> HostTop:
        """The top for hosts, around the accelerator's own module."""
        top = self.made.component
        core = CoreInstance(self.made.name, top)
        return HostTop(top, core, dialect, self.widths, self.in_flight)


@dataclass(frozen=True, eq=False)
class BuildFacts(Facts):
    """The same, with all that vendors' tools need to build it."""

    made: Accelerator

    def values(self, name: str, top: HostTop) -> dict[str, Any]:
        """What the templates of every vendor take, for a project whose ``top`` is called ``name``."""
        return {
            "name": self.made.name,
            "top": name,
            "device": self.made.device,
            "mhz": f"{self.made.clock.mhz:g}",
            "period": f"{1e9 / self.made.clock.hz:.3f}",
            "memories": self.memories,
            "loads": top.loads,
        }

    @property
    def memories(self) -> Sequence[str]:
        """The files that the Verilog reads."""
        return sorted(self.made.verilog.memories)
