"""Warnings to whoever calls hwgen from Python."""

import sys
import warnings
from pathlib import Path
from types import FrameType

_PACKAGE = str(Path(__file__).parents[1])


def warn_caller(line: str) -> None:
    """Warn of ``line`` at the line of the caller's program that is on its way through hwgen, not at one of ours."""
    frame: FrameType | None = sys._getframe()
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(line, stacklevel=level)
