"""What is refused names the way out."""

import numpy as np
import pytest

from hwgen.blocks import OPERATORS
from hwgen.graph.errors import ModelError
from hwgen.graph.lower import lower
from hwgen.graph.passes import simplify
from hwgen.graph.reader import read_model
from tests.graph.models import build, node, save


def test_a_resize_with_antialias(tmp_path):
    nodes = [node("Resize", "x  scales", "y", mode="linear", antialias=1)]
    model = build(nodes, "y", {"scales": np.float32([1, 1, 0.5, 0.5])}, opset=18)
    with pytest.raises(ModelError, match="export the resize with antialias=0, or end the network before it with --out"):
        read_model(save(model, tmp_path))


def test_an_average_of_different_numbers_that_nothing_quantises(tmp_path):
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("AveragePool", "d", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ]
    path = save(build(nodes, "y", {"s": np.float32(0.1), "z": np.uint8(9)}, ("x", (1, 2, 4, 4))), tmp_path)
    with pytest.raises(ModelError, match="quantise its result, or end the network before it with --outputs"):
        lower(simplify(read_model(path)), OPERATORS)
