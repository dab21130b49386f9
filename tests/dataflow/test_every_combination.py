"""The search finds what trying every combination of offers finds, whatever of a device runs out."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from hwgen.blocks.array.multiplier import IN_LUTS, SINGLE
from hwgen.dataflow.fit import fit_table
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.choose import Chooser
from hwgen.dataflow.search.resources import cost_vector, limits
from hwgen.dataflow.search.search import Search
from hwgen.device.targets import device
from hwgen.graph.errors import FitError
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap
from tests.blocks.cases import conv

from .nets import chain, random_network, small

ECP5 = device("lfe5u-85f")
RESOURCES = ("luts", "ffs", "dsps", "brams", "ram_luts")


def fastest(network, target) -> int | None:
    """Exhaustive: the cycles of the fastest combination of offers that fits with what joins them."""
    offers = Search(network, target, 10**6).offers
    layers = [[(at, layer.cost(at).cycles) for at in range(len(layer))] for layer in offers.layers]
    for picks in sorted(product(*layers), key=lambda picks: max(cycles for _, cycles in picks)):
        if fit_table(offers.plan([at for at, _ in picks]), target).fits:
            return max(cycles for _, cycles in picks)
    return None


def shrunk(network, resource: str, share: float):
    """A device with ``share`` of what the fastest plan within 40 multipliers takes of ``resource``."""
    taken = fit_table(Search(network, ECP5, 40, bound=False).fastest(), ECP5).total
    return replace(ECP5, name="shrunk", **{resource: int(share * getattr(taken, resource))})


def found(network, target) -> int | None:
    search = Search(network, target, 10**6)
    try:
        plan = search.fastest()
    except FitError:
        return None
    assert fit_table(plan, target).fits
    return max(layer.cost.cycles for layer in plan.layers)


@pytest.mark.parametrize("share", [0.6, 0.7, 0.9])
@pytest.mark.parametrize("resource", ["luts", "ffs", "brams", "ram_luts"])
def test_two_layers_of_which_one_resource_runs_out(resource, share):
    """By prices alone 384 cycles were found here where 328 would do, and later 218."""
    two = chain(*(layer.op for layer in small().layers[:2]))
    target = shrunk(two, resource, share)
    assert found(two, target) == fastest(two, target)


SMALLEST = [seed for seed in range(40) if len(random_network(seed).layers) <= 2]


@pytest.mark.parametrize("seed", SMALLEST[:16])
def test_random_networks_of_which_a_random_resource_runs_out(seed):
    network, generator = random_network(seed), np.random.default_rng(seed)
    target = shrunk(network, str(generator.choice(RESOURCES)), float(generator.uniform(0.4, 0.95)))
    assert found(network, target) == fastest(network, target)


@pytest.mark.parametrize("seed", range(300))
def test_rows_are_chosen_wherever_any_suffice(seed):
    """Against all combinations, with limits of several resources that are just kept by one of them, or by none."""
    generator = np.random.default_rng(seed)
    resources, layers = int(generator.integers(1, 6)), int(generator.integers(1, 5))
    rows = [generator.integers(0, 30, (int(generator.integers(1, 7)), resources)).astype(float) for _ in range(layers)]
    sums = np.array([sum(picks) for picks in product(*rows)])
    limits = sums[generator.integers(len(sums))] - generator.integers(0, 2, resources)
    picks = Chooser(rows, [], limits).chosen()
    assert (picks is not None) == (sums <= limits).all(axis=1).any()
    assert picks is None or (sum(row[at] for row, at in zip(rows, picks, strict=True)) <= limits).all()


def fastest_in_luts(network, target) -> int:
    """Exhaustive, of two layers: the cycles of the fastest offers that fit, products made of LUTs among them."""
    luts, ffs = (int(target.most_logic * count) for count in (target.luts, target.ffs))
    device = replace(target, luts=luts, ffs=ffs)
    offers = Search(network, device, in_luts=True).offers
    cycles = [np.array([layer.cost(at).cycles for at in range(len(layer))]) for layer in offers.layers]
    rows = [np.array([cost_vector(layer.cost(at), device) for at in range(len(layer))]) for layer in offers.layers]
    within = (rows[0][:, None] + rows[1][None] <= limits(device, device.dsps, large=False)).all(axis=-1)
    slowest = np.maximum(cycles[0][:, None], cycles[1][None])
    able = np.argwhere(within)
    for picks in able[np.argsort(slowest[within], kind="stable")].tolist():
        if fit_table(offers.plan(picks), device).fits:
            return int(slowest[tuple(picks)])
    raise AssertionError("nothing fits")


def two_convolutions():
    """Offers few enough to try every pair."""
    same = Window((3, 3), pads=(1, 1, 1, 1))
    first = conv(FeatureMap(6, 6, 2, U8), same, 3)
    return chain(first, conv(first.output, same, 2, seed=1))


@pytest.mark.parametrize(("multipliers", "luts"), [(4, 4000), (4, 8000), (8, 5000), (16, 8000), (30, 6000)])
def test_products_made_of_luts_stand_in_for_multipliers(multipliers, luts):
    network, target = two_convolutions(), replace(ECP5, name="few", dsps=multipliers, luts=luts)
    plan, least = Search(network, target).fastest(), fastest_in_luts(network, target)
    table = fit_table(plan, target)
    assert table.fits
    assert table.total.luts <= target.most_logic * luts
    assert IN_LUTS in {layer.unit.folding.products for layer in plan.layers}
    assert max(layer.cost.cycles for layer in plan.layers) == least < found(network, target)


def test_products_are_not_made_of_luts_where_these_are_short_or_a_budget_is_given():
    network, target = two_convolutions(), replace(ECP5, name="few", dsps=8, luts=2500)
    roomy = replace(target, luts=8000)
    for search in (Search(network, target), Search(network, roomy, 8), Search(network, roomy, bound=False)):
        assert {layer.unit.folding.products for layer in search.fastest().layers} == {SINGLE}


def test_a_rate_or_a_network_beyond_the_multipliers_is_reached_with_luts():
    network = two_convolutions()
    few = replace(ECP5, name="few", dsps=8, luts=8000)
    assert schedule(Search(network, few).for_rate(216)).interval <= 216
    one = replace(few, dsps=1)
    assert Search(network, one).offers.least > 1
    assert fit_table(Search(network, one).fastest(), one).fits
