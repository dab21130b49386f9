"""Layers that one array computes one after the other: which of a network may, and a plan in which they do."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hwgen.blocks.loop.looped import LoopedError, LoopedLayers
from hwgen.blocks.loop.programme import LoopFolding
from hwgen.blocks.loop.unit import LoopUnit
from hwgen.cost.timing import Web
from hwgen.graph.errors import InputError, ModelError, near
from hwgen.graph.network import Layer, Network

from .plan import Plan
from .planned import PlannedLayer
from .queues import size_queues
from .schedule import interval_of

_REMEDY = "leave it out of the loop"


def chain(network: Network, names: Sequence[str]) -> tuple[tuple[Layer, ...], LoopedLayers]:
    """The layers with these ``names``, each read by the next one alone, and what they compute together.

    ModelError names the first layer that cannot be in a loop with the others.
    """
    named = {layer.name: layer for layer in network.layers}
    covers = tuple(named[name] for name in names)
    kept = {stream.name for stream in network.results}
    for layer in covers:
        if layer.op.loading:
            raise ModelError(f"{layer.place}: weights that are loaded at run time are in no loop; take --weights fixed")
    for layer, following in pairwise(covers):
        readers = [other.name for other in network.layers if layer.output in other.inputs]
        if following.inputs != (layer.output,):
            raise ModelError(f"{following.place}: it does not read {layer.name!r} alone; {_REMEDY}")
        if layer.output in kept or readers != [following.name]:
            other = next((repr(name) for name in readers if name != following.name), "whoever takes the results")
            raise ModelError(f"{layer.place}: its result is read by {other}, too; end the loop there")
    try:
        op = LoopedLayers(tuple(layer.op for layer in covers))
        op.check()
    except LoopedError as error:
        raise ModelError(f"{covers[error.layer].place}: {error.line}; {_REMEDY}") from None
    return covers, op


def looped(plan: Plan, first: str, last: str, folding: LoopFolding) -> Plan:
    """``plan`` with the layers from ``first`` to ``last`` in a loop of ``folding``, and queues for the rate that the
    slowest layer then has.

    ModelError where layers cannot be in it, InputError where it cannot be laid out so.
    """
    covers, op = chain(plan.network, _between(plan.network, first, last))
    unit = LoopUnit(op, folding)
    problems = unit.problems()
    if problems:
        raise InputError(*(f"the loop from {first!r} to {last!r}: {problem}" for problem in problems))
    made = _replaced(plan, covers, unit)
    pace = max(alone(unit), *(stage.cost.cycles for stage in made.stages))
    return made if interval_of(made) <= pace else size_queues(made, pace)


def _replaced(plan: Plan, covers: tuple[Layer, ...], unit: LoopUnit) -> Plan:
    """``plan`` with ``unit`` for the layers that it ``covers``; whoever had the first one's input from that layer reads
    it itself."""
    names = [layer.name for layer in covers]
    layers: list[PlannedLayer] = []
    for layer in plan.layers:
        inside = [each.place for each in layer.covers if each.name in names]
        if inside and len(inside) < len(layer.covers):
            raise ModelError(f"{inside[0]}: it is in the loop {layer.name!r} with others; loop all of these")
        if names[0] in (each.name for each in layer.covers):
            begins = layer
        if layer.name == names[-1]:
            layers.append(PlannedLayer(covers, unit, begins.inputs, begins.queues))
        elif not inside:
            given = (begins.inputs[0] if edge == (names[0], 1) else edge for edge in layer.inputs)
            layers.append(replace(layer, inputs=tuple(given)))
    return replace(plan, layers=tuple(layers), ultra={})


def _between(network: Network, first: str, last: str) -> list[str]:
    """The names of the layers from ``first`` on, each the one before's reader, up to ``last``; ModelError where that
    is not reached."""
    made = {layer.output: layer for layer in network.layers}
    named = {layer.name: layer for layer in network.layers}
    for name in (first, last):
        if name not in named:
            raise ModelError(f"there is no layer {name!r} to loop; near are {near(name, named)}")
    names = [last]
    while names[-1] != first:
        before = made.get(named[names[-1]].inputs[0])
        if before is None:
            raise ModelError(f"{named[last].place}: no chain of layers leads to it from {first!r}; loop others")
        names.append(before.name)
    return names[::-1]


def alone(unit: LoopUnit) -> int:
    """Cycles per frame of a loop with its memory and nothing else."""
    web = Web()
    frames = web.link()
    (weights,) = web.add(unit.memory.actors, ())
    web.add(unit.actors, [frames, weights])
    return web.settle().interval
