"""Ranges of activations, observed on calibration frames."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np

from .errors import InputError, ModelError, Problems
from .float_model import run_float
from .ir import Graph

Range = tuple[float, float]
BINS = 2048
LEVELS = 255  # steps between the ends of an 8-bit range
TAIL = 1e-4  # share of the numbers that the percentile method may cut off, both ends together
CHUNK_BYTES = 1 << 28  # of activations held at a time


def minmax(counts: np.ndarray, edges: np.ndarray) -> Range:
    """Everything that was seen."""
    return float(edges[0]), float(edges[-1])


def percentile(counts: np.ndarray, edges: np.ndarray) -> Range:
    """All but the outermost ``TAIL`` of the numbers."""
    share = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    low, high = np.interp([TAIL / 2, 1 - TAIL / 2], share, edges)
    return float(low), float(high)


def mse(counts: np.ndarray, edges: np.ndarray) -> Range:
    """The range, cut at both ends by the same factor, with the least squared error of quantisation."""
    centres = (edges[:-1] + edges[1:]) / 2
    errors = []
    factors = np.linspace(1.0, 0.3, 71)
    for factor in factors:
        low, high = min(0.0, edges[0] * factor), max(0.0, edges[-1] * factor)
        step = max(high - low, np.finfo(np.float32).tiny) / LEVELS
        nearest = np.clip(np.rint(centres / step) * step, low, high)
        errors.append((counts * (nearest - centres) ** 2).sum())
    best = factors[int(np.argmin(errors))]
    return float(edges[0] * best), float(edges[-1] * best)


METHODS: Mapping[str, Callable[[np.ndarray, np.ndarray], Range]] = MappingProxyType(
    {"minmax": minmax, "percentile": percentile, "mse": mse}
)


def observe(graph: Graph, frames: np.ndarray, tensors: Iterable[str], method: str) -> dict[str, Range]:
    """Range of each of ``tensors`` over ``frames`` [N, ...], zero not necessarily included.

    Raises InputError for an unknown method or unusable frames, ModelError where activations overflow.
    """
    if method not in METHODS:
        raise InputError(f"calibration method {method!r} is unknown; choose one of {', '.join(METHODS)}")
    frames = np.asarray(frames)
    if len(frames) == 0 or not np.isfinite(frames).all():
        raise InputError("calibration frames must be one or more, of finite numbers")
    tensors = tuple(tensors)
    extremes = _extremes(graph, frames, tensors)
    if method == "minmax":
        return extremes
    counts = _counts(graph, frames, extremes)
    return {
        name: METHODS[method](counts[name], _edges(extremes[name])) if counts[name].any() else extremes[name]
        for name in tensors
    }


def _extremes(graph: Graph, frames: np.ndarray, tensors: tuple[str, ...]) -> dict[str, Range]:
    ranges = dict.fromkeys(tensors, (np.inf, -np.inf))
    for values in _chunks(graph, frames):
        for name, (low, high) in ranges.items():
            ranges[name] = min(low, float(values[name].min())), max(high, float(values[name].max()))
    problems = Problems(ModelError)
    for name, ends in ranges.items():
        if not np.isfinite(ends).all():
            problems.add(f"tensor {name!r} overflows on the calibration frames; check their scale")
    problems.raise_any()
    return ranges


def _counts(graph: Graph, frames: np.ndarray, extremes: Mapping[str, Range]) -> dict[str, np.ndarray]:
    """A histogram for each tensor, between its extremes."""
    counts = {name: np.zeros(BINS) for name in extremes}
    for values in _chunks(graph, frames):
        for name, (low, high) in extremes.items():
            if low < high:
                counts[name] += np.histogram(values[name], bins=_edges((low, high)))[0]
    return counts


def _edges(extremes: Range) -> np.ndarray:
    return np.linspace(*extremes, BINS + 1)


def _chunks(graph: Graph, frames: np.ndarray) -> Iterable[dict[str, np.ndarray]]:
    """Every tensor, for as many frames at a time as memory allows."""
    size = sum(4 * np.prod(info.shape) for info in graph.tensors.values())
    step = int(np.clip(CHUNK_BYTES // max(size, 1), 1, 64))
    for start in range(0, len(frames), step):
        yield run_float(graph, {graph.inputs[0]: frames[start : start + step]})
