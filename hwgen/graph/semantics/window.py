"""Sliding-window arithmetic: kernel, strides, dilations, pads. It is written here and nowhere else.

Golden models, shape inference and hardware all ask a :class:`Window`. A one-dimensional window is one of
height 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Pair = tuple[int, int]
LIMIT = 1 << 20  # of every number in a window: beyond it a file is corrupted, not ambitious


@dataclass(frozen=True)
class Window:
    """A window over rows and columns. Pairs are (height, width); ``pads`` is (top, left, bottom, right).

    Raises ValueError where a number makes no sense.
    """

    kernel: Pair
    strides: Pair = (1, 1)
    dilations: Pair = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self):
        for name, count, least in (("kernel", 2, 1), ("strides", 2, 1), ("dilations", 2, 1), ("pads", 4, 0)):
            values = tuple(int(value) for value in getattr(self, name))
            if len(values) != count:
                raise ValueError(f"{name} needs {count} values, not {list(values)}")
            if not all(least <= value <= LIMIT for value in values):
                raise ValueError(f"{name} must lie between {least} and {LIMIT}, not be {list(values)}")
            object.__setattr__(self, name, values)

    @property
    def extent(self) -> Pair:
        """Rows and columns from the first tap to the last, both counted."""
        (rows, columns), (down, across) = self.kernel, self.dilations
        return (rows - 1) * down + 1, (columns - 1) * across + 1

    @property
    def taps(self) -> int:
        """Pixels in a window, padding included."""
        return self.kernel[0] * self.kernel[1]

    def padded_size(self, height: int, width: int) -> Pair:
        """Rows and columns of a map with its padding."""
        top, left, bottom, right = self.pads
        return height + top + bottom, width + left + right

    def output_size(self, height: int, width: int) -> Pair:
        """Rows and columns of the result; ValueError where not even one window fits."""
        padded = self.padded_size(height, width)
        spare = [size - extent for size, extent in zip(padded, self.extent, strict=True)]
        if min(spare) < 0:
            raise ValueError(
                f"a window of {self.extent[0]}x{self.extent[1]} does not fit into "
                f"{padded[0]}x{padded[1]} (padding included)"
            )
        return spare[0] // self.strides[0] + 1, spare[1] // self.strides[1] + 1

    def covers(self, height: int, width: int) -> bool:
        """Whether there is but one window on a map of this size, and every pixel in it."""
        if self.output_size(height, width) != (1, 1):
            return False
        inside = self.patches(np.ones((1, height, width, 1), np.uint8)).sum(dtype=np.int64)
        return int(inside) == height * width

    def padded(self, x: np.ndarray, pad_value: float = 0, dtype: type | None = None) -> np.ndarray:
        """``x`` [N, H, W, C] as ``dtype`` with its padding around it."""
        if not any(self.pads):
            return x.astype(dtype or x.dtype, copy=False)
        frames, height, width, channels = x.shape
        top, left, _, _ = self.pads
        result = np.full((frames, *self.padded_size(height, width), channels), pad_value, dtype or x.dtype)
        result[:, top : top + height, left : left + width] = x
        return result

    def patches(self, x: np.ndarray, pad_value: float = 0, dtype: type | None = None) -> np.ndarray:
        """Every window of ``x`` [N, H, W, C], as a read-only view [N, OH, OW, KH, KW, C] of the padded map."""
        self.output_size(*x.shape[1:3])
        x = self.padded(x, pad_value, dtype)
        view = np.lib.stride_tricks.sliding_window_view(x, self.extent, axis=(1, 2))
        rows, columns = self.strides
        down, across = self.dilations
        return view[:, ::rows, ::columns, :, ::down, ::across].transpose(0, 1, 2, 4, 5, 3)

    @staticmethod
    def from_onnx(attributes: Mapping[str, Any], spatial: Sequence[int], kernel: Sequence[int]) -> "Window":
        """The window that ONNX attributes describe on an input of ``spatial`` size (one or two dimensions).

        ``auto_pad`` is resolved. ``ceil_mode`` becomes padding at the bottom and right, which is the same
        thing for maxima and for averages that leave padding out; ValueError for other averages.
        """
        bare, size = _without_pads(attributes, spatial, kernel), _pair(spatial, 1)
        begins, ends = _resolve_auto_pad(_mode(attributes), bare, size, *_onnx_pads(attributes, len(spatial)))
        if attributes.get("ceil_mode"):
            ends = _ceil_pads(bare, size, begins, ends, counts_padding(attributes))
        return Window(bare.kernel, bare.strides, bare.dilations, (*begins, *ends))


@dataclass(frozen=True)
class TransposedWindow:
    """A ConvTranspose as the plain ``window`` with stride 1 that follows once the map is spread.

    ``strides`` is the distance of the map's pixels after spreading; ``pads`` (top, left, bottom, right) of the spread
    map may be negative, which crops.
    """

    window: Window
    strides: Pair
    pads: tuple[int, int, int, int]

    def output_size(self, height: int, width: int) -> Pair:
        """Rows and columns of the result; ValueError where there are none."""
        top, left, bottom, right = self.pads
        rows = (height - 1) * self.strides[0] + 1 + top + bottom
        columns = (width - 1) * self.strides[1] + 1 + left + right
        return self.window.output_size(rows, columns)

    def spread(self, x: np.ndarray) -> np.ndarray:
        """[N, H, W, C] with zeros between and around the pixels, cropped where ``pads`` says so."""
        rows, columns = ((n - 1) * step + 1 for n, step in zip(x.shape[1:3], self.strides, strict=True))
        result = np.zeros((len(x), rows, columns, x.shape[3]), x.dtype)
        result[:, :: self.strides[0], :: self.strides[1]] = x
        top, left, bottom, right = self.pads
        # What is added on one side may be cropped from the other.
        grow = [(0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)), (0, 0)]
        result = np.pad(result, grow)
        rows, columns = result.shape[1:3]
        return result[:, max(-top, 0) : rows - max(-bottom, 0), max(-left, 0) : columns - max(-right, 0)]

    @staticmethod
    def from_onnx(attributes: Mapping[str, Any], spatial: Sequence[int], kernel: Sequence[int]) -> "TransposedWindow":
        """What a ConvTranspose's attributes describe; ``auto_pad`` and ``output_shape`` are resolved."""
        rank, given = len(spatial), _without_pads(attributes, spatial, kernel)
        extra = attributes.get("output_padding") or (0,) * rank
        if len(extra) != rank or not all(0 <= value <= LIMIT for value in extra):
            raise ValueError(f"output_padding {list(extra)} on {rank} spatial dimensions")
        extra = _pair(extra, 0)
        begins, ends = _transposed_pads(attributes, rank, given, _pair(spatial, 1), extra)
        top, left = (extent - 1 - begin for extent, begin in zip(given.extent, begins, strict=True))
        bottom, right = (e - 1 - end + more for e, end, more in zip(given.extent, ends, extra, strict=True))
        return TransposedWindow(
            Window(given.kernel, (1, 1), given.dilations), given.strides, (top, left, bottom, right)
        )


def _transposed_pads(
    attributes: Mapping[str, Any], rank: int, window: Window, size: Pair, extra: Pair
) -> tuple[Pair, Pair]:
    """What is cut off the result before and after, which ONNX calls pads; negative where zeros are added."""
    wanted, mode = attributes.get("output_shape"), _mode(attributes)
    if not wanted and not mode.startswith("SAME"):
        return _onnx_pads(attributes, rank)
    if wanted and (len(wanted) < rank or not all(0 < value <= LIMIT for value in wanted)):
        raise ValueError(f"output_shape {list(wanted)} on {rank} spatial dimensions")
    goal = _pair(wanted[-rank:], 1) if wanted else [n * step for n, step in zip(size, window.strides, strict=True)]
    sizes = zip(size, window.strides, extra, window.extent, goal, strict=True)
    return _halves([(n - 1) * step + more + extent - end for n, step, more, extent, end in sizes], mode)


def is_padded(attributes: Mapping[str, Any]) -> bool:
    """Whether windows may reach beyond the map."""
    return any(attributes.get("pads") or ()) or attributes.get("auto_pad", "").startswith("SAME")


def counts_padding(attributes: Mapping[str, Any]) -> bool:
    """Whether an average divides by what lies outside the map, too. Where nothing is padded it cannot."""
    return bool(attributes.get("count_include_pad")) and is_padded(attributes)


def _without_pads(attributes: Mapping[str, Any], spatial: Sequence[int], kernel: Sequence[int]) -> Window:
    """What attributes describe on an input of ``spatial`` size, before anything is put around that."""
    rank = len(spatial)
    if rank not in (1, 2) or len(kernel) != rank:
        raise ValueError(f"kernel {list(kernel)} on {rank} spatial dimensions; one or two are supported")
    strides, dilations = (_per_dimension(attributes.get(name), rank, name) for name in ("strides", "dilations"))
    return Window(_pair(kernel, 1), _pair(strides, 1), _pair(dilations, 1))


def _mode(attributes: Mapping[str, Any]) -> str:
    mode = attributes.get("auto_pad") or "NOTSET"
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad {mode!r} is not one of NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    return mode


def _halves(totals: Sequence[int], mode: str) -> tuple[Pair, Pair]:
    """Before and after; of odd numbers the larger half goes where ``mode`` says."""
    small, large = _pair([total // 2 for total in totals], 0), _pair([total - total // 2 for total in totals], 0)
    return (small, large) if mode == "SAME_UPPER" else (large, small)


def _pair(values: Sequence[int], fill: int) -> Pair:
    """A one-dimensional setting as (height, width)."""
    return (fill, int(values[0])) if len(values) == 1 else (int(values[0]), int(values[1]))


def _per_dimension(values: Sequence[int] | None, rank: int, name: str) -> Sequence[int]:
    values = values or (1,) * rank
    if len(values) != rank:
        raise ValueError(f"{name} {list(values)} on {rank} spatial dimensions")
    return values


def _onnx_pads(attributes: Mapping[str, Any], rank: int) -> tuple[Pair, Pair]:
    """ONNX lists all begins, then all ends."""
    pads = attributes.get("pads") or (0,) * (2 * rank)
    if len(pads) != 2 * rank:
        raise ValueError(f"pads {list(pads)} on {rank} spatial dimensions")
    if min(pads) < 0:
        raise ValueError(f"pads {list(pads)} are negative (cropping)")
    return _pair(pads[:rank], 0), _pair(pads[rank:], 0)


def _resolve_auto_pad(mode: str, window: Window, size: Pair, begins: Pair, ends: Pair) -> tuple[Pair, Pair]:
    if mode == "NOTSET":
        return begins, ends
    if any(begins + ends):
        raise ValueError(f"auto_pad {mode} together with pads {list(begins + ends)}")
    if mode == "VALID":
        return begins, ends
    steps = zip(size, window.strides, window.extent, strict=True)
    return _halves([max((-(-n // stride) - 1) * stride + extent - n, 0) for n, stride, extent in steps], mode)


def _ceil_pads(window: Window, size: Pair, begins: Pair, ends: Pair, counts_padding: bool) -> Pair:
    """End padding that ends with the last window, partial or not; that one must start on the map or before."""
    result = []
    for n, begin, end, stride, extent in zip(size, begins, ends, window.strides, window.extent, strict=True):
        steps = -(-max(n + begin + end - extent, 0) // stride)
        if steps * stride >= n + begin:
            steps -= 1
        result.append(max(0, steps * stride + extent - n - begin))
    if counts_padding and any(needed > end for needed, end in zip(result, ends, strict=True)):
        raise ValueError("ceil_mode together with count_include_pad, where a window hangs over the padded map")
    return result[0], result[1]
