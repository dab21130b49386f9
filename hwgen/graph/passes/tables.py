"""Tables written out: a Gather whose indices are made of 8-bit integers is a function of these."""

from collections.abc import Sequence

import numpy as np

from hwgen.graph.semantics.float_model import run_node
from hwgen.graph.semantics.kinds import Kind
from hwgen.graph.semantics.operators import ARITHMETIC, CLIPS, of_kind

from ..editor import Editor
from ..ir import Graph, Node
from ..types import IntType

#: What may stand between the integers and the indices; all other operands are single numbers.
_STEPS = ARITHMETIC | CLIPS | of_kind(Kind.ROUNDING) | {"Cast", "DequantizeLinear", "Neg"}
_FLOAT = 1  # ONNX's number of the type


def tables_of_gathers(graph: Graph) -> Graph:
    """Such a Gather becomes a Lookup of the dequantised stream, and its integers, if it gives those, a QuantizeLinear
    of that with the scale and zero point that they are dequantised with."""
    editor = Editor(graph)
    for node in [node for node in graph.nodes if node.op == "Gather"]:
        found = _source(graph, node)
        values = None if found is None else _values(graph, node, *found)
        if found is not None and values is not None:
            _replace(editor, node, found[0], values)
    return editor.done()


def _source(graph: Graph, gather: Node) -> tuple[str, list[Node]] | None:
    """The 8-bit integers that the indices are made of, and how; None where they are made of something else."""
    table = graph.constants.get(gather.inputs[0])
    if table is None or table.ndim != 1 or table.dtype.kind not in "fiu":
        return None
    name = gather.inputs[1]
    steps: list[Node] = []
    while (maker := graph.producer(name)) is not None and maker.op in _STEPS:
        varying = [each for each in maker.inputs if each and each not in graph.constants]
        others = [graph.constants[each] for each in maker.inputs if each in graph.constants]
        if len(varying) != 1 or any(value.size != 1 for value in others):
            return None
        steps.insert(0, maker)
        name = varying[0]
    narrow = graph.tensors[name].dtype in (np.int8, np.uint8)
    given = name in graph.inputs or (maker is not None and maker.op == "QuantizeLinear")
    scalar = maker is None or all(graph.constants[each].size == 1 for each in maker.inputs[1:])
    return (name, steps) if narrow and given and scalar else None


def _values(graph: Graph, gather: Node, name: str, steps: Sequence[Node]) -> np.ndarray | None:
    """What the table gives for every integer, the least first; None where it has no entry for one that may come."""
    kind = IntType.holding(*_limits(graph, name))
    dtype = graph.tensors[name].dtype
    known = {**graph.constants, name: np.arange(kind.min, kind.max + 1).astype(dtype)}
    for step in steps:
        known[step.outputs[0]] = run_node(step, [known[each] if each else None for each in step.inputs])
    table, index = known[gather.inputs[0]], known[gather.inputs[1]]
    inside = (index >= -len(table)) & (index < len(table))
    return table[index.astype(np.int64)] if inside.all() and index.dtype.kind in "iu" else None


def _limits(graph: Graph, name: str) -> tuple[int, int]:
    maker = graph.producer(name)
    return (maker and maker.attributes["limits"]) or IntType.of(graph.tensors[name].dtype).ends


def _replace(editor: Editor, gather: Node, source: str, values: np.ndarray) -> None:
    graph, result = editor.graph, gather.outputs[0]
    readers = graph.consumers(result)
    if values.dtype.kind == "f":
        _look_up(editor, gather, source, values, result)
    elif result in graph.outputs or not readers:
        return
    elif all(reader.op == "Cast" and reader.attributes["to"] == _FLOAT for reader in readers):
        _look_up(editor, gather, source, values, result)
        for reader in readers:
            editor.drop(reader)
    elif _alike(graph, readers):
        scale, zero = graph.constants[readers[0].inputs[1]], readers[0].inputs[2:]
        steps = values.astype(np.int64) - (graph.constants[zero[0]].astype(np.int64) if zero else 0)
        real = editor.fresh(f"{result}/real")
        zero = zero or (editor.constant(f"{result}/zero_point", np.zeros((), values.dtype)),)
        quantizer = editor.node(
            "QuantizeLinear", editor.fresh(f"{gather.name}/quantize"), (real, readers[0].inputs[1], *zero), result
        )
        _look_up(editor, gather, source, steps.reshape(-1).astype(np.float32) * scale.reshape(()), real, quantizer)


def _alike(graph: Graph, readers: Sequence[Node]) -> bool:
    """Whether all dequantise with the same scale and zero point, of the whole tensor."""
    parameters = {reader.inputs[1:] for reader in readers if reader.op == "DequantizeLinear"}
    known = all(name in graph.constants and graph.constants[name].size == 1 for names in parameters for name in names)
    return len(parameters) == 1 and known and all(reader.op == "DequantizeLinear" for reader in readers)


def _look_up(editor: Editor, gather: Node, source: str, values: np.ndarray, result: str, *after: Node) -> None:
    """Put a Lookup of ``values`` in place of ``gather``, and what comes ``after`` it."""
    graph, maker = editor.graph, editor.graph.producer(source)
    low, _ = _limits(graph, source)
    limits = maker.attributes["limits"] if maker else None
    if maker is not None:
        names = maker.inputs[1:]
    else:
        none = np.zeros((), graph.tensors[source].dtype)
        one = np.ones((), np.float32)
        names = editor.constant(f"{source}/one", one), editor.constant(f"{source}/zero_point", none)
    scale = float(editor.constants[names[0]].item())
    zero = int(editor.constants[names[1]].item()) if len(names) > 1 else 0
    real = editor.fresh(f"{gather.name}/source")
    dequantizer = editor.node(
        "DequantizeLinear", editor.fresh(f"{gather.name}/dequantize"), (source, *names), real, limits=limits
    )
    table = tuple(values.astype(np.float32).tolist())
    look_up = editor.node("Lookup", gather.name, (real,), result, table=table, scale=scale, first=low - zero)
    editor.replace(gather, dequantizer, look_up, *after)
