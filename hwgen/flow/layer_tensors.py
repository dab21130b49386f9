"""Options that take a tensor of the model take hwgen's name of a layer, too, such as ``conv1``: it means its result."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from hwgen.blocks import OPERATORS
from hwgen.graph.errors import HwgenError, InputError, near
from hwgen.graph.ir import Graph
from hwgen.graph.lower.lower import lower
from hwgen.graph.quantize.quantization_points import QuantizationPoints
from hwgen.graph.quantize.quantize import INTEGERS, quantize
from hwgen.graph.quantize.recipe import Recipe
from hwgen.graph.quantize.wide import AUTO

#: The layers have the same names however they are quantised.
QUICK = Recipe(ranges="minmax", equalize=False, correct_bias=False, random_frames=1)


def layer_results(read: Callable[[], Graph]) -> dict[str, str]:
    """For each layer of the model that ``read`` gives, by its own name and by that of its node, the tensor that it
    makes.

    Empty where the model cannot be quantised: what is wrong with it is then told by who quantises it.
    """
    try:
        network = lower(quantize(read(), recipe=QUICK, warn=_unheard), OPERATORS, warn=_unheard)
    except HwgenError:
        return {}
    found: dict[str, str] = {}
    for name in ("node", "name"):
        found |= {getattr(layer, name): layer.output.removesuffix(INTEGERS) for layer in network.layers}
    return found


def wide_by_layers(graph: Graph, recipe: Recipe) -> Recipe:
    """``recipe`` with tensors of ``graph`` in the place of names of layers in ``wide``."""
    owners = {AUTO: AUTO, **QuantizationPoints(graph).owners} if recipe.wide else {}
    if len(owners) < 2 or all(name in owners for name in recipe.wide):
        return recipe
    layers = {name: tensor for name, tensor in layer_results(lambda: graph).items() if tensor in owners}
    unknown = [name for name in recipe.wide if name not in owners and name not in layers]
    if unknown and layers:
        raise InputError(*(_unknown_wide(name, [*layers, *owners]) for name in unknown))
    return replace(recipe, wide=tuple(layers.get(name, name) if name not in owners else name for name in recipe.wide))


def _unknown_wide(name: str, known: Iterable[str]) -> str:
    return (
        f"--wide {name}: no activation that is quantised here has this name, nor a layer; 16 bits can be given to "
        f"{near(name, known)} and others, or say {AUTO!r}"
    )


def outputs_by_layers(outputs: Iterable[str], error: InputError, layers: Mapping[str, str]) -> tuple[str, ...]:
    """``outputs``, of which the model does not compute some as ``error`` says, with tensors in the place of names of
    ``layers``. Raises InputError for those that are neither, with layers of a like name."""
    unknown = {name: line for line in error.problems for name in outputs if line.startswith(f"--outputs {name}: ")}
    lines = [line + _like(name, layers) for name, line in unknown.items() if name not in layers]
    if lines or not unknown:
        raise InputError(*lines or error.problems)
    return tuple(layers[name] if name in unknown else name for name in outputs)


def _like(name: str, layers: Iterable[str]) -> str:
    like = difflib.get_close_matches(name, list(layers))
    return f"; near layers are {', '.join(map(repr, like))}" if like else ""


def _unheard(*_: Any) -> None:
    pass
