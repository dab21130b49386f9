"""Float models with functions of two streams, and of a stream and a constant: ONNX Runtime's integers, in hardware."""

import numpy as np
import pytest

from hwgen import flow
from tests.graph.models import build, node, save

RNG = np.random.default_rng(5)
CONSTANTS = {
    "w1": RNG.normal(0, 0.4, (4, 3, 3, 3)),
    "w2": RNG.normal(0, 0.4, (4, 3, 3, 3)),
    "w3": RNG.normal(0, 0.4, (2, 4, 1, 1)),
    "map": RNG.normal(0, 0.4, (1, 4, 5, 5)),
    "channels": RNG.normal(0, 0.4, (4, 1, 1)),
    "half": 0.5,
}
MASKS = {"by_channel": RNG.random((1, 4, 1, 1)) < 0.5, "by_place": RNG.random((5, 5)) < 0.5}
FUNCTIONS = {
    "a difference": [node("Sub", "a b", "c")],
    "a difference behind which negatives are cut": [node("Sub", "a b", "d"), node("Relu", "d", "c")],
    "a difference from a mean": [node("GlobalAveragePool", "b", "m"), node("Sub", "a m", "c")],
    "a map less a stream": [node("Sub", "map a", "c")],
    "channels taken off": [node("Sub", "a channels", "c")],
    "maxout": [node("Max", "a b", "c")],
    "the greatest of three": [node("Max", "a b map", "c")],
    "between two": [node("Max", "a b", "d"), node("Min", "d half", "c")],
    "a sum of three": [node("Sum", "a b map", "c")],
    "a mean of two": [node("Mean", "a b", "c")],
    "a mean of three": [node("Mean", "a b map", "c")],
    "either stream": [node("Where", "by_channel a b", "c")],
    "a stream or a number": [node("Where", "by_place a half", "c")],
    "a map or a stream": [node("Where", "by_place map a", "c")],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_float_model(tmp_path, name):
    convs = [node("Conv", f"x w{n}", y, pads=[1] * 4) for n, y in ((1, "a"), (2, "b"))]
    read = {given for step in FUNCTIONS[name] for given in step.input}
    nodes = [*(conv for conv in convs if conv.output[0] in read), *FUNCTIONS[name], node("Conv", "c w3", "y")]
    constants = {key: np.float32(value) for key, value in CONSTANTS.items()} | MASKS
    used = {given for step in nodes for given in step.input}
    constants = {key: value for key, value in constants.items() if key in used}
    path = save(build(nodes, "y", constants, ("x", ("N", 3, 5, 5)), opset=18), tmp_path)
    frames = np.random.default_rng(1).normal(0, 1, (8, 3, 5, 5)).astype(np.float32)
    design = flow.compile(path, multipliers=20, calibration=frames)
    assert all(layer.op.gap is None for layer in design.network.layers)
    compared = design.against_onnxruntime(frames)
    assert compared.equal, compared.differences
    assert compared.integers > 800


@pytest.mark.slow
@pytest.mark.parametrize("op", ["Mean", "Sum"])
def test_several_streams_that_the_file_quantises(op, tmp_path):
    """Golden is ONNX Runtime's, and the hardware golden's."""
    rng = np.random.default_rng(2)
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "d")]
    constants = {"s": np.float32(0.037), "z": np.uint8(100), "sy": np.float32(0.0593), "zy": np.uint8(131)}
    for n in range(3):
        weight = rng.integers(-100, 100, (3, 3, 1, 1)).astype(np.int8)
        constants |= {f"w{n}": weight, f"ws{n}": np.float32(0.004 + n / 300)}
        constants |= {f"s{n}": np.float32(0.041 + n / 70), f"z{n}": np.uint8(90 + 30 * n)}
        nodes += [
            node("DequantizeLinear", f"w{n} ws{n}", f"wd{n}"),
            node("Conv", f"d wd{n}", f"c{n}"),
            node("QuantizeLinear", f"c{n} s{n} z{n}", f"q{n}"),
            node("DequantizeLinear", f"q{n} s{n} z{n}", f"d{n}"),
        ]
    nodes += [node(op, "d0 d1 d2", "m"), node("QuantizeLinear", "m sy zy", "y_q")]
    nodes += [node("DequantizeLinear", "y_q sy zy", "y")]
    path = save(build(nodes, "y", constants, ("x", ("N", 3, 4, 4))), tmp_path)
    frames = rng.normal(0, 2, (8, 3, 4, 4)).astype(np.float32)
    design = flow.compile(path, multipliers=12)
    compared = design.against_onnxruntime(frames)
    assert compared.equal, compared.differences
    assert design.simulate(frames[:3], "amaranth").equal
