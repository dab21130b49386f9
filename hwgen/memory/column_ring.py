"""A window buffer of line memories and a ring behind them: a column of words a cycle, one of each row of the kernel."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from amaranth.lib import data, wiring

from hwgen.cost.actor import Actor
from hwgen.cost.logic import Logic
from hwgen.cost.needs import MemoryNeed
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap

from .columns import ColumnBuffer, line_actor, line_logic, line_memories, lines_fit, slide_raster
from .raster import SHARED, Raster, map_raster
from .ring import Ring


@lru_cache(SHARED)
def column_rasters(raster: Raster) -> tuple[Raster, Raster]:
    """``raster`` taken apart: windows of a single column, and windows of a single row over what these give."""
    window = raster.window
    top, left, bottom, right = window.pads
    down = Window((window.kernel[0], 1), (window.strides[0], 1), (window.dilations[0], 1), (top, 0, bottom, 0))
    across = Window((1, window.kernel[1]), (1, window.strides[1]), (1, window.dilations[1]), (0, left, 0, right))
    lines = replace(raster, window=down)
    return lines, replace(raster, height=lines.outputs[0], window=across)


@dataclass(frozen=True)
class ColumnRing(Ring):
    """A :class:`Ring` of columns; padding above and below is put in by the line memories."""

    @classmethod
    def words(cls, window: Window) -> int:
        return window.kernel[0]

    @classmethod
    def fits(cls, map_: FeatureMap, window: Window, lanes: int) -> bool:
        return lines_fit(map_, window, lanes)

    @classmethod
    def suits(cls, map_: FeatureMap, window: Window, lanes: int) -> bool:
        return cls.words(window) > 1 and cls.fits(map_, window, lanes)

    @classmethod
    def pixels(cls, map_: FeatureMap, window: Window) -> int:
        rows, columns = slide_raster(column_rasters(map_raster(map_, window, map_.channels))[0])
        return rows * columns

    @cached_property
    def lines(self) -> Raster:
        """What the line memories see."""
        return column_rasters(self.raster)[0]

    @cached_property
    def ring(self) -> Raster:
        return column_rasters(self.raster)[1]

    def issued(self, weights: np.ndarray) -> np.ndarray:
        lanes = self.lanes // self.cut.parallel
        return weights.reshape(*weights.shape[:3], -1, lanes).transpose(0, 2, 3, 1, 4)

    @property
    def queue(self) -> int:
        """Places in the queue of columns."""
        return ColumnBuffer.QUEUE

    @property
    def logic(self) -> Logic:
        return line_logic(self.lines, self.word, self.queue) + super().logic

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        return (*line_memories(self.lines, self.word, self.queue), *super().memories)

    @property
    def front(self) -> tuple[Actor, ...]:
        return (line_actor(self.lines, self.queue),)

    def parts(self, layout: data.ArrayLayout) -> list[tuple[str, wiring.Component]]:
        columns = ColumnBuffer(layout, self.lines, self.padding, self.queue)
        return [("columns", columns), *super().parts(columns.o.payload.shape())]
