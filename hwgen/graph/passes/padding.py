"""Pads of zeros become the padding of the convolution or pool after them."""

from dataclasses import replace

import numpy as np

from hwgen.graph.semantics.shapes_layout import pad_widths

from ..editor import Editor
from ..ir import Graph, Node


def merge_pads(graph: Graph) -> Graph:
    """A Pad of rows and columns with zeros goes into the Convs (or averages that count zeros) that read it."""
    graph = _behind_transposes(graph)
    editor = Editor(graph)
    for node in [node for node in graph.nodes if node.op == "Pad"]:
        widths = _zeros(graph, node)
        readers = graph.consumers(node.outputs[0])
        if widths is None or node.outputs[0] in graph.outputs or not all(_takes(reader) for reader in readers):
            continue
        for reader in readers:
            editor.replace(reader, _padded(editor.current(reader), node, widths))
    return editor.done()


def _behind_transposes(graph: Graph) -> Graph:
    """A Pad that a Transpose alone reads pads what that gives, in front of a layer: channels are first there."""
    editor = Editor(graph)
    for node in [node for node in graph.nodes if node.op == "Pad" and node.outputs[0] not in graph.outputs]:
        readers = graph.consumers(node.outputs[0])
        pads, _, axes = graph.known(node, 1, 2, 3) or (None, None, None)
        if len(readers) != 1 or readers[0].op != "Transpose" or pads is None:
            continue
        (turn,) = readers
        rank = len(graph.tensors[node.inputs[0]].shape)
        widths = pad_widths(rank, pads, axes)
        perm = turn.attributes["perm"] or tuple(reversed(range(rank)))
        turned = np.array([widths[axis] for axis in perm], np.int64).T.reshape(-1)
        between = editor.fresh(f"{node.outputs[0]}/turned")
        inputs = (between, editor.constant(f"{node.name}/pads", turned), *node.inputs[2:3])
        editor.replace(turn, replace(node, inputs=inputs, outputs=turn.outputs))
        editor.replace(node, replace(turn, inputs=node.inputs[:1], outputs=(between,)))
    return editor.done()


def _zeros(graph: Graph, node: Node) -> list[tuple[int, int]] | None:
    """Begin and end for each row and column dimension, where nothing else is padded, nor with anything but zero."""
    pads, value, axes = graph.known(node, 1, 2, 3) or (None, None, None)
    if node.attributes["mode"] != "constant" or pads is None:
        return None
    widths = pad_widths(len(graph.tensors[node.inputs[0]].shape), pads, axes)
    if len(widths) not in (3, 4) or np.any(widths[:2]) or np.min(widths) < 0:
        return None
    return widths[2:] if value is None or not value.any() else None


def _takes(node: Node) -> bool:
    if node.op not in ("Conv", "AveragePool") or node.attributes["auto_pad"] not in ("NOTSET", "", "VALID"):
        return False
    if node.op == "Conv":
        return True
    counts = node.attributes["count_include_pad"] or not any(node.attributes["pads"] or ())
    return bool(counts) and not node.attributes["ceil_mode"]


def _padded(node: Node, pad: Node, widths: list[tuple[int, int]]) -> Node:
    rank = len(widths)
    old = node.attributes["pads"] or (0,) * (2 * rank)
    new = [begin for begin, _ in widths] + [end for _, end in widths]
    total = tuple(a + b for a, b in zip(old, new, strict=True))
    inputs = tuple(pad.inputs[0] if name == pad.outputs[0] else name for name in node.inputs)
    settings = {"pads": total, "auto_pad": "NOTSET"} | ({"count_include_pad": 1} if node.op == "AveragePool" else {})
    return replace(node, inputs=inputs, attributes={**node.attributes, **settings})
