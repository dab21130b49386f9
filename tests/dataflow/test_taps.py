"""Shortcuts that a convolution hands on: as fast, as exact, and with less memory."""

import pytest

from hwgen.blocks.rows import RowFork
from hwgen.dataflow.folding import FoldingSearch
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.taps import shortcuts, tap_shortcuts

from .nets import residual, small
from .test_pipeline import agree


def planned(network, budget):
    found = FoldingSearch(network)
    chosen = found.for_budget(budget)
    return found.plan(chosen), max(option.cycles for option in chosen)


@pytest.mark.parametrize(("size", "channels", "budget"), [(8, 4, 40), (6, 4, 45)])
def test_a_shortcut_is_handed_on(size, channels, budget):
    plan, target = planned(residual(size, channels), budget)
    target = max(target, schedule(plan).interval)
    (shortcut,) = shortcuts(plan)
    assert (shortcut.layer, shortcut.other, shortcut.place) == ("layer1", "layer3", 1)
    handing = tap_shortcuts(plan, target, spare=8)
    assert any(isinstance(stage.op, RowFork) for stage in handing.stages)
    assert schedule(handing).interval <= target
    agree(handing.network, handing)
    agree(handing.network, Plan.from_json(handing.network, handing.to_json()))


def test_without_a_shortcut_the_plan_stays_as_it_is():
    plan, target = planned(small(), 20)
    assert tap_shortcuts(plan, target) is plan
