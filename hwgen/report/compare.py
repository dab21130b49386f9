"""Two builds side by side: speed, resources, and what was done otherwise; from ``report.json`` and ``plan.json``."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.dataflow.plan_file import FORMAT
from hwgen.device.clocks import Clock
from hwgen.graph.errors import InputError
from hwgen.report.tables import table

_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Build:
    """What is compared of a build; ``layers`` holds cycles and multipliers, ``foldings`` what the plan says."""

    folder: str
    settings: Mapping[str, Any]
    numbers: Mapping[str, float]
    layers: Mapping[str, Mapping[str, float]]
    foldings: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, folder: Path | str) -> "Build":
        """The build in ``folder``; :class:`InputError` where there is none or a file of it is damaged."""
        folder = Path(folder)
        settings, numbers, layers = _read(folder / "report.json", _of_report)
        foldings = _read(folder / "plan.json", _of_plan)
        if list(foldings) != list(layers):
            raise InputError(f"{folder}: report.json and plan.json do not have the same layers; build it anew")
        return cls(str(folder), settings, numbers, layers, foldings)


def _read(file: Path, take: Callable[[Any], Any]) -> Any:
    try:
        text = file.read_bytes().decode("utf-8")
    except OSError as error:
        where = f"{file.parent}: no build that can be compared"
        raise InputError(f"{where}: cannot read {file.name}: {error.strerror}; name a folder of `build`") from None
    except ValueError as error:
        raise InputError(f"{file}: damaged ({error}); build it anew") from None
    try:
        return take(json.loads(text))
    except _UNREADABLE as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InputError(f"{file}: damaged ({what}); build it anew") from None


def _of_report(data: dict[str, Any]) -> tuple:
    """Settings, numbers and layers of a report."""
    network, speed, total, device = (data[name] for name in ("network", "speed", "total", "device"))
    asked = data.get("settings", {})  # reports of earlier versions have none
    settings = {
        "network": network["name"],
        "input": _stream(network["input"]),
        "output": _stream(network["output"]),
        "device": device["name"],
        "clock": str(Clock(_number(speed["clock_hz"]))),
        **{name: value for name, value in asked.items() if name not in ("device", "clock_mhz")},
    }
    numbers = {
        "cycles per frame": _number(speed["cycles_per_frame"]),
        "latency, cycles": _number(speed["latency_cycles"]),
        "latency, us": _number(speed["latency_seconds"]) * 1e6,
        "frames per second": _number(speed["frames_per_second"]),
        "multipliers": _number(total["multipliers"]),
        "memory bits": _number(total["memory_bits"]),
    }
    numbers |= {str(row["resource"]): _number(row["used"]) for row in device["resources"]}
    layers = {
        str(layer["name"]): {name: _number(layer[name]) for name in ("cycles", "multipliers")}
        for layer in data["layers"]
    }
    return settings, numbers, layers


def _stream(tensor: dict[str, Any]) -> str:
    return f"{'x'.join(map(str, tensor['shape']))} {tensor['type']}, scale {tensor['scale']}"


def _of_plan(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if data["format"] != FORMAT:
        raise ValueError(f"format {data['format']!r} is not the {FORMAT} that this version reads")
    return {
        str(layer["name"]): {"unit": layer["unit"], **layer["settings"], "queues": layer["queues"]}
        for layer in data["layers"]
    }


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return value


def compare(first: Build, second: Build) -> dict[str, Any]:
    """The two builds as plain values: every number of both, and the settings and layers that differ."""
    layers = []
    for name, counts in _pairs(first.layers, second.layers).items():
        cycles, multipliers = ([each and each[kind] for each in counts] for kind in ("cycles", "multipliers"))
        changes = {} if None in counts else _differing(first.foldings[name], second.foldings[name])
        if changes or counts[0] != counts[1]:
            layers.append({"name": name, "cycles": cycles, "multipliers": multipliers, "changes": changes})
    return {
        "builds": [first.folder, second.folder],
        "numbers": _pairs(first.numbers, second.numbers),
        "settings": _differing(first.settings, second.settings),
        "layers": layers,
    }


def _pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What both have by name, with None where it is only in one."""
    return {name: [first.get(name), second.get(name)] for name in dict.fromkeys([*first, *second])}


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What is not the same in both."""
    return {name: pair for name, pair in _pairs(first, second).items() if pair[0] != pair[1]}


def lines(data: dict[str, Any], width: int) -> list[str]:
    """What :func:`compare` found, as text."""
    rows = [(name, *map(_shown, pair), _difference(*pair)) for name, pair in data["numbers"].items()]
    made = [f"{letter}  {folder}" for letter, folder in zip("AB", data["builds"], strict=True)]
    made += ["", *table(("", "<A", "<B", "<difference"), rows, width), ""]
    if data["settings"]:
        rows = [(name, *map(_text, pair)) for name, pair in data["settings"].items()]
        made += [*table(("setting", "A", "B"), rows, width), ""]
    if not data["layers"]:
        return [*made, "All layers are laid out alike."]
    rows = [
        (layer["name"], *map(_shown, layer["cycles"]), _difference(*layer["cycles"]), _changes(layer))
        for layer in data["layers"]
    ]
    return made + table(("layer", "<cycles,\nA", "<B", "<difference", "changed"), rows, width)


def _changes(layer: dict[str, Any]) -> str:
    if None in layer["cycles"]:
        return f"only in {'BA'[layer['cycles'].index(None)]}"
    return ", ".join(f"{name} {_text(old)} -> {_text(new)}" for name, (old, new) in layer["changes"].items())


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{0 if abs(value) >= 1000 else 2}f}"


def _difference(first: float | None, second: float | None) -> str:
    """How much more the second is, and in percent of the first."""
    if first is None or second is None:
        return "-"
    if first == second:
        return "same"
    more = second - first
    sign = "+" if more > 0 else "-"
    share = f" ({more / first:+.1%})" if first else ""
    return f"{sign}{_shown(abs(more))}{share}"
