"""What operators that move, pick or make up elements compute. See :mod:`hwgen.graph.semantics.float_ops`."""

from itertools import accumulate
from typing import Any, Literal

import numpy as np

from hwgen.graph.semantics.resize import resized, taps
from hwgen.graph.semantics.shapes_layout import NUMPY_TYPES, pad_widths, reduced_axes, slice_ranges, split_sizes

Array = np.ndarray
PadMode = Literal["constant", "edge", "reflect", "wrap"]


def concat(*operands: Array, axis: int) -> Array:
    """Constants that are the same for every frame, of a batch of one, are joined to each."""
    frames = max(len(operand) for operand in operands)
    if axis % operands[0].ndim and any(len(operand) != frames for operand in operands):
        operands = tuple(np.broadcast_to(operand, (frames, *operand.shape[1:])) for operand in operands)
    return np.concatenate(operands, axis)


def split(x: Array, sizes: Array | None = None, *, axis: int, num_outputs: int) -> tuple[Array, ...]:
    """Pieces along ``axis``: of ``sizes``, else ``num_outputs`` equal ones, the last smaller if need be."""
    given = None if sizes is None else sizes.reshape(-1)
    ends = list(accumulate(split_sizes(x.shape[axis], given, num_outputs)))
    return tuple(np.split(x, ends[:-1], axis))


def slice_(x: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None) -> Array:
    """``x`` from ``starts`` to ``ends`` in ``steps`` along ``axes``, as in Python."""
    for axis, indices in enumerate(slice_ranges(x.shape, starts, ends, axes, steps)):
        if len(indices) != x.shape[axis] or indices.step != 1:
            x = x.take(indices, axis)
    return x


def pad(x: Array, pads: Array, value: Array | None = None, axes: Array | None = None, *, mode: PadMode) -> Array:
    """``pads`` more elements at begin and end of ``axes``, fewer where negative; made up as ``mode`` says."""
    widths = pad_widths(x.ndim, pads, axes)
    crop = tuple(slice(max(-begin, 0), size - max(-end, 0)) for size, (begin, end) in zip(x.shape, widths, strict=True))
    grow = [(max(begin, 0), max(end, 0)) for begin, end in widths]
    if mode != "constant":
        return np.pad(x[crop], grow, mode)
    return np.pad(x[crop], grow, constant_values=0 if value is None else value.reshape(()))


def resize(
    x: Array, roi: Array | None = None, scales: Array | None = None, sizes: Array | None = None, **settings: Any
) -> Array:
    """Nearest or linear, one dimension after the other."""
    shape, factors = resized(x.shape[:], scales, sizes, **settings)
    coordinates = settings.get("coordinate_transformation_mode", "asymmetric")
    rounding = settings.get("nearest_mode", "floor")
    for axis, (count, factor) in enumerate(zip(shape, factors, strict=True)):
        if factor != 1 or count != x.shape[axis]:
            pairs = taps(x.shape[axis], count, factor, settings["mode"], coordinates, rounding)
            x = _resample(x, axis, pairs)
    return x


def _resample(x: Array, axis: int, pairs: tuple[tuple[Array, Array], ...]) -> Array:
    if len(pairs) == 1:
        return x.take(pairs[0][0], axis)
    shape = [-1 if index == axis else 1 for index in range(x.ndim)]
    return sum(x.take(index, axis) * share.reshape(shape) for index, share in pairs).astype(x.dtype)


def upsample(x: Array, scales: Array, *, mode: str) -> Array:
    """The older form of :func:`resize`: factors alone, pixels counted from their corners."""
    return resize(x, None, scales, mode=mode)


def depth_to_space(x: Array, *, blocksize: int, mode: str) -> Array:
    """[N, C, H, W] to [N, C/b^2, H*b, W*b]: channels become blocks of ``b`` by ``b`` pixels."""
    batch, channels, height, width = x.shape
    rest = channels // blocksize**2
    if mode == "DCR":
        blocks = x.reshape(batch, blocksize, blocksize, rest, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        blocks = x.reshape(batch, rest, blocksize, blocksize, height, width).transpose(0, 1, 4, 2, 5, 3)
    return blocks.reshape(batch, rest, height * blocksize, width * blocksize)


def space_to_depth(x: Array, *, blocksize: int, mode: str) -> Array:
    """[N, C, H, W] to [N, C*b^2, H/b, W/b]: the reverse of :func:`depth_to_space`."""
    batch, channels, height, width = x.shape
    blocks = x.reshape(batch, channels, height // blocksize, blocksize, width // blocksize, blocksize)
    blocks = blocks.transpose((0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4))
    return blocks.reshape(batch, channels * blocksize**2, height // blocksize, width // blocksize)


def shape(x: Array, *, start: int, end: int | None) -> Array:
    """The sizes of dimensions ``start`` to ``end``, int64."""
    return np.array(x.shape[start:end], np.int64)


def constant_of_shape(sizes: Array, *, value: Array | None) -> Array:
    """One number, seen as a whole tensor: weights of structure-only networks take no memory."""
    filling = np.zeros((), np.float32) if value is None else value.reshape(())
    return np.broadcast_to(filling, tuple(sizes.reshape(-1).tolist()))


def gather(x: Array, indices: Array, *, axis: int) -> Array:
    """The elements ``indices`` along ``axis``, whose dimensions stand in its place."""
    return x.take(indices, axis)


def expand(x: Array, sizes: Array) -> Array:
    """``x`` broadcast with a tensor of ``sizes``."""
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(sizes.reshape(-1).tolist())))


def cast(x: Array, *, to: int) -> Array:
    """``x`` in ONNX's type ``to``."""
    return x.astype(NUMPY_TYPES[to])


def cast_like(x: Array, like: Array) -> Array:
    """``x`` in the type of ``like``."""
    return x.astype(like.dtype)


def top_k(x: Array, k: Array, *, axis: int, largest: int, sorted: int) -> tuple[Array, Array]:
    """Among equals the first comes first."""
    count = int(k.reshape(-1)[0])
    keys = x.astype(np.float64) if x.dtype.kind == "f" else x.astype(np.int64)
    order = np.argsort(-keys if largest else keys, axis=axis, kind="stable")
    order = order.take(range(count), axis).astype(np.int64)
    return np.take_along_axis(x, order, axis), order


def reduce_mean(x: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The mean over ``axes``, in the type of ``x``; over all where none are given, unless that means none."""
    dropped = reduced_axes(x.ndim, axes, bool(noop_with_empty_axes))
    return x.mean(dropped, keepdims=bool(keepdims), dtype=x.dtype) if dropped else x


def reduce_sum(x: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The sum over ``axes``; see :func:`reduce_mean`."""
    dropped = reduced_axes(x.ndim, axes, bool(noop_with_empty_axes))
    return x.sum(dropped, keepdims=bool(keepdims), dtype=x.dtype) if dropped else x


def reduce_max(x: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The greatest over ``axes``; see :func:`reduce_mean`."""
    dropped = reduced_axes(x.ndim, axes, bool(noop_with_empty_axes))
    return x.max(dropped, keepdims=bool(keepdims)) if dropped else x
