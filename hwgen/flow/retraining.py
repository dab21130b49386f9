"""A network trained anew, in hardware that was built for loaded weights: from its file to the bytes of a load."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.dataflow.plan import Plan
from hwgen.flow.design import Quantised, axi_top, quantised
from hwgen.graph import golden
from hwgen.graph.network import Network
from hwgen.graph.notice import warn_caller
from hwgen.graph.onnx.writer import write_qdq
from hwgen.graph.quantize.recipe import DEFAULT
from hwgen.names import identifier
from hwgen.output import atomic_folder
from hwgen.progress import Progress, silent
from hwgen.projects import built_projects, loaded_files
from hwgen.simulate.load_files import Load
from hwgen.simulate.reloading import Step, simulate_steps
from hwgen.simulate.simulation import Simulation
from hwgen.simulate.testbench import Vectors
from hwgen.top.axi import AxiTop
from hwgen.top.loading import hardware_plan, kept_quantisations, laid_out

if TYPE_CHECKING:
    from hwgen.flow.design import Design


@dataclass(frozen=True, eq=False)
class Retrained:
    """``front`` is the network, ``plan`` the built hardware with its constants; ``hardware`` is what that is called,
    ``projects`` are those of :data:`hwgen.projects.PROJECTS` that were built with it."""

    front: Quantised
    plan: Plan
    hardware: str
    projects: tuple[str, ...] = ()

    @property
    def network(self) -> Network:
        """What the hardware computes once it is loaded."""
        return self.plan.network

    @cached_property
    def component(self) -> AxiTop:
        """The hardware, as if it had been built with these weights."""
        return axi_top(self.plan)

    @property
    def image(self) -> bytes:
        """The load: bytes in the order in which they are sent."""
        return Load.of(self.plan).image

    def files(self) -> dict[str, bytes]:
        """The load as bytes and in hexadecimal words for the test bench, with vectors made by the golden model; and
        what the projects of the hardware need."""
        top = self.component
        source = golden.network_input(self.network, self.front.samples)
        tensors = golden.run(self.network, source, [stream.name for stream in self.network.results])
        texts = Vectors.of(top, source, *tensors.values()).files(top) | loaded_files(self.projects, self)
        return Load.of(self.plan).files() | {name: text.encode() for name, text in texts.items()}

    def write(self, folder: str | Path) -> None:
        """Write all of it to ``folder``, which appears complete or not at all, and the quantised network."""
        with atomic_folder(folder) as place:
            for name, content in self.files().items():
                (place / name).write_bytes(content)
            write_qdq(self.front.graph, place / f"{identifier(self.network.name)}_qdq.onnx")


def retrained(
    model: str | Path,
    hardware: str | Path,
    *,
    progress: Progress | None = None,
    warn: Callable[[str], None] = warn_caller,
    **settings: Any,
) -> Retrained:
    """The ONNX file ``model`` in what was built in the folder ``hardware`` with ``weights="loadable"``.

    ``settings`` are those of :func:`hwgen.flow.design.quantised`. Of a float model the streams on whose scales hardware
    depends that is not loaded (sums, products, tables) keep the quantisation with which that was built. Raises a
    :class:`hwgen.HwgenError` with a line for every layer that is not as built, or whose constants the hardware does not
    take.
    """
    text = hardware_plan(hardware)
    front = quantised(model, progress=progress, warn=warn, **settings)
    kept = kept_quantisations(front.network, text)
    if kept:  # a float model is quantised as the hardware has it where that cannot be loaded
        recipe = replace(settings.pop("recipe", DEFAULT), kept=kept)
        front = quantised(model, progress=progress, warn=warn, recipe=recipe, **settings)
    (progress or silent)("fitting into the hardware")
    plan = laid_out(front.network, text, str(hardware))
    return Retrained(front, plan, identifier(json.loads(text)["network"]), built_projects(hardware))


def simulate_loads(
    steps: "Sequence[tuple[Design | Retrained, np.ndarray]]",
    engine: str = "amaranth",
    stall: int | None = None,
    progress: Progress | None = None,
) -> list[Simulation]:
    """Load, infer, load, infer: frames [N, ...] of each step with its network's weights, in one run of the hardware.

    The hardware is that of the first step, and has its weights from the start; before each other step its weights are
    loaded. What comes of every layer is compared with golden; see :func:`hwgen.simulate.simulation.simulate`.
    """
    runs = [
        Step(design.plan, golden.network_input(design.network, frames), loads=n > 0)
        for n, (design, frames) in enumerate(steps)
    ]
    return simulate_steps(runs, engine, stall, partial(progress or silent, f"simulating ({engine})"))
