"""Activation tables that a file has as Cast, Add and Gather: one table of one stream, in hardware and written anew."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from hwgen.blocks import OPERATORS
from hwgen.blocks.pointwise.table import Table
from hwgen.graph import golden
from hwgen.graph.errors import ModelError
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.onnx.writer import write_qdq
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.quantize import quantize
from tests.graph.models import build, node, save
from tests.graph.reference import runtime_integers

RNG = np.random.default_rng(5)
SCALE = np.float32(0.05)
REAL = RNG.normal(0, 1, 256).astype(np.float32)
SIGNED = RNG.integers(-128, 128, 256).astype(np.int8)
CONSTANTS = {"s": SCALE, "ys": np.float32(0.0231), "yz": np.int8(-7), "half": np.int64(128), "fs": np.float32(0.5)}
LEAVE = [node("QuantizeLinear", "r ys yz", "y")]


def cast(source, output, to=TensorProto.INT64):
    return node("Cast", source, output, to=to)


#: Nodes from the integers q to y, constants, and whether q is signed.
CASES = {
    "of real numbers, signed": ([cast("q", "c"), node("Add", "c half", "i"), node("Gather", "t i", "r")], REAL, True),
    "unsigned, nothing added": ([cast("q", "i"), node("Gather", "t i", "r")], REAL, False),
    "negative from the end": ([cast("q", "i"), node("Gather", "t i", "r")], REAL, True),
    "32-bit indices": (
        [cast("q", "c", TensorProto.INT32), node("Add", "c half32", "i"), node("Gather", "t i", "r")],
        REAL,
        True,
    ),
    "added as real numbers": (
        [
            node("Cast", "q", "f", to=TensorProto.FLOAT),
            node("Add", "f real_half", "g"),
            cast("g", "i"),
            node("Gather", "t i", "r"),
        ],
        REAL,
        True,
    ),
    "of integers that are dequantised": (
        [
            cast("q", "c"),
            node("Add", "c half", "i"),
            node("Gather", "t i", "k"),
            node("DequantizeLinear", "k ys yz", "r"),
        ],
        SIGNED,
        True,
    ),
    "of integers that become real numbers": (
        [
            cast("q", "c"),
            node("Add", "c half", "i"),
            node("Gather", "t i", "k"),
            node("Cast", "k", "f", to=TensorProto.FLOAT),
            node("Mul", "f fs", "r"),
        ],
        SIGNED,
        True,
    ),
    "larger than it need be": ([cast("q", "i"), node("Gather", "t i", "r")], np.tile(REAL, 2), False),
}


def model(nodes, table, signed):
    zero = np.int8(3) if signed else np.uint8(120)
    constants = CONSTANTS | {"z": zero, "t": table, "half32": np.int32(128), "real_half": np.float32(128)}
    nodes = [node("QuantizeLinear", "x s z", "q"), *nodes, *LEAVE]
    used = {name for each in nodes for name in each.input}
    return build(nodes, "y", {n: v for n, v in constants.items() if n in used}, ("x", ("N", 2, 8, 16)))


def every_integer(signed):
    zero = 3 if signed else 120
    first = -128 if signed else 0
    return (np.arange(first, first + 256, dtype=np.float32) - zero).reshape(1, 2, 8, 16) * SCALE


@pytest.mark.parametrize("case", CASES)
def test_a_table_written_out(case, tmp_path):
    nodes, table, signed = CASES[case]
    path = save(model(nodes, table, signed), tmp_path)
    graph = quantize(simplify(read_model(path)))
    network = lower(graph, OPERATORS)
    assert {type(layer.op) for layer in network.layers} == {Table}
    frame = every_integer(signed)
    want = runtime_integers(path, frame)["y"]
    ours = golden.output(network, golden.network_input(network, frame))
    assert np.array_equal(np.moveaxis(ours, -1, 1), want)
    write_qdq(graph, tmp_path / "written.onnx")
    assert np.array_equal(runtime_integers(tmp_path / "written.onnx", frame)["y"], want)
    again = lower(simplify(read_model(tmp_path / "written.onnx")), OPERATORS)
    assert np.array_equal(golden.output(again, golden.network_input(again, frame)), ours)


def test_a_table_of_the_input(tmp_path):
    """Integers that the model takes itself are looked up as they come."""
    nodes = [cast("x", "i"), node("Gather", "t i", "r"), *LEAVE]
    constants = {"t": REAL, "ys": CONSTANTS["ys"], "yz": CONSTANTS["yz"]}
    path = save(build(nodes, "y", constants, ("x", ("N", 1, 16, 16)), kind=TensorProto.UINT8), tmp_path)
    network = lower(simplify(read_model(path)), OPERATORS)
    frame = np.arange(256).astype(np.uint8).reshape(1, 1, 16, 16)
    ours = golden.output(network, golden.network_input(network, frame))
    assert np.array_equal(np.moveaxis(ours, -1, 1), runtime_integers(path, frame)["y"])


def test_a_table_too_short_is_no_function(tmp_path):
    """ONNX Runtime fails for the integers that it has no entry for."""
    path = save(model([cast("q", "i"), node("Gather", "t i", "r")], REAL[:200], False), tmp_path)
    graph = simplify(read_model(path))
    assert "Gather" in {each.op for each in graph.nodes}


def test_files_have_no_such_operator(tmp_path):
    nodes = [helper.make_node("Lookup", ["x"], ["y"], name="n")]
    with pytest.raises(ModelError, match="operator Lookup is not supported"):
        read_model(save(build(nodes, "y", {}), tmp_path))
