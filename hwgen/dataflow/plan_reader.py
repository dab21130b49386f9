"""An edited ``plan.json`` becomes a plan again, or a list of everything that is wrong with it."""

import json
from dataclasses import replace
from typing import Any

from hwgen.blocks import UNITS
from hwgen.blocks.operator import OperatorUnit
from hwgen.graph.errors import InputError, near
from hwgen.graph.network import Layer, Network
from hwgen.memory.ram import Shape

from .plan import Plan, check_hardware
from .plan_file import place, read_document, settings_differences
from .shortcuts import tap_problems
from .taps import hand_on
from .ultra import movable


def parse_plan(network: Network, text: str, file: str = "plan") -> Plan:
    """What :meth:`Plan.to_json` wrote; :class:`InputError` lists what is wrong with it, and where in ``file``."""
    check_hardware(network)
    entries = read_document(text, file)["layers"]
    places, problems = _places(network, entries, file)
    units: list[OperatorUnit] = []
    queues: dict[tuple[str, int], int] = {}
    for layer in network.layers:
        if layer.name in places:
            entry = entries[places[layer.name]]
            try:
                units.append(_read_unit(network, layer, entry))
            except InputError as error:
                where = f"{file}: {place(places[layer.name], entry)}"
                problems += [f"{where}: {line}" for line in error.problems]
            queues |= {(layer.name, n): depth for n, depth in enumerate(entry.get("queues", ()))}
    if problems:
        raise InputError(*problems)
    plan = Plan.of(network, units).with_queues(queues)
    plan = hand_on(plan, {x.name: x.unit for x in plan.layers if len(x.unit.outputs) > 1})
    return _in_ultra(plan, {name: entries[at] for name, at in places.items()}, file)


def _in_ultra(plan: Plan, entries: dict[str, dict[str, Any]], file: str) -> Plan:
    """``plan`` with the RAMs in UltraRAM that ``entries`` of layers, by name, say."""
    able = {stage.name: [list(shape) for shape in movable(stage.unit.cost)] for stage in plan.stages}
    ultra: dict[str, frozenset[Shape]] = {}
    problems = []
    for n, (name, entry) in enumerate(entries.items()):
        for suffix, shapes in entry.get("ultra", {}).items():
            there = able.get(name + suffix, [])
            if not isinstance(shapes, list) or any(shape not in there for shape in shapes):
                problems.append(
                    f"{file}: {place(n, entry)}: ultra.{json.dumps(suffix)} must list RAMs, [bits, words], of "
                    f"{json.dumps(there)}, not {json.dumps(shapes)}"
                )
            elif shapes:
                ultra[name + suffix] = frozenset((bits, words) for bits, words in shapes)
    if problems:
        raise InputError(*problems)
    return replace(plan, ultra=ultra)


def _places(network: Network, entries: list[dict[str, Any]], file: str) -> tuple[dict[str, int], list[str]]:
    """The number of each layer's entry by its name, and what is wrong with the names."""
    places: dict[str, int] = {}
    problems: list[str] = []
    for n, entry in enumerate(entries):
        first = places.setdefault(network.own_name(entry["name"]), n)
        if first != n:
            problems.append(f"{file}: {place(n, entry)}: the layer stands in layers[{first}], too")
    names = [layer.name for layer in network.layers]
    problems += [
        f"{file}: layer {name!r} is not in the model; near are {near(name, names)}"
        for name in places
        if name not in names
    ]
    return places, problems + [
        f"{file}: layer {name!r} of the model is missing" for name in names if name not in places
    ]


def _read_unit(network: Network, layer: Layer, entry: dict[str, Any]) -> OperatorUnit:
    """The layer's unit as ``entry``, of a document that was read, has it; :class:`InputError` where it cannot be so."""
    able = {name: kind for name, kind in UNITS.items() if kind.suits(layer.op)}
    if entry["unit"] not in able:
        names = " or ".join(map(json.dumps, able))
        raise InputError(f"unit must be {names} for {type(layer.op).__name__}, not {json.dumps(entry['unit'])}")
    kind = able[entry["unit"]]
    problems = settings_differences(entry["settings"], kind.settings_in)
    queues = entry.get("queues", layer.inputs)
    if len(queues) != len(layer.inputs):
        problems.append(f"queues must have a depth for each of the {len(layer.inputs)} inputs, not {queues!r}")
    if not problems:
        unit = kind.read(layer.op, entry["settings"])
        problems = unit.problems() + tap_problems(network, layer.name, unit)
    if problems:
        raise InputError(*problems)
    return unit
