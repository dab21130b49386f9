"""An accelerator, as all take it that simulate, check, write or report one: one frozen record."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hwgen.dataflow.activity import Activity, activity
from hwgen.dataflow.fit import FitTable, fit_table
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import Schedule, schedule
from hwgen.device.clocks import Clock
from hwgen.device.targets import Device
from hwgen.graph import golden
from hwgen.graph.network import Network
from hwgen.hdl.export import Verilog, export, remembered
from hwgen.progress import Progress, silent
from hwgen.tools.yosys import compile_early
from hwgen.top.axi import AxiTop, axi_top
from hwgen.top.made import library_of


@dataclass(frozen=True, eq=False)
class Hardware:
    """The network of ``plan`` in hardware, on whatever device.

    Files and the top module are called ``name``; ``samples`` are a few frames [N, *input_shape] to try it on, as the
    model takes them. ``progress`` is told every step. Everything else follows, and is made once when it is asked for.
    """

    name: str
    plan: Plan
    samples: np.ndarray
    progress: Progress = field(default=silent, kw_only=True)

    @property
    def network(self) -> Network:
        """Its layers of integers."""
        return self.plan.network

    @cached_property
    def schedule(self) -> Schedule:
        """In which cycle what happens."""
        return schedule(self.plan)

    @cached_property
    def activity(self) -> Activity:
        """What each layer does all the time, and how full the queues become."""
        return activity(self.plan)

    @cached_property
    def component(self) -> AxiTop:
        """The pipeline between AXI4-Stream ports."""
        return axi_top(self.plan)

    @cached_property
    def verilog(self) -> Verilog:
        """Verilog with the top module :attr:`name`, and the files of its larger memories; remembered by content."""
        self.progress("writing Verilog")
        return remembered(self._written, self.name, self.plan)

    def _written(self) -> Verilog:
        if compile_early():
            self.progress("waiting until Yosys is compiled, which is done once on this machine")
            self.progress("writing Verilog")
        return export(self.component, self.name, made=library_of(self.plan))

    @cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        """The integers [N, H, W, C] that go in for the samples and, by golden, come out, by the names of streams."""
        source = golden.network_input(self.network, self.samples)
        streams = [stream.name for stream in self.network.results]
        return {self.network.input.name: source} | golden.run(self.network, source, streams)


@dataclass(frozen=True, eq=False)
class Accelerator(Hardware):
    """Hardware for ``device``; ``clock`` is only for stating speeds."""

    device: Device
    clock: Clock

    @cached_property
    def fit(self) -> FitTable:
        """What the device is asked for, resource by resource."""
        return fit_table(self.plan, self.device)
