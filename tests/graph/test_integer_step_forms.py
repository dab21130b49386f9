"""Rounding and limits, in whatever order and types an exporter of integer networks writes them: one requantisation."""

import numpy as np
import pytest
from onnx import TensorProto

from hwgen import flow
from hwgen.dataflow.search.search import search
from hwgen.graph import golden
from hwgen.graph.errors import ModelError
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes.ranges import ANY, Range, ranges
from hwgen.simulate.exact_session import exact_session
from hwgen.simulate.simulation import simulate
from tests.graph.models import build, node, save

RNG = np.random.default_rng(3)
TYPES = {"int32": TensorProto.INT32, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8, "float": TensorProto.FLOAT}
TYPES |= {"int16": TensorProto.INT16, "uint32": TensorProto.UINT32, "uint64": TensorProto.UINT64}
CONSTANTS = {
    "kappa": RNG.integers(1, 256, (1, 4, 1, 1)),
    "lamda": RNG.integers(-(2**18), 2**18, (1, 4, 1, 1)),
    "none": 0,
    "most": 255,
    "before": 255 << 15,
    "divisor": 1 << 15,
    "odd": 30_011,
    "shift": 15,
    "few": 7,
}
LINE = "Mul kappa, Add lamda"
FORMS = {
    "clipped as integers": f"{LINE}, int64, Div odd, Clip none most, float",
    "clipped before the division": f"{LINE}, int64, Clip none before, Div divisor, float",
    "clipped twice": f"{LINE}, int64, Div divisor, Clip none most, float, Clip none most",
    "one bound in each type": f"{LINE}, int64, Relu, Div divisor, float, Clip none most",
    "maximum and minimum": f"{LINE}, int64, Div odd, Max none, Min most, float",
    "bytes at the end": f"{LINE}, int64, Div divisor, Clip none most, uint8, float",
    "integers from the sums on": "int64, Mul kappa, Add lamda, Div odd, Clip none most, float",
    "int32 from the sums on": "int32, Mul kappa, Add lamda, Div odd, Clip none most, float",
    "int32, then int64": f"{LINE}, int32, int64, Div divisor, Clip none most, float",
    "a shift": f"{LINE}, Clip none before, uint64, BitShift shift, float",
    "a shift of 32 bits": f"{LINE}, Relu, Min before, uint32, BitShift shift, Clip none most, float",
    "clipped, then rounded": f"{LINE}, Div divisor, Clip none most, Floor",
    "clipped, divided, rounded": f"{LINE}, Clip none before, Div divisor, Floor",
    "rounded, then clipped as integers": f"{LINE}, Div divisor, Round, int64, Clip none most, float",
    "rounded by the cast": f"{LINE}, Div divisor, int64, Clip none most, float",
}


def steps(form, source, result):
    """The nodes of ``form`` from ``source`` to ``result``, and their constants in the types that they have there."""
    nodes, constants, dtype, current = [], {}, "float32", source
    parts = form.split(", ")
    for number, part in enumerate(parts):
        op, *names = part.split()
        output = result if number == len(parts) - 1 else f"{result}_{number}"
        typed = [f"{name}_{dtype}" for name in names]
        if op in TYPES:
            nodes.append(node("Cast", current, output, to=TYPES[op]))
            dtype = "float32" if op == "float" else op
        else:
            constants |= {t: np.array(CONSTANTS[name], dtype) for t, name in zip(typed, names, strict=True)}
            more = {"direction": "RIGHT"} if op == "BitShift" else {}
            nodes.append(node(op, " ".join([current, *typed]), output, **more))
        current = output
    return nodes, constants


def network(form):
    first, second = steps(form, "s1", "c1"), steps(form, "s2", "c2")
    nodes = [
        node("Conv", "x w1", "s1", pads=[1, 1, 1, 1]),
        *first[0],
        node("MaxPool", "c1", "p1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "p1 w2", "s2"),
        *second[0],
        node("Flatten", "c2", "f"),
        node("MatMul", "f w3", "y"),
    ]
    shapes = {"w1": (4, 1, 3, 3), "w2": (4, 4, 3, 3), "w3": (16, 3)}
    weights = {name: RNG.integers(-128, 128, shape).astype(np.float32) for name, shape in shapes.items()}
    return build(nodes, "y", weights | first[1] | second[1], opset=18)


@pytest.mark.parametrize("form", FORMS)
def test_every_integer_is_that_of_the_file(form, tmp_path):
    model = network(FORMS[form])
    model.graph.output.extend(type(model.graph.output[0])(name=name) for name in ("c1", "c2"))
    path = save(model, tmp_path)
    said = []
    found = flow.quantised(path, warn=said.append).network
    assert not said
    assert [type(layer.op).__name__ for layer in found.layers] == ["Conv", "MaxPool", "Conv", "Dense"]
    frames = RNG.integers(0, 256, (4, 1, 8, 8)).astype(np.float32)
    given = golden.network_outputs(found, golden.run(found, golden.network_input(found, frames)))
    session = exact_session(path.read_bytes())
    parts = [session.run(["y", "c1", "c2"], {"x": frame[None]}) for frame in frames]
    for name, *values in zip(("y", "c1", "c2"), *parts, strict=True):
        assert np.array_equal(given[name], np.concatenate(values)), name


@pytest.mark.slow
@pytest.mark.parametrize("form", ["clipped as integers", "a shift"])
def test_the_hardware_computes_them(form, tmp_path):
    found = flow.quantised(save(network(FORMS[form]), tmp_path), warn=lambda line: None).network
    frames = RNG.integers(0, 256, (2, 1, 8, 8)).astype(np.float32)
    assert simulate(found, search(found, multipliers=20), frames, "amaranth").equal


def test_numbers_that_may_leave_their_type_are_refused(tmp_path):
    """Sums of bytes need more than 16 bits, which would wrap."""
    with pytest.raises(ModelError, match=r"\(Cast\): it works on integers"):
        flow.quantised(save(network("int16, Mul few, Clip none most, float"), tmp_path), warn=lambda line: None)


def test_a_shift_of_numbers_below_zero_is_refused(tmp_path):
    """It rounds down where a quotient is rounded towards zero."""
    path = save(network(f"{LINE}, int64, BitShift shift, float, Clip none most"), tmp_path)
    with pytest.raises(ModelError, match=r"\(Cast\): it works on integers"):
        flow.quantised(path, warn=lambda line: None)


def test_ranges_hold_what_the_runtime_computes(tmp_path):
    """Of every tensor of every form, with the greatest and least inputs among the frames."""
    frames = np.concatenate([RNG.integers(0, 256, (6, 1, 8, 8)), np.full((1, 1, 8, 8), 255), np.zeros((1, 1, 8, 8))])
    for form in FORMS.values():
        model = network(form)
        path = save(model, tmp_path)
        known = ranges(read_model(path), {"x": Range(0, 255, True)})
        names = [each.output[0] for each in model.graph.node]
        del model.graph.output[:]
        model.graph.output.extend(type(model.graph.input[0])(name=name) for name in names)
        session = exact_session(model.SerializeToString())
        for frame in frames.astype(np.float32):
            for name, value in zip(names, session.run(names, {"x": frame[None]}), strict=True):
                assert known[name].low <= value.min(), name
                assert value.max() <= known[name].high, name
                assert not known[name].whole or (np.rint(value) == value).all(), name


def test_nothing_is_known_of_a_division_by_what_may_be_zero(tmp_path):
    nodes = [node("Abs", "x", "a"), node("Relu", "x", "r"), node("Clip", "r low high", "c"), node("Div", "c c", "y")]
    model = build(nodes, "y", {"low": np.float32(0), "high": np.float32(2.5)}, ("x", (1, 2)))
    known = ranges(read_model(save(model, tmp_path)))
    assert known["c"] == Range(0, 2.5)
    assert known["y"] == ANY


def test_what_only_moves_keeps_its_ends_and_a_pad_adds_its_number(tmp_path):
    nodes = [
        node("Clip", "x low high", "c"),
        node("Round", "c", "r"),
        node("DepthToSpace", "r", "d", blocksize=2),
        node("Gather", "d first", "g", axis=1),
        node("Pad", "g pads five", "y"),
        node("Pad", "g pads", "z"),
    ]
    constants = {
        "low": np.float32(1),
        "high": np.float32(3),
        "first": np.array([0]),
        "pads": np.array([0, 0, 0, 1, 0, 0, 0, 0]),
        "five": np.float32(5),
    }
    model = build(nodes, "y", constants, ("x", (1, 4, 2, 2)))
    known = ranges(read_model(save(model, tmp_path)))
    assert known["g"] == Range(1, 3, True)
    assert known["y"] == Range(1, 5, True)
    assert known["z"] == Range(0, 3, True)
