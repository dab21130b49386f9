"""The Pareto front: what each point claims can be had, and the picture is drawn."""

from io import BytesIO
from itertools import pairwise

import pytest

from hwgen.dataflow.search.explore import draw, explore, usual_budgets
from hwgen.dataflow.search.search import USUAL, Search
from hwgen.device.mapping import counted
from hwgen.device.targets import device
from tests.dataflow.nets import small


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
    least, most = found.offers.least, found.offers.most
    assert (budgets[0], budgets[-1]) == (least, most)
    cycles = [found.cycles(found.within(budget).picks()) for budget in (most, 10 * most)]
    assert cycles[0] == cycles[1]


@pytest.mark.parametrize(("form", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_the_picture_is_drawn(points, form, begins):
    file = BytesIO()
    draw(points, file, form, "small", 1e8)
    assert file.getvalue().startswith(begins)
