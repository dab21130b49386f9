"""The picture of the pipeline: who reads whom, and lines that do not run into each other."""

import random

import pytest

from hwgen.dataflow.activity import activity
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import USUAL, Search
from hwgen.dataflow.taps import tap_shortcuts
from hwgen.device.targets import device
from hwgen.report.graph import edges
from hwgen.report.picture import LEAST, MOST, path, picture, side
from tests.dataflow.nets import residual, small
from tests.dataflow.random_branches import random_plan


def edge(start: str, end: str, **rest):
    return {"from": start, "to": end, "places": 0, "peak": 0, "handed": False, **rest}


def out(start: str, number: int = 0):
    return edge(start, "", output=number)


def free_of_each_other(laid):
    """No line passes through a layer, and no two maps share a lane between the same rows."""
    for row, lane in enumerate(laid.lanes):
        passing = {line.start for line in laid.lines if line.lane == lane and line.start < row < line.end}
        # A map may pass the row of a reader of its own, in front of which its line turns away.
        assert not passing, (row, lane)
    for line in laid.lines:
        for other in laid.lines:
            if line.start != other.start and line.lane == other.lane:
                assert line.end <= other.start or other.end <= line.start


def test_a_chain_is_straight():
    laid = picture(["a", "b"], [edge("", "a"), edge("a", "b"), out("b")], 1)
    assert laid.lanes == (0, 0, 0, 0)
    assert laid.width == 1
    assert [path(line, laid.lanes, 10) for line in laid.lines] == ["M15 5V15", "M15 15V25", "M15 25V35"]


def test_a_shortcut_lies_beside_what_it_goes_round():
    listed = [edge("", "a"), edge("a", "b"), edge("b", "c"), edge("c", "sum"), edge("a", "sum"), out("sum")]
    laid = picture(["a", "b", "c", "sum"], listed, 1)
    assert laid.lanes == (0, 0, 0, 0, 0, 0)
    assert [line.lane for line in laid.lines] == [0, 0, 0, 0, 1, 0]
    free_of_each_other(laid)


def test_every_output_has_a_row():
    laid = picture(["a", "b", "c"], [edge("", "a"), edge("a", "b"), edge("a", "c"), out("b", 0), out("c", 1)], 2)
    assert len(laid.lanes) == 6
    free_of_each_other(laid)


@pytest.mark.parametrize("seed", range(60))
def test_lines_of_random_graphs_do_not_run_into_each_other(seed):
    draw = random.Random(seed)
    names = [f"layer{n}" for n in range(draw.randint(1, 14))]
    listed = []
    for n, name in enumerate(names):
        origins = draw.sample(["", *names[:n]], min(draw.choice([1, 1, 2, 3]), n + 1))
        listed += [edge(origin, name) for origin in origins]
    unread = [name for name in names if name not in {entry["from"] for entry in listed}]
    listed += [out(name, n) for n, name in enumerate(unread)]
    laid = picture(names, listed, len(unread))
    free_of_each_other(laid)
    for line in laid.lines:
        assert path(line, laid.lanes, 40).startswith("M")


def test_squares_stand_for_shares_by_their_area():
    assert side(0.5, 0.5) == MOST
    assert side(0.125, 0.5) == MOST / 2
    assert side(0, 0.5) == side(0, 0) == LEAST


def planned(network) -> Plan:
    search = Search(network, device(USUAL), 40, bound=False)
    return search.plan(search.picks())


def handing_on() -> Plan:
    plan = planned(residual())
    return tap_shortcuts(plan, schedule(plan).interval, 8, device(USUAL))


@pytest.mark.parametrize(
    "make", [lambda: planned(small()), handing_on, *(lambda n=n: random_plan(n) for n in (3, 1468))]
)
def test_edges_are_what_layers_read(make):
    plan = make()
    network, run = plan.network, activity(plan)
    made = {layer.output: layer.name for layer in network.layers}
    wanted = [(made.get(name, ""), layer.name) for layer in network.layers for name in layer.inputs]
    wanted += [(made[stream.name], "") for stream in network.results]
    found = edges(plan, run)
    assert len(found) == len(wanted)
    for pair, entry in zip(wanted, found, strict=True):
        assert entry["to"] == pair[1]
        assert (entry["from"] == pair[0]) != entry["handed"]
        assert 0 <= entry["peak"] <= entry["places"]
    handed = {(entry["from"], entry["to"]) for entry in found if entry["handed"]}
    assert len(handed) == sum(len(layer.unit.outputs) > 1 for layer in plan.layers)
    listed = [layer.name for layer in plan.layers]
    free_of_each_other(picture(listed, found, len(network.results)))


def test_queues_on_edges_are_those_of_the_run():
    plan = handing_on()
    (shortcut,) = (entry for entry in edges(plan, activity(plan)) if entry["handed"])
    assert (shortcut["from"], shortcut["to"]) == ("layer1", "layer3")
    plain = planned(residual())
    run = activity(plain)
    (wait,) = (entry for entry in edges(plain, run) if (entry["from"], entry["to"]) == ("layer0", "layer3"))
    queues = {(run.plan.stages[n].ports[port][1].queue, peak) for (n, port), peak in run.peaks.items()}
    assert (wait["places"], wait["peak"]) in queues
    assert wait["peak"] > 0
