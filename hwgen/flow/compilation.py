"""The flow, from a trained network to files, in the order in which it happens."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.board.boards import Board
from hwgen.device.clocks import Clock
from hwgen.device.targets import Device
from hwgen.device.targets import device as find_device
from hwgen.flow.design import Design
from hwgen.flow.front import FramesLike, quantised
from hwgen.flow.planning import binds, check_given, choose_plan
from hwgen.flow.settings import settings_data
from hwgen.frames.inputs import USUAL, Preparation
from hwgen.graph.notice import warn_caller
from hwgen.graph.quantize.recipe import DEFAULT, Recipe
from hwgen.names import identifier
from hwgen.progress import Notes, Progress, silent
from hwgen.projects import check_connected, check_projects
from hwgen.tools.yosys import compile_early
from hwgen.top.loading import AUTO, OWN, waiting

DEVICE = "lfe5u-85f"


def compile(
    model: str | Path,
    *,
    calibration: FramesLike | None = None,
    preparation: Preparation = USUAL,
    recipe: Recipe = DEFAULT,
    input_shape: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Iterable[str] = (),
    multipliers: int | None = None,
    fps: float | None = None,
    clock: Clock | float | None = None,
    device: str | Device | None = None,
    plan: str | Path | None = None,
    latency: bool = False,
    lenient: bool = False,
    weights: str = AUTO,
    progress: Progress | None = None,
    warn: Callable[[str], None] = warn_caller,
) -> Design:
    """Turn the ONNX file ``model`` into a design.

    ``calibration`` are frames for a float model: files, folders or an array [N, ...] as the model takes it;
    ``preparation`` says how numbers in files become the model's, ``recipe`` how the float model is quantised.
    ``input_shape`` fixes open dimensions. The network ends at the tensors ``outputs`` of the model, if any are given.
    Layers are sized to fit ``device`` (``DEVICE`` unless given, which ``multipliers`` and ``fps`` may exceed), to use
    at most ``multipliers``, or to reach ``fps`` frames per second at ``clock`` (in Hz where it is a number) with the
    least hardware; or as the JSON file ``plan`` says; the clock is what the device's family reaches unless given.
    With ``latency`` one frame takes the least time, otherwise most come in a second. ``lenient``: if nothing fits the
    device, go on. ``weights`` is ``"fixed"``, or ``"loadable"`` for hardware that takes those of other networks of the
    same shape at run time (:mod:`hwgen.top.loading`), or ``"spram"`` or ``"ultraram"`` for the network's own in such
    RAM, if the device has it, which must be loaded before the first frame; with ``"auto"`` they are fixed unless only
    UltraRAM has room for all of them. ``progress`` is told every step, ``warn`` whatever the user should know. Raises a
    :class:`hwgen.HwgenError` with a line for every problem.
    """
    tell, notes = progress or silent, Notes(warn)
    target = _target(device)
    at = target.clock(clock)
    check_given(target, at, fps, latency, weights, plan)
    outputs, calibration = tuple(outputs), _sources(calibration)
    front = quantised(model, calibration, preparation, input_shape, tell, notes, recipe, outputs, plan)
    front = front.with_weights(weights, plan)
    tell("sizing layers")
    bound = binds(device, multipliers, fps)
    limits: dict[str, Any] = {"multipliers": multipliers, "fps": fps, "clock": at, "plan": plan, "latency": latency}
    chosen = choose_plan(front.network, target, bound=bound, lenient=lenient, weights=weights, **limits)
    if chosen.large and weights not in OWN:
        notes(waiting(chosen))
    asked: dict[str, Any] = {"multipliers": multipliers, "fps": fps, "clock_mhz": clock and at.mhz}
    asked |= {"device": device and target.name, "latency": latency, "weights": weights}
    settings = settings_data(calibration, preparation, recipe, input_shape, outputs, plan, **asked)
    made = identifier(front.network.name), chosen, front.samples, target, at
    design = Design(*made, front, settings, tuple(notes.lines), progress=tell)
    tell("scheduling")
    assert design.schedule.interval  # a step of its own
    return design


def _target(device: str | Device | None) -> Device:
    """The device itself, or the one of that name."""
    return device if isinstance(device, Device) else find_device(device or DEVICE)


def build(
    model: str | Path,
    folder: str | Path,
    projects: Iterable[str] = (),
    board: Board | None = None,
    making: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Design:
    """:func:`compile` with the same settings, check the hardware on a frame, and write everything to ``folder``, with
    the ``projects`` (of :data:`hwgen.projects.PROJECTS`) for vendors' tools; with ``board`` a bitstream, too,
    ``making`` it as :meth:`Design.implemented` says."""
    projects = tuple(projects)
    check_projects(projects, _target(settings.get("device")))
    prepare_yosys(settings.get("progress") or silent)
    design = compile(model, **settings)
    check_connected(projects, design.plan)
    design = design.checked()
    design = design.implemented(board, **making or {}) if board else design
    design.write(folder, projects)
    return design


def prepare_yosys(tell: Progress) -> None:
    """Let Yosys compile itself meanwhile, where it has to."""
    if compile_early():
        tell("compiling Yosys in the background (WebAssembly, once on this machine, minutes of processor time)")


def _sources(calibration: FramesLike | None) -> FramesLike | None:
    """``calibration`` as what can be gone through more than once."""
    if calibration is None or isinstance(calibration, str | Path | np.ndarray):
        return calibration
    return tuple(calibration)
