"""Sums of products for golden models: exact integers in floats, so that they run in BLAS, a cache-full at a time."""

from collections.abc import Iterator

import numpy as np

from hwgen.graph.semantics.window import Window
from hwgen.graph.types import IntType

#: Elements of windows that are copied at a time: they stay in the cache, and memory does not grow with the map.
BLOCK = 1 << 18


def exact_float(weights: np.ndarray, x: IntType) -> type:
    """The float type in which sums of products of ``weights`` are exact, in whatever order they are added."""
    flat = np.abs(weights.reshape(len(weights), -1))
    most = int(flat.sum(axis=1).max()) * max(-x.min, x.max)
    return np.float32 if most < 1 << 24 else np.float64


def window_sums(
    x: np.ndarray, weights: np.ndarray, window: Window, outside: int, exact: type[np.floating]
) -> np.ndarray:
    """Sums [N, OH, OW, OC] over every window of ``x`` [N, H, W, C], with ``outside`` around it.

    ``weights`` are [OC, KH, KW, C]; ``exact`` is a float type that holds every sum of theirs.
    """
    matrix = np.ascontiguousarray(weights.reshape(len(weights), -1).T, exact)
    features, channels = matrix.shape
    patches = window.patches(x, outside, exact)
    sums = np.empty((*patches.shape[:3], channels), exact)
    for block in _blocks(patches.shape, features):
        np.matmul(patches[block].reshape(-1, features), matrix, out=sums[block].reshape(-1, channels))
    return sums


def channel_sums(
    x: np.ndarray, weights: np.ndarray, window: Window, outside: int, exact: type[np.floating]
) -> np.ndarray:
    """Sums [N, OH, OW, C * R] of every channel for itself, one tap of the window after the other.

    ``weights`` are [C * R, KH, KW]: each channel of ``x`` has ``R`` of its own, one after the other.
    """
    patches = window.patches(x, outside, exact)
    repeats = len(weights) // x.shape[3]
    sums = np.empty((*patches.shape[:3], len(weights)), exact)
    taps = [(index, weights[(slice(None), *index)].astype(exact)) for index in np.ndindex(*window.kernel)]
    for block in _blocks(patches.shape, len(weights)):
        part, total = patches[block], sums[block]
        total[:] = 0
        for (row, column), tap in taps:
            values = part[:, :, :, row, column]
            total += (np.repeat(values, repeats, axis=3) if repeats > 1 else values) * tap
    return sums


def _blocks(shape: tuple[int, ...], features: int) -> Iterator[tuple[slice, slice]]:
    """Frames and rows at a time, such that windows of ``features`` elements take no more than BLOCK, or are one row.

    Whole frames, or rows of one frame: either way what they are written to is contiguous.
    """
    frames, rows, columns = shape[:3]
    at_once = max(BLOCK // max(columns * features, 1), 1)
    if at_once < rows:
        yield from ((slice(n, n + 1), slice(r, r + at_once)) for n in range(frames) for r in range(0, rows, at_once))
        return
    step = at_once // max(rows, 1)
    yield from ((slice(n, n + step), slice(None)) for n in range(0, frames, step))
