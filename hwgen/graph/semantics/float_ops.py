"""What each imported ONNX operator computes, in numpy, on batches.

Arguments are operands in ONNX order, keyword arguments the node's complete attributes
(:mod:`hwgen.graph.semantics.operators`). Shapes have been checked before (:mod:`hwgen.graph.semantics.shapes`). This
is the float side: calibration and constants.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwgen.graph.semantics.shapes import resolve_shape
from hwgen.graph.semantics.window import TransposedWindow, Window, counts_padding

Array = np.ndarray


def conv(x: Array, w: Array, b: Array | None = None, *, group: int, kernel_shape: Any, **window: Any) -> Array:
    """Convolution of [N, C, (H,) W] with [M, C/group, (KH,) KW]."""
    patches = _patches(x, window, w.shape[2:], 0)
    w = w.reshape(*w.shape[:2], *patches.shape[3:5])
    if group > 1 and w.shape[1] == 1:
        result = _depthwise(patches, w[:, 0])
    else:
        result = _contracted(patches, np.split(w, group), (2, 3, 1))
    return _channels_first(result if b is None else result + b, x.ndim)


def conv_transpose(
    x: Array, w: Array, b: Array | None = None, *, group: int, kernel_shape: Any, **window: Any
) -> Array:
    """[N, C, (H,) W] with [C, M/group, (KH,) KW]: the convolution of the spread map with the mirrored kernel."""
    spread = TransposedWindow.from_onnx(window, x.shape[2:], w.shape[2:])
    rank = x.ndim
    x, w = (a[:, :, None] if rank == 3 else a for a in (x, w))
    patches = spread.window.patches(spread.spread(x.transpose(0, 2, 3, 1)))
    result = _contracted(patches, np.split(w[:, :, ::-1, ::-1], group), (2, 3, 0))
    return _channels_first(result if b is None else result + b, rank)


def _contracted(patches: Array, kernels: Sequence[Array], axes: Sequence[int]) -> Array:
    """Sums over rows, columns and channels of the windows, of a group of channels for each of ``kernels``.

    Exact enough that a frame's do not depend on the others: in float32 BLAS adds in an order that follows from how many
    there are.
    """
    groups = zip(np.split(patches, len(kernels), axis=-1), kernels, strict=True)
    sums = (np.tensordot(p.astype(np.float64), k.astype(np.float64), ((3, 4, 5), axes)) for p, k in groups)
    return np.concatenate([each.astype(patches.dtype) for each in sums], axis=-1)


def _depthwise(patches: Array, w: Array) -> Array:
    """One tap at a time: [N, OH, OW, KH, KW, C] with [M, KH, KW]."""
    repeats = len(w) // patches.shape[-1]
    taps = ((i, j) for i in range(w.shape[1]) for j in range(w.shape[2]))
    return sum(np.repeat(patches[:, :, :, i, j], repeats, axis=-1) * w[:, i, j] for i, j in taps)


def max_pool(x: Array, *, kernel_shape: Sequence[int], **window: Any) -> Array:
    """The greatest of each window of [N, C, (H,) W]; padding never wins."""
    lowest = -np.inf if np.issubdtype(x.dtype, np.floating) else np.iinfo(x.dtype).min
    return _channels_first(_patches(x, window, kernel_shape, lowest).max(axis=(3, 4)), x.ndim)


def average_pool(x: Array, *, kernel_shape: Sequence[int], count_include_pad: int, **window: Any) -> Array:
    """The mean of each window of [N, C, (H,) W], padding counted where ``count_include_pad`` says so."""
    window["count_include_pad"] = count_include_pad
    total = _patches(x, window, kernel_shape, 0).sum(axis=(3, 4))
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
    counts = _patches(ones, window, kernel_shape, counts_padding(window)).sum(axis=(3, 4))
    return _channels_first(total / counts, x.ndim)


def _patches(x: Array, attributes: dict[str, Any], kernel: Sequence[int], pad_value: float) -> Array:
    window = Window.from_onnx(attributes, x.shape[2:], kernel)
    if x.ndim == 3:
        x = x[:, :, None]
    return window.patches(x.transpose(0, 2, 3, 1), pad_value)


def _channels_first(x: Array, rank: int) -> Array:
    x = x.transpose(0, 3, 1, 2)
    return x if rank == 4 else x[:, :, 0]


def global_average_pool(x: Array) -> Array:
    """The mean of each channel of [N, C, (H,) W], summed in float64."""
    return x.mean(axis=tuple(range(2, x.ndim)), keepdims=True, dtype=np.float64).astype(x.dtype)


def global_max_pool(x: Array) -> Array:
    """The greatest of each channel of [N, C, (H,) W]."""
    return x.max(axis=tuple(range(2, x.ndim)), keepdims=True)


def batch_normalization(x: Array, scale: Array, bias: Array, mean: Array, variance: Array, *, epsilon: float) -> Array:
    """[N, C, ...] along the line of each channel (:func:`batch_normalization_line`)."""
    gain, offset = batch_normalization_line(scale, bias, mean, variance, epsilon)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return (x * gain.reshape(shape) + offset.reshape(shape)).astype(x.dtype)


def batch_normalization_line(
    scale: Array, bias: Array, mean: Array, variance: Array, epsilon: float
) -> tuple[Array, Array]:
    """Inference-time batch normalisation as ``gain * x + offset`` per channel, in float64; NaN where impossible."""
    with np.errstate(all="ignore"):
        gain = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
    return gain, bias - mean * gain


def lrn(x: Array, *, alpha: float, beta: float, bias: float, size: int) -> Array:
    """Local response normalisation over ``size`` neighbouring channels."""
    before = (size - 1) // 2
    width = [(0, 0), (before, size - 1 - before)] + [(0, 0)] * (x.ndim - 2)
    squares = np.pad(x * x, width)
    total = np.lib.stride_tricks.sliding_window_view(squares, size, axis=1).sum(axis=-1)
    return x / (x.dtype.type(bias) + x.dtype.type(alpha / size) * total) ** x.dtype.type(beta)


def gemm(a: Array, b: Array, c: Array | None = None, *, alpha: float, beta: float, transA: int, transB: int) -> Array:
    """``alpha * a @ b + beta * c``, either matrix turned where asked; :func:`matmul`'s sums."""
    product = alpha * matmul(a.T if transA else a, b.T if transB else b)
    return (product if c is None else product + beta * c).astype(a.dtype)


def matmul(a: Array, b: Array) -> Array:
    """Sums as of a convolution."""
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(a.dtype) if a.dtype == np.float32 else a @ b


def flatten(x: Array, *, axis: int) -> Array:
    """The dimensions before ``axis`` as one, those from it on as another."""
    return x.reshape(int(np.prod(x.shape[:axis], dtype=np.int64)), -1)


def reshape(x: Array, shape: Array, *, allowzero: int) -> Array:
    """In ``shape``, in which 0 copies a size (unless ``allowzero``) and -1 is whatever is left."""
    return x.reshape(resolve_shape(x.shape, shape, bool(allowzero)))


def squeeze(x: Array, axes: Array | None = None) -> Array:
    """Without the dimensions ``axes``, all of size 1; without all such where none are given."""
    return np.squeeze(x, None if axes is None else tuple(axes.reshape(-1).tolist()))


def unsqueeze(x: Array, axes: Array) -> Array:
    """With dimensions of size 1 at ``axes`` of the result."""
    return np.expand_dims(x, tuple(axes.reshape(-1).tolist()))


def transpose(x: Array, *, perm: Sequence[int] | None) -> Array:
    """Dimension ``n`` of the result is ``perm[n]`` of ``x``; all reversed without."""
    return x.transpose(perm or None)


def softmax(x: Array, *, axis: int) -> Array:
    """Exponentials along ``axis`` divided by their sum, without overflow."""
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def log_softmax(x: Array, *, axis: int) -> Array:
    """The logarithm of :func:`softmax`, without its loss of digits."""
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def argmax(x: Array, *, axis: int, keepdims: int, select_last_index: int) -> Array:
    """The place of the greatest along ``axis``, int64; of several the first, or the last where asked."""
    if select_last_index:
        index = x.shape[axis] - 1 - np.argmax(np.flip(x, axis), axis=axis, keepdims=True)
    else:
        index = np.argmax(x, axis=axis, keepdims=True)
    return index.astype(np.int64) if keepdims else index.squeeze(axis).astype(np.int64)


def quantize_linear(
    x: Array, scale: Array, zero_point: Array | None = None, *, axis: int, limits: tuple[int, int] | None = None
) -> Array:
    """Division in the type of ``x``, half to even, saturating at ``limits`` where the type holds more than wanted."""
    dtype = np.dtype(np.uint8) if zero_point is None else zero_point.dtype
    zero = 0 if zero_point is None else along_axis(zero_point, x.ndim, axis).astype(np.int64)
    low, high = limits or (np.iinfo(dtype).min, np.iinfo(dtype).max)
    steps = np.rint(x / along_axis(scale, x.ndim, axis)).astype(np.float64) + zero
    return np.clip(steps, low, high).astype(dtype)


def dequantize_linear(
    x: Array, scale: Array, zero_point: Array | None = None, *, axis: int, limits: tuple[int, int] | None = None
) -> Array:
    """``limits`` are where the graph's own integers are clipped; all others lie within."""
    zero = 0 if zero_point is None else along_axis(zero_point, x.ndim, axis).astype(np.int64)
    x = x if limits is None else np.clip(x, *limits)
    return (x.astype(np.int64) - zero).astype(scale.dtype) * along_axis(scale, x.ndim, axis)


def along_axis(parameter: Array, rank: int, axis: int) -> Array:
    """Per-axis parameters shaped to broadcast over a tensor of ``rank``."""
    if parameter.size == 1:
        return parameter.reshape(())
    shape = [1] * rank
    shape[axis] = parameter.size
    return parameter.reshape(shape)
