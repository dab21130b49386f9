"""NEMO and DORY scale sums as int64 between two Casts: a step of requantisation, as exact as the file."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from hwgen import flow
from hwgen.dataflow.search.search import search
from hwgen.graph import golden
from hwgen.graph.errors import ModelError
from hwgen.simulate.exact_session import exact_session
from hwgen.simulate.simulation import simulate
from tests import shared
from tests.graph.models import build, node, save

ort = pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(3)


def step(before, number, low, high, factor=True):
    """Nodes from the sums ``before`` to ``cN``, integers from ``low`` to ``high`` as real numbers; and constants."""
    n = number
    nodes = [
        node("Mul", f"kappa{n} {before}", f"k{n}"),
        node("Add", f"k{n} lamda{n}", f"a{n}"),
        node("Cast", f"a{n}", f"i{n}", to=TensorProto.INT64),
        *([node("Mul", f"i{n} factor{n}", f"m{n}")] if factor else []),
        node("Div", f"{'m' if factor else 'i'}{n} divisor{n}", f"d{n}"),
        node("Cast", f"d{n}", f"e{n}", to=TensorProto.INT64),
        node("Cast", f"e{n}", f"r{n}", to=TensorProto.FLOAT),
        node("Clip", f"r{n} low{n} high{n}", f"c{n}"),
    ]
    constants = {
        f"kappa{n}": RNG.integers(1, 256, (1, 4, 1, 1)).astype(np.float32),
        f"lamda{n}": RNG.integers(-(2**18), 2**18, (1, 4, 1, 1)).astype(np.float32),
        f"factor{n}": np.int64(RNG.integers(2**16, 2**17)),
        f"divisor{n}": np.int64(2**32 if factor else 3_001),
        f"low{n}": np.float32(low),
        f"high{n}": np.float32(high),
    }
    used = {name for each in nodes for name in each.input}
    return nodes, {name: value for name, value in constants.items() if name in used}


def integer_network(low=0, high=255, factor=True):
    first, second = step("s1", 1, low, high, factor), step("s2", 2, low, high, factor)
    nodes = [
        node("Conv", "x w1", "s1", pads=[1, 1, 1, 1]),
        *first[0],
        node("MaxPool", "c1", "p1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "p1 w2", "s2"),
        *second[0],
        node("Flatten", "c2", "f"),
        node("MatMul", "f w3", "y"),
    ]
    weights = {"w1": (4, 1, 3, 3), "w2": (4, 4, 3, 3), "w3": (16, 3)}
    constants = {name: RNG.integers(-128, 128, shape).astype(np.float32) for name, shape in weights.items()}
    return build(nodes, "y", constants | first[1] | second[1])


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-128, 127), (0, 15)])
@pytest.mark.parametrize("factor", [True, False])
def test_every_integer_is_that_of_the_file(low, high, factor, tmp_path):
    model = integer_network(low, high, factor)
    model.graph.output.extend(type(model.graph.output[0])(name=name) for name in ("c1", "c2"))
    path = save(model, tmp_path)
    network = flow.quantised(path, warn=lambda line: None).network
    assert not [layer.op.gap for layer in network.layers if getattr(layer.op, "gap", None)]
    frames = RNG.integers(low, high, (4, 1, 8, 8), endpoint=True).astype(np.float32)
    given = golden.network_outputs(network, golden.run(network, golden.network_input(network, frames)))
    session = exact_session(path.read_bytes())
    parts = [session.run(["y", "c1", "c2"], {"x": frame[None]}) for frame in frames]
    for name, *values in zip(("y", "c1", "c2"), *parts, strict=True):
        assert np.array_equal(given[name], np.concatenate(values)), name


@pytest.mark.slow
def test_the_hardware_computes_the_steps(tmp_path):
    """Every layer's integers, as golden has them."""
    network = flow.quantised(save(integer_network(), tmp_path), warn=lambda line: None).network
    frames = RNG.integers(0, 256, (2, 1, 8, 8)).astype(np.float32)
    result = simulate(network, search(network, multipliers=20), frames, "amaranth")
    assert result.equal
    assert {layer.output for layer in network.layers} <= result.tensors.keys()


def test_an_integer_that_leaves_the_step_is_refused(tmp_path):
    nodes, constants = step("s1", 1, 0, 255)
    model = build(
        [
            node("Conv", "x w1", "s1"),
            *nodes,
            node("Conv", "c1 w2", "s2"),
            node("Cast", "d1", "small", to=TensorProto.INT8),
            node("Cast", "small", "real", to=TensorProto.FLOAT),
            node("Conv", "real w2", "s3"),
            node("Add", "s2 s3", "y"),
        ],
        "y",
        {"w1": np.ones((4, 1, 3, 3), np.float32), "w2": np.ones((2, 4, 3, 3), np.float32)}
        | constants
        | {"divisor1": np.int64(2**22)},  # so that sums leave 8 bits
    )
    with pytest.raises(ModelError, match=r"\(Cast\): it works on integers"):
        flow.quantised(save(model, tmp_path), warn=lambda line: None)


def test_a_real_network():
    path = shared.case("dory_eegdw.onnx")
    network = flow.quantised(path, warn=lambda line: None).network
    frames = RNG.integers(0, 256, (2, *network.input_shape)).astype(np.float32)
    given = golden.network_outputs(network, golden.run(network, golden.network_input(network, frames)))
    session = exact_session(path.read_bytes())
    expected = np.concatenate([session.run(None, {session.get_inputs()[0].name: f[None]})[0] for f in frames])
    assert np.array_equal(next(iter(given.values())), expected)


def test_a_network_that_divides_single_by_double_precision():
    """ONNX forbids that, so ONNX Runtime is given the file with its constants in single precision."""
    path = shared.model("MnistNet_model_deployI.onnx")
    network = flow.quantised(path, warn=lambda line: None).network
    model = onnx.load(path)
    tensors = [a.t for each in model.graph.node for a in each.attribute if a.type == onnx.AttributeProto.TENSOR]
    doubles = [t for t in (*model.graph.initializer, *tensors) if t.data_type == TensorProto.DOUBLE]
    for tensor in doubles:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    head = model.graph.node[-1]
    assert doubles
    assert head.op_type == "LogSoftmax"
    model.graph.output.append(onnx.ValueInfoProto(name=head.input[0]))
    frames = RNG.integers(0, 256, (4, *network.input_shape)).astype(np.float32)
    given = golden.network_outputs(network, golden.run(network, golden.network_input(network, frames)))
    session, source = exact_session(model.SerializeToString()), model.graph.input[0].name
    expected = np.concatenate([session.run([head.input[0]], {source: frame[None]})[0] for frame in frames])
    assert np.array_equal(next(iter(given.values())), expected)
