"""ONNX Resize: which input elements each output element is made of, one dimension after the other."""

import math
from collections.abc import Sequence

import numpy as np

MODES = ("nearest", "linear")
COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
)
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
_POLICIES = {"stretch": None, "not_larger": min, "not_smaller": max}
Settings = tuple[tuple[int, ...], tuple[float, ...]]


def resized(
    shape: Sequence[int],
    scales: np.ndarray | None,
    sizes: np.ndarray | None,
    *,
    mode: str,
    coordinate_transformation_mode: str = "asymmetric",
    nearest_mode: str = "floor",
    axes: Sequence[int] | None = None,
    keep_aspect_ratio_policy: str = "stretch",
) -> Settings:
    """Shape of the result and scale of each dimension; ValueError where the settings are not understood."""
    for value, allowed in (
        (mode, MODES),
        (coordinate_transformation_mode, COORDINATES),
        (nearest_mode, ROUNDINGS),
        (keep_aspect_ratio_policy, tuple(_POLICIES)),
    ):
        if value not in allowed:
            raise ValueError(f"a resize with {value!r}; {', '.join(allowed)} is supported")
    scales, sizes = _vector(scales), _vector(sizes)
    places = range(len(shape)) if axes is None else [axis % len(shape) for axis in axes]
    given = sizes if scales is None else scales
    if given is None or (scales is not None and sizes is not None) or len(given) != len(places):
        raise ValueError(f"scales {scales} and sizes {sizes} for {len(places)} dimensions; one of them is needed")
    result, factors = list(shape), [1.0] * len(shape)
    wanted, common = given.tolist(), None
    if scales is None and (choose := _POLICIES[keep_aspect_ratio_policy]):
        common = choose(size / shape[place] for place, size in zip(places, wanted, strict=True))
        wanted = [math.floor(common * shape[place] + 0.5) for place in places]
    for place, value in zip(places, wanted, strict=True):
        if not (math.isfinite(value) and value > 0 and shape[place] * (value if sizes is None else 1) < 1 << 31):
            raise ValueError(f"a scale or size of {value}")
        result[place] = int(value) if scales is None else math.floor(shape[place] * value)
        factors[place] = (common or result[place] / shape[place]) if scales is None else float(value)
    return tuple(result), tuple(factors)


def _vector(value: np.ndarray | None) -> np.ndarray | None:
    """``value``, None where it is empty, which ONNX has for absent operands."""
    return None if value is None or not np.size(value) else np.ravel(value)


def taps(
    size: int, count: int, scale: float, mode: str, coordinates: str, nearest_mode: str
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Pairs (index, share): output element i is the sum of ``share[i] * x[index[i]]`` over the pairs."""
    place = _source(np.arange(count), size, count, scale, coordinates)
    if mode == "nearest":
        return ((np.clip(_rounded(place, nearest_mode), 0, size - 1).astype(np.int64), np.ones(count)),)
    place = np.clip(place, 0, size - 1)
    low = np.floor(place).astype(np.int64)
    share = place - low
    return (low, 1 - share), (np.minimum(low + 1, size - 1), share)


def _source(index: np.ndarray, size: int, count: int, scale: float, coordinates: str) -> np.ndarray:
    """Where output elements lie in the input."""
    if coordinates == "align_corners":
        stretched = size * scale  # which need not be a whole number
        return index * ((size - 1) / (stretched - 1)) if stretched != 1 else np.zeros(count)
    if coordinates == "asymmetric":
        return index / scale
    if coordinates == "tf_half_pixel_for_nn":
        return (index + 0.5) / scale
    if coordinates == "pytorch_half_pixel" and count == 1:
        return np.zeros(count)
    place = (index + 0.5) / scale - 0.5
    if coordinates == "half_pixel_symmetric":
        place = place + size / 2 * (1 - count / (scale * size))
    return place


def _rounded(place: np.ndarray, mode: str) -> np.ndarray:
    if mode == "round_prefer_floor":
        return np.ceil(place - 0.5)
    if mode == "round_prefer_ceil":
        return np.floor(place + 0.5)
    return np.floor(place) if mode == "floor" else np.ceil(place)
