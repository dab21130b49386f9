"""What is known before any frame arrives is computed once; what does nothing is dropped."""

import numpy as np

from ..editor import Editor
from ..float_model import node_results
from ..ir import Graph

_JOINING = ("Concat", "Max", "Mean", "Min", "Sum")


def remove_identities(graph: Graph) -> Graph:
    """Identity; Dropout, which does nothing at inference; and what joins several operands where there is one."""
    editor = Editor(graph)
    for node in graph.nodes:
        if node.op in ("Identity", "Dropout") or (node.op in _JOINING and len(node.inputs) == 1):
            current = next(n for n in editor.nodes if n.name == node.name)
            editor.replace(current)
            editor.redirect(current.outputs[0], current.inputs[0])
    return editor.done()


def fold_constants(graph: Graph) -> Graph:
    """Nodes whose operands are all constant, and Shape. DequantizeLinear stays: hardware stores its integers."""
    editor = Editor(graph)
    for node in graph.nodes:
        if node.op == "Shape":
            shape = np.array(graph.tensors[node.inputs[0]].shape, np.int64)
            values = {node.outputs[0]: shape[node.attributes["start"] : node.attributes["end"]]}
        elif node.op != "DequantizeLinear" and all(not name or name in editor.constants for name in node.inputs):
            values = node_results(node, [editor.constants[name] if name else None for name in node.inputs])
        else:
            continue
        editor.replace(node)
        editor.constants |= values
    return editor.done()
