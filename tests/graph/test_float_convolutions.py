"""Where ONNX Runtime computes convolutions in float32, some of its integers are not ours: their sums lie so near to the
boundary between two integers that float32 cannot tell the side, and ours is the right one."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hwgen import flow
from hwgen.blocks import Conv
from hwgen.graph import golden
from hwgen.simulate.runtime import Runtime
from tests.shared import model


class Written:
    """The QDQ model that hwgen writes, as another reader sees it."""

    def __init__(self, path):
        graph = onnx.load(path).graph
        self.constants = {each.name: numpy_helper.to_array(each).astype(np.float64) for each in graph.initializer}
        self.after = {name: node for node in graph.node for name in node.input}

    def constant(self, name, channel):
        """Of one output channel; some are the same for all."""
        values = self.constants[name].reshape(-1)
        return values[channel if values.size > 1 else 0]

    def result(self, layer, q, scale, place):
        """What a convolution and all behind it give before it is rounded, to 53 bits; and how far float32 may be from
        it: every one of its additions and multiplications rounds by 2^-24 of what has been added up at most."""
        _, row, column, channel = place
        weights = self.constants[f"{layer}/weight_quantized"][channel].transpose(1, 2, 0)
        edge = weights.shape[0] // 2
        padded = np.pad(q[0].astype(np.float64), ((edge, edge), (edge, edge), (0, 0)))
        products = padded[row : row + weights.shape[0], column : column + weights.shape[1]] * weights
        unit = scale * self.constant(f"{layer}/weight_scale", channel)
        bias = self.constant(f"{layer}/bias_quantized", channel) * self.constant(f"{layer}/bias_scale", channel)
        value, size = products.sum() * unit + bias, np.abs(products).sum() * unit + abs(bias)
        node = self.after[self.after[f"{layer}/weight"].output[0]]
        while node.op_type in ("Mul", "Add"):
            other, multiplies = self.constant(node.input[1], channel), node.op_type == "Mul"
            value = value * other if multiplies else value + other
            size = size * abs(other) if multiplies else size + abs(other)
            node = self.after[node.output[0]]
        return value, (np.count_nonzero(products) + 8) * size * 2.0**-24


@pytest.mark.slow
def test_what_float32_rounds_otherwise_is_ours(tmp_path):
    """Layer by layer, from ONNX Runtime's own integers: sums of 4-bit and of upsampled maps, which it does not fuse."""
    front = flow.quantised(model("espcn_nnresize_quant.onnx"), warn=lambda line: None)
    network, x = front.network, np.random.default_rng(0).random((1, 3, 128, 128)).astype(np.float32)
    values = dict(golden.run(network, golden.network_input(network, x)))
    theirs = Runtime.of(front.model, front.graph, network, tmp_path).integers(x, values)
    written, seen = Written(tmp_path / "written.onnx"), 0
    values |= theirs
    for layer in network.layers:
        inputs = [network.constants.get(name, values.get(name)) for name in layer.inputs]
        ours = layer.op.golden(*inputs)
        other = values[layer.output] = theirs.get(layer.output, ours)
        into, out = (network.tensors[name].quantization for name in (layer.inputs[0], layer.output))
        places = np.argwhere(ours != other)
        assert isinstance(layer.op, Conv) or not len(places)
        for place in places:
            value, error = written.result(layer.name, inputs[0], np.float64(into.scale), place)
            steps, error = value / np.float64(out.scale), error / np.float64(out.scale)
            assert ours[tuple(place)] == np.round(steps)
            assert abs(int(ours[tuple(place)]) - int(other[tuple(place)])) == 1
            assert abs(abs(steps - np.round(steps)) - 0.5) < error < 0.02
            seen += 1
    assert seen < 10
