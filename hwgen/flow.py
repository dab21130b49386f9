"""The flow, from a trained network to files, in the order in which it happens."""

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.axi import AxiTop
from hwgen.blocks import OPERATORS
from hwgen.dataflow import folding
from hwgen.dataflow.pipeline import Pipeline
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import Schedule, schedule
from hwgen.frames import FrameSpec, Preparation, load_frames
from hwgen.graph.errors import HwgenError, InputError
from hwgen.graph.ir import Graph
from hwgen.graph.lower import lower
from hwgen.graph.network import Network
from hwgen.graph.passes import simplify
from hwgen.graph.quantize import quantize
from hwgen.graph.reader import read_model
from hwgen.progress import Progress, silent
from hwgen.report import Report, make_report
from hwgen.simulate import Simulation, simulate
from hwgen.targets import Device, device as find_device
from hwgen import output

CLOCK = 100e6
DEVICE = "lfe5u-85f"
CALIBRATION_FRAMES = 1000  # as many as are used of those given


def compile(
    model: str | Path,
    *,
    calibration: str | Path | Iterable[str | Path] | np.ndarray | None = None,
    preparation: Preparation = Preparation(),  # noqa: B008 (frozen)
    input_shape: Mapping[str, tuple[int, ...]] | None = None,
    multipliers: int | None = None,
    fps: float | None = None,
    clock: float = CLOCK,
    device: str = DEVICE,
    plan: str | Path | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> "Design":
    """Turn the ONNX file ``model`` into a design.

    ``calibration`` are frames for a float model: files, folders or an array [N, ...] as the model takes it;
    ``preparation`` says how numbers in files become the model's. ``input_shape`` fixes open dimensions. Layers are
    sized to use at most ``multipliers`` (what ``device`` has, unless given) or to reach ``fps`` frames per second
    at ``clock`` Hz with the least hardware; or as the JSON file ``plan`` says. ``progress`` is told every step,
    ``warn`` whatever the user should know. Raises a :class:`hwgen.HwgenError` with a line for every problem.
    """
    tell, notes = progress or silent, _Notes(warn)
    target = find_device(device)
    tell("reading the model")
    graph = simplify(read_model(model, input_shape))
    tell("quantising")
    frames = _calibration(graph, calibration, preparation)
    graph = quantize(graph, frames, warn=notes)
    tell("proving integer arithmetic")
    network = lower(graph, OPERATORS, warn=notes)
    tell("sizing layers")
    limits = _limits(target, multipliers, fps, clock)
    chosen = folding.search(network, **limits) if plan is None else _read_plan(network, plan)
    tell("scheduling")
    return Design(
        graph=graph,
        network=network,
        plan=chosen,
        schedule=schedule(chosen),
        device=target,
        clock=clock,
        sample=_sample(network, frames),
        warnings=tuple(notes.lines),
        progress=tell,
    )


def build(model: str | Path, folder: str | Path, **settings: Any) -> "Design":
    """:func:`compile` with the same settings, check the hardware on a frame, and write everything to ``folder``."""
    design = compile(model, **settings).checked()
    design.write(folder)
    return design
