"""RAMs in UltraRAM: what Yosys makes of them, which go there, and that the plan says so."""

import json
from dataclasses import replace

import pytest

from hwgen.blocks.joints.queue import StreamQueue
from hwgen.blocks.mac.mac import MacUnit
from hwgen.blocks.stream import Port
from hwgen.cost.logic import Logic
from hwgen.cost.needs import Cost, MemoryNeed
from hwgen.dataflow import ultra
from hwgen.dataflow.fit import fit_costs, fit_table
from hwgen.dataflow.pipeline import Pipeline
from hwgen.dataflow.plan_reader import parse_plan
from hwgen.dataflow.search.search import Search
from hwgen.dataflow.stages import Stage
from hwgen.device.mapping import brams, needs
from hwgen.device.synth import count, synthesise
from hwgen.device.targets import device
from hwgen.flow.planning import choose_plan
from hwgen.graph.errors import FitError, InputError
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap
from hwgen.hdl.export import to_verilog
from hwgen.hdl.rtlil import to_rtlil
from hwgen.memory.ram import ram_need
from hwgen.testing import check_unit
from tests.blocks.cases import conv
from tests.dataflow.nets import residual

K26, SMALLER, EP5 = device("xck26"), device("xczu3eg"), device("lfe5u-85f")
SAME = Window((3, 3), pads=(1, 1, 1, 1))


def cost_of(*memories: MemoryNeed) -> Cost:
    return Cost((), memories, Logic(), lambda: (1, 1))


def in_stage(unit) -> Stage:
    """A stage with all in UltraRAM that can be."""
    return Stage("stage", unit, "stage", (), frozenset(ultra.movable(unit.cost)))


def laid(window: str, map_: FeatureMap) -> MacUnit:
    """A unit with a few multipliers, whose windows come from rings, line memories or delays."""
    return min(
        (unit for unit in conv(map_, SAME, 8).units() if unit.folding.window == window), key=lambda unit: unit.cost.area
    )


def units():
    """The first is quick to synthesise."""
    yield pytest.param(StreamQueue(Port(FeatureMap(16, 16, 16, U8), 16), 100), id="queue")
    yield pytest.param(StreamQueue(Port(FeatureMap(16, 16, 16, U8), 4), 9000), id="deep queue", marks=pytest.mark.slow)
    yield pytest.param(laid("ring", FeatureMap(4, 40, 2, U8)), id="ring", marks=pytest.mark.slow)
    yield pytest.param(laid("columns", FeatureMap(4, 40, 2, U8)), id="lines", marks=pytest.mark.slow)
    yield pytest.param(laid("sliding", FeatureMap(4, 80, 1, U8)), id="delays", marks=pytest.mark.slow)


# What Yosys makes of them


@pytest.mark.slow
@pytest.mark.parametrize("unit", list(units()))
def test_ultra_ram_is_as_yosys_maps_it(unit):
    stage = in_stage(unit)
    with stage.placing():
        text = to_rtlil(unit.block(), "top", cells=True)
    counted, estimated = count(synthesise(text, "top", K26), K26), needs(stage.cost, K26)
    assert stage.ultra
    assert (estimated.large, estimated.brams) == (counted.large, counted.brams)
    assert counted.large > 0


@pytest.mark.parametrize("unit", list(units()))
def test_units_in_ultra_ram_do_what_they_did(unit):
    with in_stage(unit).placing():
        check_unit(unit, 2)


def test_only_its_own_stage_has_ram_in_ultra_ram():
    unit = StreamQueue(Port(FeatureMap(16, 16, 16, U8), 16), 100)
    with in_stage(unit).placing():
        there = to_verilog(unit.block(), "top")
    usual = to_verilog(unit.block(), "top")
    assert there.count('ram_style = "ultra"') == 1
    assert there.replace('"ultra"', '"block"') == usual


# Which go there


def test_those_go_first_that_save_most_block_ram():
    wide, deep, tiny = (128, 512), (72, 4096), (8, 100)
    costs = {"a": cost_of(ram_need("ring", *tiny), ram_need("ring", *wide)), "b": cost_of(ram_need("queue", *deep))}
    assert [brams(ram_need("ring", *shape), K26) for shape in (wide, deep, tiny)] == [4, 16, 1]
    found = [ultra.chosen(costs, replace(K26, large_rams=count)) for count in range(5)]
    assert found[0] == {}
    assert found[1] == {"b": {deep}}
    assert found[2] == {"b": {deep}, "a": {tiny}}  # there is no room for both of the next
    assert found[3] == {"b": {deep}, "a": {wide}}
    assert found[4] == {"b": {deep}, "a": {wide, tiny}}


def test_what_holds_something_and_what_is_small_stays():
    rom = MemoryNeed("weights", "rom", "block", 72, 4096, 72)
    cost = cost_of(rom, ram_need("loaded", 72, 4096, "block"), ram_need("queue", 72, 64))
    assert ultra.chosen({"a": cost}, K26) == {}
    assert needs(ultra.moved(cost, frozenset({(72, 4096), (72, 64)})), K26) == needs(cost, K26)


def test_devices_without_have_all_in_block_ram():
    queue = ram_need("queue", 72, 4096)
    assert ultra.chosen({"a": cost_of(queue)}, SMALLER) == {}
    moved = replace(queue, style="ultra")
    assert needs(cost_of(moved), EP5) == needs(cost_of(queue), EP5)
    table = fit_costs({"a": cost_of(*[moved] * 90)}, K26)
    assert [(row.used, row.available) for row in table.lacking] == [(90, 64)]
    assert table.larger == "xczu7ev"
    assert fit_costs({"a": cost_of(*[moved] * 3)}, SMALLER).lacking


@pytest.fixture(scope="module")
def plan():
    return Search(residual(), K26, 40).fastest()


@pytest.mark.slow
def test_a_network_fits_with_ultra_ram_that_does_not_without(plan):
    free = fit_table(plan.placed(SMALLER), SMALLER).total
    assert (free.large, free.brams > 0) == (0, True)
    with pytest.raises(FitError, match="device short is too small"):
        Search(residual(), replace(SMALLER, name="short", brams=0), 40).fastest()
    short = replace(SMALLER, name="short", brams=0, large_rams=K26.large_rams)
    found = Search(residual(), short, 40).fastest()
    assert fit_table(found, short).fits
    assert found.ultra


@pytest.mark.slow
def test_the_hardware_is_what_the_plan_says(plan):
    text = to_verilog(Pipeline(plan), "top")
    assert text.count('ram_style = "ultra"') == len(set(map(repr, ultra_stages(plan)))) > 0


def ultra_stages(plan):
    return [stage.unit for stage in plan.stages if stage.ultra]


# The plan


def test_the_plan_says_what_is_in_ultra_ram(plan):
    text = plan.to_json()
    again = parse_plan(plan.network, text)
    assert again.ultra == plan.ultra
    assert again.to_json() == text
    assert fit_table(again, K26).total == fit_table(plan, K26).total


@pytest.mark.parametrize("shapes", [[[7, 7]], "all", [[]], [7]])
def test_what_cannot_be_in_ultra_ram_is_one_line(plan, shapes):
    data = json.loads(plan.to_json())
    (n, entry), *_ = [(n, entry) for n, entry in enumerate(data["layers"]) if "ultra" in entry]
    ((suffix, there),) = entry["ultra"].items()
    entry["ultra"] = {suffix: shapes, "_none": []}
    with pytest.raises(InputError) as raised:
        parse_plan(plan.network, json.dumps(data))
    where = f"plan: layers[{n}], layer {entry['name']!r}: ultra.{json.dumps(suffix)}"
    assert raised.value.problems == (
        f"{where} must list RAMs, [bits, words], of {json.dumps(there)}, not {json.dumps(shapes)}",
    )


def test_a_device_without_ultra_ram_is_one_line(plan, tmp_path):
    (tmp_path / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    with pytest.raises(InputError, match="in UltraRAM, of which device xczu3eg has none: take the fields"):
        choose_plan(plan.network, SMALLER, plan=tmp_path / "plan.json")
