"""The ways to build an array, by what plans call them."""

from collections.abc import Callable
from functools import partial

from hwgen.blocks.array.array import DotArray
from hwgen.blocks.array.cascade import CascadeArray
from hwgen.blocks.array.constants import ConstantArray
from hwgen.blocks.array.slices import SLICES
from hwgen.blocks.array.tree import TreeArray

TREE, CONSTANT = "tree", "constant"
#: Those that are made of LUTs, but for the multipliers of a tree.
PLAIN = (TREE, CONSTANT)

ARRAYS: dict[str, Callable[..., DotArray]] = {
    TREE: TreeArray,
    CONSTANT: ConstantArray,
    **{name: partial(CascadeArray, kind=kind) for name, kind in SLICES.items()},
}
