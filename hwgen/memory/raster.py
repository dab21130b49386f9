"""Which words of a raster-order frame a window needs, and which it sets free: plain numbers, no hardware."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap

#: Results kept: the foldings of a layer share them.
SHARED = 64


@dataclass(frozen=True)
class Raster:
    """A map of ``height`` x ``width`` pixels, each of ``words`` beats, and a window that moves over it."""

    height: int
    width: int
    words: int
    window: Window

    @property
    def frame_words(self) -> int:
        """Words of a map."""
        return self.height * self.width * self.words

    @property
    def outputs(self) -> tuple[int, int]:
        """Rows and columns of windows."""
        return self.window.output_size(self.height, self.width)

    @property
    def positions(self) -> int:
        """Windows of a map."""
        return self.outputs[0] * self.outputs[1]

    @cached_property
    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Row of the topmost and column of the leftmost tap of each window, padding being negative."""
        rows, columns = (np.arange(n, dtype=np.int64) for n in self.outputs)
        (down, across), (top, left) = self.window.strides, self.window.pads[:2]
        return rows * down - top, columns * across - left

    @cached_property
    def need(self) -> np.ndarray:
        """Words of the frame that must have arrived for each position [OH, OW]; never falls."""
        y, x = self.corners
        last_y = np.clip(y + self.window.extent[0] - 1, 0, self.height - 1)[:, None]
        last_x = np.clip(x + self.window.extent[1] - 1, 0, self.width - 1)[None, :]
        need = (last_y * self.width + last_x + 1) * self.words
        return np.maximum.accumulate(need.ravel()).reshape(need.shape)

    @cached_property
    def release(self) -> np.ndarray:
        """Words of the frame that no later position needs [OH, OW]; ends with the whole frame."""
        y, x = self.corners
        first = np.maximum(y, 0)[:, None] * self.width + np.clip(x, 0, self.width)[None, :]
        first = np.minimum(first * self.words, self.frame_words)
        later = np.append(first.ravel()[1:], self.frame_words)
        return np.minimum.accumulate(later[::-1])[::-1].reshape(first.shape)

    @cached_property
    def span(self) -> int:
        """The most words a position needs at once: the least buffer that does not deadlock."""
        before = np.append(0, self.release.ravel()[:-1])
        return int((self.need.ravel() - before).max())

    @property
    def need_steps(self) -> np.ndarray:
        """``need`` as increments from position to position, going round from frame to frame [OH, OW]."""
        need = self.need.ravel()
        return np.diff(need, prepend=need[-1] - self.frame_words).reshape(self.need.shape)

    @property
    def release_steps(self) -> np.ndarray:
        """``release`` as increments [OH, OW]."""
        return np.diff(self.release.ravel(), prepend=0).reshape(self.release.shape)


@lru_cache(SHARED)
def map_raster(map_: FeatureMap, window: Window, lanes: int) -> Raster:
    """``window`` over ``map_`` in beats of ``lanes``."""
    return Raster(map_.height, map_.width, map_.channels // lanes, window)
