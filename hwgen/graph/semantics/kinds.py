"""What a row of the table of operators (:mod:`hwgen.graph.semantics.operators`) says: kind, operands, attributes,
semantics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class Kind(Enum):
    """What an operator does with the elements of its operands. What passes and lowering do with operators of a kind,
    they do with a new one of it."""

    # element by element
    UNARY = auto()  # a function of one number
    CLIP = auto()  # one that keeps numbers within bounds
    ROUNDING = auto()  # one that makes whole numbers
    SLOPE = auto()  # one that is a line on either side of zero
    ARITHMETIC = auto()  # of two operands, as a line of either where the other is constant
    NARY = auto()  # any other of several operands
    # the same elements elsewhere
    RESHAPE = auto()  # in the same order, in other dimensions
    TRANSPOSE = auto()
    MOVE = auto()  # some of them, or some several times
    SHUFFLE = auto()  # between channels and rows and columns
    PAD = auto()  # with a number around them
    JOIN = auto()  # behind those of others
    RESIZE = auto()  # in more or fewer rows and columns, with means of them where the mode says so
    # what is made of several elements
    PRODUCT = auto()  # sums of products with weights
    MAXIMUM = auto()  # the greatest of a window, or of all rows and columns
    AVERAGE = auto()  # the mean of such
    REDUCTION = auto()  # over whole dimensions
    NORMALIZATION = auto()  # by other elements near it
    SOFTMAX = auto()
    RANKING = auto()  # where the greatest are
    # what is gone when a network is lowered
    NOTHING = auto()  # that does nothing at inference
    AFFINE = auto()  # a factor and an addend for every channel
    INTEGER = auto()  # element by element of integers, or to truth values
    META = auto()  # by shape or type of an operand alone
    QUANTIZATION = auto()  # between integers and real numbers

    @property
    def site(self) -> str:
        """The ``op`` of the site (:class:`hwgen.graph.network.Site`) that operators of this kind become, unless their
        row names another; "" where none is left of them."""
        return _SITES.get(self, "")


_SITES = {
    **dict.fromkeys((Kind.UNARY, Kind.CLIP, Kind.ROUNDING, Kind.SLOPE, Kind.ARITHMETIC, Kind.NARY), "Elementwise"),
    **dict.fromkeys((Kind.RESHAPE, Kind.TRANSPOSE, Kind.MOVE, Kind.SHUFFLE, Kind.PAD), "Rearrange"),
    **dict.fromkeys((Kind.RESIZE, Kind.REDUCTION, Kind.NORMALIZATION, Kind.SOFTMAX), "Float"),
    Kind.JOIN: "Concat",
    Kind.MAXIMUM: "MaxPool",
    Kind.QUANTIZATION: "Requantize",
}


@dataclass(frozen=True)
class Attribute:
    """One attribute: its kind ("int", "ints", "float", "string" or "tensor") and what may stand in it.

    ``older`` is (opset, value): the default below that opset. ``only`` lists the values that are understood.
    ``ignored`` marks those without influence on inference; they are read and dropped. ``own`` marks those that files do
    not have: passes set them. ``operand`` is the place of the operand, never the first, that took the place of one of
    older opsets; 0 for those that still are attributes.
    """

    kind: str
    default: Any = None
    required: bool = False
    older: tuple[int, Any] | None = None
    only: tuple[Any, ...] = ()
    ignored: bool = False
    own: bool = False
    operand: int = 0

    @property
    def kept(self) -> bool:
        """Whether nodes carry it: values that must be what they are, do not matter, or are operands, are left out."""
        return not (self.ignored or self.only or self.operand)

    def default_at(self, opset: int) -> Any:
        """What it is in ``opset`` where a file does not say."""
        return self.older[1] if self.older and opset < self.older[0] else self.default


@dataclass(frozen=True)
class OnnxOperator:
    """What is known of one operator.

    ``operands`` and ``results`` are least and most. Several results make ``infer`` and ``compute`` give tuples.
    ``monotone`` counts the operands, from the first, in each of which it never falls or never rises where the others
    are constant; float32 included, as rounding never falls. ``host`` marks what is left to the host where no layer
    follows: its results are made for programs, or span too much for a few bits. ``opset`` is the oldest that has it
    in this form, where that is younger than the one that models are written in. ``own_site`` is what it becomes where
    that is not what others of its ``kind`` do.
    """

    kind: Kind
    operands: tuple[int, int]
    infer: Callable[..., Any]
    compute: Callable[..., Any]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    results: tuple[int, int] = (1, 1)
    monotone: int = 0
    host: bool = False
    opset: int = 0
    own_site: str = ""

    @property
    def site(self) -> str:
        """The ``op`` of the site (:class:`hwgen.graph.network.Site`) that it becomes; "" where none is left of it."""
        return self.own_site or self.kind.site

    @property
    def defaults(self) -> dict[str, Any]:
        """The attributes that every node of this operator carries, at their newest defaults."""
        return {name: attribute.default for name, attribute in self.attributes.items() if attribute.kept}
