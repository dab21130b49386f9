"""Ranges of activations, observed on calibration frames."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np

from hwgen.graph.batch import batches
from hwgen.graph.errors import InputError, ModelError, Problems, quoted
from hwgen.graph.ir import Graph
from hwgen.graph.semantics.float_model import run_float

Range = tuple[float, float]
BINS = 2048
LEVELS = 255  # steps between the ends of an 8-bit range
TAIL = 1e-4  # share of the numbers that the percentile method may cut off, both ends together
FACTORS = np.linspace(1.0, 0.3, 71)  # by which the methods that search cut a range
TINY = 1e-9  # the least share of a distribution
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
    for factor in FACTORS:
        low, high = _cut(edges, factor)
        step = max(high - low, float(np.finfo(np.float32).tiny)) / LEVELS
        nearest = np.clip(np.rint(centres / step) * step, low, high)
        errors.append((counts * (nearest - centres) ** 2).sum())
    return _cut(edges, FACTORS[int(np.argmin(errors))])


def entropy(counts: np.ndarray, edges: np.ndarray) -> Range:
    """The range, cut likewise, whose steps keep most of the distribution: the least Kullback-Leibler divergence.

    Zero is a step in every range, and many numbers are zero behind a Relu; their bin does not count.
    """
    centres = (edges[:-1] + edges[1:]) / 2
    counts = np.where((edges[:-1] <= 0) & (edges[1:] > 0), 0, counts)
    divergences = []
    if not counts.any():
        return minmax(counts, edges)
    for factor in FACTORS:
        low, high = _cut(edges, factor)
        inside = (low <= centres) & (centres <= high)
        kept = counts[inside]
        clipped = kept.copy()
        clipped[0] += counts[centres < low].sum()
        clipped[-1] += counts[centres > high].sum()
        step = np.rint((centres[inside] - low) / (high - low) * LEVELS).astype(np.int64)
        used = np.bincount(step, kept > 0)
        level = (np.bincount(step, kept) / np.maximum(used, 1))[step] * (kept > 0)
        divergences.append(_divergence(clipped, level))
    return _cut(edges, FACTORS[int(np.argmin(divergences))])


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Of the distribution ``q`` from ``p``, both as counts; what ``q`` has not at all costs as much as a tiny share."""
    p, q = p / p.sum(), np.maximum(q / max(q.sum(), 1), TINY)
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / q[seen])).sum())


def _cut(edges: np.ndarray, factor: float) -> Range:
    """The range of a histogram, with zero in it, cut at both ends."""
    return min(0.0, float(edges[0]) * factor), max(0.0, float(edges[-1]) * factor)


METHODS: Mapping[str, Callable[[np.ndarray, np.ndarray], Range]] = MappingProxyType(
    {"minmax": minmax, "percentile": percentile, "entropy": entropy, "mse": mse}
)


def observe(graph: Graph, frames: np.ndarray, tensors: Iterable[str], method: str) -> dict[str, Range]:
    """Range of each of ``tensors`` over ``frames`` [N, ...], zero not necessarily included.

    ``method`` is one of :data:`METHODS`. Raises InputError for unusable frames, ModelError where activations overflow.
    """
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
    for values in chunks(graph, frames):
        for name, (low, high) in ranges.items():
            ranges[name] = min(low, float(values[name].min())), max(high, float(values[name].max()))
    problems = Problems(ModelError)
    for name, ends in ranges.items():
        if not np.isfinite(ends).all():
            problems.add(f"tensor {quoted(name)} overflows on the calibration frames; check their scale")
    problems.raise_any()
    return ranges


def _counts(graph: Graph, frames: np.ndarray, extremes: Mapping[str, Range]) -> dict[str, np.ndarray]:
    """A histogram for each tensor, between its extremes."""
    counts = {name: np.zeros(BINS) for name in extremes}
    for values in chunks(graph, frames):
        for name, (low, high) in extremes.items():
            if low < high:
                counts[name] += np.histogram(values[name], bins=BINS, range=(low, high))[0]
    return counts


def _edges(extremes: Range) -> np.ndarray:
    return np.linspace(*extremes, BINS + 1)


def chunks(graph: Graph, frames: np.ndarray) -> Iterable[dict[str, np.ndarray]]:
    """Every tensor, for as many frames at a time as memory allows."""
    size = sum(4 * np.prod(info.shape) for info in graph.tensors.values())
    step = int(np.clip(CHUNK_BYTES // max(size, 1), 1, 64))
    for part in batches(graph, frames, step):
        yield run_float(graph, {graph.inputs[0]: part})
