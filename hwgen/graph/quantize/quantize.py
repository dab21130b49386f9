"""Post-training quantisation: a float graph becomes one with QuantizeLinear and DequantizeLinear pairs.

Activations are u8 (or u16), asymmetric, per tensor; weights s8, symmetric, per output channel; biases int32 in units
of input scale times weight scale. A Relu or Clip that the output's range already expresses is dropped, so that every
runtime fuses the pair around what is left. What a model has quantised itself stays as it is.
"""

from collections.abc import Callable

import numpy as np

from hwgen.graph.editor import Editor
from hwgen.graph.errors import ONE_INPUT, InputError, ModelError, Problems, quoted
from hwgen.graph.ir import Graph, Node
from hwgen.graph.lower.site import integer_clamp
from hwgen.graph.notice import warn_caller
from hwgen.graph.quantize.bias_correction import correct_biases
from hwgen.graph.quantize.calibrate import Range, observe
from hwgen.graph.quantize.equalize import equalize
from hwgen.graph.quantize.quantization_points import QuantizationPoints, existing
from hwgen.graph.quantize.recipe import DEFAULT, Recipe
from hwgen.graph.quantize.weight_quantization import MIN_SCALE, has_open_weights, quantize_layer
from hwgen.graph.quantize.wide import named_tensors, wide_tensors
from hwgen.graph.semantics.operators import CLIPS, LAYERS
from hwgen.graph.types import U8, U16, IntType, Quantization
from hwgen.graph.weights import clip_bounds

#: What follows the name of an activation in that of its integers.
INTEGERS = "_quantized"


def quantize(
    graph: Graph,
    calibration: np.ndarray | None = None,
    recipe: Recipe = DEFAULT,
    warn: Callable[[str], None] = warn_caller,
) -> Graph:
    """``graph``, from ``hwgen.graph.passes.simplify``, with everything quantised that is not.

    ``calibration`` holds frames [N, ...] as the model expects them. Without frames random ones are used and ``warn``
    is told. A graph that is quantised already is returned as it is. Raises ModelError or InputError for what cannot
    be quantised.
    """
    points = QuantizationPoints(graph)
    named_tensors(points, recipe.wide)
    layers = [node.name for node in graph.nodes if node.op in LAYERS and has_open_weights(graph, node)]
    if not points.names and not layers:
        return graph
    if len(graph.inputs) != 1:
        raise ModelError(ONE_INPUT.format(len(graph.inputs)))
    measured = calibration is not None and bool(points.names or recipe.correct_bias)
    frames = _frames(graph, calibration, recipe.random_frames, warn) if points.names or measured else np.empty(0)
    if measured and recipe.equalize:
        graph = equalize(graph, frames)
    quantizations = _activations(graph, points, frames, recipe, warn)
    integer = _insert_pairs(_quantize_layers(graph, layers, quantizations), quantizations)
    if measured and recipe.correct_bias:
        integer = correct_biases(integer, graph, frames, layers)
    return integer


# Activations


def _activations(
    graph: Graph, points: QuantizationPoints, frames: np.ndarray, recipe: Recipe, warn: Callable[[str], None]
) -> dict[str, Quantization]:
    """The quantisation of every tensor that gets a pair."""
    if not points.names:
        return {}
    observed = sorted(set(points.owners.values()))
    ranges = observe(graph, frames, observed, recipe.ranges)
    chosen = {name: activation(name, ranges[name], U8, warn) for name in observed}
    wide = wide_tensors(graph, points, chosen, frames, recipe.wide)
    if wide:  # 65,535 steps need no range cut short
        ranges = observe(graph, frames, sorted(wide), "minmax")
        chosen |= {name: activation(name, ends, U16, warn) for name, ends in ranges.items()}
    chosen |= {points.owners[name]: given for name, given in recipe.kept if name in points.owners}
    return {name: chosen[owner] for name, owner in points.owners.items()}


def _frames(
    graph: Graph, calibration: np.ndarray | None, random_frames: int, warn: Callable[[str], None]
) -> np.ndarray:
    info = graph.tensors[graph.inputs[0]]
    if calibration is not None:
        frames = np.asarray(calibration)
        if frames.shape[1:] != info.shape[1:]:
            raise InputError(
                f"calibration frames of shape {list(frames.shape)}; the model takes {['N', *info.shape[1:]]}"
            )
        return frames
    rng, shape = np.random.default_rng(0), (random_frames, *info.shape[1:])
    if info.dtype.kind == "f":
        low, high, frames = 0, 1, rng.random(shape, np.float32)
    else:
        low, high = np.iinfo(info.dtype).min, np.iinfo(info.dtype).max
        frames = rng.integers(low, high + 1, shape)
    warn(
        f"no calibration data: ranges are taken from {random_frames} random frames between {low} and {high}, which "
        f"costs accuracy; pass 100 or more real frames with --calibration FILE.npz"
    )
    return frames


def activation(name: str, ends: Range, kind: IntType, warn: Callable[[str], None]) -> Quantization:
    """Integers of ``kind`` (unsigned) over ``ends`` and zero, which must be exact: it pads."""
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    if low == high:
        warn(f"tensor {quoted(name)} is zero on all calibration frames; it is quantised with scale 1")
        return Quantization(kind, 1.0, 0)
    scale = float(np.float32(max((high - low) / kind.max, MIN_SCALE)))
    return Quantization(kind, scale, int(np.clip(np.rint(-low / scale), 0, kind.max)))


# Weights


def _quantize_layers(graph: Graph, layers: list[str], quantizations: dict[str, Quantization]) -> Graph:
    """``graph`` with integer constants in ``layers``."""
    editor, problems = Editor(graph), Problems(ModelError)
    for node in graph.nodes:
        if node.name in layers:
            try:
                name = node.inputs[0]
                source = quantizations.get(name) or existing(graph, name)
                if source is None:
                    raise ValueError(f"its input {quoted(name)} is not quantised; give the float model")
                quantize_layer(editor, node, source)
            except ValueError as error:
                problems.add(f"{node.place}: {error}")
            except ModelError as error:
                problems.add(*error.problems)
    problems.raise_any()
    return editor.done()


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
    bounds = clip_bounds(node, editor.constants)
    return bounds is not None and integer_clamp(quantization, bounds) == quantization.type.ends


def _insert_pair(editor: Editor, source: str, name: str, quantization: Quantization) -> None:
    """Whoever reads ``name`` reads ``source``, quantised and dequantised."""
    scale = editor.constant(f"{name}_scale", np.array(quantization.scale, np.float32))
    zero = editor.constant(f"{name}_zero_point", np.array(quantization.zero_point, quantization.type.dtype))
    integers, real = editor.fresh(f"{name}{INTEGERS}"), editor.fresh(f"{name}_dequantized")
    editor.redirect(name, real)
    editor.insert_after(
        source,
        editor.node("QuantizeLinear", editor.fresh(f"{name}_quantize"), (source, scale, zero), integers),
        editor.node("DequantizeLinear", editor.fresh(f"{name}_dequantize"), (integers, scale, zero), real),
    )
