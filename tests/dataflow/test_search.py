"""The folding search keeps budgets, reaches rates, and is optimal among the foldings offered."""

import re
from dataclasses import dataclass, replace
from itertools import product

import pytest

from hwgen.blocks import OPERATORS
from hwgen.blocks.mac.mac import MacUnit
from hwgen.blocks.operator import GoldenOnly
from hwgen.dataflow.fit import fit_table
from hwgen.dataflow.plan_reader import parse_plan
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search import search as search_module
from hwgen.dataflow.search.offers import LayerOffers
from hwgen.dataflow.search.resources import has_large_ram
from hwgen.dataflow.search.search import USUAL, Search, search
from hwgen.device.mapping import counted
from hwgen.device.targets import device
from hwgen.graph.errors import FitError, InputError, ModelError
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap
from tests.blocks.cases import conv
from tests.shared import model

from .nets import chain, separable, small


@pytest.fixture(scope="module")
def network():
    return small()


def spent(plan):
    return sum(counted(layer.cost.products, device(USUAL)) for layer in plan.layers)


@pytest.mark.parametrize("budget", [8, 12, 30, 100])
def test_a_budget_is_kept_and_more_is_never_slower(network, budget):
    plan, richer = search(network, multipliers=budget), search(network, multipliers=2 * budget)
    assert spent(plan) <= budget
    assert schedule(richer).interval <= schedule(plan).interval


def test_a_target_whose_multipliers_hold_two_products_gets_twice_the_work_done(network):
    single, paired = (search(network, multipliers=40, on=name) for name in ("lfe5u-85f", "xczu3eg"))
    assert 1.6 * single.multipliers < paired.multipliers
    assert schedule(paired).interval < schedule(single).interval
    needed = sum(counted(layer.cost.products, device("xczu3eg")) for layer in paired.layers)
    assert needed == fit_table(paired, device("xczu3eg")).total.dsps <= 40
    assert parse_plan(network, paired.to_json()).multipliers == paired.multipliers


def test_the_pipeline_is_as_fast_as_its_slowest_layer(network):
    plan = search(network, multipliers=30)
    timing = schedule(plan)
    assert timing.interval == max(layer.cost.cycles for layer in plan.layers)
    assert timing.bottleneck in {layer.name for layer in plan.layers}


def test_a_rate_is_reached_with_the_least_multipliers(network):
    plan = search(network, cycles=1500)
    assert schedule(plan).interval <= 1500
    fastest = search(network, multipliers=spent(plan) - 1)
    assert schedule(fastest).interval > 1500


def test_no_combination_of_offered_foldings_is_faster(network):
    """Exhaustive, on the first two layers."""
    two = chain(*(layer.op for layer in network.layers[:2]))
    choices = [[(unit, unit.cost) for unit in layer.op.units()] for layer in two.layers]
    for budget in (6, 15, 40):
        best = min(
            max(cost.cycles for _, cost in pair)
            for pair in product(*choices)
            if sum(counted(cost.products, device(USUAL)) for _, cost in pair) <= budget
        )
        assert max(layer.cost.cycles for layer in search(two, multipliers=budget).layers) == best


@pytest.mark.parametrize("name", [USUAL, "xczu3eg"])
@pytest.mark.parametrize("place", range(4))
def test_offers_are_what_units_cost(place, name):
    """Multipliers as they are, cycles never more than they are: what is optimal by offers is optimal."""
    layer = LayerOffers("layer", separable().layers[place].op, device(name), True, {})
    assert {layer.moved(at) for at in range(len(layer))} > {None} or not has_large_ram(device(name))
    for at in range(len(layer)):
        unit = layer.unit(at)
        assert unit.problems() == []
        assert layer.multipliers[at] == counted(unit.cost.products, device(name))
        assert layer.cycles[at] <= unit.cost.cycles


@pytest.mark.parametrize(("size", "channels", "stride"), [(12, 8, 2), (13, 6, 3)])
def test_beats_are_offered_that_are_wide_enough_for_no_pause(size, channels, stride):
    """Rows that complete no window, at the end of a frame and at the start of the next, delay none behind them."""
    op, shapes = conv(FeatureMap(size, size, 8, U8), Window((3, 3), (stride, stride), pads=(0, 0, 1, 1)), channels), {}
    for unit in op.units():
        if unit.folding.window == "sliding" and not unit.folding.in_luts:
            shapes.setdefault((unit.folding.portion, unit.folding.outputs), []).append(unit)
    for units in shapes.values():
        widest = replace(units[0], folding=replace(units[0].folding, lanes_in=8))
        assert min(unit.timed()[0] for unit in units) <= widest.timed()[0]


def test_where_weights_are_is_chosen_by_what_the_device_has(network):
    target = device("xczu3eg")
    roomy = Search(network, target, 12).fastest()
    full = fit_table(roomy, target).total
    assert {layer.folding.weights for layer in roomy.layers if isinstance(layer.unit, MacUnit)} == {"rom"}
    for blocks, luts, places in [(0, full.luts + 500, ["rom", "luts", "luts"]), (full.brams, full.luts, ["rom"] * 3)]:
        short = replace(target, name="short", brams=blocks, luts=luts)
        plan = Search(network, short, 12).fastest()
        assert [layer.folding.weights for layer in plan.layers if isinstance(layer.unit, MacUnit)] == places
        assert fit_table(plan, short).fits
        assert schedule(plan).interval == schedule(roomy).interval


def test_no_more_of_anything_is_taken_than_the_cycles_need(network, monkeypatch):
    """Where the plan with the least multipliers does not fit, a device is not filled with one thing for nothing."""
    target = device("xczu3eg")
    full = fit_table(Search(network, target, 12).fastest(), target).total
    short = replace(target, name="short", brams=2, luts=full.luts * 11 // 10, ffs=full.ffs * 13 // 10)
    evened = Search(network, short, 12).fastest()
    monkeypatch.setattr(search_module, "SHARES", ())
    first = Search(network, short, 12).fastest()
    assert schedule(evened).interval == schedule(first).interval
    assert fit_table(evened, short).total.luts < fit_table(first, short).total.luts


def test_layers_that_differ_in_weights_alone_share_their_offers():
    window, source = Window((3, 3), pads=(1, 1, 1, 1)), FeatureMap(6, 6, 4, U8)
    op = conv(source, window, 4)
    other = replace(op, weights=op.weights[:, ::-1])
    assert [offers.table for offers in other.offers()][:2] == [offers.table for offers in op.offers()][:2]


def test_too_small_a_budget_says_what_is_needed(network):
    with pytest.raises(FitError, match=r"needs at least 3 multipliers \(limit 2\); raise --multipliers"):
        search(network, multipliers=2)


def test_too_high_a_rate_names_the_layer(network):
    with pytest.raises(FitError, match=r"layer 'layer0': 10 cycles per frame cannot be reached \(limit \d+ cycles\)"):
        search(network, cycles=10)


def test_a_plan_survives_its_json(network):
    plan = search(network, multipliers=30)
    again = parse_plan(network, plan.to_json())
    assert again.to_json() == plan.to_json()
    assert schedule(again).interval == schedule(plan).interval


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: "{", "not a plan file"),
        (lambda text: text.replace('"format": 3', '"format": 9'), "format 9 is not the 3"),
        (lambda text: text.replace("layer1", "layerX"), "layer 'layerX' is not in the model"),
        (lambda text: text.replace('"portion": ', '"portion": 99'), r"portion 99\d+ is not within 1 to"),
        (lambda text: text.replace('"lanes_out": ', '"lanes_out": 7'), "does not divide the"),
        (
            lambda text: re.sub(r'"queues": .*?]', '"queues": [-1]', text, flags=re.S),
            r"layers\[0\], layer 'layer0': queues\[0\] must be 0 to 1048576, not -1",
        ),
        (
            lambda text: re.sub(r'"queues": .*?]', '"queues": [0, 0]', text, flags=re.S),
            "a depth for each of the 1 inputs",
        ),
        (
            lambda text: text.replace('"outputs": ', '"outputz": '),
            r"'settings.outputs' is missing\n.*'settings.outputz' is not a field of a plan; known here: window, ",
        ),
        (lambda text: text.replace('"serial": false', '"serial": 3'), "settings.serial must be true or false, not 3"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said(network, edit, message):
    text = search(network, multipliers=30).to_json()
    assert edit(text) != text
    with pytest.raises(InputError, match=message):
        parse_plan(network, edit(text))


@dataclass(frozen=True)
class Unbuilt(GoldenOnly):
    """An operator that is defined and has no hardware."""

    input: FeatureMap

    @classmethod
    def from_site(cls, site):
        return None

    @property
    def output(self):
        return self.input

    def golden(self, x):
        return x


def test_what_has_no_hardware_is_refused_in_one_line_each():
    with pytest.raises(ModelError) as caught:
        search(chain(Unbuilt(FeatureMap(4, 4, 2, U8))))
    (line,) = caught.value.problems
    assert line == "node 'layer0': Unbuilt has no hardware yet: golden only; end the network before it with --outputs"


def test_a_layer_that_nobody_reads_is_refused(network):
    first, second, *rest = network.layers
    dead = replace(network, layers=(first, replace(first, name="dead", node="dead", output="t9"), second, *rest))
    with pytest.raises(ModelError, match="node 'dead': nothing reads its result"):
        search(dead)


def test_lanes_that_cut_a_pixel_are_refused():
    """Beats never straddle pixels, not even into a fully connected layer, whose input is flat."""
    op = small().layers[-1].op
    unit = next(iter(op.units()))
    problems = replace(unit, folding=replace(unit.folding, portion=2, lanes_in=2)).problems()
    assert problems == ["lanes_in 2 does not divide the 5 channels of a pixel"]


def test_a_depthwise_separable_network_keeps_its_multipliers_busy():
    """MLPerf Tiny's keyword spotter has 2,656,768 products a frame, 6,039 for each of 440 multipliers."""
    network = lower(simplify(read_model(model("kws_dscnn_int8.tf2onnx.onnx"))), OPERATORS, warn=lambda line: None)
    plan = search(network, multipliers=440)
    assert spent(plan) <= 440
    assert schedule(plan).interval <= 6_600
