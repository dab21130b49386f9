"""Quantised graphs to standard ONNX files that any runtime takes."""

import os
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .ir import Graph, Node
from .operators import OPERATORS

BATCH = "N"  # the name of the open batch dimension
_OPSET, _IR_VERSION = 13, 8  # the oldest with per-channel DequantizeLinear: the most runtimes read it
_WIDE_OPSET, _WIDE_IR_VERSION = 21, 10  # the oldest with 16-bit QuantizeLinear


def write_qdq(graph: Graph, path: str | Path) -> None:
    """Write ``graph`` to ``path``, the batch left open. The same graph gives the same bytes."""
    data = qdq_model(graph).SerializeToString(deterministic=True)
    path = Path(path)
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def qdq_model(graph: Graph) -> onnx.ModelProto:
    """``graph`` as an ONNX model. ValueError where it holds what does not survive the way."""
    wide = any(info.dtype in (np.int16, np.uint16) for info in graph.tensors.values())
    opset, ir_version = (_WIDE_OPSET, _WIDE_IR_VERSION) if wide else (_OPSET, _IR_VERSION)
    proto = helper.make_graph(
        [_node(node) for node in graph.nodes],
        graph.name,
        [_value(graph, name) for name in graph.inputs],
        [_value(graph, name) for name in graph.outputs],
        [numpy_helper.from_array(np.asarray(v, order="C"), name) for name, v in graph.constants.items()],
    )
    return helper.make_model(
        proto,
        producer_name="hwgen",
        ir_version=ir_version,
        opset_imports=[helper.make_opsetid("", opset)],
    )


def _node(node: Node) -> onnx.NodeProto:
    """Attributes at their defaults are left out, and with them those that this opset does not know."""
    defaults = OPERATORS[node.op].defaults
    given = {name: value for name, value in node.attributes.items() if value != defaults[name]}
    return helper.make_node(node.op, node.inputs, node.outputs, name=node.name, **given)


def _value(graph: Graph, name: str) -> onnx.ValueInfoProto:
    info = graph.tensors[name]
    kind = helper.np_dtype_to_tensor_dtype(info.dtype)
    return helper.make_tensor_value_info(name, kind, [BATCH, *info.shape[1:]])
