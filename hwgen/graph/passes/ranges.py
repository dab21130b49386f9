"""What is known of numbers before any frame arrives: between which ends they lie, and whether they are whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.graph.semantics.float_model import run_node
from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import MAXIMA, MOVES, of_kind

from ..ir import Graph, Node

_MOVES = MAXIMA | MOVES | of_kind(Kind.JOIN, Kind.PAD)
_ROUNDED = of_kind(Kind.ROUNDING)


@dataclass(frozen=True)
class Range:
    """All numbers of a tensor lie between ``low`` and ``high``, and are ``whole`` where that says so."""

    low: float = -np.inf
    high: float = np.inf
    whole: bool = False

    @staticmethod
    def of(values: np.ndarray) -> "Range":
        """What constants are."""
        if not values.size or values.dtype.kind not in "iuf":
            return ANY
        return Range(float(values.min()), float(values.max()), bool((np.rint(values) == values).all()))

    @staticmethod
    def around(ends: Sequence[float], whole: bool = False) -> "Range":
        """The narrowest that holds ``ends``; any number where one of them is none."""
        return Range(whole=whole) if np.isnan(ends).any() else Range(float(min(ends)), float(max(ends)), whole)

    def within(self, dtype: np.dtype) -> bool:
        """Whether all of them are integers that ``dtype`` holds."""
        kind = np.iinfo(dtype)
        return kind.min <= self.low and self.high <= kind.max


ANY = Range()


def ranges(graph: Graph, given: Mapping[str, Range] | None = None) -> dict[str, Range]:
    """The range of every tensor of ``graph``, whose inputs have those ``given``; sums as they are before they wrap."""
    known = {name: Range.of(value) for name, value in graph.constants.items()}
    known |= dict(given or {})
    for node in graph.nodes:
        operands = [known.get(name, ANY) for name in node.inputs]
        integer = graph.tensors[node.outputs[0]].dtype.kind in "iu"
        with np.errstate(all="ignore"):
            result = _result(graph, node, operands, integer)
        known |= dict.fromkeys(node.outputs, result)
    return known


def _result(graph: Graph, node: Node, operands: list[Range], integer: bool) -> Range:
    first = operands[0] if operands else ANY
    if node.op in _MOVES:
        reads = operands if node.op == "Concat" else [first, _padding(node, operands)] if node.op == "Pad" else [first]
        return Range(min(r.low for r in reads), max(r.high for r in reads), all(r.whole for r in reads))
    if node.op in ("Conv", "Gemm", "MatMul"):
        return _sums(graph, node, first)
    rule = _RULES.get(node.op)
    return rule(graph, node, operands, integer) if rule else ANY


def _padding(node: Node, operands: list[Range]) -> Range:
    """What a Pad puts around its operand."""
    return operands[2] if node.input(2) else Range(0, 0, True)


def _sums(graph: Graph, node: Node, source: Range) -> Range:
    """Of products with constants; padding is zero."""
    known = [graph.constants[name] for name in node.inputs[1:] if name in graph.constants]
    whole = source.whole and all(Range.of(value).whole for value in known)
    if len(known) < len(node.inputs) - 1 or not np.isfinite([source.low, source.high]).all():
        return Range(whole=whole)
    weight, *bias = known
    along = 1 if node.op == "MatMul" or (node.op == "Gemm" and not node.attributes["transB"]) else 0
    rows = np.moveaxis(weight.astype(np.float64), along, 0).reshape(weight.shape[along], -1)
    products = np.stack([rows * min(source.low, 0), rows * max(source.high, 0)])
    addend = bias[0].reshape(-1) if bias else 0
    least, most = (ends.sum(axis=1) + addend for ends in (products.min(axis=0), products.max(axis=0)))
    return Range(float(least.min()), float(most.max()), whole)


def _corners(compute: Callable[[float, float], float]) -> Callable[[Graph, Node, list[Range], bool], Range]:
    """What is monotone in each of two operands is extreme where both are."""

    def rule(graph: Graph, node: Node, operands: list[Range], integer: bool) -> Range:
        a, b = operands
        ends = [compute(np.float64(x), np.float64(y)) for x in (a.low, a.high) for y in (b.low, b.high)]
        return Range.around(ends, a.whole and b.whole)

    return rule


def _div(graph: Graph, node: Node, operands: list[Range], integer: bool) -> Range:
    a, b = operands
    if b.low <= 0 <= b.high:
        return Range(whole=integer)
    ends = [np.float64(x) / y for x in (a.low, a.high) for y in (b.low, b.high)]
    return Range.around(np.trunc(ends).tolist() if integer else ends, integer)


def _shift(graph: Graph, node: Node, operands: list[Range], integer: bool) -> Range:
    source, by = operands
    power = np.exp2([by.low, by.high]) if node.attributes["direction"] == "LEFT" else np.exp2([-by.high, -by.low])
    if not np.isfinite([by.low, by.high, source.low, source.high]).all() or source.low < 0:
        return Range(whole=True)
    return Range(float(np.floor(source.low * power[0])), float(np.floor(source.high * power[1])), True)


def _cast(graph: Graph, node: Node, operands: list[Range], integer: bool) -> Range:
    """Rounds towards zero; what the type does not hold becomes some number that it does."""
    dtype = graph.tensors[node.outputs[0]].dtype
    source = operands[0]
    if not integer:
        return source if dtype.kind == "f" else ANY
    low, high = np.trunc([source.low, source.high]).tolist()
    ends = Range(low, high, True)
    kind = np.iinfo(dtype)
    return ends if ends.within(dtype) else Range(float(kind.min), float(kind.max), True)


def _rising(graph: Graph, node: Node, operands: list[Range], integer: bool) -> Range:
    """What falls in no operand is least and greatest where all of them are."""
    given = [operand if name else None for name, operand in zip(node.inputs, operands, strict=True)]
    low, high = (
        run_node(node, [None if each is None else np.array(getattr(each, end)) for each in given])
        for end in ("low", "high")
    )
    whole = node.op in _ROUNDED or all(each.whole for each in given if each is not None)
    return Range(float(low), float(high), whole)


_RULES: Mapping[str, Callable[[Graph, Node, list[Range], bool], Range]] = {
    **dict.fromkeys(_ROUNDED, _rising),
    "Add": _corners(lambda x, y: x + y),
    "BitShift": _shift,
    "Cast": _cast,
    "Clip": _rising,
    "Div": _div,
    "Max": _rising,
    "Min": _rising,
    "Mul": _corners(lambda x, y: x * y),
    "Relu": _rising,
    "Sub": _corners(lambda x, y: x - y),
}
