"""Short names of layers: what tables, errors, plans and hardware call them, beside what the model calls their nodes.

Converters of TFLite join the names of all that they have fused; names of 250 characters are common.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from .network import GoldenOperator, Layer

#: What the field calls operators, where that is not the name of their class.
USUAL = {
    "dense": "fc",
    "convtranspose": "deconv",
    "averagepool": "avgpool",
    "edgeaveragepool": "avgpool",
    "globalaveragepool": "gap",
    "channeltable": "table",
    "fixedoperand": "table",
    "shufflechannels": "shuffle",
    "linearresize": "resize",
    "interpolate": "resize",
    "floatsum": "sum",
}

#: Names of the model that serve as they are.
SHORT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,14}")


def kind(op: GoldenOperator) -> str:
    """``conv``, ``dw`` (a depthwise convolution), ``add``: one word for what a layer is."""
    name = type(op).__name__.lower()
    if name == "conv" and 1 < getattr(op, "group", 1) == op.input.channels:
        return "dw"
    return USUAL.get(name, name)


def named(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """``layers`` with names of their own: the model's where that is an identifier of up to 15 characters, else the
    kind and its number in the order of the stream. No name is one that the model has for another layer."""
    layers = tuple(layers)
    counts: Counter[str] = Counter()
    taken = {layer.node.lower() for layer in layers}
    made = []
    for layer in layers:
        word = kind(layer.op)
        counts[word] += 1
        if SHORT.fullmatch(layer.node):
            made.append(replace(layer, name=layer.node))
            continue
        number = counts[word]
        while f"{word}{number}" in taken:
            number += 1
        taken.add(f"{word}{number}")
        made.append(replace(layer, name=f"{word}{number}"))
    return tuple(made)
