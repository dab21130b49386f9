"""Pixels abreast: rows of a map in beats of several pixels, and windows over them that are worked on at once.

A beat of ``P`` pixels of a row, each with all its channels, is a pixel of a map that is ``P`` times narrower and has
``P`` times the channels: streams, queues and forks need nothing else. Windows do: those that begin in the same beat are
taken out of one window of the narrower map, each its own columns of it.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap

from .raster import SHARED


@dataclass(frozen=True)
class Abreast:
    """``pixels`` of a row come in a beat. A window over such beats holds several over pixels: ``columns`` says of each
    in which its taps are, counted in pixels from the left."""

    pixels: int
    columns: tuple[tuple[int, ...], ...]

    @property
    def positions(self) -> int:
        """Windows over pixels in a window over beats."""
        return len(self.columns)

    @property
    def taps(self) -> int:
        """Taps of a row of each of them."""
        return len(self.columns[0])

    def held(self, beats: int) -> int:
        """Pixels that a row of so many beats keeps while it slides: from where they come in, the right end, to where
        they are of use for the last time."""
        used = sorted((column for row in self.columns for column in row), reverse=True)
        last = {column % self.pixels: column // self.pixels for column in used}
        return sum(beats - beat for beat in last.values())


class WideWindow(NamedTuple):
    """``window`` over ``map``, whose pixels are several abreast; ``output`` is what comes of it, abreast as well."""

    map: FeatureMap
    window: Window
    output: FeatureMap
    abreast: Abreast


@lru_cache(SHARED)
def widened(source: FeatureMap, window: Window, output: FeatureMap, pixels: int) -> WideWindow | None:
    """``window`` over ``source`` in beats of so many ``pixels``; None where these do not divide a row, or the windows
    that begin in a beat are not as many in each or do not divide a row of ``output``."""
    stride, dilation, taps = window.strides[1], window.dilations[1], window.kernel[1]
    if source.width % pixels or (pixels % stride and stride % pixels):
        return None
    positions, step = max(pixels // stride, 1), max(stride // pixels, 1)
    if output.width % positions:
        return None
    top, left, bottom, _ = window.pads
    before = -(-left // pixels)
    starts = [before * pixels - left + stride * n for n in range(positions)]
    columns = tuple(tuple(start + dilation * tap for tap in range(taps)) for start in starts)
    across, width, rows = columns[-1][-1] // pixels + 1, source.width // pixels, output.width // positions
    behind = max((rows - 1) * step + across - before - width, 0)
    wide = Window(
        (window.kernel[0], across), (window.strides[0], step), (window.dilations[0], 1), (top, before, bottom, behind)
    )
    if wide.output_size(source.height, width) != (output.height, rows):
        return None
    return WideWindow(
        replace(source, width=width, channels=source.channels * pixels),
        wide,
        replace(output, width=rows, channels=output.channels * positions),
        Abreast(pixels, columns),
    )
