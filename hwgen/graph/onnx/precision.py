"""Models that compute in half, brain or double precision, read as the float32 models that they were made of.

Numbers of 16 bits are exact in float32, so only what such a model would round on its way is left out. That holds for
models that are float16 throughout, for those with Casts at both ends, and for weights that are stored so. Constants are
rounded wherever the model rounds them: computed in float32, as runtimes do, then brought to 16 bits.
"""

from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwgen.graph.onnx.evaluation import evaluate
from hwgen.graph.onnx.model_file import graphs_of
from hwgen.graph.onnx.tensor_data import decode

_SHORT = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_KEPT = ("DequantizeLinear", "QuantizeLinear")  # whose integers are stored


def in_single_precision(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """``model``, changed in place; ``folder`` has its external data.

    Double precision goes only where the model's input has it: else it is that of a few constants, which keep it until
    they are computed with.
    """
    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.type.tensor_type for value in model.graph.input if value.name not in known]
    double = any(kind.elem_type == TensorProto.DOUBLE for kind in inputs)
    types = (*_SHORT, TensorProto.DOUBLE) if double else _SHORT
    _round_constants(model, folder)
    for graph in _graphs(model.graph):
        for tensor in (*graph.initializer, *_attribute_tensors(graph)):
            if tensor.data_type in types:
                _widen(tensor, folder)
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type in types:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        for node in graph.node:
            for attribute in node.attribute if node.op_type == "Cast" else ():
                if attribute.name == "to" and attribute.i in types:
                    attribute.i = TensorProto.FLOAT
    return model


def to_short(value: np.ndarray, kind: int) -> np.ndarray:
    """float32 numbers as float16 (10) or bfloat16 (16) holds them, to the nearest, half to even; float32 again."""
    value = np.asarray(value, np.float32)
    if kind == TensorProto.FLOAT16:
        with np.errstate(over="ignore"):
            return value.astype(np.float16).astype(np.float32)
    bits: np.ndarray = value.view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return np.where(np.isnan(value), value, bits.astype(np.uint32).view(np.float32))


def _round_constants(model: onnx.ModelProto, folder: Path) -> None:
    """Nodes on constants whose results have 16 bits become those results."""
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for index, node in enumerate(graph.node):
        if node.op_type == "Constant":
            tensors |= {name: a.t for name in node.output for a in node.attribute if a.name == "value"}
            continue
        names = [name for name in node.input if name]
        if not names or not tensors.keys() >= set(names) or node.op_type in _KEPT or len(node.output) > 1:
            continue
        cast = [a.i for a in node.attribute if node.op_type == "Cast" and a.name == "to"]
        kinds = cast or [tensors[name].data_type for name in names]
        kind = next((kind for kind in kinds if kind in _SHORT), None)
        if kind is not None:
            with suppress(ValueError):  # it is refused, with its name, where it is read
                result = _computed(model, node, {name: decode(tensors[name], folder) for name in names})
                if result.dtype == np.float32:
                    made = numpy_helper.from_array(to_short(result, kind), node.output[0])
                    tensors[node.output[0]] = made
                    graph.node[index].CopyFrom(helper.make_node("Constant", [], node.output, node.name, value=made))


def _computed(model: onnx.ModelProto, node: onnx.NodeProto, operands: dict[str, np.ndarray]) -> np.ndarray:
    """What a node makes of constants, in float32."""
    single = deepcopy(node)
    for attribute in single.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _SHORT:
            attribute.i = TensorProto.FLOAT
    wide = {n: v.astype(np.float32) if v.dtype in (np.float16, np.float64) else v for n, v in operands.items()}
    return evaluate(single, wide, model.opset_import)[node.output[0]]


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """``graph`` and all within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in graphs_of(attribute):
                yield from _graphs(inner)


def _attribute_tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    for node in graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def _widen(tensor: TensorProto, folder: Path) -> None:
    try:
        wide = numpy_helper.from_array(decode(tensor, folder).astype("float32"), tensor.name)
    except ValueError:  # it is refused, with its name, where it is read
        return
    tensor.CopyFrom(wide)
