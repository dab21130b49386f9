"""The Pareto front: what each point claims can be had, and the picture is drawn."""

from dataclasses import replace
from io import BytesIO
from itertools import pairwise

import pytest

from hwgen.dataflow.fit import fit_table
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.explore import draw, explore, usual_budgets
from hwgen.dataflow.search.search import USUAL, Search
from hwgen.dataflow.search.smallest import takes
from hwgen.device.clocks import Clock
from hwgen.device.mapping import counted
from hwgen.device.targets import device
from hwgen.flow.planning import choose_plan
from hwgen.graph.errors import FitError
from tests.dataflow.nets import random_network, separable, small


@pytest.fixture(scope="module")
def found():
    return Search(small(), device(USUAL), bound=False)


@pytest.fixture(scope="module")
def points(found):
    return explore(found, usual_budgets(found, 200, 8))


def test_every_point_is_faster_than_all_with_fewer_multipliers(found, points):
    assert len(points) >= 4
    for slower, faster in pairwise(points):
        assert slower.multipliers < faster.multipliers <= 200
        assert slower.cycles > faster.cycles


def test_a_point_is_the_plan_that_the_search_makes(found, points):
    point = points[len(points) // 2]
    plan = found.within(point.multipliers).fastest()
    assert sum(counted(layer.cost.products, device(USUAL)) for layer in plan.layers) == point.multipliers
    assert max(layer.cost.cycles for layer in plan.layers) == point.cycles
    assert {layer.name: layer.cost.cycles for layer in plan.layers}[point.bottleneck] == point.cycles
    assert sum(layer.cost.memory_bits for layer in plan.layers) == point.memory_bits
    macs = sum(layer.op.macs for layer in plan.layers)
    assert point.useful == macs / (point.multipliers * point.cycles) <= 1


def test_budgets_run_from_the_least_to_the_last_that_helps(found):
    budgets = usual_budgets(found)
    assert budgets[0] == found.offers.least
    picks = [found.within(budget).picks() for budget in (budgets[-1], 10 * budgets[-1], budgets[-1] - 1)]
    cycles = list(map(found.cycles, picks))
    assert cycles[0] == cycles[1] < cycles[2]


FRONTS = [
    ("ice40up5k", random_network(0)),
    ("ice40up5k", random_network(5)),
    ("lfe5u-25f", small()),
    ("gw1nr-9c", small()),
    ("xc7a35t", separable()),
]


@pytest.mark.parametrize(("name", "network"), FRONTS, ids=[f"{n}-{name}" for n, (name, _) in enumerate(FRONTS)])
def test_on_a_device_the_fastest_point_is_the_plan_of_fit_and_build_and_all_points_fit(name, network):
    target = device(name)
    search = Search(network, target)
    points = explore(search, usual_budgets(search, count=5))
    plan = choose_plan(network, target)
    assert points[-1].cycles == schedule(plan).interval
    assert points[-1].multipliers <= search.spent(plan)  # which uses what is left over, too
    for point in points:
        options = {} if point.in_luts else {"multipliers": point.multipliers}  # which leave LUTs alone
        built = choose_plan(network, target, **options)
        assert fit_table(built, target).fits
        made = schedule(built).interval, search.spent(built), built.in_luts
        assert made == (point.cycles, point.multipliers, point.in_luts)


def test_where_nothing_fits_exploring_says_what_building_does():
    network, target = small(), replace(device("ice40up5k"), luts=500)
    search = Search(network, target)
    with pytest.raises(FitError) as exploring:
        explore(search, usual_budgets(search))
    with pytest.raises(FitError) as building:
        choose_plan(network, target)
    assert exploring.value.problems == building.value.problems
    assert takes(search).device is None


@pytest.mark.parametrize(("form", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_the_picture_is_drawn(points, form, begins):
    file = BytesIO()
    draw(points, file, form, "small", Clock.of_mhz(100))
    assert file.getvalue().startswith(begins)
