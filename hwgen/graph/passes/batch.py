"""The batch follows the input: what says that it is one frame says nothing about it instead."""

from dataclasses import replace

import numpy as np

from ..editor import Editor
from ..ir import Graph, Node


def free_batch(graph: Graph) -> Graph:
    """``sizes`` of a Resize are those of the dimensions that it changes, and a Slice or Gather takes nothing of the
    batch, where the model has one frame in them."""
    editor = Editor(graph)
    for node in graph.nodes:
        rewrite = _REWRITES.get(node.op)
        new = rewrite(editor, node) if rewrite and graph.tensors[node.inputs[0]].shape[:1] == (1,) else None
        if new is not None:
            editor.replace(node, new)
    return editor.done()


def _resize(editor: Editor, node: Node) -> Node | None:
    """With the ``axes`` that change; at least one."""
    sizes = editor.constants.get(node.input(3))
    if sizes is None or node.attributes["axes"] or node.attributes["keep_aspect_ratio_policy"] != "stretch":
        return None
    before = editor.graph.tensors[node.inputs[0]].shape
    axes = [axis for axis, size in enumerate(sizes.tolist()) if size != before[axis]] or [len(before) - 1]
    if axes[0] == 0:
        return None
    name = editor.constant(f"{node.name}/sizes", sizes[axes])
    attributes = {**node.attributes, "axes": tuple(axes)}
    return replace(node, inputs=(node.inputs[0], "", "", name), attributes=attributes)


def _slice(editor: Editor, node: Node) -> Node | None:
    """Without the batch, of which there is one frame to take."""
    starts, ends, axes, steps = editor.graph.known(node, 1, 2, 3, 4) or [None] * 4
    if starts is None or ends is None:
        return None
    rank = len(editor.graph.tensors[node.inputs[0]].shape)
    axes = np.arange(starts.size) if axes is None else axes.reshape(-1) % rank
    kept = np.flatnonzero(axes != 0)
    if len(kept) == len(axes) or editor.graph.tensors[node.outputs[0]].shape[0] != 1:
        return None
    parts = (starts, ends, axes, np.ones_like(axes) if steps is None else steps)
    names = [
        editor.constant(f"{node.name}/{what}", part.reshape(-1)[kept].astype(np.int64))
        for what, part in zip(("starts", "ends", "axes", "steps"), parts, strict=True)
    ]
    return replace(node, inputs=(node.inputs[0], *names))


def _gather(editor: Editor, node: Node) -> Node | None:
    """The only frame, with or without a dimension for it: a Reshape."""
    shape = editor.graph.tensors[node.inputs[0]].shape
    indices = editor.constants.get(node.inputs[1])
    if node.attributes["axis"] % len(shape) != 0 or indices is None or indices.size != 1 or indices.ndim > 1:
        return None
    target = editor.constant(f"{node.name}/shape", np.array(editor.graph.tensors[node.outputs[0]].shape, np.int64))
    return editor.node("Reshape", node.name, (node.inputs[0], target), node.outputs[0])


_REWRITES = {"Gather": _gather, "Resize": _resize, "Slice": _slice}
