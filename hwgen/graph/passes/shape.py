"""One form for operators that only rename dimensions, and one order for those that may change places."""

from dataclasses import replace

import numpy as np

from hwgen.graph.semantics.operators import CLIPS, LAYOUT, MAXIMA, RESHAPES

from ..editor import Editor
from ..ir import Graph

_PICKERS = MAXIMA | LAYOUT


def normalize_reshapes(graph: Graph) -> Graph:
    """Flatten, Squeeze, Unsqueeze and Reshape become Reshape to [0, ...]: the batch is left alone.

    Those that change nothing vanish, and so does a Reshape of a Reshape. What moves numbers into the batch
    dimension stays as it is, for ``lower`` to refuse.
    """
    editor = Editor(graph)
    for node in graph.nodes:
        if node.op not in RESHAPES:
            continue
        before, after = (graph.tensors[name].shape for name in (node.inputs[0], node.outputs[0]))
        if before == after:
            editor.drop(node)
        elif before[:1] == after[:1] == (1,):
            shape = editor.constant(f"{node.name}/shape", np.array([0, *after[1:]], np.int64))
            inputs = (editor.current(node).inputs[0], shape)
            editor.replace(node, editor.node("Reshape", node.name, inputs, node.outputs[0]))
    return editor.done()


def clip_before_pick(graph: Graph) -> Graph:
    """Relu and Clip move before the maximum, Reshape or Transpose whose result they alone read.

    The numbers stay what they are, as a Clip never falls; there it fuses with the operator that made them.
    """
    for name in [node.name for node in graph.nodes if node.op in CLIPS]:
        while (swapped := _swap(graph, name)) is not None:
            graph = swapped
    return graph


def _swap(graph: Graph, name: str) -> Graph | None:
    clip = next(node for node in graph.nodes if node.name == name)
    pick = graph.producer(clip.inputs[0])
    if pick is None or pick.op not in _PICKERS or len(graph.consumers(pick.outputs[0])) > 1:
        return None
    maker = graph.producer(pick.inputs[0])
    if pick.outputs[0] in graph.outputs or maker is None or maker.op == "DequantizeLinear":
        return None
    editor = Editor(graph)
    between = editor.fresh(f"{clip.name}/before")
    earlier = replace(clip, inputs=(pick.inputs[0], *clip.inputs[1:]), outputs=(between,))
    later = replace(pick, inputs=(between, *pick.inputs[1:]), outputs=clip.outputs)
    editor.replace(pick)
    editor.replace(clip, earlier, later)
    return editor.done()
