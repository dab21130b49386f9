"""Shortcuts that a convolution hands on: as fast, as exact, and with less memory."""

import json
from dataclasses import replace

import pytest

from hwgen.blocks import Add
from hwgen.blocks.joints.rows import RowFork
from hwgen.blocks.mac.tapped import RowConv
from hwgen.blocks.move.concat import ConcatUnit
from hwgen.dataflow.fit import fit_table
from hwgen.dataflow.plan_reader import parse_plan
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import USUAL, Search
from hwgen.dataflow.shortcuts import shortcuts
from hwgen.dataflow.taps import tap_shortcuts, waiting
from hwgen.device.targets import device
from hwgen.graph.errors import InputError
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap, Quantization
from tests.blocks.cases import conv
from tests.blocks.stream_cases import joint

from .nets import graph, residual, small
from .random_branches import random_plan
from .test_pipeline import agree
from .watched import faults


def planned(network, budget):
    found = Search(network, device(USUAL), budget, bound=False)
    picks = found.picks()
    return found.plan(picks), found.cycles(picks)


@pytest.mark.parametrize(
    ("size", "channels", "budget"),
    [pytest.param(*case, marks=pytest.mark.slow) for case in ((5, 2, 30), (8, 4, 40), (6, 4, 45))],
)
def test_a_shortcut_is_handed_on(size, channels, budget):
    plan, target = planned(residual(size, channels), budget)
    target = max(target, schedule(plan).interval)
    (shortcut,) = shortcuts(plan.network)
    assert (shortcut.layer, shortcut.other, shortcut.place) == ("layer1", "layer3", 1)
    handing = tap_shortcuts(plan, target, 8, device(USUAL))
    assert any(isinstance(stage.unit, RowFork) for stage in handing.stages)
    assert schedule(handing).interval <= target
    read = parse_plan(handing.network, handing.to_json())
    assert read.to_json() == handing.to_json()
    for one, two in zip(handing.stages, read.stages, strict=True):  # what joins the rows is made anew
        assert one.unit == two.unit or {type(one.unit), type(two.unit)} == {ConcatUnit}
    agree(handing.network, read)


@pytest.mark.slow
def test_places_of_a_tapped_convolution_are_taken_as_its_step_starts():
    plan = random_plan(1468)
    assert any(isinstance(stage.unit, RowConv) for stage in plan.stages)
    assert faults(plan, 1468) == []


def test_without_a_shortcut_the_plan_stays_as_it_is():
    plan, target = planned(small(), 20)
    assert tap_shortcuts(plan, target, 0, device(USUAL)) is plan


def test_what_waits_is_counted():
    plan, target = planned(residual(8, 4), 40)
    handing = tap_shortcuts(plan, target, 8, device(USUAL))
    before, after = (
        {(each.layer, each.place): each for each in waiting(made) if each.layer == "layer3"} for made in (plan, handing)
    )
    queued, handed = before["layer3", 1], after["layer3", 1]
    assert queued.two_rows == handed.two_rows == 2 * 8 * 4
    assert (queued.handed_by, handed.handed_by) == (None, "layer1")
    assert queued.bytes == next(layer for layer in plan.layers if layer.name == "layer3").queues[1]
    (chain,) = (stage for stage in handing.stages if stage.name == "layer1_row0")
    assert handed.bytes > chain.unit.depths[1] * chain.unit.lanes_in
    projected = [each for each in waiting(handing) if each.layer == "layer7"]
    assert [each.handed_by for each in projected] == [None]


@pytest.mark.slow
def test_a_queue_stands_before_a_projection():
    same, quantization = Window((3, 3), pads=(1, 1, 1, 1)), Quantization(U8, 0.02, 3)
    first = conv(FeatureMap(8, 8, 3, U8), same, 2)
    second = conv(first.output, same, 8, seed=1)
    third, projection = conv(second.output, same, 8, seed=2), conv(first.output, Window((1, 1)), 8, seed=3)
    last = joint(Add, (third.output.shape,) * 2, (quantization,) * 2, quantization)
    network = graph((first, "t0"), (second, "t1"), (third, "t2"), (projection, "t1"), (last, "t3", "t4"))
    plan, target = planned(network, 20)
    queues = {layer.name: layer.queues for layer in plan.layers}
    assert queues["layer4"] == (0, 0)
    assert queues["layer3"][0] > 0
    assert schedule(plan).interval <= target
    (shortcut,) = waiting(plan)
    assert (shortcut.layer, shortcut.place, shortcut.handed_by) == ("layer4", 1, None)
    assert 0 < shortcut.bytes < shortcut.two_rows
    agree(network, plan)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("layer1", {"folding": {"window": "ring", "portion": 2}}, "with window 'ring' nothing is handed on"),
        ("layer1", {"depth": 0}, "settings.depth must be 1 to 1048576, not 0"),
        ("layer1", {"depth": 1, "folding": {"outputs": 4}}, "depth 1 is less than the 2 beats that a pass hands on"),
        ("layer2", {}, "only a convolution with rows of padding and without stride can hand its input on"),
        ("layer8", {}, 'unit must be "mac" for Conv, not "tapped"'),
    ],
)
def test_a_plan_that_hands_on_what_it_cannot_is_refused(name, change, said):
    plan, target = planned(residual(8, 4), 40)
    data = json.loads(tap_shortcuts(plan, target, 8, device(USUAL)).to_json())
    layers = {layer["name"]: layer for layer in data["layers"]}
    layer, settings = layers[name], json.loads(json.dumps(layers["layer1"]["settings"]))
    settings["folding"] |= change.pop("folding", {})
    layer |= {"unit": "tapped", "settings": settings | change}
    with pytest.raises(InputError, match=f"layer '{name}': .*{said}"):
        parse_plan(plan.network, json.dumps(data))


def test_where_only_a_queue_fits_nothing_is_handed_on():
    search = Search(residual(5, 2), device(USUAL), 30)
    picks = search.picks()
    tapped = search.plan(picks, 8)
    assert any(isinstance(stage.unit, RowFork) for stage in tapped.stages)
    short = replace(search.device, luts=fit_table(tapped, search.device).total.luts - 1)
    queued = search.on(short).plan(picks, 8)
    assert not any(isinstance(stage.unit, RowFork) for stage in queued.stages)
    assert fit_table(queued, short).fits
