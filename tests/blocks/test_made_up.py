"""Elements in another order with some made up: the parts give what the definition does, each in hardware."""

import numpy as np
import pytest

from hwgen import flow
from hwgen.blocks import MadeUp, Pad, Rearrange, ShuffleChannels, Slice
from hwgen.dataflow.search.search import search
from hwgen.graph.lower.value import NOWHERE
from hwgen.graph.network import QuantizedTensor, Site
from hwgen.graph.types import S8, FeatureMap, Quantization
from hwgen.simulate.simulation import simulate
from hwgen.testing import check_unit
from tests.graph.models import build, node, save

SOURCE = FeatureMap(3, 4, 2, S8)
PLACES = np.arange(SOURCE.elements).reshape(SOURCE.shape)


def padded(places, *widths):
    return np.pad(places, widths, constant_values=NOWHERE)


BETWEEN = padded(PLACES, (0, 0), (0, 1), (0, 0)).reshape(5, 3, 2)  # rows run on
SPREAD = np.full((3, 8, 2), NOWHERE)
SPREAD[:, ::2] = PLACES
CASES = {
    "turned, then padded": (padded(PLACES.transpose(1, 0, 2), (0, 1), (2, 0), (0, 0)), [Rearrange, Pad]),
    "cut, then padded on the other side": (padded(PLACES[1:, :3], (1, 0), (0, 2), (0, 0)), [Slice, Pad]),
    "channels swapped and added": (padded(PLACES[..., ::-1], (0, 0), (0, 0), (1, 1)), [ShuffleChannels, Pad]),
    "padded, then in rows of another length": (BETWEEN, [Pad, Rearrange]),
    "with room between columns": (SPREAD, [Pad, Rearrange]),
    "in some channels only": (np.where([True, False], PLACES, NOWHERE), [Slice, Pad]),
    "nothing else": (np.full((2, 2, 2), NOWHERE), [Pad, Rearrange]),
}


def made_up(places, fill=-7):
    kind = Quantization(S8, 0.1, -7)
    tensors = [
        QuantizedTensor(name, FeatureMap(*size, S8), kind) for name, size in (("a", (3, 4, 2)), ("b", places.shape))
    ]
    settings = {"places": places, "fill": fill}
    return MadeUp.from_site(Site("s", "Rearrange", tuple(tensors[:1]), tensors[1], settings, (-128, 127)))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_its_parts_are_what_it_is(name):
    places, kinds = CASES[name]
    op = made_up(places)
    assert [type(part) for part in op.parts] == kinds
    x = np.random.default_rng(0).integers(-128, 128, (3, *SOURCE.shape)).astype(np.int8)
    found = x
    for part in op.parts:
        check_unit(next(iter(part.units())))
        found = part.golden(found)
    assert np.array_equal(found, op.golden(x))
    expected = np.where(places == NOWHERE, -7, x.reshape(3, -1)[:, places])
    assert np.array_equal(found, expected)


def test_what_makes_nothing_up_is_another_operator():
    assert made_up(PLACES[::-1]) is None


def test_beats_stay_wide_where_nothing_is_torn():
    op = made_up(SPREAD)
    assert [unit.folding.lanes for unit in op.parts[1].units()] == [1, 2]


def test_a_padded_map_with_rows_run_on_in_hardware(tmp_path):
    """The whole way from a model."""
    constants = {
        "s": np.float32(0.05), "z": np.int8(-7), "pads": np.int64([0, 0, 0, 0, 0, 0, 0, 1]),
        "shape": np.int64([1, 2, 5, 3]), "w": np.random.default_rng(1).integers(-9, 9, (2, 2, 2, 2)).astype(np.int8),
        "ws": np.float32(0.1), "wz": np.int8(0),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("Pad", "d pads", "p"),
        node("Reshape", "p shape", "r"),
        node("DequantizeLinear", "w ws wz", "wd"),
        node("Conv", "r wd", "c"),
        node("QuantizeLinear", "c s z", "cq"),
        node("DequantizeLinear", "cq s z", "y"),
    ]
    network = flow.quantised(save(build(nodes, "y", constants, ("x", (1, 2, 3, 4))), tmp_path)).network
    assert [type(layer.op).__name__ for layer in network.layers] == ["Pad", "Rearrange", "Conv"]
    frames = np.random.default_rng(2).normal(0, 3, (3, 2, 3, 4)).astype(np.float32)
    assert simulate(network, search(network, multipliers=8), frames, "amaranth").equal
