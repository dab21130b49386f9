"""Quantised graphs to standard ONNX files that any runtime takes."""

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hwgen.graph.batch import takes_batches, with_open_batch
from hwgen.graph.ir import Graph, Node, Tail, TensorInfo
from hwgen.graph.onnx.model_file import names_read
from hwgen.graph.semantics.float_ops import dequantize_linear
from hwgen.graph.semantics.operators import OPERATORS

BATCH = "N"  # the name of the open batch dimension
_OPSET = 13  # the oldest with per-channel DequantizeLinear: the most runtimes read it
_WIDE_OPSET = 21  # the oldest with 16-bit QuantizeLinear
_IR_VERSIONS = {13: 8, 14: 8, 18: 8, 20: 9, 21: 10}  # the oldest that knows the opset


def write_qdq(graph: Graph, path: str | Path) -> None:
    """Write ``graph`` to ``path``, the batch left open unless it takes no more than one frame at a time. The same graph
    gives the same bytes."""
    data = qdq_model(graph).SerializeToString(deterministic=True)
    path = Path(path)
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_tail(tail: Tail, path: str | Path) -> None:
    """Write what is left to the host to ``path``."""
    Path(path).write_bytes(tail.model)


def tail_model(
    model: onnx.ModelProto,
    nodes: Iterable[onnx.NodeProto],
    inputs: Mapping[str, TensorInfo],
    results: Iterable[str],
    constants: Mapping[str, np.ndarray],
) -> bytes:
    """``nodes`` of ``model`` as a file of their own, from ``inputs`` to ``results``.

    ``constants`` has the values of initializers that lie outside the file. The batch is as open as that of the model.
    """
    nodes = list(nodes)
    read = {name for node in nodes for name in names_read(node)}
    source = model.graph
    given = [value for value in source.input if value.name in read and value.name not in inputs]
    first = source.input[0].type.tensor_type.shape.dim if source.input else ()
    batch = first[0].dim_value or first[0].dim_param or BATCH if first else 1
    proto = helper.make_graph(
        nodes,
        f"{source.name}_tail",
        [*(_value(name, info, batch) for name, info in inputs.items()), *given],
        [value for value in source.output if value.name in set(results)],
        [_inside(tensor, constants) for tensor in source.initializer if tensor.name in read],
    )
    whole = helper.make_model(proto, producer_name="hwgen", ir_version=model.ir_version)
    del whole.opset_import[:]
    whole.opset_import.extend(model.opset_import)
    return whole.SerializeToString(deterministic=True)


def _inside(tensor: onnx.TensorProto, constants: Mapping[str, np.ndarray]) -> onnx.TensorProto:
    """An initializer that holds its numbers itself."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return tensor
    return numpy_helper.from_array(constants[tensor.name], tensor.name)


def with_outputs(path: str | Path, wanted: Collection[str]) -> tuple[bytes, tuple[str, ...]]:
    """The model at ``path`` as bytes, its outputs those of the ``wanted`` tensors that its nodes make; and which.

    Inputs that no node reads are left out, so that nobody needs to feed them.
    For whoever wants to see what a runtime computes on the way. The file must be one that
    :func:`hwgen.graph.onnx.reader.read_model` has read.
    """
    model = onnx.load(path)
    made = dict.fromkeys(name for node in model.graph.node for name in node.output if name in wanted)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    read = {name for node in model.graph.node for name in names_read(node)}
    inputs = [each for each in model.graph.input if each.name in read]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return model.SerializeToString(), tuple(made)


def qdq_model(graph: Graph) -> onnx.ModelProto:
    """``graph`` as an ONNX model. ValueError where it holds what does not survive the way."""
    batch = BATCH if takes_batches(graph) else 1
    graph = with_open_batch(graph) if batch == BATCH else graph
    opset = _opset(graph)
    made: dict[str, np.ndarray] = {}
    proto = helper.make_graph(
        [each for node in graph.nodes for each in _nodes(graph, node, made)],
        graph.name,
        [_value(name, graph.tensors[name], batch) for name in graph.inputs],
        [_value(name, graph.tensors[name], batch) for name in graph.outputs],
        [numpy_helper.from_array(np.asarray(v, order="C"), name) for name, v in {**graph.constants, **made}.items()],
    )
    return helper.make_model(
        proto,
        producer_name="hwgen",
        ir_version=_IR_VERSIONS[opset],
        opset_imports=[helper.make_opsetid("", opset)],
    )


def _opset(graph: Graph) -> int:
    """The oldest opset that has all that the graph needs."""
    wide = any(info.dtype in (np.int16, np.uint16) for info in graph.tensors.values())
    axes = any(len(node.inputs) > 3 if node.op == "Pad" else node.attributes.get("axes") for node in graph.nodes)
    opsets = [OPERATORS[node.op].opset for node in graph.nodes]
    return max([_OPSET, *opsets, *([_WIDE_OPSET] if wide else []), *([18] if axes else [])])


def _nodes(graph: Graph, node: Node, constants: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    """What ``node`` is in standard ONNX; ``constants`` collects what that reads beside its operands.

    Attributes at their defaults are left out, and with them those that this opset does not know. ``limits`` become a
    Clip, unless the integers of a DequantizeLinear are clipped already.
    """
    if node.op == "Lookup":
        return _lookup(node, constants)
    defaults, limits = OPERATORS[node.op].defaults, node.attributes.get("limits")
    given = {name: value for name, value in node.attributes.items() if name != "limits" and value != defaults[name]}
    if limits and (node.op == "QuantizeLinear" or _is_given(graph, node.inputs[0])):
        return _clipped(graph, node, given, constants)
    return [helper.make_node(node.op, node.inputs, node.outputs, name=node.name, **given)]


def _is_given(graph: Graph, name: str) -> bool:
    """Whether it is integers of the graph's input, which nothing has clipped."""
    while (maker := graph.producer(name)) is not None and maker.op != "QuantizeLinear":
        name = maker.inputs[0]
    return name in graph.inputs


def _clipped(graph: Graph, node: Node, given: dict[str, Any], constants: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    """A QuantizeLinear or DequantizeLinear beside a Clip of its integers, or of its real numbers where integers have
    16 bits, which runtimes do not clip."""
    (source, *parameters), (output,) = node.inputs, node.outputs
    quantizes = node.op == "QuantizeLinear"
    dtype = graph.tensors[output if quantizes else source].dtype
    wide, ends = dtype.itemsize > 1, np.array(node.attributes["limits"], dtype)
    if wide:
        ends = dequantize_linear(ends, *(graph.constants[name] for name in parameters), axis=0)
    names = [f"{output}/low", f"{output}/high"]
    constants |= dict(zip(names, ends, strict=True))
    steps: list[tuple[str, str, list[str], dict[str, Any]]] = [
        ("Clip", f"{node.name}/clip", names, {}),
        (node.op, node.name, parameters, given),
    ]
    between = f"{output}/clipped"
    if wide != quantizes:
        between = f"{output}/unclipped"
        steps.reverse()
    return [
        helper.make_node(op, [read, *others], [made], name=name, **settings)
        for (op, name, others, settings), read, made in zip(steps, (source, between), (between, output), strict=True)
    ]


def _lookup(node: Node, constants: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    """What a Lookup is made of in standard ONNX; ``constants`` collects its operands."""
    (source,), (output,), settings = node.inputs, node.outputs, node.attributes
    names = {what: f"{output}/{what}" for what in ("scale", "steps", "whole", "integers", "first", "index", "table")}
    constants |= {
        names["scale"]: np.array(settings["scale"], np.float32),
        names["first"]: np.array(-settings["first"], np.int64),
        names["table"]: np.array(settings["table"], np.float32),
    }
    chain: tuple[tuple[str, tuple[str, ...], str, dict[str, Any]], ...] = (
        ("Div", (source, names["scale"]), names["steps"], {}),
        ("Round", (names["steps"],), names["whole"], {}),
        ("Cast", (names["whole"],), names["integers"], {"to": onnx.TensorProto.INT64}),
        ("Add", (names["integers"], names["first"]), names["index"], {}),
        ("Gather", (names["table"], names["index"]), output, {}),
    )
    return [helper.make_node(op, i, [o], name=f"{node.name}/{op.lower()}", **more) for op, i, o, more in chain]


def _value(name: str, info: TensorInfo, batch: int | str) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(info.dtype)
    return helper.make_tensor_value_info(name, kind, [batch, *info.shape[1:]])
