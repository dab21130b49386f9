"""What the commands say with ``--json``, as plain values; ``schemas/answers.json`` describes them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.dataflow.fit import FitTable
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.explore import Point
from hwgen.dataflow.stage_synth import StageCounts
from hwgen.device.clocks import Clock
from hwgen.device.targets import Device
from hwgen.flow.design import Design
from hwgen.frames.load import Frames
from hwgen.report.dram import dram_data
from hwgen.report.report import layers_data
from hwgen.simulate.differences import RTL, Difference
from hwgen.simulate.runtime import Comparison
from hwgen.simulate.simulation import Simulation


def build_answer(design: Design, folder: Path) -> dict[str, Any]:
    """Of a design that has been checked and written to ``folder``."""
    report = design.report.data
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {
        "folder": str(folder),
        "files": files,
        "settings": report["settings"],
        **_speed(design.plan, design.clock),
        **_room(design.fit),
        **dram_data(design.plan, design.clock),
        "layers": report["layers"],
        "checked": {**report["check"], "remembered": bool(design.check and design.check.remembered)},
        "board": report["board"],
        "warnings": report["warnings"],
    }


def fit_answer(design: Design, counts: StageCounts | None, table: FitTable, other: Plan | None) -> dict[str, Any]:
    """Of a design with the ``table`` that decides, of what was counted if it was; ``other`` is a plan that fits."""
    layers = layers_data(design)
    answer = _room(table)
    if counts is not None:
        for row in design.fit.rows:
            answer["resources"][row.resource]["estimated"] = row.used
        counted = counts.layers(design.plan)
        layers = [{**layer, "synthesised": asdict(counted[layer["name"]][1])} for layer in layers]
    return {
        **_speed(design.plan, design.clock),
        **answer,
        **dram_data(design.plan, design.clock),
        "layers": layers,
        "fastest_that_fits": other and _speed(other, design.clock),
    }


def _speed(plan: Plan, clock: Clock) -> dict[str, Any]:
    time = schedule(plan)
    return {
        "cycles_per_frame": time.interval,
        "latency_cycles": time.latency,
        "multipliers": plan.multipliers,
        "clock_mhz": clock.mhz,
        "frames_per_second": clock.rate(time.interval),
        "latency_seconds": clock.seconds(time.latency),
    }


def _room(table: FitTable) -> dict[str, Any]:
    rows = {row.resource: {"used": row.used, "available": row.available} for row in table.rows}
    return {"device": table.device.name, "fits": table.fits, "resources": rows}


def simulate_answer(
    result: Simulation, frames: Frames, right: np.ndarray | None, compared: Comparison | None
) -> dict[str, Any]:
    """Of all frames; classes and scores are null where the result is not a vector of scores."""
    classes, scores = result.classes, result.scores.reshape(len(frames), -1)
    answers: list[dict[str, Any]] = [{"frame": name, "class": None, "score": None} for name in frames.names]
    if classes is not None:
        for answer, row, chosen in zip(answers, scores.tolist(), classes.tolist(), strict=True):
            answer |= {"class": chosen, "score": float(row[chosen])}
    timing = result.timing
    return {
        "engine": result.engine,
        "frames": len(frames),
        "answers": answers,
        "outputs": {name: list(values.shape) for name, values in result.results.items()},
        "right": None if classes is None or right is None else int(np.count_nonzero(classes == right)),
        "latency_cycles": timing and timing.latency,
        "cycles_per_frame": timing and timing.interval,
        "comparison": _compared(result.compared, result.mismatches) if result.compared or result.mismatches else None,
        "dram": result.traffic and asdict(result.traffic) | {"equal": result.traffic.equal},
        "onnxruntime": compared and _compared(compared.integers, compared.differences),
    }


def _compared(integers: int, differences: Sequence[Difference]) -> dict[str, Any]:
    """Golden beside hardware, or beside ONNX Runtime."""
    return {"equal": not differences, "integers": integers, "differences": list(map(_difference, differences))}


def _difference(found: Difference) -> dict[str, Any]:
    data = asdict(found)
    who, tensor, integer = (data.pop(name) for name in ("who", "tensor", "found"))
    return data | ({"rtl": integer} if who == RTL else {"tensor": tensor, "runtime": integer})


def explore_answer(points: Sequence[Point], device: Device, clock: Clock, picture: Path) -> dict[str, Any]:
    """Of the Pareto front, which is drawn in ``picture``."""
    found = [
        {
            "multipliers": point.multipliers,
            "products_in_luts": point.in_luts,
            "cycles_per_frame": point.cycles,
            "frames_per_second": point.fps(clock),
            "useful": point.useful,
            "memory_bits": point.memory_bits,
            "bottleneck": point.bottleneck,
        }
        for point in points
    ]
    return {"points": found, "device": device.name, "clock_mhz": clock.mhz, "picture": str(picture)}
