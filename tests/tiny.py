"""A network small enough to simulate in a second: 3x3 convolution on 8x8, pooling, fully connected."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(**changes) -> onnx.ModelProto:
    """The model; ``changes``: ``shape`` of the input, ``softmax`` at the end, further ``nodes`` before the output,
    a ``weight`` of the convolution, ``narrow`` for an input quantised to 4 bits without -8, "integers" where it is
    integers already."""
    generator = np.random.default_rng(7)
    weights = {
        "conv_weight": changes.get("weight", generator.normal(size=(4, 1, 3, 3)).astype(np.float32)),
        "conv_bias": generator.normal(size=4).astype(np.float32),
        "dense_weight": generator.normal(size=(3, 64)).astype(np.float32),
        "dense_bias": generator.normal(size=3).astype(np.float32),
    }
    narrow = changes.get("narrow", False)
    nodes = [
        *(_narrowed(weights)[narrow == "integers" :] if narrow else []),
        helper.make_node(
            "Conv",
            ["narrowed" if narrow else "image", "conv_weight", "conv_bias"],
            ["c"],
            name="conv",
            pads=[1, 1, 1, 1],
        ),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("MaxPool", ["r"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "dense_weight", "dense_bias"], ["scores"], name="dense", transB=1),
        *changes.get("nodes", []),
    ]
    if changes.get("softmax"):
        nodes.append(helper.make_node("Softmax", ["scores"], ["answer"], name="softmax", axis=1))
    result = nodes[-1].output[0]
    kind = TensorProto.FLOAT
    if narrow == "integers":
        kind, nodes[0].input[0] = TensorProto.INT8, "image"
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", kind, changes.get("shape", ["N", 1, 8, 8]))],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _narrowed(constants: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    """``image`` becomes ``narrowed``, as Brevitas writes it; their ``constants`` join the others."""
    constants |= {"s": np.float32(0.03), "z": np.int8(0), "low": np.int8(-7), "high": np.int8(7)}
    return [
        helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"]),
        helper.make_node("Clip", ["q", "low", "high"], ["clipped"]),
        helper.make_node("DequantizeLinear", ["clipped", "s", "z"], ["narrowed"]),
    ]


def save(path: Path, **changes) -> Path:
    """Write :func:`model` to ``path``."""
    onnx.save(model(**changes), path)
    return path


def frames(count: int = 8) -> np.ndarray:
    """Frames [N, 1, 8, 8] between 0 and 1."""
    return np.random.default_rng(8).random((count, 1, 8, 8), np.float32)
