"""Where cycles go: exact for every layer, and seen in the hardware."""

from dataclasses import astuple

import numpy as np
import pytest

from hwgen.cost.actor import Actor, Give, Take
from hwgen.dataflow.activity import KINDS, _Row, activity
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import search
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap
from tests.blocks.cases import conv

from .nets import chain, random_network, separable, small


@pytest.mark.parametrize(
    ("network", "budget"), [(small(), 8), (small(), 60), (separable(), 40), (random_network(3), 30)]
)
def test_the_cycles_of_every_layer_are_those_of_a_frame(network, budget):
    plan = search(network, multipliers=budget)
    seen, timing = activity(plan), schedule(plan)
    assert timing.run.periodic
    assert {sum(astuple(cycles)) for cycles in seen.cycles.values()} == {timing.interval}
    stages = {stage.layer: stage for stage in plan.stages if stage.is_layer}
    for name, cycles in seen.cycles.items():
        assert cycles.works == stages[name].actors[-1].busy.sum()
        assert min(cycles.waits, cycles.held, cycles.idle) >= 0


def late():
    """A network whose second layer has most of the work, and too few multipliers to share."""
    first = conv(FeatureMap(8, 8, 2, U8), Window((1, 1)), 4)
    return search(chain(first, conv(first.output, Window((3, 3), pads=(1, 1, 1, 1)), 12)), multipliers=4)


def test_the_slowest_layer_is_never_held_back_and_the_one_before_it_is():
    plan = late()
    seen = activity(plan)
    assert schedule(plan).bottleneck == "layer1"
    assert seen.cycles["layer1"].held == 0
    assert seen.cycles["layer0"].held > 0


def test_a_queue_is_full_where_the_layer_before_it_is_held_back():
    plan = late()
    peaks = activity(plan).peaks
    places = {
        (n, port): give.queue for n, stage in enumerate(plan.stages) for port, (_, give) in enumerate(stage.ports)
    }
    assert peaks.keys() == places.keys()
    assert [peak == places[at] for at, peak in peaks.items()] == [n < len(places) - 1 for n in range(len(places))]


def test_causes_of_a_pause_are_told_apart():
    """Steps of 2 cycles: the second waits 3 cycles for input, then 4 for room; the next frame comes 5 cycles later."""
    actor = Actor("unit", np.array([2, 2]), (Take(np.array([1, 2])),), (Give(np.array([1, 2]), 1, 4),))
    row = _Row(0, actor, column=4)
    row.look(np.array([5, 14]), [np.array([5, 10])], [np.array([5, 14])])
    assert (row.last.works, row.last.waits, row.last.held, row.last.idle) == (4, 3, 4, 5)
    covered = row.covered(4)
    assert covered[-1].tolist() == [4, 8, 4]
    assert np.diff(covered, axis=0).tolist() == [[0, 4, 0], [2, 2, 0], [0, 2, 2], [2, 0, 2]]


def test_the_picture_accounts_for_every_cycle_and_is_the_same_every_time():
    plan = search(small(), multipliers=20)
    seen = activity(plan)
    assert seen.timeline.shape[::2] == (len(plan.layers), len(KINDS))
    last = plan.layers[-1].name
    before = seen.frame_ends[-2] // seen.column
    assert seen.timeline[-1, :before].sum(axis=1) == pytest.approx(1)  # shares are floats
    works = seen.timeline[-1, :, 0].sum() * seen.column
    assert round(works) == len(seen.frame_ends) * seen.cycles[last].works
    text = seen.drawn()
    assert text == activity(plan).drawn()
    assert text.startswith("<?xml")
