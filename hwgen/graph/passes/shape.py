"""One form for all operators that only rename dimensions."""

import numpy as np

from ..editor import Editor
from ..ir import Graph

_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")


def normalize_reshapes(graph: Graph) -> Graph:
    """Flatten, Squeeze, Unsqueeze and Reshape become Reshape to [0, ...]: the batch is left alone.

    Those that change nothing vanish, and so does a Reshape of a Reshape. What moves numbers into the batch
    dimension stays as it is, for ``lower`` to refuse.
    """
    editor = Editor(graph)
    for old in graph.nodes:
        if old.op not in _RESHAPES:
            continue
        node = next(n for n in editor.nodes if n.name == old.name)
        before, after = graph.tensors[old.inputs[0]].shape, graph.tensors[old.outputs[0]].shape
        if before == after:
            editor.replace(node)
            editor.redirect(node.outputs[0], node.inputs[0])
        elif before[:1] == after[:1] == (1,):
            shape = editor.constant(f"{node.name}/shape", np.array([0, *after[1:]], np.int64))
            inputs = (node.inputs[0], shape)
            editor.replace(node, editor.node("Reshape", node.name, inputs, node.outputs[0]))
    return editor.done()
