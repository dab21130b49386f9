"""Matrix products, biases and batch normalisation become one Conv or Gemm with a bias."""

from dataclasses import replace

import numpy as np

from ..editor import Editor
from ..errors import ModelError, Problems
from ..float_ops import batch_normalization_line
from ..ir import Graph, Node
from ..weights import Weight, find_weight


def matmul_to_gemm(graph: Graph) -> Graph:
    """MatMul of a vector per frame with a constant matrix is a Gemm without bias."""
    editor = Editor(graph)
    for node in graph.nodes:
        shapes = [graph.tensors[name].shape for name in node.inputs if name]
        if node.op == "MatMul" and len(shapes[0]) == len(shapes[1]) == 2:
            editor.replace(node, editor.node("Gemm", node.name, node.inputs, node.outputs[0]))
    return editor.done()


def normalize_gemm(graph: Graph) -> Graph:
    """Gemm with constant weights: [out, in] (``transB``), alpha and beta in the numbers, bias a vector."""
    editor = Editor(graph)
    for node in graph.nodes:
        if node.op == "Gemm" and not node.attributes["transA"]:
            _normalize_gemm(editor, node)
    return editor.done()


def _normalize_gemm(editor: Editor, node: Node) -> None:
    graph, attributes = editor.graph, node.attributes
    size = graph.tensors[node.outputs[0]].shape[1]
    weight = _normal(find_weight(graph, node.inputs[1]), attributes["alpha"])
    if weight is None:
        return
    if not attributes["transB"]:
        weight = weight.transposed()
    name, before = editor.weight(weight, f"{node.name}/weight")
    inputs = [node.inputs[0], name]
    if len(node.inputs) > 2:
        bias = find_weight(graph, node.inputs[2])
        bias = _normal(bias.vector(size) if bias else None, attributes["beta"])
        if bias is None:
            return
        name, extra = editor.weight(bias, f"{node.name}/bias")
        inputs.append(name)
        before += extra
    editor.replace(node, *before, editor.node("Gemm", node.name, inputs, node.outputs[0], transB=1))


def _normal(weight: Weight | None, factor: float) -> Weight | None:
    return weight if weight is None or factor == 1 else weight.scaled(factor)


def fold_bias_add(graph: Graph) -> Graph:
    """Add of a constant per channel after a Conv or Gemm becomes its bias."""
    while True:  # a round folds the first Add after each
        editor = Editor(graph)
        if not sum(_fold_bias_add(editor, node) for node in graph.nodes if node.op == "Add"):
            return graph
        graph = editor.done()


def _fold_bias_add(editor: Editor, add: Node) -> bool:
    graph = editor.graph
    for data, constant in (add.inputs, add.inputs[::-1]):
        node, weight = _only_producer(graph, data), find_weight(graph, constant)
        if node is None or weight is None:
            continue
        bias = _channel_vector(weight, graph.tensors[data].shape)
        if bias is not None and len(node.inputs) > 2:
            bias = _sum(find_weight(graph, node.inputs[2]), bias)
        if bias is not None:
            name, before = editor.weight(bias, f"{node.name}/bias")
            merged = replace(node, inputs=(*node.inputs[:2], name), outputs=add.outputs)
            editor.replace(node)
            editor.replace(add, *before, merged)
            return True
    return False


def _only_producer(graph: Graph, tensor: str) -> Node | None:
    """The Conv or Gemm that writes ``tensor``, where nobody but one node reads it."""
    node = graph.producer(tensor)
    if node is None or node.op not in ("Conv", "Gemm"):
        return None
    if node.op == "Gemm" and (node.attributes["transA"] or not node.attributes["transB"]):
        return None
    alone = len(graph.consumers(tensor)) == 1 and tensor not in graph.outputs
    return node if alone else None


def _channel_vector(weight: Weight, shape: tuple[int, ...]) -> Weight | None:
    """``weight``, added to a tensor of ``shape``, as one number per channel (dimension 1)."""
    padded = (1,) * (len(shape) - weight.values.ndim) + weight.values.shape
    if len(padded) != len(shape) or any(size != 1 for i, size in enumerate(padded) if i != 1):
        return None
    return weight.vector(shape[1])


def _sum(first: Weight | None, second: Weight) -> Weight | None:
    if first is None or first.scale is not None or second.scale is not None:
        return None
    return Weight((first.values + second.values).astype(np.float32))


def fold_batch_normalization(graph: Graph) -> Graph:
    """BatchNormalization goes into the float Conv or Gemm before it; ModelError where there is none."""
    while True:  # a round folds the first one after each
        editor, problems = Editor(graph), Problems(ModelError)
        nodes = [node for node in graph.nodes if node.op == "BatchNormalization"]
        for node in nodes:
            try:
                _fold_batch_normalization(editor, node)
            except ValueError as error:
                problems.add(f"{node.place}: {error}")
        if len(problems.lines) == len(nodes):
            problems.raise_any()
            return graph
        graph = editor.done()


def _fold_batch_normalization(editor: Editor, node: Node) -> None:
    graph = editor.graph
    layer = _only_producer(graph, node.inputs[0])
    if layer is None:
        raise ValueError("no Conv or Gemm before it is free to take it; fold it when exporting")
    parameters = [find_weight(graph, name) for name in node.inputs[1:]]
    operands = [find_weight(graph, name) for name in layer.inputs[1:]]
    if any(w is None or w.scale is not None for w in (*parameters, *operands)):
        raise ValueError("it follows quantised weights; fold it before quantising")
    gain, offset = batch_normalization_line(*(p.values for p in parameters), node.attributes["epsilon"])
    weight = operands[0].values
    bias = operands[1].values if len(operands) > 1 else 0
    with np.errstate(over="ignore", invalid="ignore"):
        folded = weight * gain.reshape(-1, *[1] * (weight.ndim - 1)), bias * gain + offset
        values = [value.astype(np.float32) for value in folded]
    if not all(np.isfinite(value).all() for value in values):
        raise ValueError("folding it gives numbers that are not finite; check its variance and scale")
    names = [editor.constant(f"{layer.name}/{what}", v) for what, v in zip(("weight", "bias"), values, strict=True)]
    merged = replace(layer, inputs=(layer.inputs[0], *names), outputs=node.outputs)
    editor.replace(layer)
    editor.replace(node, merged)
