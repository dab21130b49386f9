"""Weights that are stored as integers and scaled by Cast and Mul stay those integers."""

import numpy as np
import pytest
from onnx import TensorProto

from hwgen import flow
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from tests.graph.models import build, node, save
from tests.graph.reference import compare

RNG = np.random.default_rng(6)
SCALES = RNG.uniform(0.01, 0.02, (4, 1, 1, 1)).astype(np.float32)
FORMS = {  # weights, and what is taken off and multiplied with
    "one scale": (np.int8, None, np.float32(0.0137)),
    "a scale for each channel": (np.int8, None, SCALES),
    "a zero point": (np.uint8, np.float32(121), np.float32(0.0137)),
    "a zero point and scales": (np.uint8, np.float32(117), SCALES),
    "zero points and scales": (np.uint8, np.float32([99, 128, 7, 200]).reshape(4, 1, 1, 1), SCALES),
    "16 bits": (np.int16, None, SCALES / 256),
}


def by_hand(form, swapped=False):
    dtype, zero, scale = FORMS[form]
    kind = np.iinfo(dtype)
    weights = RNG.integers(kind.min, kind.max, (4, 3, 3, 3), endpoint=True).astype(dtype)
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("Cast", "w", "wf", to=TensorProto.FLOAT),
        *([] if zero is None else [node("Sub", "wf wz", "ws")]),
        node("Mul", " ".join(["k", "wf" if zero is None else "ws"][:: 1 if swapped else -1]), "wd"),
        node("Conv", "d wd", "c"),
        node("QuantizeLinear", "c t z", "y_q"),
        node("DequantizeLinear", "y_q t z", "y"),
    ]
    constants = {"w": weights, "k": scale, "s": np.float32(0.0311), "t": np.float32(0.1493), "z": np.uint8(120)}
    constants |= {} if zero is None else {"wz": zero}
    return build(nodes, "y", constants, ("x", (1, 3, 6, 6))), weights


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("swapped", [False, True])
def test_the_stored_integers_are_the_weights(form, swapped, tmp_path):
    model, weights = by_hand(form, swapped)
    path = save(model, tmp_path)
    graph = simplify(read_model(path))
    assert [each.op for each in graph.nodes].count("Mul") == 0
    assert any(value.dtype == weights.dtype and np.array_equal(value, weights) for value in graph.constants.values())
    said = []
    network = flow.quantised(path, warn=said.append).network
    assert not said
    assert len(network.layers) == 1
    frames = RNG.normal(0, 1.5, (3, 3, 6, 6)).astype(np.float32)
    assert compare(network, frames, path) == 1


def test_factors_that_are_no_scale_of_weights_are_folded(tmp_path):
    """One for every tap, and one below zero: real numbers, as before."""
    for factor in (RNG.uniform(0.01, 0.02, (4, 3, 3, 3)).astype(np.float32), np.float32(-0.01)):
        model, weights = by_hand("one scale")
        for tensor in model.graph.initializer:
            if tensor.name == "k":
                tensor.CopyFrom(type(tensor).FromString(_tensor(factor)))
        graph = simplify(read_model(save(model, tmp_path)))
        product = weights.astype(np.float32) * factor
        assert any(np.array_equal(value, product) for value in graph.constants.values())


def _tensor(value):
    from onnx import numpy_helper

    return numpy_helper.from_array(value, "k").SerializeToString()
