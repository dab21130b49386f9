"""Designs that the tests of projects share."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import hwgen
from hwgen.device.targets import device
from hwgen.flow.retraining import Retrained, retrained
from hwgen.projects import PROJECTS
from hwgen.projects.facts import BuildFacts
from hwgen.top.loading import plan_text

from .. import tiny


@cache
def design(name: str = "tiny", **changes):
    """``tiny``, or ``two``: the same with a map of 4x4x4 as a second result. ``loadable`` is ``two`` with weights to
    load, ``waiting`` is ``tiny`` with weights where there are none before, ``narrow`` has 4 bits at its input,
    ``clipped`` clips bytes to them."""
    changes |= {"narrow": {"narrow": True, "clipped": "integers"}[name]} if name in ("narrow", "clipped") else {}
    frames = (9 * tiny.frames()).astype(np.int8) if name == "clipped" else tiny.frames()
    with TemporaryDirectory() as folder:
        path = tiny.save(Path(folder) / f"{name}.onnx", **changes)
        settings = {"outputs": ("p", "scores") if name in ("two", "loadable") else (), "warn": lambda line: None}
        settings |= {"weights": "loadable"} if name == "loadable" else {}
        settings |= {"weights": "spram", "device": "ice40up5k"} if name == "waiting" else {}
        multipliers = 4 if name == "waiting" else 10
        return hwgen.compile(path, calibration=frames, multipliers=multipliers, **settings)


@cache
def other(projects: tuple[str, ...] = tuple(PROJECTS)) -> Retrained:
    """Another network for the hardware of ``loadable``: its convolution and its frames, and so its scales, differ."""
    weight = np.random.default_rng(5).normal(size=(4, 1, 3, 3)).astype(np.float32)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "plan.json").write_text(plan_text(design("loadable").plan), encoding="utf-8")
        for kind in projects:
            (place / kind).mkdir()
        path = tiny.save(place / "other.onnx", weight=weight)
        settings = {"outputs": ("p", "scores"), "warn": lambda line: None}
        return retrained(path, place, calibration=2 * tiny.frames(), **settings)


@cache
def facts(name: str = "tiny", on: str = "xc7z020") -> BuildFacts:
    return BuildFacts(replace(design(name), device=device(on)))


@cache
def files(kind: str, name: str = "tiny", on: str = "xc7z020") -> dict[str, str]:
    """The files of a project, by their place in its folder."""
    return PROJECTS[kind].files(facts(name, on))


def written(folder: Path, kind: str, name: str = "tiny", on: str = "xc7z020") -> Path:
    """A build with a project in it; the folder of the project."""
    core = facts(name, on).made.verilog.files(name)
    for place, text in {**core, **{f"{kind}/{file}": text for file, text in files(kind, name, on).items()}}.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / kind


def random_frames(count: int, name: str = "tiny") -> np.ndarray:
    """Frames as the model takes them, some beyond what the input holds."""
    shape = (count, *facts(name).made.network.input_shape)
    if facts(name).made.network.integer_input:
        return np.random.default_rng(count).integers(-128, 128, shape).astype(np.int8)
    return np.random.default_rng(count).uniform(-0.3, 1.4, shape).astype(np.float32)
