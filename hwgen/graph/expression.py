"""Element-wise arithmetic in real numbers between a DequantizeLinear and a QuantizeLinear."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwgen.graph.semantics.float_model import run_node
from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import CLIPS, OPERATORS

from .ir import Node
from .weights import clip_bounds

_NEVER_WRAPS = (1, 7)  # ONNX's numbers for float32 and int64


@dataclass(frozen=True, eq=False)
class Expression:
    """``nodes`` (in order) compute ``output`` from ``inputs`` and ``constants``, each with numpy's broadcasting.

    Tensors are [N, H, W, C], constants scalars or [H, W, C] (each dimension may be 1): channels last, like streams.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    inputs: tuple[str, ...]
    output: str

    def __call__(self, *operands: np.ndarray) -> np.ndarray:
        """The result, float32, for float32 operands in the order of ``inputs``."""
        values = dict(self.constants) | dict(zip(self.inputs, operands, strict=True))
        for node in self.nodes:
            arguments = [values[name] if name else None for name in node.inputs]
            result = run_node(node, arguments)  # of integers between two Casts it is one itself
            values[node.outputs[0]] = result if result.dtype == np.int64 else result.astype(np.float32, copy=False)
        return values[self.output]

    @property
    def per_tensor(self) -> bool:
        """Whether every element is treated alike."""
        return all(value.size == 1 for value in self.constants.values())

    @property
    def per_channel(self) -> bool:
        """Whether elements of one channel are treated alike."""
        return all(value.size == value.shape[-1] if value.ndim else True for value in self.constants.values())

    @property
    def monotone(self) -> bool:
        """Whether it is sure that each channel never falls or never rises, in float32; for a single input."""
        current = self.inputs[0]
        for node in self.nodes:
            varying = [at for at, name in enumerate(node.inputs) if name and name not in self.constants]
            if len(varying) != 1 or node.inputs[varying[0]] != current or not self._follows(node, varying[0]):
                return False
            current = node.outputs[0]
        return len(self.inputs) == 1 and current == self.output

    def _follows(self, node: Node, place: int) -> bool:
        """Whether ``node`` never falls or never rises in its operand at ``place``, the others constant."""
        if OPERATORS[node.op].kind is Kind.SLOPE:  # falls where its slope is negative
            slope = self.constants[node.inputs[1]] if node.op == "PRelu" else node.attributes["alpha"]
            return place == 0 and bool((np.asarray(slope) >= 0).all())
        if node.op == "Cast":
            return node.attributes["to"] in _NEVER_WRAPS
        return place < OPERATORS[node.op].monotone

    def reading(self, old: str, new: str) -> "Expression":
        """The same with the input ``old`` called ``new``."""
        nodes = tuple(replace(n, inputs=tuple(new if name == old else name for name in n.inputs)) for n in self.nodes)
        inputs = tuple(new if name == old else name for name in self.inputs)
        return replace(self, nodes=nodes, inputs=inputs, output=new if self.output == old else self.output)

    def after_adding(self, name: str, addend: np.ndarray) -> "Expression":
        """The same with ``addend`` added to the input ``name`` first; that input is then called ``name``/sum."""
        before, constant = f"{name}/sum", f"{name}/addend"
        add = Node(f"{name}/add", "Add", (before, constant), (name,))
        inputs = tuple(before if given == name else given for given in self.inputs)
        return replace(self, nodes=(add, *self.nodes), constants={**self.constants, constant: addend}, inputs=inputs)

    def bounds(self) -> tuple[float, float] | None:
        """The range that the result is clipped to, where that is all that happens to a single input."""
        low, high = -np.inf, np.inf
        current = self.inputs[0]
        for node in self.nodes:
            if node.op not in CLIPS or node.inputs[0] != current:
                return None
            bounds = clip_bounds(node, self.constants)
            if bounds is None:
                return None
            low, high = (min(max(bound, bounds[0]), bounds[1]) for bound in (low, high))
            current = node.outputs[0]
        return (low, high) if len(self.inputs) == 1 and current == self.output else None

    def __str__(self) -> str:
        return " -> ".join(node.op for node in self.nodes) or "identity"


def joined(expressions: Sequence[Expression], node: Node, constants: Mapping[str, np.ndarray]) -> Expression:
    """``node`` applied to the results of ``expressions`` and to ``constants``; nodes they share appear once."""
    nodes = {n.outputs[0]: n for expression in expressions for n in expression.nodes}
    merged = {name: value for expression in expressions for name, value in expression.constants.items()}
    inputs = dict.fromkeys(name for expression in expressions for name in expression.inputs)
    return Expression((*nodes.values(), node), merged | dict(constants), tuple(inputs), node.outputs[0])


def identity(name: str) -> Expression:
    """The tensor ``name`` itself."""
    return Expression((), {}, (name,), name)
