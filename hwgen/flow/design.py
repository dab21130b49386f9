"""A design: an accelerator with what it was made from, what is known of it, and its files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.accelerator import Accelerator
from hwgen.board.bitstream import ClockMissed, Implementation, implement
from hwgen.board.boards import Board
from hwgen.flow.front import Quantised
from hwgen.graph.ir import Graph
from hwgen.graph.onnx.writer import write_qdq, write_tail
from hwgen.hdl.export import to_verilog
from hwgen.output import atomic_folder
from hwgen.projects import project_files
from hwgen.report.report import Report, make_report
from hwgen.simulate.checking import check
from hwgen.simulate.dram import Memory
from hwgen.simulate.load_files import LOAD_BYTES, load_files
from hwgen.simulate.runtime import Comparison
from hwgen.simulate.simulation import Simulation, simulate
from hwgen.simulate.testbench import bench_files
from hwgen.simulate.waves import Waves, whole
from hwgen.simulate.workers import HERE, Workers
from hwgen.top.image import image
from hwgen.top.loading import plan_text

TAIL_FILE = "tail.onnx"  # what is left to the host


@dataclass(frozen=True, eq=False)
class Design(Accelerator):
    """An accelerator made of a model, ``front``; ``settings`` are those that were asked for
    (:func:`hwgen.flow.settings.settings_data`), and ``warnings`` what was said on the way.

    ``check`` is the simulation made by :meth:`checked`, ``implementation`` the bitstream made by :meth:`implemented`.
    """

    front: Quantised
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    check: Simulation | None = None
    implementation: Implementation | None = None

    def __repr__(self) -> str:
        return f"Design {self.name} for {self.device.name}: {self.schedule.interval:,} cycles per frame\n{self.plan!r}"

    def _repr_html_(self) -> str:
        return self.report._repr_html_()

    @property
    def graph(self) -> Graph:
        """The quantised model, QDQ."""
        return self.front.graph

    def simulate(
        self,
        frames: np.ndarray,
        engine: str = "golden",
        stall: int | None = None,
        trace: Waves | None = None,
        workers: Workers = HERE,
        memory: Memory | None = None,
    ) -> Simulation:
        """:func:`hwgen.simulate.simulation.simulate` of frames of the model's own shape, [N, ...] or one."""
        step = f"simulating ({engine})"
        self.progress(step)
        tell = partial(self.progress, step)
        with whole(trace) as waves:
            return simulate(self.network, self.plan, frames, engine, tell, stall, waves, workers, memory)

    def against_onnxruntime(self, frames: np.ndarray) -> Comparison:
        """:meth:`Quantised.against_onnxruntime`."""
        return self.front.against_onnxruntime(frames)

    def checked(self, frames: np.ndarray | None = None) -> "Design":
        """The design after its RTL was compared with golden on ``frames``, the first sample unless given.

        A check of the same Verilog on the same frames is remembered. Raises RuntimeError where an integer of any layer
        or a predicted cycle differs: a bug, not a bad model.
        """
        return self._with(check=check(self, self.samples[:1] if frames is None else frames))

    def _with(self, **changes: Any) -> "Design":
        """The design after ``changes`` that leave its hardware as it is: what was made of it stays."""
        design = replace(self, **changes)
        made = ("schedule", "activity", "component", "verilog", "tensors", "fit")
        vars(design).update({name: value for name, value in vars(self).items() if name in made})
        return design

    def implemented(self, board: Board, slower: bool = False, **making: Any) -> "Design":
        """The design on ``board``, with its bitstream, ``making`` it as
        :func:`hwgen.board.bitstream.implement` says. Where it does not reach its clock and may be ``slower``, it is
        made again, for a clock below the one reached."""
        try:
            made = implement(self, board, **making)
        except ClockMissed as missed:
            if not slower:
                raise
            self.progress(f"{self.clock} not reached, again with {missed.lower}")
            made = implement(self._with(clock=missed.lower), board, **making)
        return self._with(clock=made.clock, implementation=made)

    def to_verilog(self) -> str:
        """The same in one file, with all memories in it."""
        self.progress("writing Verilog")
        return self.verilog.text if not self.verilog.memories else to_verilog(self.component, self.name)

    @cached_property
    def report(self) -> Report:
        """Layers, speed, what the device is asked for, proofs and warnings: as data and as text."""
        return make_report(self, self.settings, self.warnings, self.check, self.implementation)

    def write(self, folder: str | Path, projects: Iterable[str] = ()) -> None:
        """Write everything to ``folder``, which appears complete or not at all; ``projects`` to folders in it."""
        assert self.verilog.text  # a step of its own
        projects = tuple(projects)
        self.progress("drawing the schedule, making the test bench and the report")
        files = self.files() | project_files(projects, self)
        self.progress("writing files")
        with atomic_folder(folder) as place:
            for name, text in files.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_text(text, encoding="utf-8", newline="\n")
            write_qdq(self.graph, place / f"{self.name}_qdq.onnx")
            if self.graph.tail is not None and self.graph.tail.nodes:
                write_tail(self.graph.tail, place / TAIL_FILE)
            for name, content in self._binaries(projects).items():
                (place / name).write_bytes(content)

    def _binaries(self, projects: Iterable[str]) -> dict[str, bytes]:
        """The load without which it does not work, for the driver of PYNQ once more, or what DRAM must hold, and the
        bitstream, if there are any."""
        load = load_files(self.plan) if self.plan.waits_for_load else {}
        if self.plan.memories:
            load[LOAD_BYTES] = image(self.plan)
        if load and "pynq" in projects:
            load[f"pynq/{LOAD_BYTES}"] = load[LOAD_BYTES]
        return {**load, **(self.implementation.files if self.implementation else {})}

    def files(self) -> dict[str, str]:
        """The text files that :meth:`write` makes, by name."""
        return {
            **self.verilog.files(self.name),
            **({} if self.plan.memories else bench_files(self)),
            "plan.json": plan_text(self.plan),
            "report.json": self.report.to_json(),
            "report.txt": str(self.report),
            "report.html": self.report.html(),
            "schedule.svg": self.activity.drawn(),
        }
