"""Quantised formats other than QuantizeLinear and DequantizeLinear, all brought to those two at import.

What follows the reader sees standard ONNX operators only. An integer type narrower than numpy's stands in the
attribute ``limits`` of QuantizeLinear and DequantizeLinear: least and greatest integer.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from hwgen.graph.semantics.infer import infer_node, known_results
from hwgen.graph.semantics.operators import MICROSOFT
from hwgen.graph.semantics.shapes import Operand

from ..errors import Problems
from ..ir import Node, TensorInfo, fresh
from .call import Call, Foreign
from .openvino import OPENVINO_FORMATS
from .qonnx import CHANNELS_LAST_FORMATS, GENERAL_FORMATS
from .qoperator import MICROSOFT_FORMATS, STANDARD_FORMATS

_QONNX_DOMAINS = ("qonnx", "onnx.brevitas", "brevitas", "finn")


def find_format(domain: str, op: str) -> Foreign | None:
    """The operator ``op`` of ``domain``, where it is one of another format."""
    if domain in ("", MICROSOFT):
        return (MICROSOFT_FORMATS if domain else STANDARD_FORMATS).get(op)
    if domain == "org.openvinotoolkit":
        return OPENVINO_FORMATS.get(op)
    if not domain.startswith(_QONNX_DOMAINS):
        return None
    return (CHANNELS_LAST_FORMATS if domain.endswith("channels_last") else GENERAL_FORMATS).get(op)


def format_names() -> tuple[str, ...]:
    """All operators of other formats, for messages."""
    return tuple(sorted({*MICROSOFT_FORMATS, *GENERAL_FORMATS, *OPENVINO_FORMATS}))


def expand_formats(
    nodes: Iterable[Node], inputs: Mapping[str, TensorInfo], constants: dict[str, np.ndarray], problems: Problems
) -> list[Node]:
    """``nodes``, in topological order, with foreign ones put into standard ones; ``constants`` grows with them.

    ``problems`` is told of those without a standard form. Nodes whose operands are unknown because of another
    problem are left out.
    """
    nodes = list(nodes)
    if not any(find_format(node.domain, node.op) for node in nodes):
        return nodes
    return Expansion(nodes, inputs, constants, problems).run()


class Expansion:
    """One walk over the nodes, which knows shapes, and values where they are constant."""

    def __init__(
        self, nodes: list[Node], inputs: Mapping[str, TensorInfo], constants: dict[str, np.ndarray], problems: Problems
    ):
        self.nodes, self.constants, self.problems = nodes, constants, problems
        self.tensors = dict(inputs) | {name: TensorInfo(v.shape, v.dtype) for name, v in constants.items()}
        self.values = dict(constants)
        self.names = {*self.tensors, *(name for node in nodes for name in (node.name, *node.outputs))}
        self.result: list[Node] = []

    def run(self) -> list[Node]:
        """All nodes in standard form, in topological order."""
        for node in self.nodes:
            if all(name in self.tensors for name in node.inputs if name):
                with self.problems.at(node.place):
                    self.visit(node)
        return self.result

    def visit(self, node: Node) -> None:
        """Add what stands for ``node``; ValueError where it has no standard form."""
        foreign = find_format(node.domain, node.op)
        if foreign is None:
            self.add(node)
            return
        operands = [
            Operand(self.tensors[n].shape, self.tensors[n].dtype, self.values.get(n)) if n else None
            for n in node.inputs
        ]
        call = Call(node, operands, self.fresh)
        foreign.expand(call)
        self.constants |= call.constants
        self.values |= call.constants
        self.tensors |= {name: TensorInfo(v.shape, v.dtype) for name, v in call.constants.items()}
        for new in call.nodes:
            self.add(new)

    def add(self, node: Node) -> None:
        """A standard node, whose results' shapes, and values if constant, are known from then on."""
        self.result.append(node)
        self.tensors |= infer_node(node, self.tensors, self.values)
        self.values |= known_results(node, self.tensors, self.values)

    def fresh(self, wanted: str) -> str:
        """A name like ``wanted`` that no tensor or node has yet."""
        return fresh(wanted, self.names)


__all__ = ["Expansion", "expand_formats", "find_format", "format_names"]
