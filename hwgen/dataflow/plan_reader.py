"""An edited ``plan.json`` becomes a plan again, or a list of everything that is wrong with it."""

import json
from dataclasses import replace
from typing import Any

from hwgen.blocks import UNITS
from hwgen.blocks.operator import Operator, OperatorUnit
from hwgen.graph.errors import HwgenError, InputError, near
from hwgen.graph.network import Layer, Network
from hwgen.memory.ram import Shape

from .loops import chain
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
    units: list[tuple[tuple[Layer, ...], OperatorUnit]] = []
    queues: dict[tuple[str, int], int] = {}
    for layer in network.layers:
        if layer.name in places:
            entry = entries[places[layer.name]]
            try:
                units.append(_read_unit(network, layer, entry))
            except HwgenError as error:
                where = f"{file}: {place(places[layer.name], entry)}"
                problems += [f"{where}: {line}" for line in error.problems]
            queues |= {(layer.name, n): depth for n, depth in enumerate(entry.get("queues", ()))}
    if problems:
        raise InputError(*problems)
    plan = Plan.covering(network, units).with_queues(queues)
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
    """The number of each entry by the name of its layer, and what is wrong with the names."""
    places: dict[str, int] = {}
    problems: list[str] = []
    for n, entry in enumerate(entries):
        for name in _covered(network, entry):
            first = places.setdefault(name, n)
            if first != n:
                which = "the layer" if name == network.own_name(entry["name"]) else f"layer {name!r}, which it covers,"
                problems.append(f"{file}: {place(n, entry)}: {which} stands in layers[{first}], too")
    names = [layer.name for layer in network.layers]
    own = {network.own_name(entry["name"]): n for n, entry in enumerate(entries)}
    problems += [
        f"{file}: layer {name!r} is not in the model; near are {near(name, names)}" for name in own if name not in names
    ]
    return own, problems + [f"{file}: layer {name!r} of the model is missing" for name in names if name not in places]


def _covered(network: Network, entry: dict[str, Any]) -> list[str]:
    """The names of the layers that an entry is for, its own last, whatever it says."""
    own = network.own_name(entry["name"])
    covers = list(map(network.own_name, entry.get("covers", ())))
    return covers if own in covers else [*covers, own]


def _looped(network: Network, entry: dict[str, Any]) -> tuple[tuple[Layer, ...], Operator]:
    """The layers that ``entry``, with the field ``covers``, is for, and what they compute; InputError or ModelError
    where they are no chain that ends in its own layer."""
    names = list(map(network.own_name, entry["covers"]))
    if len(set(names)) < len(names) or names[-1:] != [network.own_name(entry["name"])]:
        raise InputError(
            f"covers must name each layer once and the entry's own last, not {json.dumps(entry['covers'])}"
        )
    known = [layer.name for layer in network.layers]
    unknown = [f"covers[{n}] {name!r} is not in the model; near are {near(name, known)}"
               for n, name in enumerate(names) if name not in known]  # fmt: skip
    if unknown:
        raise InputError(*unknown)
    return chain(network, names)


def _read_unit(network: Network, layer: Layer, entry: dict[str, Any]) -> tuple[tuple[Layer, ...], OperatorUnit]:
    """The layers that ``entry``, of a document that was read, is for, ``layer`` the last of them, and their unit;
    :class:`InputError` or ModelError where it cannot be so."""
    if entry["unit"] == "loop" and "covers" not in entry:
        raise InputError("the unit \"loop\" needs the field 'covers', the names of its layers in order")
    covers, op = _looped(network, entry) if "covers" in entry else ((layer,), layer.op)
    able = {name: kind for name, kind in UNITS.items() if kind.suits(op)}
    if entry["unit"] not in able:
        names = " or ".join(map(json.dumps, able))
        raise InputError(f"unit must be {names} for {type(op).__name__}, not {json.dumps(entry['unit'])}")
    kind = able[entry["unit"]]
    problems = settings_differences(entry["settings"], kind.settings_in)
    inputs = covers[0].inputs
    queues = entry.get("queues", inputs)
    if len(queues) != len(inputs):
        problems.append(f"queues must have a depth for each of the {len(inputs)} inputs, not {queues!r}")
    if not problems:
        unit = kind.read(op, entry["settings"])
        problems = unit.problems() + tap_problems(network, layer.name, unit)
    if problems:
        raise InputError(*problems)
    return covers, unit
