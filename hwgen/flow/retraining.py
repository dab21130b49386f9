"""A network trained anew, in hardware that was built for loaded weights: from its file to the bytes of a load."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.accelerator import Hardware
from hwgen.flow.front import Quantised, quantised
from hwgen.graph import golden
from hwgen.graph.notice import warn_caller
from hwgen.graph.onnx.writer import write_qdq
from hwgen.graph.quantize.recipe import DEFAULT
from hwgen.names import identifier
from hwgen.output import atomic_folder
from hwgen.progress import Progress, silent
from hwgen.projects import built_projects, loaded_files
from hwgen.simulate.feed import Step
from hwgen.simulate.load_files import load_files, load_rows
from hwgen.simulate.reloading import simulate_steps
from hwgen.simulate.simulation import Simulation
from hwgen.simulate.testbench import vector_files
from hwgen.top.loading import hardware_plan, kept_quantisations, laid_out


@dataclass(frozen=True, eq=False)
class Retrained(Hardware):
    """Hardware that was built, ``name`` and ``plan`` with the constants of the network ``front``; ``projects`` are
    those of :data:`hwgen.projects.PROJECTS` that were built with it."""

    front: Quantised
    projects: tuple[str, ...] = ()

    @property
    def image(self) -> bytes:
        """The load: bytes in the order in which they are sent."""
        return load_rows(self.plan).tobytes()

    def files(self) -> dict[str, bytes]:
        """The load as bytes and in hexadecimal words for the test bench, with vectors made by the golden model; and
        what the projects of the hardware need."""
        texts = vector_files(self) | loaded_files(self.projects, self)
        return load_files(self.plan) | {name: text.encode() for name, text in texts.items()}

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

    ``settings`` are those of :func:`hwgen.flow.front.quantised`. Of a float model the streams on whose scales hardware
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
    name = identifier(json.loads(text)["network"])
    return Retrained(name, plan, front.samples, front, built_projects(hardware))


def simulate_loads(
    steps: Sequence[tuple[Hardware, np.ndarray]],
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
