"""Where files are: those of the repository, and real models and data, which are kept outside it; tests that need these
skip where they are absent."""

import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"

_FOLDER = Path(os.environ.get("HWGEN_SHARED", ROOT.parent / "shared"))


def model(name: str) -> Path:
    """Path of a model file in the shared folder; skips the test where it is absent."""
    return _existing(_FOLDER / "models" / name)


def case(name: str) -> Path:
    """Path of an input that once failed, in the shared folder; skips the test where it is absent."""
    return _existing(_FOLDER / "cases" / name)


def data(name: str) -> Path:
    """Path of a data file in the shared folder; skips the test where it is absent."""
    return _existing(_FOLDER / "data" / name)


def arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file, which is closed again."""
    with np.load(path) as loaded:
        return dict(loaded)


def _existing(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"{path} is absent; set HWGEN_SHARED to the folder that holds models/ and data/")
    return path
