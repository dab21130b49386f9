"""Designs that the tests of projects share."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import hwgen
from hwgen.projects import PROJECTS
from hwgen.projects.facts import Facts
from hwgen.projects.parts import Part
from hwgen.targets import device

from .. import tiny


@cache
def design(name: str = "tiny", **changes):
    """``tiny``, or ``two``: the same with a map of 4x4x4 as a second result."""
    with TemporaryDirectory() as folder:
        path = tiny.save(Path(folder) / f"{name}.onnx", **changes)
        outputs = ("p", "scores") if name == "two" else ()
        return hwgen.compile(path, calibration=tiny.frames(), multipliers=10, outputs=outputs, warn=lambda line: None)


@cache
def facts(name: str = "tiny", on: str = "xc7z020") -> Facts:
    return Facts.of(replace(design(name), device=device(on)), Part.of(device(on)))


@cache
def files(kind: str, name: str = "tiny", on: str = "xc7z020") -> dict[str, str]:
    """The files of a project, by their place in its folder."""
    return PROJECTS[kind].files(facts(name, on))


def written(folder: Path, kind: str, name: str = "tiny", on: str = "xc7z020") -> Path:
    """A build with a project in it; the folder of the project."""
    core = facts(name, on).verilog.files(name)
    for place, text in {**core, **{f"{kind}/{file}": text for file, text in files(kind, name, on).items()}}.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / kind


def random_frames(count: int, name: str = "tiny") -> np.ndarray:
    """Frames as the model takes them, some beyond what the input holds."""
    shape = (count, *facts(name).network.input_shape)
    return np.random.default_rng(count).uniform(-0.3, 1.4, shape).astype(np.float32)
