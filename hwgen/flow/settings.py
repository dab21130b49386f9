"""The settings that a design was made with, as plain values for ``report.json``, named as the command's options are."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.frames.inputs import Preparation
from hwgen.graph.quantize.recipe import Recipe

#: Those of the recipe and of the preparation of numbers.
_RECIPE = ("ranges", "equalize", "correct_bias", "wide")
_NUMBERS = ("scale", "mean", "std", "resize")


def settings_data(
    calibration: Any,
    preparation: Preparation,
    recipe: Recipe,
    input_shape: Mapping[str, tuple[int, ...]] | None,
    outputs: Iterable[str],
    plan: str | Path | None,
    **sizing: Any,
) -> dict[str, Any]:
    """What was asked for, None where the default was taken. Of files only the names are told, so that the report is the
    same wherever they lie."""
    data: dict[str, Any] = {"calibration": _sources(calibration)}
    data |= {name: getattr(preparation, name) for name in _NUMBERS}
    data |= {"input_shape": {name: list(shape) for name, shape in (input_shape or {}).items()}}
    data |= {"outputs": list(outputs)} | sizing | {"plan": None if plan is None else Path(plan).name}
    data |= {name: getattr(recipe, name) for name in _RECIPE}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}


def _sources(calibration: Any) -> list[str]:
    """What calibration frames are from."""
    if calibration is None:
        return []
    if isinstance(calibration, np.ndarray):
        return [f"array of {len(calibration)} frames"]
    sources = [calibration] if isinstance(calibration, str | Path) else calibration
    return [Path(source).name for source in sources]
