"""The shape of a model's input: what the file says, completed by what the user says."""

import math
from collections.abc import Iterable

from hwgen.graph.errors import InputError
from hwgen.graph.semantics.infer import MAX_ELEMENTS, MAX_RANK

Dims = list[int | str]  # as in the file: numbers, or names of what is open


def shape_of_input(name: str, dims: Dims, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    """The fixed shape of the input ``name``: ``wanted`` where given, else ``dims`` with a batch of one.

    Raises ValueError (to be put behind "input NAME") where dimensions stay open, InputError where ``wanted``
    contradicts ``dims``.
    """
    shape = _given(name, dims, wanted) if wanted else _fixed(name, dims)
    if min(shape) < 1 or len(shape) > MAX_RANK or math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(
            f"has the shape {list(shape)}; 1 to {MAX_ELEMENTS} elements in up to {MAX_RANK} dimensions are possible"
        )
    return shape


def _given(name: str, dims: Dims, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The user's shape; it may set open dimensions and the batch, but not contradict the model."""
    shape = tuple(int(size) for size in wanted)
    clash = any(isinstance(dim, int) and dim != size for dim, size in zip(dims[1:], shape[1:], strict=False))
    if dims and (len(shape) != len(dims) or clash):
        raise InputError(f"--input-shape {name}={_csv(shape)} contradicts the model, which has {_csv(dims)}")
    return shape


def _fixed(name: str, dims: Dims) -> tuple[int, ...]:
    if not dims:
        raise ValueError(f"has no shape; give one with --input-shape {name}=1,1,28,28 (batch first)")
    one = f"--input-shape {name}={_csv([1, *dims[1:]])}"
    sizes = [dim for dim in dims[1:] if isinstance(dim, int)]
    if len(sizes) < len(dims) - 1:
        raise ValueError(f"has the dynamic shape {_csv(dims)}; give numbers with {one}")
    if isinstance(dims[0], int) and dims[0] != 1:
        raise ValueError(f"has a batch of {dims[0]}, but one frame is processed at a time; set it with {one}")
    return (1, *sizes)


def _csv(dims: Iterable[int | str]) -> str:
    return ",".join(map(str, dims))
