"""Which design a board holds: a number for what it computes, or for the hardware where that computes what is loaded."""

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from hwgen.dataflow.plan import Plan
from hwgen.graph.network import Network
from hwgen.link.protocol import ID_BYTES
from hwgen.top.loading import plan_text


def identity(plan: Plan) -> bytes:
    """The :func:`fingerprint` of the network of ``plan``. Where weights are loaded, that of all that they must keep to:
    it is the same for every network that fits into the hardware."""
    if not plan.loading:
        return fingerprint(plan.network)
    built = json.loads(plan_text(plan))
    del built["network"]
    for layer in built["layers"]:
        del layer["name"]
    return hashlib.sha256(json.dumps(built, sort_keys=True).encode()).digest()[:ID_BYTES]


def fingerprint(network: Network) -> bytes:
    """The first bytes of the SHA-256 of all that ``network`` computes: its operators, their weights, how they are
    joined, and the scales at its ends. Names and foldings do not matter, so that the same model in another file, or
    sized differently, has the same."""
    digest = hashlib.sha256()
    numbers = {network.input.name: 0}
    _add(digest, (network.input.map, network.input.quantization, network.input_shape, network.input_order))
    for name in network.constants:
        numbers[name] = len(numbers)
        _add(digest, network.constants[name])
    for layer in network.layers:
        _add(digest, (tuple(numbers[name] for name in layer.inputs), layer.op))
        numbers[layer.output] = len(numbers)
    _add(digest, tuple((numbers[stream.name], stream.quantization) for stream in network.results))
    return digest.digest()[:ID_BYTES]


def _add(digest, value: Any) -> None:
    """``value`` in a form that says its type and where it ends."""
    if isinstance(value, np.ndarray | np.generic):
        value = np.asarray(value)
        digest.update(f"array {value.dtype} {value.shape} ".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, enum.Enum):
        _add(digest, (type(value).__name__, value.name))
    elif dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value) if field.name != "name"]
        _add(digest, (type(value).__name__, *(getattr(value, name) for name in fields)))
    elif isinstance(value, Mapping):
        _add(digest, tuple(value.items()))
    elif isinstance(value, tuple | list):
        digest.update(f"{len(value)} of ".encode())
        for item in value:
            _add(digest, item)
    else:
        digest.update(f"{type(value).__name__} {value!r} ".encode())
