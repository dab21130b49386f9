"""One node on constants, by the reference evaluator of the ``onnx`` package."""

import math
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np
import onnx
from onnx import helper, numpy_helper

MAX_COMPUTED = 1 << 26  # elements of one operand or result: 256 MiB of float32
_SMALL = 1 << 10  # elements of operands that may say how large a result is
_RANDOM = (
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"
)  # fmt: skip
#: Results as large as the data say, but not larger than their operands for each dimension.
_DATA_DEPENDENT = ("Compress", "NonZero", "Unique")


def evaluate(
    proto: onnx.NodeProto, operands: Mapping[str, np.ndarray], opsets: Sequence[onnx.OperatorSetIdProto]
) -> dict[str, np.ndarray]:
    """The results of a node by name; ValueError where they cannot be computed, or not at a bounded price."""
    if proto.op_type in _RANDOM or any(a.HasField("g") or a.graphs for a in proto.attribute):
        raise ValueError("it is random, or computes with graphs of its own")
    names = [name for name in proto.output if name]
    graph = helper.make_graph([proto], "node", [], [helper.make_empty_tensor_value_info(name) for name in names])
    for name, value in operands.items():
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        graph.input.append(helper.make_tensor_value_info(name, kind, value.shape))
    model = helper.make_model(graph, opset_imports=opsets)
    try:
        _check_sizes(model, operands)
        return dict(zip(names, _run(model, operands), strict=True))
    except Exception as error:  # a foreign evaluator, on a file that is not trusted
        raise ValueError(f"it cannot be computed: {error}") from None


def _check_sizes(model: onnx.ModelProto, operands: Mapping[str, np.ndarray]) -> None:
    """ValueError where an operand or result is too large, or nobody can say how large it is."""
    sized = deepcopy(model)
    for name, value in operands.items():
        if value.size > MAX_COMPUTED:
            raise ValueError(f"an operand of {value.size} elements; the limit is {MAX_COMPUTED}")
        if value.size <= _SMALL:
            sized.graph.initializer.append(numpy_helper.from_array(value, name))
    node = model.graph.node[0]
    for result in onnx.shape_inference.infer_shapes(sized, data_prop=True).graph.output:
        shape = result.type.tensor_type.shape.dim
        known = result.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in shape)
        if not known and node.op_type not in _DATA_DEPENDENT:
            raise ValueError("the size of its result is not known")
        if math.prod(dim.dim_value for dim in shape) > MAX_COMPUTED:
            raise ValueError(f"a result of more than {MAX_COMPUTED} elements")


def _run(model: onnx.ModelProto, operands: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    from onnx.reference import ReferenceEvaluator

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        results = ReferenceEvaluator(model).run(None, dict(operands))
    if not all(isinstance(result, np.ndarray | np.generic) for result in results):
        raise ValueError("a result that is no tensor")
    return [np.asarray(result) for result in results]
