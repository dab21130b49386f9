"""An expression of streams as a :class:`~hwgen.blocks.arith.fixed_point.Computation`, and what is left behind it.

Sums, differences, products by constants, slopes, the greater and the lesser of two are exact in fixed point, rounded
where float32 rounds. What comes behind the last of them that has more than one operand, or a constant of its own for
every channel or place, is a function of a single number: :mod:`hwgen.blocks.arith.finish` finds its steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from hwgen.blocks.arith.computation import (
    Computation,
    chosen,
    exact,
    greatest,
    least,
    operand,
    plus,
    rounded,
    scalar,
    sloped,
    times,
)
from hwgen.blocks.arith.fixed_point import Number
from hwgen.blocks.pointwise.fixed_constant import FixedConstant
from hwgen.graph.expression import Expression
from hwgen.graph.ir import Node
from hwgen.graph.types import IntType, Quantization

#: Bits of a constant that differs from place to place.
WIDEST_CONSTANT = 48


class Unsupported(ValueError):
    """What cannot be computed in fixed point, in a few words."""


@dataclass(frozen=True, eq=False)
class Head:
    """``computation`` of streams and of ``fixed`` constants; ``tail`` is the function of its result."""

    computation: Computation
    fixed: tuple[FixedConstant, ...]
    tail: Expression


def split(function: Expression) -> tuple[Expression, Expression]:
    """``function`` as one of a single number behind one of all its inputs, which is as short as can be."""
    for count in range(len(function.nodes) + 1):
        head, tail = function.nodes[:count], function.nodes[count:]
        between = head[-1].outputs[0] if head else function.inputs[0]
        if (head or len(function.inputs) == 1) and _reads_only(function, tail, between):
            names = {name for node in tail for name in node.inputs}
            constants = {name: value for name, value in function.constants.items() if name in names}
            behind = Expression(tail, constants, (between,), function.output if tail else between)
            return replace(function, nodes=head, output=between), behind
    raise AssertionError("the whole function is a head")


def _reads_only(function: Expression, tail: Sequence[Node], between: str) -> bool:
    """Whether ``tail`` makes the output of ``between`` and constants that are the same everywhere."""
    known = {between}
    for node in tail:
        for name in filter(None, node.inputs):
            constant = function.constants.get(name)
            if name not in known and (constant is None or constant.size > 1):
                return False
        known.update(node.outputs)
    return function.output in known


def head_of(function: Expression, kinds: Sequence[Quantization]) -> Head:
    """``function`` of operands of ``kinds`` in fixed point. Raises ValueError where that cannot be."""
    before, tail = split(function)
    maker = _Maker(before, kinds)
    return Head(Computation(maker.result()), tuple(maker.fixed), tail)


class _Maker:
    """Makes the numbers of an expression; ``fixed`` collects constants, operands behind the streams."""

    def __init__(self, function: Expression, kinds: Sequence[Quantization]):
        self.function, self.kinds = function, kinds
        self.fixed: list[FixedConstant] = []
        self.numbers = {name: self._stream(n) for n, name in enumerate(function.inputs)}

    def result(self) -> Number:
        for node in self.function.nodes:
            make = _OPERATORS.get(node.op)
            if make is None:
                raise Unsupported(f"{node.op} in front of it")
            operands = [self._number(node, name) for name in node.inputs]
            self.numbers[node.outputs[0]] = make(node, *operands)
        return self.numbers[self.function.output]

    def _number(self, node: Node, name: str) -> Number | None:
        """What is called so; None where an operand is left out."""
        if name and name not in self.numbers:
            self.numbers[name] = self._constant(self.function.constants[name])
        return self.numbers.get(name)

    def _stream(self, n: int) -> Number:
        """Operand ``n``, dequantised."""
        kind = self.kinds[n]
        integer = rounded(operand(n, kind.type.min, kind.type.max, kind.zero_point))
        return times(integer, self._constant(np.asarray(kind.scale, np.float32)))

    def _constant(self, value: np.ndarray) -> Number:
        value = np.asarray(value, np.float32)
        if (value == value.flat[0]).all() and value.size:
            return scalar(value.flat[0])
        parts = [exact(each) for each in value.ravel()]
        exponent = min(power for digits, power in parts if digits)
        integers = [digits << (power - exponent) if digits else 0 for digits, power in parts]
        type_ = IntType.holding(min(integers), max(integers))
        if type_.width > WIDEST_CONSTANT:
            raise Unsupported(f"constants too far apart ({type_.width} bits, limit {WIDEST_CONSTANT} bits)")
        shape = (1, 1, 1)[value.ndim :] + value.shape
        self.fixed.append(FixedConstant(np.array(integers, np.int64).reshape(shape), type_))
        return operand(len(self.kinds) + len(self.fixed) - 1, min(integers), max(integers), exponent=exponent)


def _clip(node: Node, x: Number, low: Number | None = None, high: Number | None = None) -> Number:
    x = x if low is None else greatest(x, low)
    return x if high is None else least(x, high)


def _fold(combine: Callable[[Number, Number], Number]) -> Callable[..., Number]:
    return lambda node, *numbers: reduce(combine, numbers)


_OPERATORS: dict[str, Callable[..., Number]] = {
    "Add": _fold(plus),
    "Sum": _fold(plus),
    "Sub": lambda node, a, b: plus(a, b, -1),
    "Neg": lambda node, x: plus(scalar(0), x, -1),
    "Mul": lambda node, a, b: times(a, b),
    "Max": _fold(greatest),
    "Min": _fold(least),
    "Relu": lambda node, x: greatest(x, scalar(0)),
    "Clip": _clip,
    "LeakyRelu": lambda node, x: sloped(x, times(x, scalar(float(np.float32(node.attributes["alpha"]))))),
    "PRelu": lambda node, x, slope: sloped(x, times(x, slope)),
    "Where": lambda node, mask, a, b: chosen(mask, a, b),
}
