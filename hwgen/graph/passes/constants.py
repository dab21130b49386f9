"""What is known before any frame arrives is computed once; what does nothing is dropped."""

from ..editor import Editor
from ..float_model import run_node
from ..ir import Graph


def remove_identities(graph: Graph) -> Graph:
    """Identity, and Dropout, which does nothing at inference."""
    editor = Editor(graph)
    for node in graph.nodes:
        if node.op in ("Identity", "Dropout"):
            current = next(n for n in editor.nodes if n.name == node.name)
            editor.replace(current)
            editor.redirect(current.outputs[0], current.inputs[0])
    return editor.done()


def fold_constants(graph: Graph) -> Graph:
    """Nodes whose operands are all constant. DequantizeLinear stays: its integers are what hardware stores."""
    editor = Editor(graph)
    for node in graph.nodes:
        known = all(not name or name in editor.constants for name in node.inputs)
        if known and node.op != "DequantizeLinear":
            operands = [editor.constants[name] if name else None for name in node.inputs]
            editor.replace(node)
            editor.constants[node.outputs[0]] = run_node(node, operands)
    return editor.done()
