"""Post-training quantisation: a float graph becomes one with QuantizeLinear and DequantizeLinear pairs.

Activations are u8, asymmetric, per tensor; weights s8, symmetric, per output channel; biases int32 in units of input
scale times weight scale. A Relu or Clip that the output's range already expresses is dropped, so that every runtime
fuses the pair around what is left.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .calibrate import Range, observe
from .editor import Editor
from .errors import InputError, ModelError, Problems
from .ir import Graph, Node
from .site import SAME_SCALE, integer_clamp
from .types import S8, U8, Quantization
from .weights import Weight, find_weight

LAYOUT = ("Reshape", "Transpose")
KEEPS_QUANTIZATION = ("MaxPool", "GlobalMaxPool", *LAYOUT)
CLIPS = ("Relu", "Clip")
WEIGHTED = ("Conv", "Gemm")
RANDOM_FRAMES = 16
MIN_SCALE = 2.0**-40  # products and quotients of scales stay well inside float32
BIAS_ROOM = 1 << 20  # steps a bias may take however many weights share its accumulator


def quantize(
    graph: Graph,
    calibration: np.ndarray | None = None,
    method: str = "minmax",
    warn: Callable[[str], None] = warnings.warn,
) -> Graph:
    """``graph``, from ``hwgen.graph.passes.simplify``, with everything quantised that is not.

    ``calibration`` holds frames [N, ...] as the model expects them; ``method`` is one of
    ``hwgen.graph.calibrate.METHODS``. Without frames random ones are used and ``warn`` is told. A graph that is
    quantised already is returned as it is. Raises ModelError or InputError for what cannot be quantised.
    """
    points = _points(graph)
    if not points and not any(_open_weights(graph, node) for node in graph.nodes):
        return graph
    if len(graph.inputs) != 1:
        raise ModelError(f"the model has {len(graph.inputs)} inputs; one is supported")
    owners = {name: _owner(graph, name, points) for name in points}
    quantizations = {}
    if points:
        observed = sorted(set(owners.values()))
        ranges = observe(graph, _frames(graph, calibration, warn), observed, method)
        chosen = {name: _activation(name, ranges[name], warn) for name in observed}
        quantizations = {name: chosen[owner] for name, owner in owners.items()}
    graph = _quantize_weights(graph, quantizations)
    return _insert_pairs(graph, quantizations)


# Where


def _points(graph: Graph) -> tuple[str, ...]:
    """Float activations that need a Quantize-Dequantize pair, in topological order."""
    weights = {node.outputs[0] for node in graph.nodes if find_weight(graph, node.outputs[0])}
    names = [*graph.inputs, *(node.outputs[0] for node in graph.nodes)]
    return tuple(name for name in names if name not in weights and _needs_pair(graph, name))


def _needs_pair(graph: Graph, name: str) -> bool:
    producer, consumers = graph.producer(name), graph.consumers(name)
    if name in graph.inputs and all(node.op in LAYOUT for node in consumers):
        return False  # the host delivers frames in the order that comes out of it
    if graph.tensors[name].dtype.kind != "f" or (producer and producer.op == "DequantizeLinear"):
        return False
    if _picks_from_quantized(graph, name):
        return False
    if name in graph.outputs:
        return True
    fused = len(consumers) == 1 and consumers[0].op in CLIPS and producer and producer.op not in KEEPS_QUANTIZATION
    return not fused and not (consumers and all(node.op == "QuantizeLinear" for node in consumers))


def _owner(graph: Graph, name: str, points: tuple[str, ...]) -> str:
    """The tensor whose quantisation ``name`` has: its own, or that of what it was picked from."""
    producer = graph.producer(name)
    while producer and producer.op in KEEPS_QUANTIZATION:
        source = producer.inputs[0]
        if source not in points:
            break
        name, producer = source, graph.producer(source)
    return name


def _picks_from_quantized(graph: Graph, name: str) -> bool:
    """Whether ``name`` is made of dequantised integers only, unchanged."""
    producer = graph.producer(name)
    while producer and producer.op in KEEPS_QUANTIZATION:
        if _is_dequantized(graph, producer.inputs[0]):
            return True
        producer = graph.producer(producer.inputs[0])
    return False


def _is_dequantized(graph: Graph, name: str) -> bool:
    producer = graph.producer(name)
    return producer is not None and producer.op == "DequantizeLinear"


# How


def _frames(graph: Graph, calibration: np.ndarray | None, warn: Callable[[str], None]) -> np.ndarray:
    info = graph.tensors[graph.inputs[0]]
    if calibration is not None:
        frames = np.asarray(calibration)
        if frames.shape[1:] != info.shape[1:]:
            raise InputError(
                f"calibration frames of shape {list(frames.shape)}; the model takes {['N', *info.shape[1:]]}"
            )
        return frames
    rng, shape = np.random.default_rng(0), (RANDOM_FRAMES, *info.shape[1:])
    if info.dtype.kind == "f":
        low, high, frames = 0, 1, rng.random(shape, np.float32)
    else:
        low, high = np.iinfo(info.dtype).min, np.iinfo(info.dtype).max
        frames = rng.integers(low, high + 1, shape)
    warn(
        f"no calibration data: ranges are taken from {RANDOM_FRAMES} random frames between {low} and {high}, which "
        f"costs accuracy; pass 100 or more real frames with --calibration FILE.npz"
    )
    return frames


def _activation(name: str, ends: Range, warn: Callable[[str], None]) -> Quantization:
    """u8 over ``ends`` and zero, which must be exact: it pads."""
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    if low == high:
        warn(f"tensor {name!r} is zero on all calibration frames; it is quantised with scale 1")
        return Quantization(U8, 1.0, 0)
    scale = float(np.float32(max((high - low) / U8.max, MIN_SCALE)))
    return Quantization(U8, scale, int(np.clip(np.rint(-low / scale), 0, U8.max)))


def _existing(graph: Graph, name: str) -> Quantization:
    """That of a dequantised tensor."""
    node = graph.producer(name)
    if node is None or node.op != "DequantizeLinear":
        raise ModelError(f"tensor {name!r} is not quantised; give the float model")
    dtype = graph.tensors[node.inputs[0]].dtype
    scale, *zero = (graph.constants.get(operand) for operand in node.inputs[1:])
    if scale is None or scale.size != 1 or dtype not in (np.uint8, np.int8):
        raise ModelError(f"{node.place}: only 8-bit activations with one constant scale can be completed")
    return Quantization(U8 if dtype == np.uint8 else S8, float(scale.item()), int(zero[0].item()) if zero else 0)


# Weights


def _open_weights(graph: Graph, node: Node) -> bool:
    """Whether a Conv or Gemm has float constants left."""
    if node.op not in WEIGHTED:
        return False
    weights = [find_weight(graph, name) for name in node.inputs[1:]]
    return any(weight is None or weight.scale is None for weight in weights)


def _quantize_weights(graph: Graph, quantizations: dict[str, Quantization]) -> Graph:
    editor, problems = Editor(graph), Problems(ModelError)
    for node in graph.nodes:
        if node.op in WEIGHTED:
            try:
                name = node.inputs[0]
                source = quantizations[name] if name in quantizations else _existing(graph, name)
                _quantize_node(editor, node, source.scale)
            except ValueError as error:
                problems.add(f"{node.place}: {error}")
    problems.raise_any()
    return editor.done()


def _quantize_node(editor: Editor, node: Node, input_scale: float) -> None:
    operands = [find_weight(editor.graph, name) for name in node.inputs[1:]]
    if any(operand is None for operand in operands):
        raise ValueError("its weights and bias must be constant")
    if not all(np.isfinite(operand.real).all() for operand in operands):
        raise ValueError("its weights or bias overflow float32; check the scales before it")
    weight, bias = operands[0], operands[1] if len(operands) > 1 else None
    channels = len(weight.values)
    bias = None if bias is None else bias.vector(channels)
    if weight.scale is None:
        weight = _weight(weight.values, None if bias is None else bias.real, input_scale)
    names, before = [], ()
    for what, operand in (("weight", weight), ("bias", _bias(bias, weight, input_scale))):
        if operand is not None:
            name, nodes = editor.weight(operand, f"{node.name}/{what}")
            names.append(name)
            before += nodes
    merged = replace(node, inputs=(node.inputs[0], *names))
    editor.replace(node, *before, merged)


def _weight(values: np.ndarray, bias: np.ndarray | None, input_scale: float) -> Weight:
    """s8 per output channel. A channel's scale also grows until its bias fits beside the products in 32 bits."""
    rows = np.abs(values.reshape(len(values), -1)).astype(np.float64)
    scale = rows.max(axis=1) / S8.max
    dead = scale == 0
    scale[dead] = scale.max() or 1.0  # any scale will do for zeros; this one suits the bias
    if bias is not None:
        room = max((1 << 31) - 1 - rows.shape[1] * U8.max * -S8.min, BIAS_ROOM)
        scale = np.maximum(scale, np.abs(bias.astype(np.float64)) / (input_scale * room))
    scale = np.maximum(scale, MIN_SCALE).astype(np.float32)
    steps = np.rint(values / scale.reshape(-1, *[1] * (values.ndim - 1)))
    integers = np.clip(steps, -S8.max, S8.max).astype(np.int8)
    return Weight(integers, scale, np.zeros(len(values), np.int8), 0)


def _bias(bias: Weight | None, weight: Weight, input_scale: float) -> Weight | None:
    """int32 with the scale of the accumulator; one that has it already is kept."""
    if bias is None:
        return None
    scale = np.float32(input_scale) * weight.scale.reshape(-1).astype(np.float32)
    stored = bias.scale is not None and bias.values.dtype == np.int32
    if stored and (np.abs(bias.scale / scale - 1) < SAME_SCALE).all():
        return bias
    steps = np.rint(bias.real.astype(np.float64) / scale)
    if (np.abs(steps) > np.iinfo(np.int32).max).any():
        raise ValueError(f"a bias of {np.abs(steps).max():.4g} steps does not fit into 32 bits")
    scale = np.broadcast_to(scale, steps.shape) if scale.size > 1 else scale
    return Weight(steps.astype(np.int32), scale.copy(), np.zeros(scale.size, np.int32), 0)


# Pairs


def _insert_pairs(graph: Graph, quantizations: dict[str, Quantization]) -> Graph:
    editor = Editor(graph)
    for name, quantization in quantizations.items():
        producer = next((node for node in editor.nodes if name in node.outputs), None)
        source = name
        if producer is not None and _is_needless(editor, producer, quantization):
            source = producer.inputs[0]
        _insert_pair(editor, source, name, quantization)
    return editor.done()


def _is_needless(editor: Editor, node: Node, quantization: Quantization) -> bool:
    """Whether a Relu or Clip does nothing that the range of the integers after it does not do."""
    if node.op not in CLIPS:
        return False
    bounds = [0.0, np.inf] if node.op == "Relu" else [-np.inf, np.inf]
    for place, name in enumerate(node.inputs[1:]):
        if name in editor.constants:
            bounds[place] = float(editor.constants[name].item())
        elif name:
            return False
    return integer_clamp(quantization, tuple(bounds)) == (quantization.type.min, quantization.type.max)


def _insert_pair(editor: Editor, source: str, name: str, quantization: Quantization) -> None:
    """Whoever reads ``name`` reads ``source``, quantised and dequantised."""
    scale = editor.constant(f"{name}_scale", np.array(quantization.scale, np.float32))
    zero = editor.constant(f"{name}_zero_point", np.array(quantization.zero_point, quantization.type.dtype))
    integers, real = editor.fresh(f"{name}_quantized"), editor.fresh(f"{name}_dequantized")
    editor.redirect(name, real)
    editor.insert_after(
        source,
        editor.node("QuantizeLinear", editor.fresh(f"{name}_quantize"), (source, scale, zero), integers),
        editor.node("DequantizeLinear", editor.fresh(f"{name}_dequantize"), (integers, scale, zero), real),
    )
