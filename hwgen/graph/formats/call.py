"""A node of another format, and the standard nodes that are made of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.graph.semantics.operators import OPERATORS, Attribute
from hwgen.graph.semantics.shapes import Operand

from ..ir import Node, without_absent


@dataclass
class Call:
    """One foreign node; ``nodes`` and ``constants`` collect what stands for it. ``fresh`` makes new names."""

    node: Node
    operands: list[Operand | None]
    fresh: Callable[[str], str]
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def attributes(self) -> dict[str, Any]:
        """A copy, to be changed on the way to another operator."""
        return dict(self.node.attributes)

    def has(self, place: int) -> bool:
        """Whether there is an operand at ``place``: optional ones may be absent."""
        return place < len(self.operands) and self.operands[place] is not None

    def input(self, place: int) -> str:
        """The tensor at ``place``, ``""`` where it is absent."""
        return self.node.inputs[place] if self.has(place) else ""

    def operand(self, place: int, what: str = "operand") -> Operand:
        """What is known of an operand; ValueError where it is absent."""
        operand = self.operands[place] if place < len(self.operands) else None
        if operand is None:
            raise ValueError(f"its {what} is missing")
        return operand

    def value(self, place: int, what: str) -> np.ndarray:
        """A constant operand; ValueError where it is none."""
        return self.operand(place, what).constant(what)

    def number(self, place: int, what: str) -> float:
        """A constant operand of one value."""
        value = self.value(place, what)
        if value.size != 1:
            raise ValueError(f"a {what} of shape {list(value.shape)}; one number is supported")
        return value.item()

    def constant(self, value: np.ndarray, what: str) -> str:
        """The name of a new constant for the node's ``what``."""
        name = self.fresh(f"{self.node.name}/{what}")
        self.constants[name] = value
        return name

    def make(self, op: str, inputs: Iterable[str], what: str = "", output: str = "", **attributes: Any) -> str:
        """Name of the result of a new standard node. The node without ``what`` carries the foreign one's name."""
        output = output or self.fresh(f"{self.node.name}/{what}")
        name = self.fresh(f"{self.node.name}/{what}_node") if what else self.node.name
        self.nodes.append(Node(name, op, without_absent(inputs), (output,), OPERATORS[op].defaults | attributes))
        return output

    def compute(self, op: str, inputs: Iterable[str], **attributes: Any) -> str:
        """The result of the float operator, which carries the name that the node has in the file."""
        return self.make(op, inputs, "", self.fresh(f"{self.node.name}/result"), **attributes)

    def dequantize(self, place: int, what: str, axis: int = 1) -> str:
        """The operand at ``place``, whose scale and zero point follow it, in real numbers."""
        scale, zero = self.vector(place + 1, "scale"), self.zero_point(place + 2, self.operand(place).dtype)
        return self.make("DequantizeLinear", (self.input(place), scale, zero), what, axis=axis)

    def quantize(self, real: str, scale: int, like: int = 0) -> None:
        """``real`` becomes the integers that the node gives; the zero point follows the ``scale`` operand, and is 0 in
        the type of the operand ``like`` where it is absent."""
        zero = self.zero_point(scale + 1, self.operand(like).dtype)
        self.make("QuantizeLinear", (real, self.vector(scale, "scale"), zero), "quantize", self.node.outputs[0])

    def vector(self, place: int, what: str) -> str:
        """A parameter as one number, or a vector where it was a matrix of one row or column."""
        if len(self.operand(place, what).shape) < 2:
            return self.input(place)
        return self.constant(self.value(place, what).reshape(-1), what)

    def zero_point(self, place: int, dtype: np.dtype) -> str:
        """The name of the operand at ``place``, or of a zero of ``dtype`` where it is absent."""
        return self.vector(place, "zero point") if self.has(place) else self.constant(np.zeros((), dtype), "zero_point")


@dataclass(frozen=True)
class Foreign:
    """An operator of another format: what may stand in it, and how it is put into standard ones.

    ``expand`` fills a :class:`Call`; it raises ValueError for what has no standard form.
    """

    operands: tuple[int, int]
    expand: Callable[[Call], None]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    results: tuple[int, int] = (1, 1)
