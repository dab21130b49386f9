"""What stands between QuantizeLinear and DequantizeLinear, and before them on constants."""

from dataclasses import replace

import numpy as np

from hwgen.graph.semantics.float_ops import quantize_linear
from hwgen.graph.semantics.operators import CLIPS, LAYOUT
from hwgen.graph.semantics.shapes import resolve_shape

from ..editor import Editor
from ..ir import Graph, Node
from ..types import IntType
from ..weights import clip_bounds


def clips_to_limits(graph: Graph) -> Graph:
    """A Clip of integers narrows their type: QuantizeLinear and DequantizeLinear around it say so in ``limits``."""
    editor = Editor(graph)
    for clip in [node for node in graph.nodes if node.op == "Clip"]:
        limits = integer_bounds(editor.graph, clip)
        maker = next((node for node in editor.nodes if clip.inputs[0] in node.outputs), None)
        readers = [node for node in editor.nodes if clip.outputs[0] in node.inputs]
        if limits is None or clip.outputs[0] in editor.outputs or any(n.op != "DequantizeLinear" for n in readers):
            continue
        if maker is not None and (maker.op != "QuantizeLinear" or len(graph.consumers(clip.inputs[0])) > 1):
            continue
        if maker is None:
            if clip.inputs[0] not in editor.constants:
                continue
            editor.constants[clip.outputs[0]] = np.clip(editor.constants[clip.inputs[0]], *limits)
        else:
            editor.replace(maker, replace(narrowed(editor.graph, maker, limits), outputs=clip.outputs))
        editor.replace(clip)
        for reader in readers:
            editor.replace(reader, narrowed(editor.graph, reader, limits))
    return editor.done()


def integer_bounds(graph: Graph, clip: Node) -> tuple[int, int] | None:
    """The bounds of a Clip of integers; None where they are no constants."""
    dtype = graph.tensors[clip.inputs[0]].dtype
    bounds = clip_bounds(clip, graph.constants, IntType.of(dtype).ends) if dtype.kind in "iu" else None
    return (int(bounds[0]), int(bounds[1])) if bounds and bounds[0] <= bounds[1] else None


def narrowed(graph: Graph, node: Node, limits: tuple[int, int]) -> Node:
    """``node`` with its integers confined to ``limits`` as well."""
    name = node.outputs[0] if node.op == "QuantizeLinear" else node.inputs[0]
    ends = IntType.of(graph.tensors[name].dtype).ends
    old = node.attributes["limits"] or ends
    new = max(old[0], limits[0]), min(old[1], limits[1])
    return replace(node, attributes={**node.attributes, "limits": None if new == ends else new})


def clips_of_the_input(graph: Graph) -> Graph:
    """A Relu or Clip between the graph's input and a QuantizeLinear narrows the integers: the host clips."""
    editor = Editor(graph)
    for node in [node for node in graph.nodes if node.op in CLIPS and node.inputs[0] in graph.inputs]:
        readers = graph.consumers(node.outputs[0])
        bounds = real_bounds(graph, node)
        if bounds is None or node.outputs[0] in graph.outputs or not all(_per_tensor(graph, r) for r in readers):
            continue
        for reader in readers:
            low, high = _steps(graph, reader, bounds)
            limited = narrowed(editor.graph, reader, (low, high))
            editor.replace(reader, replace(limited, inputs=(node.inputs[0], *reader.inputs[1:])))
            for after in graph.consumers(reader.outputs[0]):
                if after.op == "DequantizeLinear":
                    editor.replace(after, narrowed(editor.graph, after, (low, high)))
    return editor.done()


def real_bounds(graph: Graph, node: Node) -> tuple[float, float] | None:
    """What a Relu or Clip of real numbers leaves; None where its bounds are no constants."""
    bounds = clip_bounds(node, graph.constants)
    return bounds if bounds and bounds[0] <= bounds[1] else None


def _per_tensor(graph: Graph, node: Node) -> bool:
    known = all(name in graph.constants and graph.constants[name].size == 1 for name in node.inputs[1:])
    return node.op == "QuantizeLinear" and known and len(node.inputs) > 2


def _steps(graph: Graph, node: Node, bounds: tuple[float, float]) -> tuple[int, int]:
    """The integers that a QuantizeLinear makes of ``bounds``."""
    parameters = [graph.constants[name] for name in node.inputs[1:]]
    ends = quantize_linear(np.array(bounds, np.float32), *parameters, **node.attributes)
    return int(ends[0]), int(ends[1])


def layout_before_dequantizer(graph: Graph) -> Graph:
    """A Transpose or Reshape of dequantised constants works on the integers instead, and so is done once."""
    while (node := _movable(graph)) is not None:
        graph = _moved(graph, node)
    return graph


def _movable(graph: Graph) -> Node | None:
    return next((node for node in graph.nodes if node.op in LAYOUT and _new_axis(graph, node) is not None), None)


def _new_axis(graph: Graph, node: Node) -> int | None:
    """Where the axis of the scales is after ``node``; None where it is lost, or nothing constant is before."""
    dequantizer = graph.producer(node.inputs[0])
    if dequantizer is None or dequantizer.op != "DequantizeLinear" or dequantizer.inputs[0] not in graph.constants:
        return None
    if any(name and name not in graph.constants for name in (*dequantizer.inputs, *node.inputs[1:])):
        return None
    axis = dequantizer.attributes["axis"]
    if graph.constants[dequantizer.inputs[1]].size == 1:
        return 0
    before, after = graph.tensors[node.inputs[0]].shape, graph.tensors[node.outputs[0]].shape
    axis %= len(before)
    if node.op == "Transpose":
        return (node.attributes["perm"] or tuple(reversed(range(len(before))))).index(axis)
    lead = int(np.prod(before[:axis]))
    places = [i for i in range(len(after)) if int(np.prod(after[:i])) == lead and after[i] == before[axis]]
    return places[0] if places else None


def _moved(graph: Graph, node: Node) -> Graph:
    dequantizer = graph.maker(node.inputs[0])
    editor = Editor(graph)
    values = graph.constants[dequantizer.inputs[0]]
    after = graph.tensors[node.outputs[0]].shape
    if node.op == "Transpose":
        values = values.transpose(node.attributes["perm"] or None)
    else:
        values = values.reshape(resolve_shape(values.shape, np.array(after), True))
    name = editor.constant(f"{dequantizer.inputs[0]}/moved", np.ascontiguousarray(values))
    attributes = {**dequantizer.attributes, "axis": _new_axis(graph, node)}
    inputs = (name, *dequantizer.inputs[1:])
    editor.replace(node, Node(node.name, "DequantizeLinear", inputs, node.outputs, attributes))
    return editor.done()


def remove_casts(graph: Graph) -> Graph:
    """Casts that change nothing: to the type that is there, and of sums of integers to int32 and back."""
    editor = Editor(graph)
    for node in [node for node in graph.nodes if node.op in ("Cast", "CastLike")]:
        source = _uncast(graph, node)
        if source is not None:
            current = editor.current(node)
            editor.replace(current)
            editor.redirect(current.outputs[0], source if source != node.inputs[0] else current.inputs[0])
    return editor.done()


def _uncast(graph: Graph, node: Node) -> str | None:
    """The tensor that holds the result of a Cast already."""
    dtype = graph.tensors[node.outputs[0]].dtype
    if graph.tensors[node.inputs[0]].dtype == dtype:
        return node.inputs[0]
    first = graph.producer(node.inputs[0])
    if first is None or first.op != "Cast" or graph.tensors[first.inputs[0]].dtype != dtype:
        return None
    return first.inputs[0] if _sums_integers(graph, graph.producer(first.inputs[0])) else None


def _sums_integers(graph: Graph, node: Node | None) -> bool:
    """Whether a Conv or MatMul has operands of scale 1."""
    if node is None or node.op not in ("Conv", "MatMul"):
        return False
    makers = [graph.producer(name) for name in node.inputs[:2]]
    return all(m and m.op == "DequantizeLinear" and _is_one(graph, m.inputs[1]) for m in makers)


def _is_one(graph: Graph, name: str) -> bool:
    return name in graph.constants and bool((graph.constants[name] == 1).all())
