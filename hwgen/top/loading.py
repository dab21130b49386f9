"""Weights that are loaded at run time: what hardware is made for, and whether another network fits into it.

``plan.json`` of a design with loaded weights says of every layer what is built (``"built_for"``) and for what constants
(``"loadable"``); a network trained anew is laid out by it, and its constants become the bytes of a load.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.blocks.loaded import described
from hwgen.cost.needs import HUGE, ULTRA
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.plan_file import place, read_document
from hwgen.dataflow.plan_reader import parse_plan
from hwgen.graph.errors import InputError, ModelError, Problems
from hwgen.graph.exact.loadable import LoadForm, TableForm, read_form
from hwgen.graph.network import Network
from hwgen.graph.quantize.quantize import INTEGERS
from hwgen.graph.types import IntType, Quantization

Form = LoadForm | TableForm
AUTO, FIXED, LOADABLE, SPRAM, ULTRA_RAM = "auto", "fixed", "loadable", "spram", "ultraram"
#: Large RAM in which a network's own weights may be, which are loaded then: its style.
OWN = {SPRAM: HUGE, ULTRA_RAM: ULTRA}
#: Where weights come from. With auto they are fixed, unless only UltraRAM has room for all of them.
WEIGHTS = (AUTO, FIXED, LOADABLE, *OWN)


def made_loadable(network: Network, forms: Mapping[str, Form] | None = None) -> Network:
    """``network`` with the constants of its layers loaded: in hardware of ``forms``, by the layers' names, or of forms
    chosen around these. ModelError with a line for every layer that cannot be."""
    problems, layers = Problems(ModelError), []
    for layer in network.layers:
        form = None if forms is None else forms.get(layer.name, forms.get(layer.node))
        op = problems.attempt(partial(layer.op.loadable, form), f"{layer.place}: ")
        layers.append(replace(layer, op=op or layer.op))
    problems.raise_any()
    if not any(layer.op.loading for layer in layers):
        raise ModelError(f"the network {network.name!r} has no weights to load; build it with --weights {FIXED}")
    return replace(network, layers=tuple(layers))


def waiting(plan: Plan) -> str:
    """What to say where weights of ``plan`` are in UltraRAM and nobody has asked for that."""
    layers = sum(layer.unit.large is not None for layer in plan.layers)
    return (
        f"weights of {layers} of {len(plan.layers)} layers are in UltraRAM, since nothing else has room for them, and "
        f"UltraRAM is empty at power-up: {len(plan.load_image()):,} bytes, weights.bin of the build, must be loaded "
        "before the first frame, which the drivers of --project do; for a device that has room take a larger --device"
    )


def plan_text(plan: Plan) -> str:
    """:meth:`Plan.to_json` with what loaded networks must keep to."""
    data = json.loads(plan.to_json())
    if not plan.loading:
        return plan.to_json()
    entries = zip(data.pop("layers"), plan.layers, strict=True)
    own = next((name for name, style in OWN.items() if style == plan.large), LOADABLE)
    data["weights"] = LOADABLE if any(layer.op.loading for layer in plan.layers) else own
    data["input"] = str(plan.network.input.map)
    data["layers"] = [entry | _of_layer(plan.network, planned.covers[-1]) for entry, planned in entries]
    return json.dumps(data, indent=2) + "\n"


def _of_layer(network: Network, layer) -> dict[str, Any]:
    built_for = {"built_for": _built_for(network, layer)}
    if layer.op.loading:
        return built_for | {"loadable": layer.op.loading.to_json()}
    tensors = [network.tensors[name].quantization for name in _quantised(layer)]
    kept = [{"type": str(x.type), "scale": x.scale, "zero_point": x.zero_point} for x in tensors]
    return built_for | ({"quantisations": kept} if kept else {})


def _quantised(layer) -> tuple[str, ...]:
    """The streams on whose scales the hardware of ``layer`` depends: those of one that has constants, not loaded."""
    constants = any(isinstance(getattr(layer.op, field.name), np.ndarray) for field in fields(layer.op))
    return (*layer.inputs, layer.output) if constants else ()


def kept_quantisations(network: Network, text: str) -> tuple[tuple[str, Quantization], ...]:
    """Streams of ``network``, by what a float model calls them, and the quantisations that they must have in the
    hardware of the ``plan.json`` with ``text``; those only that differ."""
    kept = {}
    for layer, entry in zip(network.layers, json.loads(text)["layers"], strict=False):
        names = _quantised(layer) if "quantisations" in entry else ()
        for name, data in zip(names, entry.get("quantisations", ()), strict=False):
            scale = tuple(data["scale"]) if isinstance(data["scale"], list) else data["scale"]
            wanted = Quantization(IntType.parse(data["type"]), scale, data["zero_point"])
            if network.tensors[name].quantization != wanted:
                kept[name.removesuffix(INTEGERS)] = wanted
    return tuple(kept.items())


def _built_for(network: Network, layer) -> dict[str, Any]:
    """What must be the same in every network for the hardware of ``layer``."""
    made = {placed.output: n for n, placed in enumerate(network.layers)}
    reads = [made.get(name, "input") for name in layer.inputs]
    own = layer.op.built_for() if layer.op.loading else described(layer.op)
    return {"operator": type(layer.op).__name__, "reads": reads, **own}


def forms_in(text: str, file: str = "plan") -> dict[str, Form] | None:
    """The forms of layers, by name, in the text of a ``plan.json``, which ``file`` has; None where its weights are
    fixed, and empty where they are only those of its own network.

    InputError where it is no plan.
    """
    data = read_document(text, file)
    if data.get("weights", FIXED) == FIXED:
        return None
    problems, forms = Problems(InputError), {}
    for n, entry in enumerate(data["layers"]):
        try:
            if "loadable" in entry:
                forms[entry["name"]] = read_form(entry["loadable"])
        except (ValueError, KeyError) as error:
            what = f"'loadable.{error.args[0]}' is missing" if isinstance(error, KeyError) else f"loadable: {error}"
            problems.add(f"{file}: {place(n, entry)}: {what}")
    problems.raise_any()
    return forms


def hardware_plan(folder: str | Path) -> str:
    """The text of ``plan.json`` in the folder of a build with loaded weights. InputError where it is none."""
    path = Path(folder) / "plan.json"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"cannot read {str(path)!r}: {reason}; name the folder that `build` wrote") from None
    if forms_in(text, str(path)) is None:
        raise InputError(f"the hardware in {str(folder)!r} has fixed weights; build it with --weights {LOADABLE}")
    data = json.loads(text)
    if "input" not in data or not all("built_for" in entry for entry in data["layers"]):
        raise InputError(f"{str(path)!r} does not say what was built; take the plan.json that `build` wrote")
    return text


def laid_out(network: Network, text: str, where: str) -> Plan:
    """``network`` in the hardware of the ``plan.json`` with ``text``, which is in ``where``.

    Layers correspond by their order, whatever they are called. ModelError with a line for all that differs.
    """
    data = json.loads(text)
    entries = data["layers"]
    if len(entries) != len(network.layers):
        raise ModelError(
            f"network {network.name!r} has {len(network.layers)} layers, the hardware in {where} {len(entries)}; "
            "build it anew"
        )
    forms = {
        layer.name: read_form(entry["loadable"])
        for layer, entry in zip(network.layers, entries, strict=True)
        if "loadable" in entry
    }
    problems = Problems(ModelError)
    problems.add(*_differences(network, entries, forms, where))
    if str(network.input.map) != data["input"]:
        problems.add(f"the input is {network.input.map} (limit {data['input']}, as built in {where}); build anew")
    problems.raise_any()
    renamed = [entry | {"name": layer.name} for layer, entry in zip(network.layers, entries, strict=True)]
    loaded = made_loadable(network, forms) if forms else network
    return parse_plan(loaded, json.dumps(data | {"layers": renamed}), f"{where}/plan.json")


def _differences(network: Network, entries: list, forms: Mapping[str, Form], where: str) -> Iterator[str]:
    """A line for everything in which a layer is not as built."""
    for layer, entry in zip(network.layers, entries, strict=True):
        # The form does not matter to what is compared, only that there is one.
        op = replace(layer.op, loading=forms[layer.name]) if _takes(layer.op, forms.get(layer.name)) else layer.op
        found = _built_for(network, replace(layer, op=op))
        for what, built in entry["built_for"].items():
            if found.get(what) != built:
                remedy = "build anew" if layer.name in forms else f"keep what {where} was built with, or build anew"
                yield (
                    f"{layer.place}: {what} is {_text(found.get(what))} (limit {_text(built)}, as built in "
                    f"{where}); {remedy}"
                )
                break


def _takes(op, form: Form | None) -> bool:
    return form is not None and hasattr(op, "built_for")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)
