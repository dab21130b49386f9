"""Small ONNX models for tests, written as lists of nodes."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DEFAULT_INPUT = ("x", ("N", 1, 8, 8))


def node(op, inputs, output, **attributes):
    """A node named after its result; ``inputs`` and ``output`` are separated by blanks."""
    return helper.make_node(op, inputs.split(" "), output.split(" "), name=f"{output.split()[0]}_node", **attributes)


def build(nodes, output, constants, source=DEFAULT_INPUT, opset=13, kind=TensorProto.FLOAT):
    """A model with one input and one output. ``constants`` maps names to arrays."""
    name, shape = source
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_empty_tensor_value_info(output)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def save(model, folder: Path, name="model.onnx") -> Path:
    path = folder / name
    onnx.save(model, path)
    return path


def lenet_like(seed=0):
    """A float model of conv, pool, grouped and strided convs, dense layers and a Softmax, on 1x12x12 frames."""
    rng = np.random.default_rng(seed)

    def weight(*shape):
        return rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    constants = {
        "w1": weight(6, 1, 5, 5),
        "b1": weight(6) * 0.1,
        "w2": weight(12, 3, 3, 3),
        "scale": rng.uniform(0.5, 1.5, 12).astype(np.float32),
        "offset": rng.normal(0, 0.3, 12).astype(np.float32),
        "mean": rng.normal(0, 0.3, 12).astype(np.float32),
        "var": rng.uniform(0.5, 1.5, 12).astype(np.float32),
        "six": np.array(1.5, np.float32),
        "zero": np.array(0, np.float32),
        "w3": rng.normal(0, 0.2, (12 * 3 * 3, 20)).astype(np.float32),
        "b3": rng.normal(0, 0.2, 20).astype(np.float32),
        "w4": weight(10, 20),
        "b4": weight(10),
    }
    nodes = [
        node("Conv", "x w1 b1", "c1", pads=[2, 2, 2, 2]),
        node("Relu", "c1", "r1"),
        node("MaxPool", "r1", "p1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "p1 w2", "c2", group=2, strides=[2, 2], pads=[1, 0, 1, 2], dilations=[1, 1]),
        node("BatchNormalization", "c2 scale offset mean var", "n2"),
        node("Clip", "n2 zero six", "r2"),
        node("Dropout", "r2", "d2"),
        node("Flatten", "d2", "f2"),
        node("MatMul", "f2 w3", "m3"),
        node("Add", "m3 b3", "a3"),
        node("Relu", "a3", "r3"),
        node("Gemm", "r3 w4 b4", "g4", transB=1, alpha=0.5),
        node("Softmax", "g4", "y"),
    ]
    return build(nodes, "y", constants, ("x", ("N", 1, 12, 12)))
