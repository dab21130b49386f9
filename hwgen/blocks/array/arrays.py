"""The ways to build an array, by what plans call them."""

from collections.abc import Callable
from functools import partial

from hwgen.blocks.array.array import DotArray
from hwgen.blocks.array.cascade import CascadeArray
from hwgen.blocks.array.slices import SLICES
from hwgen.blocks.array.tree import TreeArray

TREE = "tree"

ARRAYS: dict[str, Callable[..., DotArray]] = {
    TREE: TreeArray,
    **{name: partial(CascadeArray, kind=kind) for name, kind in SLICES.items()},
}
