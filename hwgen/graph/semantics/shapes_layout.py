"""Shapes of operators that move, pick or make up elements.

See :mod:`hwgen.graph.semantics.shapes` for the conventions.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwgen.graph.ir import TensorInfo
from hwgen.graph.semantics.resize import resized
from hwgen.graph.semantics.shapes import Operand, axis_index, broadcast_shape

# ONNX's numbers for types (TensorProto.DataType); those of types that are not imported are missing
NUMPY_TYPES: Mapping[int, np.dtype] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
}


def concat(*operands: Operand, axis: int) -> TensorInfo:
    """A batch of one, as of constants, follows that of the others."""
    first = operands[0]
    axis = axis_index(axis, len(first.shape))
    if axis and all(operand.shape for operand in operands):
        frames = max(operand.shape[0] for operand in operands)
        operands = tuple(replace(o, shape=(frames, *o.shape[1:])) if o.shape[0] == 1 else o for o in operands)
        first = operands[0]
    if any(operand.dtype != first.dtype for operand in operands):
        raise ValueError(f"operands of different types, {', '.join(sorted({str(o.dtype) for o in operands}))}")
    rest = {operand.shape[:axis] + operand.shape[axis + 1 :] for operand in operands}
    if len(rest) > 1 or any(len(operand.shape) != len(first.shape) for operand in operands):
        raise ValueError(f"shapes {', '.join(str(list(o.shape)) for o in operands)} do not join along axis {axis}")
    size = sum(operand.shape[axis] for operand in operands)
    return TensorInfo((*first.shape[:axis], size, *first.shape[axis + 1 :]), first.dtype)


def split(x: Operand, sizes: Operand | None = None, *, axis: int, num_outputs: int) -> tuple[TensorInfo, ...]:
    """A piece for each of ``sizes``, else ``num_outputs`` of them, along ``axis``."""
    axis = axis_index(axis, len(x.shape))
    given = None if sizes is None else sizes.integers("sizes")
    return tuple(
        TensorInfo((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)
        for size in split_sizes(x.shape[axis], given, num_outputs)
    )


def split_sizes(total: int, sizes: Iterable[int] | None, count: int) -> list[int]:
    """The pieces a Split makes of ``total``: equal ones, the last smaller if need be, where none are given."""
    if sizes is None:
        if not 1 <= count <= total:
            raise ValueError(f"{total} elements cannot be split into {count}")
        piece = -(-total // count)
        sizes = [min(piece, total - start) for start in range(0, total, piece)]
    sizes = [int(size) for size in sizes]
    if sum(sizes) != total or min(sizes, default=0) < 0 or len(sizes) != count:
        raise ValueError(f"{total} elements cannot be split into {sizes} for {count} results")
    return sizes


def slice_(
    x: Operand, starts: Operand, ends: Operand, axes: Operand | None = None, steps: Operand | None = None
) -> TensorInfo:
    """What is left of each dimension (:func:`slice_ranges`)."""
    settings = [o.integers(what) if o else None for what, o in zip(_SLICE, (starts, ends, axes, steps), strict=True)]
    ranges = slice_ranges(x.shape, *settings)
    return TensorInfo(tuple(len(indices) for indices in ranges), x.dtype)


_SLICE = ("starts", "ends", "axes", "steps")


def slice_ranges(shape: Sequence[int], starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> list[range]:
    """What a Slice takes along each dimension of ``shape``."""
    starts, ends = (np.asarray(value).reshape(-1).tolist() for value in (starts, ends))
    axes = list(range(len(starts))) if axes is None else np.asarray(axes).reshape(-1).tolist()
    steps = [1] * len(starts) if steps is None else np.asarray(steps).reshape(-1).tolist()
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ValueError(f"{len(starts)} starts, {len(ends)} ends, {len(axes)} axes and {len(steps)} steps")
    result = [range(size) for size in shape]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_index(axis, len(shape))
        if step == 0:
            raise ValueError("a step of 0")
        result[axis] = range(*slice(start, end, step).indices(shape[axis]))
    return result


def pad(
    x: Operand, pads: Operand, value: Operand | None = None, axes: Operand | None = None, *, mode: str
) -> TensorInfo:
    """Each dimension with its pads (:func:`pad_widths`); refused where it would be cropped below nothing."""
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise ValueError(f"mode {mode!r} is not one of constant, reflect, edge, wrap")
    if value is not None and math.prod(value.shape) != 1:
        raise ValueError(f"a value of shape {list(value.shape)}; one number pads")
    widths = pad_widths(len(x.shape), pads.integers("pads"), axes.integers("axes") if axes else None)
    shape = tuple(size + begin + end for size, (begin, end) in zip(x.shape, widths, strict=True))
    cropped = any(size + min(begin, 0) + min(end, 0) < 0 for size, (begin, end) in zip(x.shape, widths, strict=True))
    if cropped or (mode != "constant" and math.prod(shape) > 0 == math.prod(x.shape)):
        raise ValueError(f"pads {[list(width) for width in widths]} on shape {list(x.shape)}")
    return TensorInfo(shape, x.dtype)


def pad_widths(rank: int, pads: np.ndarray, axes: np.ndarray | None) -> list[tuple[int, int]]:
    """(begin, end) of each dimension; negative ones crop."""
    sizes = [int(size) for size in np.asarray(pads).reshape(-1)]
    places = list(range(rank)) if axes is None else [axis_index(int(a), rank) for a in np.asarray(axes).reshape(-1)]
    if len(sizes) != 2 * len(places):
        raise ValueError(f"{len(sizes)} pads for {len(places)} dimensions; a begin and an end for each are needed")
    widths = [(0, 0)] * rank
    for index, place in enumerate(places):
        widths[place] = sizes[index], sizes[index + len(places)]
    return widths


def resize(
    x: Operand, roi: Operand | None = None, scales: Operand | None = None, sizes: Operand | None = None, **mode: Any
) -> TensorInfo:
    """By constant scales or sizes (:func:`hwgen.graph.semantics.resize.resized`)."""
    known = (o.constant(what) if o else None for what, o in (("scales", scales), ("sizes", sizes)))
    return TensorInfo(resized(x.shape, *known, **mode)[0], x.dtype)


def upsample(x: Operand, scales: Operand, *, mode: str) -> TensorInfo:
    """As :func:`resize` by scales."""
    return resize(x, None, scales, mode=mode)


def depth_to_space(x: Operand, *, blocksize: int, mode: str) -> TensorInfo:
    """[N, C/b^2, H*b, W*b] of [N, C, H, W], where that divides."""
    x.rank(4)
    if blocksize < 1 or x.shape[1] % (blocksize * blocksize) or mode not in ("DCR", "CRD"):
        raise ValueError(f"blocksize {blocksize}, mode {mode!r} on {x.shape[1]} channels")
    batch, channels, height, width = x.shape
    return TensorInfo((batch, channels // blocksize**2, height * blocksize, width * blocksize), x.dtype)


def space_to_depth(x: Operand, *, blocksize: int, mode: str) -> TensorInfo:
    """[N, C*b^2, H/b, W/b] of [N, C, H, W], where that divides."""
    x.rank(4)
    batch, channels, height, width = x.shape
    if blocksize < 1 or height % blocksize or width % blocksize or mode not in ("DCR", "CRD"):
        raise ValueError(f"blocksize {blocksize}, mode {mode!r} on {height}x{width}")
    return TensorInfo((batch, channels * blocksize**2, height // blocksize, width // blocksize), x.dtype)


def shape(x: Operand, *, start: int, end: int | None) -> TensorInfo:
    """A vector of int64 with a number for each dimension asked for."""
    return TensorInfo((len(x.shape[start:end]),), np.dtype(np.int64))


def constant_of_shape(sizes: Operand, *, value: np.ndarray | None) -> TensorInfo:
    """Of ``sizes``, which must be a constant, in the type of ``value``."""
    wanted = [int(size) for size in sizes.integers("shape")]
    if min(wanted, default=0) < 0 or (value is not None and value.size != 1):
        raise ValueError(f"shape {wanted} filled with {0 if value is None else value.tolist()}")
    return TensorInfo(tuple(wanted), np.dtype(np.float32) if value is None else value.dtype)


def gather(x: Operand, indices: Operand, *, axis: int) -> TensorInfo:
    """The dimensions of ``indices`` in the place of ``axis``; constant indices are checked."""
    axis = axis_index(axis, len(x.shape))
    if indices.dtype.kind not in "iu":
        raise ValueError(f"indices of type {indices.dtype}")
    if indices.value is not None and any(not -x.shape[axis] <= i < x.shape[axis] for i in indices.value.reshape(-1)):
        raise ValueError(f"indices {indices.value.tolist()} on {x.shape[axis]} elements")
    return TensorInfo(x.shape[:axis] + indices.shape + x.shape[axis + 1 :], x.dtype)


def expand(x: Operand, sizes: Operand) -> TensorInfo:
    """What ``x`` and a tensor of constant ``sizes`` broadcast to."""
    wanted = tuple(int(size) for size in sizes.integers("shape"))
    try:
        return TensorInfo(np.broadcast_shapes(x.shape, wanted), x.dtype)
    except ValueError:
        raise ValueError(f"shape {list(x.shape)} does not expand to {list(wanted)}") from None


def cast(x: Operand, *, to: int) -> TensorInfo:
    """As ``x``, in ONNX's type ``to``; refused where that is not imported."""
    if to not in NUMPY_TYPES:
        raise ValueError(f"a cast to ONNX type {to}; {', '.join(str(t) for t in NUMPY_TYPES.values())} are supported")
    return TensorInfo(x.shape, NUMPY_TYPES[to])


def cast_like(x: Operand, like: Operand) -> TensorInfo:
    """As ``x``, in the type of ``like``."""
    return TensorInfo(x.shape, like.dtype)


def top_k(x: Operand, k: Operand, *, axis: int, largest: int, sorted: int) -> tuple[TensorInfo, TensorInfo]:
    """Values in the type of ``x`` and places in int64, ``k``, a constant, along ``axis``."""
    axis = axis_index(axis, len(x.shape))
    count = k.integers("count")
    if count.size != 1 or not 0 <= count[0] <= x.shape[axis]:
        raise ValueError(f"the {count.tolist()} largest of {x.shape[axis]}")
    result = (*x.shape[:axis], int(count[0]), *x.shape[axis + 1 :])
    return TensorInfo(result, x.dtype), TensorInfo(result, np.dtype(np.int64))


def reduce(x: Operand, axes: Operand | None = None, *, keepdims: int, noop_with_empty_axes: int) -> TensorInfo:
    """With size 1 along the axes (:func:`reduced_axes`), or without them."""
    dropped = reduced_axes(len(x.shape), axes.integers("axes") if axes else None, bool(noop_with_empty_axes))
    kept = ((1 if axis in dropped else size) for axis, size in enumerate(x.shape) if keepdims or axis not in dropped)
    return TensorInfo(tuple(kept), x.dtype)


def reduced_axes(rank: int, axes: np.ndarray | None, noop: bool) -> tuple[int, ...]:
    """The axes that a Reduce operator drops: all where none are given, unless ``noop`` says none."""
    if axes is None or not np.asarray(axes).size:
        return () if noop else tuple(range(rank))
    return tuple(sorted({axis_index(int(axis), rank) for axis in np.asarray(axes).reshape(-1)}))


def where(condition: Operand, x: Operand, y: Operand) -> TensorInfo:
    """What all three broadcast to; the condition must be of booleans."""
    if condition.dtype != np.bool_ or x.dtype != y.dtype:
        raise ValueError(f"operands of types {condition.dtype}, {x.dtype} and {y.dtype}")
    return TensorInfo(broadcast_shape(condition, x, y), x.dtype)


def equal(x: Operand, y: Operand) -> TensorInfo:
    """Booleans in the shape that both broadcast to."""
    return TensorInfo(broadcast_shape(x, y), np.dtype(np.bool_))
