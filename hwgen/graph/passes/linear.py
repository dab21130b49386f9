"""Matrix products, biases and batch normalisation become one Conv or Gemm with a bias."""

from dataclasses import replace

import numpy as np

from hwgen.graph.semantics.float_ops import batch_normalization_line

from ..complete import complete
from ..editor import Editor, rewritten
from ..errors import ModelError, Problems
from ..ir import Graph, Node
from ..weights import Weight, find_weight, real_operands


def matmul_to_gemm(graph: Graph) -> Graph:
    """MatMul with a constant matrix is a Gemm without bias; on the channels of a channels-last map, a 1x1 Conv."""
    return rewritten(graph, {"MatMul": _matmul})


def _matmul(editor: Editor, node: Node) -> tuple[Node, ...]:
    weight = find_weight(editor.graph, node.inputs[1])
    rank, other = (len(editor.graph.tensors[name].shape) for name in node.inputs)
    if weight is None or other != 2 or rank not in (2, 3, 4):
        return ()
    if rank == 2:
        return (editor.node("Gemm", node.name, node.inputs, node.outputs[0]),)
    return _matmul_to_conv(editor, node, weight.transposed(), rank)


def _matmul_to_conv(editor: Editor, node: Node, weight: Weight, rank: int) -> tuple[Node, ...]:
    """[1, (H,) W, K] times [K, N]: between two Transposes, which may cancel with those around."""
    weight = replace(weight, values=weight.values.reshape(*weight.values.shape, *[1] * (rank - 2)))
    name, before = editor.weight(weight, f"{node.name}/weight")
    first, result = (editor.fresh(f"{node.name}/{what}") for what in ("channels_first", "result"))
    perms = (0, rank - 1, *range(1, rank - 1)), (0, *range(2, rank), 1)
    return (
        *before,
        editor.node("Transpose", editor.fresh(f"{node.name}/enter"), node.inputs[:1], first, perm=perms[0]),
        editor.node("Conv", node.name, (first, name), result),
        editor.node("Transpose", editor.fresh(f"{node.name}/leave"), (result,), node.outputs[0], perm=perms[1]),
    )


def normalize_gemm(graph: Graph) -> Graph:
    """Gemm with constant weights: [out, in] (``transB``), alpha and beta in the numbers, bias a vector."""
    return rewritten(graph, {"Gemm": _gemm})


def _gemm(editor: Editor, node: Node) -> tuple[Node, ...]:
    graph, attributes = editor.graph, node.attributes
    size = graph.tensors[node.outputs[0]].shape[1]
    weight = _normal(find_weight(graph, node.inputs[1]), attributes["alpha"])
    if weight is None or attributes["transA"]:
        return ()
    if not attributes["transB"]:
        weight = weight.transposed()
    bias = None
    if len(node.inputs) > 2:
        bias = find_weight(graph, node.inputs[2])
        bias = _normal(bias.vector(size) if bias else None, attributes["beta"])
        if bias is None:
            return ()
    return editor.layer(editor.node("Gemm", node.name, node.inputs, node.outputs[0], transB=1), weight, bias)


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
            editor.replace(node)
            editor.replace(add, *editor.layer(replace(node, outputs=add.outputs), None, bias))
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
    """BatchNormalization goes into the float Conv or Gemm before it; where there is none, it becomes Mul and Add."""
    while True:  # a round takes the first one after each Conv or Gemm, and all that follow none
        editor, problems = Editor(graph), Problems(ModelError)
        nodes = [node for node in graph.nodes if node.op == "BatchNormalization"]
        for node in nodes:
            with problems.at(node.place):
                _fold_batch_normalization(editor, node)
        if len(problems.lines) == len(nodes):
            problems.raise_any()
            return graph
        graph = editor.done()


def _fold_batch_normalization(editor: Editor, node: Node) -> None:
    parameters = complete(editor.constants.get(name) for name in node.inputs[1:])
    if parameters is None:
        raise ValueError("its parameters are not constant; fold it when exporting")
    scale, bias, mean, variance = parameters
    line = batch_normalization_line(scale, bias, mean, variance, node.attributes["epsilon"])
    layer = _only_producer(editor.graph, node.inputs[0])
    operands = real_operands(editor.graph, layer) if layer else None
    if layer is None or operands is None:
        _multiply_and_add(editor, node, *line)
    else:
        _fold_line(editor, node, layer, operands, *line)


def _multiply_and_add(editor: Editor, node: Node, gain: np.ndarray, offset: np.ndarray) -> None:
    """Two nodes with a number per channel each."""
    shape = (-1,) + (1,) * (len(editor.graph.tensors[node.inputs[0]].shape) - 2)
    names = [
        editor.constant(f"{node.name}/{what}", value.reshape(shape))
        for what, value in zip(("gain", "offset"), _finite(gain, offset), strict=True)
    ]
    product = editor.fresh(f"{node.name}/product")
    multiply = editor.node("Mul", editor.fresh(f"{node.name}/multiply"), (node.inputs[0], names[0]), product)
    editor.replace(node, multiply, editor.node("Add", node.name, (product, names[1]), node.outputs[0]))


def _fold_line(
    editor: Editor, node: Node, layer: Node, operands: list[Weight], gain: np.ndarray, offset: np.ndarray
) -> None:
    """``gain * layer + offset`` per channel becomes weights and bias of ``layer``."""
    weight = operands[0].values
    bias = operands[1].values if len(operands) > 1 else 0
    with np.errstate(over="ignore", invalid="ignore"):
        values = _finite(weight * gain.reshape(-1, *[1] * (weight.ndim - 1)), bias * gain + offset)
    names = [editor.constant(f"{layer.name}/{what}", v) for what, v in zip(("weight", "bias"), values, strict=True)]
    merged = replace(layer, inputs=(layer.inputs[0], *names), outputs=node.outputs)
    editor.replace(layer)
    editor.replace(node, merged)


def _finite(*values: np.ndarray) -> list[np.ndarray]:
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = [value.astype(np.float32) for value in values]
    if not all(np.isfinite(value).all() for value in narrow):
        raise ValueError("folding it gives numbers that are not finite; check its variance and scale")
    return narrow


def fold_scales_and_biases(graph: Graph) -> Graph:
    """Mul by a constant per channel after a Conv or Gemm with float weights goes into those, and Add after it."""
    while True:
        editor = Editor(graph)
        if sum(_fold_scale(editor, node) for node in graph.nodes if node.op == "Mul"):
            graph = editor.done()
            continue
        before, graph = graph, fold_bias_add(graph)
        if len(graph.nodes) == len(before.nodes):
            return graph


def _fold_scale(editor: Editor, node: Node) -> bool:
    graph = editor.graph
    for data, constant in (node.inputs, node.inputs[::-1]):
        layer, value = _only_producer(graph, data), graph.constants.get(constant)
        if layer is None or value is None:
            continue
        operands = real_operands(graph, layer)
        factor = _channel_vector(Weight(value), graph.tensors[data].shape)
        if factor is not None and operands is not None:
            gain = factor.values.astype(np.float64)
            _fold_line(editor, node, layer, operands, gain, np.zeros_like(gain))
            return True
    return False
