"""The imported graph: ONNX operators on named tensors, frozen, in topological order.

Nothing here knows of quantisation beyond QuantizeLinear and DequantizeLinear being operators like others.
Passes (``hwgen.graph.passes``) map one :class:`Graph` to another.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .errors import quoted


@dataclass(frozen=True)
class TensorInfo:
    """Shape (batch included, first) and numpy type of a tensor."""

    shape: tuple[int, ...]
    dtype: np.dtype


def without_absent(inputs: Iterable[str]) -> tuple[str, ...]:
    """``inputs`` without the optional ones at the end that are absent, ``""``."""
    names = tuple(inputs)
    while names and not names[-1]:
        names = names[:-1]
    return names


def fresh(wanted: str, taken: set[str]) -> str:
    """``wanted``, or something like it that is not among the names ``taken``, which it joins."""
    name, count = wanted, 1
    while name in taken:
        name, count = f"{wanted}_{count}", count + 1
    taken.add(name)
    return name


@dataclass(frozen=True)
class Node:
    """One operator. ``inputs`` may hold ``""`` for an absent optional input, as in ONNX."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""

    @property
    def place(self) -> str:
        """How error messages name it."""
        return f"node {quoted(self.name)} ({self.op})"

    def input(self, place: int) -> str:
        """The operand at ``place``, ``""`` where it is absent."""
        return self.inputs[place] if place < len(self.inputs) else ""

    def __str__(self) -> str:
        settings = "".join(f" {key}={value}" for key, value in sorted(self.attributes.items()))
        return f"{', '.join(self.outputs)} = {self.op}({', '.join(self.inputs)}){settings}"


def live_nodes(nodes: Iterable[Node], outputs: Iterable[str], stop: Iterable[str] = ()) -> tuple[Node, ...]:
    """Those of ``nodes`` (in topological order) that ``outputs`` depend on, not beyond the tensors of ``stop``."""
    stop = set(stop)
    needed, kept = set(outputs) - stop, []
    for node in reversed(list(nodes)):
        if not needed.isdisjoint(node.outputs):
            needed.update(name for name in node.inputs if name not in stop)
            kept.append(node)
    return tuple(reversed(kept))


@dataclass(frozen=True)
class Tail:
    """What was cut off a model for the host: ``nodes``, as (name, operator), take the tensors ``inputs``, which the
    network gives, and make ``results`` of the model. ``model`` is an ONNX file that holds them. ``missing`` has the
    results that nothing makes, each with a tensor that they need and that the network does not give."""

    nodes: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]
    results: tuple[str, ...]
    missing: tuple[tuple[str, str], ...]
    model: bytes = field(repr=False)

    def __str__(self) -> str:
        count, ops = len(self.nodes), ", ".join(dict.fromkeys(op for _, op in self.nodes))
        takes, makes = (", ".join(map(repr, names)) for names in (self.inputs, self.results))
        lost = "; ".join(f"{result!r} is not computed, as it needs {tensor!r} too" for result, tensor in self.missing)
        made = f"{count} node{'s' * (count != 1)} from {takes} to {makes} ({ops})" if count else "nothing"
        return f"{made}; {lost}" if lost else made


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order; ``tensors`` knows every value's shape and type, constants included.

    ``results`` are the names that ``outputs``, which passes may rename, have in the model. ``head`` holds the nodes
    that followed them in the model and are left to the host (Softmax, ArgMax), ``tail`` everything else that is.
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: Mapping[str, TensorInfo]
    constants: Mapping[str, np.ndarray]
    head: tuple[Node, ...] = ()
    results: tuple[str, ...] = ()
    tail: Tail | None = None

    def producer(self, tensor: str) -> Node | None:
        """The node that writes ``tensor``; None for an input or a constant."""
        return self._producers.get(tensor)

    def maker(self, tensor: str) -> Node:
        """The node that writes ``tensor``, which is neither an input nor a constant."""
        return self._producers[tensor]

    def single_values(self, names: Iterable[str]) -> list[np.ndarray] | None:
        """Constants of one element each; None where one of ``names``, but for absent ones, is none such."""
        given = [name for name in names if name]
        known = [self.constants[name] for name in given if name in self.constants]
        return known if len(known) == len(given) and all(value.size == 1 for value in known) else None

    def known(self, node: Node, *places: int) -> list[np.ndarray | None] | None:
        """The constant operands of ``node`` at ``places``, None for absent ones; None where one is not constant."""
        names = [node.input(place) for place in places]
        known = all(name in self.constants for name in names if name)
        return [self.constants.get(name) for name in names] if known else None

    def following(self) -> list[Node]:
        """The nodes that depend on an input, and do not only read a shape."""
        depends, found = set(self.inputs), []
        for node in self.nodes:
            if not depends.isdisjoint(node.inputs) and node.op != "Shape":
                depends.update(node.outputs)
                found.append(node)
        return found

    def consumers(self, tensor: str) -> tuple[Node, ...]:
        """The nodes that read ``tensor``, each once."""
        return tuple(self._consumers.get(tensor, ()))

    @cached_property
    def _producers(self) -> dict[str, Node]:
        return {name: node for node in self.nodes for name in node.outputs}

    @cached_property
    def _consumers(self) -> dict[str, list[Node]]:
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers.setdefault(name, []).append(node)
        return readers

    def __str__(self) -> str:
        """A stable text form: what a pass changed shows in a diff."""
        lines = [f"graph {self.name}({', '.join(self.inputs)}) -> {', '.join(self.outputs)}"]
        lines += [f"  {node}" for node in self.nodes]
        return "\n".join(lines)
