"""The ways to build an array, by what plans call them."""

from collections.abc import Callable
from functools import partial

import numpy as np

from hwgen.blocks.array.array import ArrayShape, DotArray
from hwgen.blocks.array.cascade import CascadeArray
from hwgen.blocks.array.constants import ConstantArray
from hwgen.blocks.array.pixel_pairs import PixelPairArray, by_pixels
from hwgen.blocks.array.slices import SLICES, SliceKind
from hwgen.blocks.array.tree import TreeArray

TREE, CONSTANT = "tree", "constant"
#: Those that are made of LUTs, but for the multipliers of a tree.
PLAIN = (TREE, CONSTANT)


def _cascades(
    shape: ArrayShape,
    kept: str,
    products: int,
    values: Callable[[], np.ndarray],
    spread: Callable[[int], tuple[int, int]],
    kind: SliceKind,
) -> DotArray:
    """Pairs in their blocks are of outputs, or of windows where there is only one output."""
    made = PixelPairArray if by_pixels(shape, products) else CascadeArray
    return made(shape, kept, products, values, spread, kind)


ARRAYS: dict[str, Callable[..., DotArray]] = {
    TREE: TreeArray,
    CONSTANT: ConstantArray,
    **{name: partial(_cascades, kind=kind) for name, kind in SLICES.items()},
}
