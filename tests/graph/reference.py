"""ONNX Runtime's integers, and ours in its layout."""

import numpy as np
import onnx

from hwgen.graph import golden
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.onnx.writer import write_qdq
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.quantize import quantize
from hwgen.graph.quantize.recipe import DEFAULT
from hwgen.simulate.exact_session import exact_session
from tests.graph.toys import TOYS, ToyRearrange


def session(path_or_bytes):
    """An exact session for a model that ONNX Runtime takes."""
    data = path_or_bytes if isinstance(path_or_bytes, bytes) else onnx.load(path_or_bytes).SerializeToString()
    made = exact_session(data)
    assert made is not None, "ONNX Runtime refuses the model"
    return made


def runtime_integers(path, frames):
    """The result of every QuantizeLinear and QLinear* in the file, by name."""
    model = onnx.load(path)
    nodes = (node for node in model.graph.node if node.op_type.startswith(("QuantizeLinear", "QLinear")))
    names = [node.output[0] for node in nodes]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    runtime = session(model.SerializeToString())
    source = runtime.get_inputs()[0]
    batches = np.split(frames, len(frames)) if source.shape[0] == 1 else [frames]
    results = [runtime.run(names, {source.name: batch}) for batch in batches]
    return {name: np.concatenate(parts) for name, *parts in zip(names, *results, strict=True)}


def compare(network, frames, path):
    """Assert that every integer that both know is equal; returns how many tensors that were."""
    ours = golden.run(network, golden.network_input(network, frames))
    theirs = {name: value for name, value in runtime_integers(path, frames).items() if name in ours}
    for name, value in theirs.items():
        expected = np.moveaxis(value, 1, -1).reshape(ours[name].shape)
        assert np.array_equal(ours[name], expected), f"{name}: {np.count_nonzero(ours[name] != expected)} differ"
    assert network.output.name in theirs or not network.layers
    return len(theirs)


def compile_and_compare(path, frames, folder, calibration=None, recipe=DEFAULT):
    """From a model file to equal integers; returns the network."""
    graph = quantize(simplify(read_model(path)), calibration, recipe, warn=lambda text: None)
    network = lower(graph, (*TOYS, ToyRearrange))
    written = folder / "written.onnx"
    write_qdq(graph, written)
    compare(network, frames, written)
    return network
