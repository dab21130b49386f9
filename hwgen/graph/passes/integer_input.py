"""Models that take integers and compute with real numbers: what they do first says what the integers mean.

A camera's bytes go through a Cast, are divided by 255, less a mean, over a standard deviation. As far as that is a
scale and a zero point, it is the quantisation of the input; the rest goes into the first convolution, unless that has
padding, which is zero only behind it. What is left then is a table for each channel. A Clip narrows the input's range.
"""

from dataclasses import replace

import numpy as np

from hwgen.graph.semantics.float_ops import dequantize_linear
from hwgen.graph.semantics.operators import ARITHMETIC, LAYOUT
from hwgen.graph.semantics.window import is_padded

from ..complete import complete
from ..editor import Editor
from ..ir import Graph, Node
from ..weights import real_operands
from .integers import integer_bounds, narrowed, real_bounds

_WHOLE = 1e-4  # of a step: constants in float32 give a zero point as near to a whole number as this


def casts_of_the_input(graph: Graph) -> Graph:
    """A Cast of the graph's integers to float is a DequantizeLinear with scale 1."""
    editor = Editor(graph)
    for node in [node for node in graph.nodes if node.op == "Cast" and _is_input(graph, node.inputs[0])]:
        dtype = graph.tensors[node.inputs[0]].dtype
        if graph.tensors[node.outputs[0]].dtype != np.float32 or dtype.kind not in "iu" or dtype.itemsize > 2:
            continue
        one = editor.constant(f"{node.name}/one", np.ones((), np.float32))
        zero = editor.constant(f"{node.name}/zero_point", np.zeros((), dtype))
        inputs = (node.inputs[0], one, zero)
        editor.replace(node, editor.node("DequantizeLinear", node.name, inputs, node.outputs[0]))
    return editor.done()


def _is_input(graph: Graph, name: str) -> bool:
    """Whether it is the input, moved and clipped at most."""
    while (node := graph.producer(name)) is not None and node.op in (*LAYOUT, "Clip"):
        name = node.inputs[0]
    return name in graph.inputs


def clips_of_an_integer_input(graph: Graph) -> Graph:
    """A Clip of the graph's integers narrows them, whether it stands before the DequantizeLinear or behind."""
    while (found := _input_clip(graph)) is not None:
        clip, dequantizers, limits = found
        editor = Editor(graph)
        editor.drop(clip)
        for node in dequantizers:
            editor.replace(node, narrowed(graph, editor.current(node), limits))
        graph = editor.done()
    return graph


def _input_clip(graph: Graph) -> tuple[Node, list[Node], tuple[int, int]] | None:
    """A Clip whose bounds are integers of the input, and the DequantizeLinear nodes that it narrows."""
    for clip in [node for node in graph.nodes if node.op == "Clip" and node.outputs[0] not in graph.outputs]:
        maker = graph.producer(clip.inputs[0])
        if maker is not None and maker.op == "DequantizeLinear" and _is_input(graph, maker.inputs[0]):
            limits = _steps_of(graph, maker, clip)
            if limits and len(graph.consumers(clip.inputs[0])) == 1 and clip.inputs[0] not in graph.outputs:
                return clip, [maker], limits
        elif _is_input(graph, clip.inputs[0]) and (limits := integer_bounds(graph, clip)):
            readers = _dequantizers(graph, clip.outputs[0])
            if readers:
                return clip, readers, limits
    return None


def _dequantizers(graph: Graph, name: str) -> list[Node]:
    """All that read ``name``, moved at most; none where anybody else does."""
    found: list[Node] = []
    for reader in graph.consumers(name):
        inner = _dequantizers(graph, reader.outputs[0]) if reader.op in LAYOUT else [reader]
        if not inner or any(node.op != "DequantizeLinear" for node in inner) or name in graph.outputs:
            return []
        found += inner
    return found


def _steps_of(graph: Graph, dequantizer: Node, clip: Node) -> tuple[int, int] | None:
    """The integers that a Clip of the dequantised input leaves; None where its bounds are none of the real numbers."""
    parameters = graph.single_values(dequantizer.inputs[1:])
    bounds = real_bounds(graph, clip)
    if bounds is None or parameters is None or len(parameters) != 2:
        return None
    kind = np.iinfo(graph.tensors[dequantizer.inputs[0]].dtype)
    integers = np.arange(kind.min, kind.max + 1)
    real = dequantize_linear(integers, *parameters, axis=0)
    inside = integers[(real >= bounds[0]) & (real <= bounds[1])]
    if (
        not inside.size
        or not (
            np.clip(real, *np.array(bounds, np.float32)) == real[np.clip(integers, *inside[[0, -1]]) - kind.min]
        ).all()
    ):
        return None
    return int(inside[0]), int(inside[-1])


def normalisation_of_the_input(graph: Graph) -> Graph:
    """Arithmetic with constants on the dequantised input of a float model goes into its scale and zero point as far as
    it can, the rest into the first convolution."""
    if any(node.op == "QuantizeLinear" for node in graph.nodes):
        return graph  # what a model rounds itself is computed as it says
    for node in graph.nodes:
        if node.op == "DequantizeLinear" and _is_input(graph, node.inputs[0]):
            before = None
            while graph is not before:  # a Clip within the arithmetic parts it
                before, graph = graph, clips_of_an_integer_input(_into_quantization(graph, node.name))
            return _into_convolution(graph, node.name)
    return graph


def _chain(graph: Graph, name: str) -> list[tuple[Node, np.ndarray, np.ndarray]]:
    """The nodes that alone follow ``name``, each with gain and offset (float64) of all until then."""
    gain, offset = np.ones(()), np.zeros(())
    found: list[tuple[Node, np.ndarray, np.ndarray]] = []
    while name not in graph.outputs and len(readers := graph.consumers(name)) == 1 and readers[0].op in ARITHMETIC:
        (node,) = readers
        constant = graph.constants.get(node.inputs[1] if node.inputs[0] == name else node.inputs[0])
        swapped = node.inputs[0] != name
        if constant is None or (swapped and node.op in ("Div", "Sub")):
            break
        value = constant.astype(np.float64)
        if node.op in ("Mul", "Div"):
            with np.errstate(all="ignore"):
                factor = value if node.op == "Mul" else 1 / value
                gain, offset = gain * factor, offset * factor
        else:
            offset = offset + (value if node.op == "Add" else -value)
        found.append((node, gain, offset))
        name = node.outputs[0]
    return found


def _into_quantization(graph: Graph, name: str) -> Graph:
    """The longest chain behind the node ``name`` that is one scale and one zero point."""
    dequantizer = next(node for node in graph.nodes if node.name == name)
    scale, zero = (graph.constants.get(name) for name in (*dequantizer.inputs[1:], "")[:2])
    if scale is None or scale.size != 1 or (zero is not None and zero.size != 1):
        return graph
    dtype = graph.tensors[dequantizer.inputs[0]].dtype
    start = 0 if zero is None else int(zero.item())
    for node, gain, offset in reversed(_chain(graph, dequantizer.outputs[0])):
        step = float(gain.reshape(-1)[0]) * float(scale.item())
        if gain.size > 1 or offset.size > 1 or not np.finfo(np.float32).tiny < step < np.inf:
            continue
        place = start - float(offset.reshape(-1)[0]) / step
        limits = np.iinfo(dtype)
        if abs(place - np.rint(place)) > _WHOLE or not limits.min <= np.rint(place) <= limits.max:
            continue
        editor = Editor(graph)
        names = (
            editor.constant(f"{dequantizer.name}/scale", np.array(step, np.float32)),
            editor.constant(f"{dequantizer.name}/zero", np.array(np.rint(place), dtype)),
        )
        merged = replace(dequantizer, inputs=(dequantizer.inputs[0], *names))
        editor.replace(dequantizer, merged)
        editor.redirect(node.outputs[0], dequantizer.outputs[0])
        return editor.done()
    return graph


def _into_convolution(graph: Graph, name: str) -> Graph:
    """What the chain behind the node ``name`` still does, for each channel, done by weights and bias."""
    dequantizer = next(node for node in graph.nodes if node.name == name)
    chain = _chain(graph, dequantizer.outputs[0])
    if not chain:
        return graph
    last, gain, offset = chain[-1]
    readers = graph.consumers(last.outputs[0])
    alone = len(readers) == 1 and last.outputs[0] not in graph.outputs
    if not alone or readers[0].op != "Conv" or is_padded(readers[0].attributes):
        return graph
    conv, channels = readers[0], graph.tensors[last.outputs[0]].shape[1]
    operands = real_operands(graph, conv)
    lines = complete(_per_channel(value, graph.tensors[last.outputs[0]].shape) for value in (gain, offset))
    if operands is None or lines is None:
        return graph
    weight = operands[0].values.astype(np.float64)
    group = conv.attributes["group"]
    gains, offsets = (np.repeat(line.reshape(group, -1), len(weight) // group, 0) for line in lines)
    with np.errstate(all="ignore"):
        bias = (weight.sum(axis=tuple(range(2, weight.ndim))) * offsets).sum(axis=1)
        bias = bias + (operands[1].values if len(operands) > 1 else 0)
        weight = weight * gains.reshape(*gains.shape, *[1] * (weight.ndim - 2))
    if not (np.isfinite(weight).all() and np.isfinite(bias).all() and channels):
        return graph
    editor = Editor(graph)
    names = [
        editor.constant(f"{conv.name}/{what}", value.astype(np.float32))
        for what, value in (("weight", weight), ("bias", bias))
    ]
    editor.replace(conv, replace(conv, inputs=(dequantizer.outputs[0], *names)))
    return editor.done()


def _per_channel(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """One number for each channel; None where ``value`` is another one at every pixel."""
    full = value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
    if any(size != 1 for axis, size in enumerate(full.shape) if axis != 1):
        return None
    return np.broadcast_to(full.reshape(-1), (shape[1],))
