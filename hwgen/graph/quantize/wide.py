"""Which activations get 16 bits: those that the user names, or those that cost the most accuracy in 8."""

from collections.abc import Mapping, Sequence

import numpy as np

from hwgen.graph.batch import batches
from hwgen.graph.errors import InputError, Problems, near
from hwgen.graph.ir import Graph
from hwgen.graph.quantize.quantization_points import QuantizationPoints
from hwgen.graph.semantics.float_model import node_results, run_float
from hwgen.graph.types import Quantization

AUTO = "auto"
FRAMES = 16  # that sensitivity is measured on
REMAINS = 1 / 4  # of the squared error of all 8-bit activations together: the error of the results is halved


def wide_tensors(
    graph: Graph,
    points: QuantizationPoints,
    narrow: Mapping[str, Quantization],
    frames: np.ndarray,
    wanted: Sequence[str],
) -> frozenset[str]:
    """The owners of what ``wanted`` names; ``narrow`` is the 8-bit quantisation of every owner.

    ``"auto"`` stands for the fewest whose own share of the squared error, each measured alone on ``frames``, leaves
    no more than ``REMAINS``. Raises InputError for names of tensors that are not quantised here.
    """
    owners = named_tensors(points, wanted)
    return owners | _sensitive(graph, points, narrow, frames) if AUTO in wanted else owners


def named_tensors(points: QuantizationPoints, wanted: Sequence[str]) -> frozenset[str]:
    """The owners of the names in ``wanted``. Raises InputError for others."""
    problems = Problems(InputError)
    names = [name for name in wanted if name != AUTO]
    for name in names:
        if not points.owners:
            problems.add(f"{name!r} cannot get 16 bits: the model has quantised everything itself; leave --wide out")
        elif name not in points.owners:
            problems.add(
                f"{name!r} is not an activation that is quantised here; 16 bits can be given to "
                f"{near(name, points.owners)} and other such tensors, or say {AUTO!r}"
            )
    problems.raise_any()
    return frozenset(points.owners[name] for name in names)


def _sensitive(
    graph: Graph, points: QuantizationPoints, narrow: Mapping[str, Quantization], frames: np.ndarray
) -> frozenset[str]:
    errors = sensitivity(graph, points, narrow, frames)
    ranked = sorted(errors, key=lambda name: (-errors[name], name))
    left, chosen = sum(errors.values()), set()
    allowed = left * REMAINS
    for name in ranked:
        if left <= allowed:
            break
        chosen.add(name)
        left -= errors[name]
    return frozenset(chosen)


def sensitivity(
    graph: Graph, points: QuantizationPoints, narrow: Mapping[str, Quantization], frames: np.ndarray
) -> dict[str, float]:
    """For each owner the squared error of the model's results, in units of their own squares, when it alone is
    quantised, in 8 bits."""
    frames = frames[np.unique(np.linspace(0, len(frames) - 1, FRAMES).astype(np.int64))]
    errors = dict.fromkeys(narrow, 0.0)
    for part in batches(graph, frames, len(frames)):
        values = run_float(graph, {graph.inputs[0]: part})
        for owner, kind in narrow.items():
            errors[owner] += _error(graph, points, owner, kind, values)
    return errors


def _error(
    graph: Graph, points: QuantizationPoints, owner: str, kind: Quantization, values: Mapping[str, np.ndarray]
) -> float:
    changed: dict[str, np.ndarray] = {}

    def write(name: str, value: np.ndarray) -> None:
        changed[name] = kind.dequantize(kind.quantize(value)) if points.owners.get(name) == owner else value

    for name in graph.inputs:
        if points.owners.get(name) == owner:
            write(name, values[name])
    for node in graph.nodes:
        if any(name in changed for name in node.inputs) or any(points.owners.get(n) == owner for n in node.outputs):
            operands = [changed.get(name, values[name]) if name else None for name in node.inputs]
            for name, value in node_results(node, operands).items():
                write(name, value)
    return sum(_share(values[name], changed.get(name, values[name])) for name in graph.outputs)


def _share(exact: np.ndarray, found: np.ndarray) -> float:
    """Squared error in units of the squares."""
    exact = exact.astype(np.float64)
    return float(((found - exact) ** 2).mean() / ((exact**2).mean() or 1.0))
