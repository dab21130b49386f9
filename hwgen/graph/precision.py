"""Models that compute in half, brain or double precision, read as the float32 models that they were made of.

Numbers of 16 bits are exact in float32, so only what such a model would round on its way is left out. That holds for
models that are float16 throughout, for those with Casts at both ends, and for weights that are stored so.
"""

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper

from .tensor_data import decode

_SHORT = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def in_single_precision(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """``model``, changed in place; ``folder`` has its external data.

    Double precision goes only where the model's input has it: else it is that of a few constants, which keep it until
    they are computed with.
    """
    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.type.tensor_type for value in model.graph.input if value.name not in known]
    double = any(kind.elem_type == TensorProto.DOUBLE for kind in inputs)
    types = (*_SHORT, TensorProto.DOUBLE) if double else _SHORT
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


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """``graph`` and all within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
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
