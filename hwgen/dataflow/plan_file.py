"""``plan.json`` as text: read and held against its schema, ``schemas/plan.json``, before a network is looked at."""

import json
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from hwgen.graph.errors import InputError, middle_cut

FORMAT = 3
#: Operators that each Conv, ConvTranspose, Gemm or MatMul of a model becomes one of.
WEIGHTED = ("Conv", "ConvTranspose", "Dense")

#: JSON's names of types, the Python types that ``json`` reads them as, and how messages call them.
TYPES = {
    "object": (dict, "an object"),
    "array": (list, "a list"),
    "string": (str, "a text"),
    "integer": (int, "a whole number"),
    "number": (int | float, "a number"),
    "boolean": (bool, "true or false"),
    "null": (type(None), "null"),
}


def plan_file(path: str | Path) -> str:
    """The text of a plan; InputError where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"cannot read the plan {str(path)!r}: {reason}; check the path") from None


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The JSON Schema of a plan."""
    return json.loads(files("hwgen").joinpath("schemas/plan.json").read_text(encoding="utf-8"))


def read_document(text: str, file: str) -> dict[str, Any]:
    """The plan in ``text`` as plain values in which every field is of the right kind; settings are not looked
    into, as these depend on the unit. :class:`InputError` lists all that is wrong, each with its place in ``file``."""
    try:
        data = json.loads(text, object_pairs_hook=_object)
        version, layers = data["format"], data["layers"]
        if not isinstance(layers, list):
            raise TypeError(f"layers must be a list, not {_shown(layers)}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InputError(f"{file}: not a plan file ({what}); start from the plan.json that build writes") from None
    if type(version) is not int or version != FORMAT:
        raise InputError(f"{file}: format {version!r} is not the {FORMAT} that this version reads; build it anew")
    problems = [f"{file}: {line}" for line in differences(data | {"layers": []}, schema())]
    for n, entry in enumerate(layers):
        problems += [f"{file}: {place(n, entry)}: {line}" for line in differences(entry, schema()["$defs"]["layer"])]
    if problems:
        raise InputError(*problems)
    return data


def check_layers(text: str, weighted: int, file: str = "plan") -> None:
    """InputError where the text of a plan is of a network with another number of ``weighted`` layers than the model's:
    so much shows before layers have names, unless a loop covers some."""
    entries = read_document(text, file)["layers"]
    found = sum(entry.get("operator") in WEIGHTED for entry in entries)
    told = all("operator" in entry and "covers" not in entry for entry in entries)
    if told and found != weighted:
        raise InputError(
            f"{file}: of another network, with {found} layers that have weights (the model has {weighted}); give the "
            "plan.json that build wrote for this model"
        )


def place(number: int, entry: Any) -> str:
    """``layers[3], layer 'conv2'``."""
    name = entry.get("name") if isinstance(entry, dict) else None
    return f"layers[{number}]" + (f", layer {middle_cut(name)!r}" if isinstance(name, str) else "")


def settings_differences(settings: dict[str, Any], kind: str) -> list[str]:
    """What is wrong with the settings of a unit, of the ``kind`` that the schema has a definition of."""
    return list(differences(settings, schema()["$defs"][kind], "settings"))


def differences(value: Any, wanted: dict[str, Any], path: str = "") -> Iterator[str]:
    """A line for everything in which ``value``, at ``path``, is not as the schema ``wanted`` says.

    Reads what ``schemas/plan.json`` uses of JSON Schema, except ``anyOf``: alternatives are the caller's to choose.
    """
    if "$ref" in wanted:
        wanted = schema()["$defs"][wanted["$ref"].rpartition("/")[2]]
    wrong = _limits(value, wanted)
    if wrong:
        yield f"{path or 'it'} must be {wrong}, not {_shown(value)}"
    elif isinstance(value, dict):
        yield from _fields(value, wanted, path)
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from differences(item, wanted.get("items", {}), f"{path}[{n}]")


def _limits(value: Any, wanted: dict[str, Any]) -> str:
    """What ``value`` must be, if it is not."""
    allowed = wanted.get("enum", [wanted["const"]] if "const" in wanted else None)
    if allowed is not None:
        fits = any(type(value) is type(item) and value == item for item in allowed)
        return "" if fits else " or ".join(json.dumps(item) for item in allowed)
    kinds = wanted.get("type", list(TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(_is(value, kind) for kind in kinds):
        return " or ".join(TYPES[kind][1] for kind in kinds)
    if "minimum" in wanted and not wanted["minimum"] <= value <= wanted["maximum"]:
        return f"{wanted['minimum']} to {wanted['maximum']}"
    return ""


def _is(value: Any, kind: str) -> bool:
    """Whether ``value`` is of JSON's type ``kind``. To Python, not to JSON, a bool is an integer."""
    return isinstance(value, TYPES[kind][0]) and (kind == "boolean" or not isinstance(value, bool))


def _fields(value: dict[str, Any], wanted: dict[str, Any], path: str) -> Iterator[str]:
    known, prefix = wanted.get("properties"), f"{path}." if path else ""
    for name in wanted.get("required", ()):
        if name not in value:
            yield f"{prefix + name!r} is missing"
    for name, item in value.items():
        if known is None or name in known:
            yield from differences(item, (known or {}).get(name, {}), prefix + name)
        else:
            yield f"{prefix + middle_cut(name)!r} is not a field of a plan; known here: {', '.join(known)}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no field stands twice."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return made


def _shown(value: Any) -> str:
    return middle_cut(json.dumps(value))
