"""The smallest device that takes a network."""

from dataclasses import replace

import pytest

from hwgen.dataflow.fit import fit_table
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import Search
from hwgen.dataflow.search.smallest import by_size, smallest, takes
from hwgen.device.targets import device
from tests.dataflow.nets import random_network, separable, small

ECP5 = device("lfe5u-85f")


@pytest.mark.parametrize("seed", range(3))
def test_the_smallest_device_takes_a_plan_and_smaller_ones_do_not(seed):
    network = random_network(seed)
    found = smallest(network).device
    assert fit_table(Search(network, found).fastest(), found).fits
    before = by_size()[: by_size().index(found)]
    assert not any(fit_table(Search(network, smaller, lenient=True).fastest(), smaller).fits for smaller in before)


def test_where_nothing_is_large_enough_the_nearest_is_named():
    network = random_network(0)
    none = [replace(ECP5, name="tiny", luts=50), replace(ECP5, name="small", luts=60)]
    verdict = smallest(network, devices=none)
    assert verdict.device is None
    assert verdict.line().startswith("No known device takes it; the nearest is small, of which it takes ")
    assert "LUT4 (it has 60)" in verdict.line()


def test_where_time_runs_out_it_says_what_is_known():
    tiny = [replace(ECP5, name=f"tiny{n}", luts=50 + n) for n in range(3)]
    verdict = smallest(random_network(0), devices=tiny, seconds=0)
    assert verdict.line().startswith("It does not fit tiny0, for it takes ")
    assert verdict.line().endswith("larger ones were not tried.")


def test_a_device_with_too_few_multipliers_makes_products_of_luts():
    network, few = small(), replace(device("ice40up5k"), name="few", dsps=1)
    search = Search(network, few)
    assert search.offers.least > few.dsps
    verdict = takes(search)
    assert verdict.device is few
    assert search.slowest()[0].in_luts > 0
    assert fit_table(search.fastest(), few).fits
    assert takes(Search(network, replace(few, luts=400))).device is None


def test_the_shortest_way_of_a_frame_may_lead_through_products_of_luts():
    search = Search(separable(), device("lfe5u-45f"))
    quick, fastest = search.least_latency(), search.fastest()
    assert quick.in_luts > 0
    assert fit_table(quick, search.device).fits
    assert schedule(quick).latency < schedule(fastest).latency < schedule(search._usual.plan).latency
