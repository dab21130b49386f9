"""What can be said of a ``plan.json`` without the network that it is for."""

import json
from pathlib import Path
from typing import Any

from hwgen.graph.errors import InputError

FORMAT = 2


def entries(text: str, file: str = "plan") -> list[dict[str, Any]]:
    """The entries of layers in the text of a plan. InputError where it is no plan, is of another format, or where an
    entry lacks something that no network goes without."""
    try:
        data = json.loads(text)
        listed = list(data["layers"])
        if not all(isinstance(entry["name"], str) for entry in listed):
            raise TypeError("the name of a layer is not text")
        version = data["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{file}: not a plan file ({error}); start from the plan.json that build writes") from None
    if version != FORMAT:
        raise InputError(f"{file}: format {version!r} is not the {FORMAT} that this version reads; build it anew")
    problems = []
    for place, entry in enumerate(listed):
        fault = _fault(entry)
        if fault:
            problems.append(f"{file}: layers[{place}], layer {entry['name']!r}: {fault}")
    if problems:
        raise InputError(*problems)
    return listed


def _fault(entry: dict[str, Any]) -> str | None:
    """What is wrong with an entry, whatever its layer is."""
    if "folding" not in entry:
        return "'folding' is missing"
    if not isinstance(entry["folding"], dict):
        return f"folding must be an object with the fields of a folding, not {entry['folding']!r}"
    queues = entry.get("queues", [])
    if not isinstance(queues, list):
        return f"queues must be a list with a depth for each input, not {queues!r}"
    return None


def plan_file(path: str | Path) -> str:
    """The text of a plan; InputError where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"cannot read the plan {str(path)!r}: {reason}; check the path") from None
