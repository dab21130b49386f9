"""Models of weights with fewer than 8 bits as models of s8 weights, which give the same integers.

Runtimes have kernels for whole bytes: what is narrower they compute in float32, where sums that lie half way between
two integers fall either way.
"""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from hwgen.graph.semantics.operators import PRODUCTS

_NARROW = tuple(getattr(TensorProto, name) for name in ("INT4", "UINT4", "INT2", "UINT2") if hasattr(TensorProto, name))


def with_whole_bytes(model: bytes) -> bytes:
    """``model`` with s8 weights in place of narrower ones that are constant, their zero points taken off."""
    proto = onnx.load_from_string(model)
    graph = proto.graph
    narrow = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type in _NARROW}
    made: dict[tuple[str, ...], tuple[str, ...]] = {}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in narrow:
            continue
        zero = node.input[2] if len(node.input) > 2 else ""
        settings = {attribute.name: attribute.i for attribute in node.attribute}
        if settings.get("block_size") or (zero and zero not in narrow):
            continue
        key = (node.input[0], zero, str(settings.get("axis", 1)))
        if key not in made:
            made[key] = _bytes(graph, narrow[node.input[0]], narrow.get(zero), settings.get("axis", 1), len(made))
        node.input[:] = [made[key][0], node.input[1], *made[key][1:]]
    return proto.SerializeToString() if made else model


def scales_by_hand(model: bytes) -> bool:
    """Whether some weights are integers that a Cast and a Mul make real numbers of."""
    graph = onnx.load_from_string(model).graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    layers = [node for node in graph.node if node.op_type in PRODUCTS]
    return any(makers.get(node.input[1]) == "Mul" for node in layers) and "Cast" in makers.values()


def _bytes(
    graph: onnx.GraphProto, weight: TensorProto, zero: TensorProto | None, axis: int, number: int
) -> tuple[str, ...]:
    """The names of s8 weights and of their zero points, if there are any, new in ``graph``."""
    values = numpy_helper.to_array(weight).astype(np.int16)
    offsets = np.zeros((), np.int16) if zero is None else numpy_helper.to_array(zero).astype(np.int16)
    if offsets.size > 1:
        aligned = offsets.reshape([-1 if at == axis % values.ndim else 1 for at in range(values.ndim)])
    else:
        aligned = offsets.reshape(())
    parts = {f"{weight.name}/s8/{number}": (values - aligned).astype(np.int8)}
    if zero is not None:
        parts[f"{weight.name}/s8_zero/{number}"] = np.zeros(offsets.shape, np.int8)
    graph.initializer.extend(numpy_helper.from_array(part, name) for name, part in parts.items())
    return tuple(parts)
