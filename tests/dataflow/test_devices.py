"""Plans for devices of which something other than multipliers runs out; and plans for a single frame."""

import re
from dataclasses import replace

import pytest

from hwgen.dataflow.fit import fit_table
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.latency import least_latency
from hwgen.dataflow.search.search import Search
from hwgen.device.targets import device
from hwgen.graph.errors import FitError
from tests.dataflow.nets import random_network, residual, separable, small

ECP5 = device("lfe5u-85f")
RESOURCES = ("luts", "ffs", "brams", "ram_luts")


@pytest.fixture(scope="module", params=[small, separable])
def network(request):
    return request.param()


@pytest.fixture(scope="module")
def free(network):
    """The plan that only multipliers limit, and what it takes."""
    plan = Search(network, ECP5, 60, bound=False).fastest()
    return plan, fit_table(plan, ECP5).total


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_plan_fits_whatever_runs_out(network, free, resource):
    plan, taken = free
    smaller = replace(ECP5, **{resource: int(0.8 * getattr(taken, resource))})
    assert not fit_table(plan, smaller).fits
    fitting = Search(network, smaller, 60).fastest()
    assert fit_table(fitting, smaller).fits
    assert Search(network, smaller, 60).spent(fitting) <= 60
    assert schedule(fitting).interval >= schedule(plan).interval


def test_a_plan_fits_where_several_things_run_out(network, free):
    _, taken = free
    smaller = replace(ECP5, luts=int(0.8 * taken.luts), ffs=int(0.7 * taken.ffs), brams=int(0.9 * taken.brams))
    assert fit_table(Search(network, smaller, 60).fastest(), smaller).fits


def test_multipliers_that_are_left_over_save_luts(network, free):
    """It is as fast where these alone are scarce, and another plan for the sake of LUTs only."""
    search, (least, taken) = Search(network, ECP5, 60), free
    plan = search.fastest()
    assert schedule(plan).interval == schedule(least).interval
    assert search.spent(least) <= search.spent(plan) <= 60
    assert plan.to_json() == least.to_json() or fit_table(plan, ECP5).total.luts < taken.luts


@pytest.mark.slow
def test_what_does_not_fit_is_said_in_one_line(network):
    tiny = replace(ECP5, name="tiny", brams=1, luts=500)
    with pytest.raises(FitError) as caught:
        Search(network, tiny).fastest()
    (line,) = caught.value.problems
    assert line.startswith("device tiny is too small: the design needs ")
    assert "LUT4 (limit 500, " in line
    assert re.search(r"too many\); take a larger --device \(lfe5u-\d5f\)$", line)
    lenient = Search(network, tiny, lenient=True).fastest()
    assert schedule(lenient).interval == schedule(Search(network, tiny, bound=False).fastest()).interval


def test_a_rate_that_fits_no_more_names_one_that_does(network, free):
    plan, taken = free
    cycles = schedule(plan).interval
    smaller = replace(ECP5, name="smaller", luts=int(0.5 * taken.luts), dsps=int(0.6 * taken.dsps))
    with pytest.raises(FitError) as caught:
        Search(network, smaller).for_rate(cycles)
    (line,) = caught.value.problems
    assert line.startswith(f"device smaller is too small: {cycles:,} cycles per frame need ")
    assert "cycles do fit, so lower --fps or take a larger --device" in line


def test_a_rate_is_reached_with_what_is_there(network, free):
    """A folding with more multipliers but less of what is scarce."""
    plan, _ = free
    cycles = 2 * schedule(plan).interval
    cheapest = Search(network, ECP5).for_rate(cycles)
    short = replace(ECP5, brams=fit_table(cheapest, ECP5).total.brams - 1)
    fitting = Search(network, short).for_rate(cycles)
    assert fit_table(fitting, short).fits
    assert schedule(fitting).interval <= cycles


def test_a_single_frame_takes_less_time(network):
    search = Search(network, ECP5, 60)
    usual, quick = search.fastest(), search.least_latency()
    assert schedule(quick).latency < schedule(usual).latency
    assert search.spent(quick) <= 60
    assert fit_table(quick, ECP5).fits


@pytest.mark.parametrize("seed", range(4))
def test_latency_is_never_bought_beyond_the_budget(seed):
    network = random_network(seed)
    found = Search(network, ECP5, 20, bound=False)
    chosen = found.offers.choices(least_latency(found.offers, found.picks(), 20))
    assert sum(choice.multipliers for choice in chosen) <= 20
    assert [choice.cycles for choice in chosen] == [choice.unit.timed()[0] for choice in chosen]


def test_a_network_that_hands_shortcuts_on_has_a_least_latency_too():
    network = residual()
    search = Search(network, ECP5, 60, bound=False)
    assert any(len(layer.unit.outputs) > 1 for layer in search.fastest().layers)
    assert schedule(search.least_latency()).latency <= schedule(search.fastest()).latency
