"""The first half of the flow: a model is read, quantised and lowered to a network of integers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hwgen.blocks import OPERATORS
from hwgen.dataflow.plan_file import check_layers, plan_file
from hwgen.flow.layer_tensors import layer_results, outputs_by_layers, wide_by_layers
from hwgen.frames.inputs import USUAL, FrameSpec, Preparation
from hwgen.frames.load import CALIBRATION_FRAMES, load_frames
from hwgen.graph.cut import host_nodes, loose_ends, weighted_layers
from hwgen.graph.errors import InputError
from hwgen.graph.ir import Graph
from hwgen.graph.lower.lower import lower, refusals, with_computed_biases
from hwgen.graph.network import Network
from hwgen.graph.notice import warn_caller
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.quantize import quantize
from hwgen.graph.quantize.recipe import DEFAULT, Recipe
from hwgen.progress import Notes, Progress, silent
from hwgen.simulate.runtime import Comparison, against_onnxruntime
from hwgen.top.loading import LOADABLE, forms_in, made_loadable

BENCH_FRAMES = 3  # in the Verilog test bench; fewer do not show the cycles from frame to frame

FramesLike = str | Path | Iterable[str | Path] | np.ndarray


@dataclass(frozen=True, eq=False)
class Quantised:
    """``model``, the file, in integers: the ``graph`` (QDQ), the ``network`` of operators, frames [N, ...] to try."""

    graph: Graph
    network: Network
    samples: np.ndarray
    model: Path

    def with_weights(self, weights: str, plan: str | Path | None = None) -> "Quantised":
        """The same, where weights are ``"loadable"`` with hardware that takes others, as the file ``plan`` says, if it
        does."""
        if weights != LOADABLE:
            return self
        forms = None if plan is None else forms_in(plan_file(plan), str(plan))
        return replace(self, network=made_loadable(self.network, forms))

    def against_onnxruntime(self, frames: np.ndarray) -> Comparison:
        """Compare every integer tensor that ONNX Runtime has, too, on frames [N, ...] of the model's own shape."""
        return against_onnxruntime(self.model, self.graph, self.network, frames)


def quantised(
    model: str | Path,
    calibration: FramesLike | None = None,
    preparation: Preparation = USUAL,
    input_shape: Mapping[str, tuple[int, ...]] | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] = warn_caller,
    recipe: Recipe = DEFAULT,
    outputs: Iterable[str] = (),
    plan: str | Path | None = None,
) -> Quantised:
    """The first half of :func:`compile`: all that the golden model needs. The file ``plan`` is only looked at."""
    tell, warn, outputs = progress or silent, Notes(warn), tuple(outputs)
    tell("reading the model")
    host: frozenset[str] = frozenset()
    while True:  # until nothing more is found that must be left to the host
        imported = cut_model(model, input_shape, outputs, host)
        if plan is not None:
            check_layers(plan_file(plan), weighted_layers(imported), str(plan))
        frames = calibration_frames(imported, calibration, preparation)
        tell("quantising")
        recipe = wide_by_layers(imported, recipe)
        graph = quantize(imported, frames, recipe, warn)
        found = frozenset() if outputs else refusals(graph) & loose_ends(imported)
        if found <= host:
            break
        host |= found
    if graph is imported and frames is not None:
        warn("the model is quantised already; the calibration frames only serve to try it on")
    graph = with_computed_biases(graph, warn)
    tell("proving integer arithmetic")
    network = lower(graph, OPERATORS, warn=warn)
    return Quantised(graph, network, sample_frames(network, frames), Path(model))


def cut_model(
    model: str | Path,
    input_shape: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Iterable[str] = (),
    host: frozenset[str] = frozenset(),
) -> Graph:
    """The model in normal form up to ``outputs``, tensors or layers; unless any are given, without what is better left
    to the host: the nodes ``host``, and those of :func:`hwgen.graph.cut.host_nodes`."""
    outputs = tuple(outputs)
    try:
        return _cut_model(model, input_shape, outputs, host)
    except InputError as error:  # what is no tensor of the model may be a layer
        if not outputs:
            raise
        layers = layer_results(lambda: _cut_model(model, input_shape, (), host))
        return _cut_model(model, input_shape, outputs_by_layers(outputs, error, layers), host)


def _cut_model(
    model: str | Path, input_shape: Mapping[str, tuple[int, ...]] | None, outputs: tuple[str, ...], host: frozenset[str]
) -> Graph:
    while True:
        graph = simplify(read_model(model, input_shape, outputs, host))
        found = frozenset() if outputs else host_nodes(graph)
        if found <= host:
            return graph
        host |= found


def calibration_frames(graph: Graph, calibration: FramesLike | None, preparation: Preparation) -> np.ndarray | None:
    """Frames [N, ...] as ``graph`` takes them, at most ``CALIBRATION_FRAMES`` from files; None if none are given."""
    if calibration is None:
        return None
    spec = FrameSpec.of_graph(graph)
    if isinstance(calibration, np.ndarray):
        if calibration.shape[1:] != spec.shape:
            raise InputError(
                f"calibration frames of shape {list(calibration.shape)}; the model takes {spec.describe()}"
            )
        return calibration
    sources = [calibration] if isinstance(calibration, str | Path) else list(calibration)
    if not sources:
        return None
    return load_frames(sources, spec, preparation, CALIBRATION_FRAMES, spread=True).values


def sample_frames(network: Network, given: np.ndarray | None = None) -> np.ndarray:
    """``BENCH_FRAMES`` frames [N, *input_shape]: the first of those given, then noise over the input's whole range."""
    given = np.zeros((0, *network.input_shape)) if given is None else given[:BENCH_FRAMES]
    shape = (BENCH_FRAMES - len(given), *network.input_shape)
    kind, quantization = network.input.map.type, network.input.quantization
    noise = np.random.default_rng(0).integers(kind.min, kind.max, shape, np.int64, endpoint=True).astype(kind.dtype)
    noise = noise if network.integer_input else quantization.dequantize(noise)
    return np.concatenate([given.astype(noise.dtype), noise])
