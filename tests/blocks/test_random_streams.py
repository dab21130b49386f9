"""Stream operators as models bring them: golden against ONNX Runtime, and every layer of them in hardware."""

import numpy as np
import pytest

from hwgen.blocks import Add, ChannelTable, FixedOperand, Mul
from hwgen.blocks.streamed import Streamed
from hwgen.testing import check_unit
from tests.graph.reference import compare

from .test_runtime import Model, lowered

pytestmark = pytest.mark.slow

STEPS = "binary several unquantised activation silu concat resize slice pad shuffle".split()  # noqa: SIM905


@pytest.mark.parametrize("step", STEPS)
def test_layers_in_hardware(tmp_path, step):
    checked = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        model = Model(rng, (np.uint8, np.int8)[seed % 2], (4, 3, 5))
        if step in ("binary", "several", "unquantised"):
            model.average()
        getattr(model, step)()
        if step == "shuffle":
            model.average()  # behind it, for what only reorders a result is left to the host
        network, _ = lowered(model, tmp_path)
        for layer in network.layers:
            if isinstance(layer.op, Streamed) and not layer.op.gap:
                units = list(layer.op.units())
                check_unit(units[rng.integers(len(units))], frames=2, seed=seed)
                checked += 1
    assert checked


@pytest.mark.parametrize("op", ["Add", "Mul"])
@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 1, 1), (1, 3, 5), (4, 3, 5)], ids=str)
@pytest.mark.parametrize("first", [False, True])
def test_a_constant_operand_goes_into_tables_or_into_a_rom_where_it_differs_along_rows_and_columns(
    tmp_path, op, shape, first
):
    rng = np.random.default_rng(1)
    model = Model(rng, np.uint8, (4, 3, 5))
    (x,) = model.shapes
    scale = [model.constant(np.float32(0.03)), model.constant(np.uint8(100))]
    values = model.constant(rng.integers(0, 256, (1, *shape)).astype(np.uint8))
    constant = model.add("DequantizeLinear", [values, *scale])
    model.quantize(model.add(op, [constant, x] if first else [x, constant]), (4, 3, 5), 0.04)
    network, path = lowered(model, tmp_path)
    compare(network, rng.normal(0, 1.5, (4, 4, 3, 5)).astype(np.float32), path)
    (layer,) = network.layers
    per_channel = shape[1:] == (1, 1)
    assert type(layer.op) is (ChannelTable if per_channel else FixedOperand)
    assert per_channel or type(layer.op.op) is {"Add": Add, "Mul": Mul}[op]
    assert (len(network.constants), len(layer.inputs)) == (0, 1)
    check_unit(list(layer.op.units())[-1], frames=2)
