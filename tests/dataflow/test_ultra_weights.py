"""Weights in UltraRAM: what Yosys makes of the memories, when they go there, and that a load comes first."""

import json
from dataclasses import replace

import pytest

import hwgen
from hwgen.blocks.mac.mac import MacUnit
from hwgen.cost.needs import ULTRA, MemoryNeed
from hwgen.dataflow.fit import fit_costs, fit_table
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.resources import require_large_ram
from hwgen.dataflow.search.search import Search
from hwgen.dataflow.ultra import chosen, unmoved
from hwgen.device.mapping import brams, large_rams
from hwgen.device.synth import count, synthesise
from hwgen.device.targets import device
from hwgen.flow.planning import choose_plan, large_ram
from hwgen.graph.errors import FitError, InputError
from hwgen.graph.types import U8, FeatureMap
from hwgen.hdl.export import to_verilog
from hwgen.hdl.rtlil import to_rtlil
from hwgen.memory.store import PAIRED_DEPTH, Store, StoreShape
from hwgen.simulate.feed import Step
from hwgen.simulate.reloading import simulate_steps
from hwgen.testing import random_frames
from hwgen.top.loading import ULTRA_RAM, laid_out, plan_text, waiting
from tests import tiny
from tests.blocks.cases import dense
from tests.dataflow.nets import chain, small
from tests.dataflow.test_ultra_ram import cost_of
from tests.memory.test_store import random_contents
from tests.top.test_loading import compiled_engine

K26, UP5K = device("xck26"), device("ice40up5k")


# The memory


@pytest.mark.slow
@pytest.mark.parametrize(("width", "depth"), [(300, 2000), (140, 5000)], ids=["pairs", "rows"])
def test_ultra_ram_with_weights_is_as_yosys_maps_it(width, depth):
    store = Store(random_contents(width, depth, 0), ULTRA)
    needs = store.shape.needs("weights")
    counted = count(synthesise(to_rtlil(store, "top"), "top", K26), K26)
    assert (counted.large, counted.brams) == (sum(large_rams(need, K26) for need in needs), 0)
    assert sum(brams(need, K26) for need in needs) == 0


def test_columns_share_an_ultra_ram_where_words_are_few():
    few, many = StoreShape(300, PAIRED_DEPTH, ULTRA), StoreShape(300, PAIRED_DEPTH + 1, ULTRA)
    assert few.columns == many.columns == (72, 72, 72, 72, 12)
    assert few.rams == ((0, 1), (2, 3), (4,))
    assert [len(shape.needs("weights")) for shape in (few, many)] == [3, 5]
    assert few.bytes == many.bytes * PAIRED_DEPTH // (PAIRED_DEPTH + 1)


def test_it_has_no_contents_and_two_ports_to_read():
    text = to_verilog(Store(random_contents(144, 700, 0), ULTRA), "top")
    assert text.count('ram_style = "ultra"') == 1
    assert "store[0] =" not in text
    assert "readmemh" not in text


# When weights go there


def in_ultra(plan: Plan) -> Plan:
    """With all weights in UltraRAM that can be."""
    layers = []
    for layer in plan.layers:
        unit = layer.unit
        if isinstance(unit, MacUnit):
            other = replace(unit, folding=replace(unit.folding, weights=ULTRA))
            unit = unit if other.problems() else other
        layers.append(replace(layer, unit=unit))
    return replace(plan, layers=tuple(layers))


@pytest.fixture(scope="module")
def network():
    """Of few layers, with weights that need memories."""
    return small()


def test_weights_go_to_ultra_ram_where_nothing_fits_otherwise():
    network = chain(dense(FeatureMap(1, 1, 1536, U8), 8))
    short = replace(K26, name="short", brams=0)
    with pytest.raises(FitError, match="device short is too small"):
        Search(network, short, 2, **large_ram("fixed")).fastest()
    found = Search(network, short, 2, **large_ram("auto")).fastest()
    assert found.large == ULTRA
    assert fit_table(found, short).fits
    assert "are in UltraRAM, since nothing else has room for them" in waiting(found)
    usual = [Search(network, K26, 2, **large_ram(weights)).fastest() for weights in ("auto", "fixed")]
    assert usual[0].to_json() == usual[1].to_json()
    assert usual[0].large is None


def test_rings_get_what_weights_leave():
    weights = MemoryNeed("weights0", "ram", ULTRA, 72, 4096, 72)
    costs = {"a": cost_of(weights, MemoryNeed("ring", "ram", "block", 72, 4096, 72, empty=True))}
    assert chosen(costs, replace(K26, large_rams=1)) == {}
    assert chosen(costs, replace(K26, large_rams=2)) == {"a": {(72, 4096)}}
    assert unmoved(costs["a"]).memories[0] is weights
    assert fit_costs(costs, K26).total.large == 1


# The plan


def test_the_plan_says_that_weights_are_in_ultra_ram(network, tmp_path):
    plan = in_ultra(Search(network, K26, 8).fastest())
    text = plan_text(plan)
    assert json.loads(text)["weights"] == ULTRA_RAM
    assert laid_out(network, text, "build").large == ULTRA
    (tmp_path / "plan.json").write_text(text, encoding="utf-8")
    taken = [choose_plan(network, K26, plan=tmp_path / "plan.json", weights=each) for each in (ULTRA_RAM, "auto")]
    assert all(each.to_json() == plan.to_json() for each in taken)
    with pytest.raises(InputError, match="the plan has weights in UltraRAM, which are loaded: give --weights ultraram"):
        choose_plan(network, K26, plan=tmp_path / "plan.json", weights="fixed")
    with pytest.raises(InputError, match=r"ice40up5k has no UltraRAM for weights: .*\(xczu7ev, xck26, xcvu9p and 1 "):
        require_large_ram(UP5K, ULTRA)


# Hardware


@pytest.mark.slow
@pytest.mark.parametrize("stall", [None, 5])
def test_hardware_computes_what_golden_does_once_it_is_loaded(network, stall):
    compiled_engine()
    plan = in_ultra(Search(network, K26, 24).fastest())
    assert {layer.unit.folding.array for layer in plan.layers if layer.unit.large} == {"dsp48e2"}
    frames = random_frames(network.input.map, 3)
    (result,) = simulate_steps([Step(plan, frames)], "compiled", stall)
    assert result.equal
    if stall is None:
        assert result.timing.done[2] - result.timing.done[1] == schedule(plan).interval


@pytest.mark.slow
def test_a_build_says_what_must_be_loaded_and_how(tmp_path):
    model, given = tiny.save(tmp_path / "tiny.onnx"), {"calibration": tiny.frames(), "device": "xck26"}
    usual = hwgen.compile(model, **given, multipliers=4)
    (tmp_path / "plan.json").write_text(plan_text(in_ultra(usual.plan)), encoding="utf-8")
    said: list[str] = []
    design = hwgen.compile(model, **given, plan=tmp_path / "plan.json", warn=said.append)
    (line,) = [each for each in said if "UltraRAM" in each]
    assert f"{len(design.plan.load_image()):,} bytes, weights.bin of the build, must be loaded before the first" in line
    assert line in " ".join(str(design.report).split())
    design.write(tmp_path / "build", ["pynq", "vivado"])
    blobs = [(tmp_path / "build" / place / "weights.bin").read_bytes() for place in (".", "pynq")]
    assert blobs[0] == blobs[1]
    assert json.loads((tmp_path / "build" / "pynq" / "accelerator.json").read_text())["load"]["waits"]
    assert design.checked().check.equal
