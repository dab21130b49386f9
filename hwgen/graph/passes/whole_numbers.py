"""Networks that compute with whole numbers in float tensors: rounding and a Clip, in whatever order and as real numbers
or integers, stand for QuantizeLinear.

NEMO and DORY export them so. Scale 1 makes integers of whole numbers, and nothing is rounded on the way.
"""

from dataclasses import replace

import numpy as np

from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import ARITHMETIC, CLIPS, QUANTIZERS, of_kind

from ..editor import Editor
from ..ir import Graph, Node
from ..types import IntType
from ..weights import Weight
from .ranges import Range, ranges

_WEIGHTED = ("Conv", "Gemm", "MatMul")
_STEPS = CLIPS | of_kind(Kind.ROUNDING) | {"Cast", "Max", "Min"}  # what rounds and limits
_INT64 = 7  # ONNX's number for the type
_LIMIT = 1 << 15  # of weights and activations


def quantize_whole_numbers(graph: Graph) -> Graph:
    """Where all weights are whole numbers and activations are rounded and clipped to some, they become integers.

    The input is taken to have the type that the first such step gives, as these formats mean it.
    """
    weighted = [node for node in graph.nodes if node.op in _WEIGHTED]
    quantised = any(node.op in QUANTIZERS for node in graph.nodes)
    if quantised or len(graph.inputs) != 1 or not all(_whole(graph, node) for node in weighted):
        return graph
    kinds = _kinds(graph)
    if not kinds:
        return graph
    first = next(iter(kinds.values()))
    graph = _in_64_bits(graph, {graph.inputs[0]: Range(first.min, first.max, True)})
    editor = Editor(graph)
    _insert_pair(editor, graph.inputs[0], first)
    for name, kind in kinds.items():
        _insert_pair(editor, name, kind)
    for node in [node for node in editor.nodes if node.op in _WEIGHTED]:
        _integer_weights(editor, node)
    return editor.done()


def _kinds(graph: Graph) -> dict[str, IntType]:
    """The integers of the tensors with which a step of rounding ends, by name."""
    known, found = ranges(graph), {}
    for node in graph.nodes:
        name = node.outputs[0]
        ends, readers = known[name], graph.consumers(name)
        goes_on = readers and all(r.op in _STEPS and _small(known[r.outputs[0]]) for r in readers)
        if node.op in _STEPS and graph.tensors[name].dtype == np.float32 and _small(ends) and not goes_on:
            found[name] = IntType.holding(int(min(ends.low, 0)), int(ends.high))
    return found


def _small(ends: Range) -> bool:
    return ends.whole and ends.low >= -_LIMIT and 0 < ends.high < 2 * _LIMIT


def _in_64_bits(graph: Graph, given: dict[str, Range]) -> Graph:
    """Steps between two Casts in other integer types, as int64: where no number leaves its type, nothing changes."""
    known, editor = ranges(graph, given), Editor(graph)
    wide: set[str] = set()
    for node in graph.nodes:
        dtype = graph.tensors[node.outputs[0]].dtype
        if dtype.kind not in "iu" or (dtype == np.int64 and node.op != "BitShift" and wide.isdisjoint(node.inputs)):
            continue
        source = known[node.inputs[0]] if node.op == "Cast" else known[node.outputs[0]]
        if node.op not in (*_STEPS, *ARITHMETIC, "BitShift") or not source.within(dtype):
            return graph  # refused where it is read
        wide.update(node.outputs)
        editor.replace(node, _widened(editor, editor.current(node)))
    return editor.done()


def _widened(editor: Editor, node: Node) -> Node:
    """``node``, computed in int64; a shift by a constant is a quotient or product of numbers that are not negative."""
    if node.op == "Cast":
        return replace(node, attributes={**node.attributes, "to": _INT64})
    names = []
    for name in node.inputs:
        value = editor.constants.get(name)
        if value is not None:
            wide = value.astype(np.int64)
            name = editor.constant(f"{name}/wide", np.int64(1) << wide if node.op == "BitShift" else wide)
        names.append(name)
    if node.op == "BitShift":
        op = "Div" if node.attributes["direction"] == "RIGHT" else "Mul"
        return editor.node(op, node.name, names, node.outputs[0])
    return replace(node, inputs=tuple(names))


def _whole(graph: Graph, node: Node) -> bool:
    values = [graph.constants.get(name) for name in node.inputs[1:]]
    small = values[:1] and values[0] is not None and np.abs(values[0]).max(initial=0) < _LIMIT
    return bool(small) and all(value is not None and (value == np.rint(value)).all() for value in values)


def _insert_pair(editor: Editor, name: str, kind: IntType) -> None:
    """Whoever reads ``name`` reads it quantised with scale 1."""
    one = editor.constant(f"{name}/one", np.ones((), np.float32))
    zero = editor.constant(f"{name}/zero_point", np.zeros((), kind.dtype))
    integers, real = editor.fresh(f"{name}/integers"), editor.fresh(f"{name}/real")
    limits = None if IntType.of(kind.dtype) == kind else kind.ends
    editor.redirect(name, real)
    editor.insert_after(
        name,
        editor.node("QuantizeLinear", editor.fresh(f"{name}/quantize"), (name, one, zero), integers, limits=limits),
        editor.node("DequantizeLinear", editor.fresh(f"{name}/dequantize"), (integers, one, zero), real, limits=limits),
    )


def _integer_weights(editor: Editor, node: Node) -> None:
    """Weights and bias of ``node`` as integers of scale 1."""
    values, *bias = (editor.constants[name] for name in node.inputs[1:])
    width = IntType.holding(int(values.min(initial=0)), int(values.max(initial=0))).width
    weight = _of_scale_one(values, IntType(max(width, 8), True).dtype)
    editor.replace(node, *editor.layer(node, weight, _of_scale_one(bias[0], np.dtype(np.int32)) if bias else None))


def _of_scale_one(values: np.ndarray, dtype: np.dtype) -> Weight:
    return Weight(values.astype(dtype), np.ones((), np.float32), np.zeros((), dtype))
