"""Shape and type of each operator's result, from those of its operands.

Pure Python on purpose: a corrupted file meets ValueError here and not a native library. Function names are those of
:mod:`hwgen.graph.semantics.float_ops`; arguments are operands in ONNX order, keyword arguments the node's complete
attributes. Every function raises ValueError, saying what does not fit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.graph.ir import TensorInfo
from hwgen.graph.semantics.window import LIMIT, TransposedWindow, Window


@dataclass(frozen=True)
class Operand:
    """What is known of an operand before anything runs; ``value`` only of constants."""

    shape: tuple[int, ...]
    dtype: np.dtype
    value: np.ndarray | None = None

    def constant(self, what: str) -> np.ndarray:
        """Its value; ValueError, calling it ``what``, where it is known only at run time."""
        if self.value is None:
            raise ValueError(f"its {what} must be a constant")
        return self.value

    def integers(self, what: str) -> np.ndarray:
        """The values of a constant of whole numbers, as a vector."""
        value = self.constant(what)
        if value.dtype.kind not in "iu":
            raise ValueError(f"its {what} must be whole numbers, not of type {value.dtype}")
        return value.reshape(-1)

    def rank(self, *allowed: int) -> int:
        """Its number of dimensions; ValueError where that is none of ``allowed``."""
        if len(self.shape) not in allowed:
            ranks = " or ".join(map(str, allowed))
            raise ValueError(f"an operand of shape {list(self.shape)}; {ranks} dimensions are supported")
        return len(self.shape)


def same(x: Operand, *_: Operand, **__: Any) -> TensorInfo:
    """Element-wise operators with one tensor operand."""
    return TensorInfo(x.shape, x.dtype)


def dropout(x: Operand, ratio: Operand | None = None, training: Operand | None = None) -> TensorInfo:
    """As ``x``; refused in training mode."""
    if training is not None and training.constant("training mode").any():
        raise ValueError("it is in training mode; export the model for inference")
    return TensorInfo(x.shape, x.dtype)


def bit_shift(x: Operand, y: Operand, *, direction: str) -> TensorInfo:
    """As :func:`broadcast`; refused in another direction than left and right."""
    if direction not in ("LEFT", "RIGHT"):
        raise ValueError(f"a shift {direction!r}; it is LEFT or RIGHT")
    return broadcast(x, y)


def broadcast(x: Operand, *others: Operand) -> TensorInfo:
    """The shape that all broadcast to, in their common type."""
    for y in others:
        if x.dtype != y.dtype:
            raise ValueError(f"operands of different types, {x.dtype} and {y.dtype}")
    return TensorInfo(broadcast_shape(x, *others), x.dtype)


def broadcast_shape(*operands: Operand) -> tuple[int, ...]:
    """What shapes broadcast to, as numpy's; ValueError where they do not."""
    try:
        return np.broadcast_shapes(*(operand.shape for operand in operands))
    except ValueError:
        shapes = " and ".join(str(list(operand.shape)) for operand in operands)
        raise ValueError(f"shapes {shapes} do not broadcast") from None


def power(x: Operand, y: Operand) -> TensorInfo:
    """The shape that both broadcast to, in the type of ``x``."""
    return TensorInfo(broadcast_shape(x, y), x.dtype)


def prelu(x: Operand, slope: Operand) -> TensorInfo:
    """As ``x``, to which the slopes must broadcast."""
    result = broadcast(x, slope)
    if result.shape != x.shape:
        raise ValueError(f"slopes of shape {list(slope.shape)} on shape {list(x.shape)}")
    return result


def conv(x: Operand, w: Operand, b: Operand | None = None, *, group: int, **window: Any) -> TensorInfo:
    """[N, M, (OH,) OW] of [N, C, (H,) W] and weights [M, C/group, (KH,) KW]."""
    rank = x.rank(3, 4)
    if len(w.shape) != rank or group < 1 or w.shape[0] % group or w.shape[1] * group != x.shape[1]:
        raise ValueError(
            f"weights of shape {list(w.shape)} with group {group} on {x.shape[1]} channels; "
            "nodes are missing in front of it, or its layout is another: export the model again"
        )
    _check_layer(w, b, w.shape[0], window.pop("kernel_shape"))
    return _windowed(x, w.shape[2:], w.shape[0], window)


def conv_transpose(x: Operand, w: Operand, b: Operand | None = None, *, group: int, **window: Any) -> TensorInfo:
    """[N, M, (OH,) OW] of [N, C, (H,) W] and weights [C, M/group, (KH,) KW]."""
    rank = x.rank(3, 4)
    if len(w.shape) != rank or group < 1 or x.shape[1] % group or w.shape[0] != x.shape[1]:
        raise ValueError(f"weights of shape {list(w.shape)} with group {group} on {x.shape[1]} channels")
    channels = w.shape[1] * group
    _check_layer(w, b, channels, window.pop("kernel_shape"))
    size = TransposedWindow.from_onnx(window, x.shape[2:], w.shape[2:]).output_size(*_two(x.shape[2:]))
    return TensorInfo((x.shape[0], channels, *size[4 - rank :]), x.dtype)


def _check_layer(w: Operand, b: Operand | None, channels: int, kernel: Sequence[int] | None) -> None:
    if kernel and tuple(kernel) != w.shape[2:]:
        raise ValueError(f"kernel_shape {list(kernel)} with weights of shape {list(w.shape)}")
    if b is not None and b.shape != (channels,):
        raise ValueError(f"a bias of shape {list(b.shape)} for {channels} output channels")


def _two(spatial: tuple[int, ...]) -> tuple[int, ...]:
    return (1, *spatial) if len(spatial) == 1 else spatial


def pool(x: Operand, *, kernel_shape: Sequence[int], **window: Any) -> TensorInfo:
    """[N, C, (OH,) OW] of [N, C, (H,) W]."""
    x.rank(3, 4)
    return _windowed(x, kernel_shape, x.shape[1], window)


def _windowed(x: Operand, kernel: Sequence[int], channels: int, attributes: dict[str, Any]) -> TensorInfo:
    spatial = x.shape[2:]
    window = Window.from_onnx(attributes, spatial, kernel)
    size = window.output_size(*_two(spatial))
    return TensorInfo((x.shape[0], channels, *size[2 - len(spatial) :]), x.dtype)


def global_pool(x: Operand) -> TensorInfo:
    """[N, C, (1,) 1] of [N, C, (H,) W]."""
    x.rank(3, 4)
    return TensorInfo(x.shape[:2] + (1,) * (len(x.shape) - 2), x.dtype)


def lrn(x: Operand, *, alpha: float, beta: float, bias: float, size: int) -> TensorInfo:
    """As ``x``, [N, C, (H,) W]; ``size`` within limits."""
    x.rank(3, 4)
    if not 1 <= size <= LIMIT:
        raise ValueError(f"size {size}")
    return TensorInfo(x.shape, x.dtype)


def batch_normalization(x: Operand, *parameters: Operand, epsilon: float) -> TensorInfo:
    """As ``x``, [N, C, ...], with a number a channel of each parameter."""
    x.rank(2, 3, 4)
    if any(parameter.shape != (x.shape[1],) for parameter in parameters):
        shapes = ", ".join(str(list(parameter.shape)) for parameter in parameters)
        raise ValueError(f"parameters of shapes {shapes} on {x.shape[1]} channels")
    if epsilon < 0:
        raise ValueError(f"epsilon {epsilon} is negative")
    return TensorInfo(x.shape, x.dtype)


def gemm(
    a: Operand, b: Operand, c: Operand | None = None, *, alpha: float, beta: float, transA: int, transB: int
) -> TensorInfo:
    """[rows, columns] of two matrices, either turned where asked; the bias must broadcast to that."""
    a.rank(2), b.rank(2)
    rows, inner = a.shape[::-1] if transA else a.shape
    features, columns = b.shape[::-1] if transB else b.shape
    if inner != features:
        raise ValueError(f"matrices of shapes {list(a.shape)} and {list(b.shape)} do not multiply")
    info = TensorInfo((rows, columns), a.dtype)
    if c is not None and broadcast(c, Operand(info.shape, c.dtype)).shape != info.shape:
        raise ValueError(f"a bias of shape {list(c.shape)} on a result of shape {list(info.shape)}")
    return info


def matmul(a: Operand, b: Operand) -> TensorInfo:
    """As numpy's: a vector is a row on the left and a column on the right, and leaves no dimension of one."""
    if not a.shape or not b.shape or a.shape[-1] != b.shape[-2:][0]:
        raise ValueError(f"matrices of shapes {list(a.shape)} and {list(b.shape)} do not multiply")
    batch = broadcast(Operand(a.shape[:-2], a.dtype), Operand(b.shape[:-2], b.dtype)).shape
    return TensorInfo((*batch, *a.shape[-2:-1], *(b.shape[-1:] if len(b.shape) > 1 else ())), a.dtype)


def flatten(x: Operand, *, axis: int) -> TensorInfo:
    """[dimensions before ``axis`` multiplied, those from it on multiplied]."""
    cut = axis_index(axis, len(x.shape) + 1) if axis >= 0 else axis_index(axis, len(x.shape))
    return TensorInfo((math.prod(x.shape[:cut]), math.prod(x.shape[cut:])), x.dtype)


def reshape(x: Operand, shape: Operand, *, allowzero: int) -> TensorInfo:
    """As :func:`resolve_shape` says."""
    return TensorInfo(resolve_shape(x.shape, shape.integers("shape"), bool(allowzero)), x.dtype)


def resolve_shape(old: tuple[int, ...], wanted: np.ndarray, allowzero: bool) -> tuple[int, ...]:
    """A Reshape's target with 0 (copy) and -1 (whatever is left) filled in."""
    sizes = [int(size) for size in np.asarray(wanted).reshape(-1)]
    shape = [
        old[index] if size == 0 and not allowzero and index < len(old) else size for index, size in enumerate(sizes)
    ]
    known = math.prod(size for size in shape if size != -1)
    if shape.count(-1) == 1 and known > 0:
        shape[shape.index(-1)] = math.prod(old) // known
    if min(shape, default=1) < 0 or math.prod(shape) != math.prod(old):
        raise ValueError(f"shape {list(old)} cannot become {sizes}")
    return tuple(shape)


def squeeze(x: Operand, axes: Operand | None = None) -> TensorInfo:
    """Without ``axes``, which must be of size 1; without all such where none are given."""
    rank = len(x.shape)
    if axes is None:
        dropped = {index for index, size in enumerate(x.shape) if size == 1}
    else:
        dropped = {axis_index(int(axis), rank) for axis in axes.integers("axes")}
    if any(x.shape[index] != 1 for index in dropped):
        raise ValueError(f"axes {sorted(dropped)} of shape {list(x.shape)} are not all 1")
    return TensorInfo(tuple(size for index, size in enumerate(x.shape) if index not in dropped), x.dtype)


def unsqueeze(x: Operand, axes: Operand) -> TensorInfo:
    """With dimensions of size 1 at ``axes`` of the result, each once."""
    added = axes.integers("axes")
    rank = len(x.shape) + len(added)
    places = {axis_index(int(axis), rank) for axis in added}
    if len(places) != len(added):
        raise ValueError(f"axes {added.tolist()} repeat")
    sizes = iter(x.shape)
    return TensorInfo(tuple(1 if index in places else next(sizes) for index in range(rank)), x.dtype)


def transpose(x: Operand, *, perm: Sequence[int] | None) -> TensorInfo:
    """The dimensions in the order of ``perm``, which must be one of all; reversed without."""
    perm = perm or tuple(reversed(range(len(x.shape))))
    if sorted(perm) != list(range(len(x.shape))):
        raise ValueError(f"perm {list(perm)} on shape {list(x.shape)}")
    return TensorInfo(tuple(x.shape[index] for index in perm), x.dtype)


def softmax(x: Operand, *, axis: int) -> TensorInfo:
    """As ``x``, which must have ``axis``."""
    axis_index(axis, len(x.shape))
    return TensorInfo(x.shape, x.dtype)


def argmax(x: Operand, *, axis: int, keepdims: int, select_last_index: int) -> TensorInfo:
    """int64, with size 1 along ``axis``, or without it."""
    axis = axis_index(axis, len(x.shape))
    kept = (1,) if keepdims else ()
    return TensorInfo(x.shape[:axis] + kept + x.shape[axis + 1 :], np.dtype(np.int64))


def quantize_linear(
    x: Operand, scale: Operand, zero_point: Operand | None = None, *, axis: int, limits: Any
) -> TensorInfo:
    """As ``x``, in the type of the zero point, an integer; uint8 without."""
    if zero_point is not None and zero_point.dtype.kind not in "iu":
        raise ValueError(f"a zero point of type {zero_point.dtype}; numbers are quantised to integers")
    _quantization(x, scale, zero_point, axis)
    return TensorInfo(x.shape, zero_point.dtype if zero_point else np.dtype(np.uint8))


def dequantize_linear(
    x: Operand, scale: Operand, zero_point: Operand | None = None, *, axis: int, limits: Any
) -> TensorInfo:
    """As ``x``, which must be of integers, in the type of the scale."""
    if not np.issubdtype(x.dtype, np.integer):
        raise ValueError(f"an operand of type {x.dtype}; integers are dequantised")
    if zero_point is not None and zero_point.dtype != x.dtype:
        raise ValueError(f"a zero point of type {zero_point.dtype} for integers of type {x.dtype}")
    _quantization(x, scale, zero_point, axis)
    return TensorInfo(x.shape, scale.dtype)


def _quantization(x: Operand, scale: Operand, zero_point: Operand | None, axis: int) -> None:
    if zero_point is not None and math.prod(zero_point.shape) != math.prod(scale.shape):
        raise ValueError(f"scale of shape {list(scale.shape)}, zero point of shape {list(zero_point.shape)}")
    if math.prod(scale.shape) == 1:
        return
    size = x.shape[axis_index(axis, len(x.shape))]
    if scale.shape != (size,):
        raise ValueError(f"scale of shape {list(scale.shape)} along axis {axis} of shape {list(x.shape)}")


def axis_index(axis: int, rank: int) -> int:
    """``axis`` counted from the front; ValueError where there is none such."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of a tensor with {rank} dimensions")
    return axis % rank
