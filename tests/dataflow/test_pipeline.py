"""Whole pipelines: golden, schedule and RTL agree, beat by beat and cycle by cycle."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from hwgen.blocks import Add
from hwgen.blocks.array.multiplier import PAIR
from hwgen.blocks.joints.fork import Fork
from hwgen.blocks.joints.queue import StreamQueue
from hwgen.dataflow.pipeline import LONGEST_NAME, Pipeline, module_name, module_names
from hwgen.dataflow.plan_reader import parse_plan
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import search
from hwgen.graph import golden
from hwgen.graph.network import Output
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap, Quantization
from hwgen.hdl.formal import prove_contract
from hwgen.simulate.bench import from_beats, to_beats
from hwgen.simulate.simulation import simulate as run_engine
from hwgen.testing import check_cycles, random_frames, simulation
from tests.blocks.cases import conv
from tests.blocks.stream_cases import joint
from tests.blocks.test_conv_transpose import transposed

from .nets import chain, graph, random_network, separable, small, squeezed

FRAMES = 4


def agree(network, plan):
    """Simulate the plan at full speed and under stalls; compare values with golden, cycles with the schedule."""
    frames = random_frames(network.input.map, FRAMES)
    wanted = golden.run(network, frames)
    pipeline = Pipeline(plan)
    beats = to_beats(frames, network.input.map.type, pipeline.lanes_in)
    lanes = dict(zip(pipeline.results, pipeline.lanes_out, strict=True))
    counts = {name: FRAMES * stream.map.elements // lanes[name] for name, stream in pipeline.results.items()}
    cycles = 2 * FRAMES * max(layer.cost.cycles for layer in plan.layers)
    simulated = simulation(lambda: Pipeline(plan), cycles * len(plan.stages))
    for stall in (None, 5):
        taken, given = simulated({"i": beats}, counts, stall)
        for name, stream in pipeline.results.items():
            want = wanted[stream.name]
            got = from_beats(given[name].payloads[: counts[name]], stream.map.type, lanes[name])
            np.testing.assert_array_equal(got.reshape(want.shape), want)
        if stall is None:
            timed = schedule(plan, FRAMES)
            sinks = tuple(timed.links[source.stage][source.port] for source in plan.outputs)
            check_cycles(replace(timed.run, sinks=sinks), taken, given)


@pytest.mark.parametrize("budget", [20, *(pytest.param(budget, marks=pytest.mark.slow) for budget in (8, 60))])
def test_small_network(budget):
    network = small()
    agree(network, search(network, multipliers=budget))


@pytest.mark.slow
def test_two_products_in_a_multiplier():
    network = small()
    plan = search(network, multipliers=12, on="xczu3eg")
    assert {layer.folding.products for layer in plan.layers if hasattr(layer.folding, "products")} >= {PAIR}
    agree(network, plan)


@pytest.mark.slow
@pytest.mark.parametrize("budget", [10, 40, 150])
def test_separable_network(budget):
    network = separable()
    agree(network, search(network, multipliers=budget))


@pytest.mark.slow
@pytest.mark.parametrize("budget", [14, 40, 150])
def test_a_map_waits_for_what_is_computed_of_all_of_it(budget):
    plan = search(squeezed(), multipliers=budget)
    agree(plan.network, plan)
    (waiting,) = [stage for stage in plan.stages if isinstance(stage.unit, Fork)]
    queues = [*waiting.unit.depths, *(s.unit.depth for s in plan.stages if isinstance(s.unit, StreamQueue))]
    assert max(queues) >= waiting.unit.source.beats  # a whole frame


def leaving():
    network = squeezed()
    streams = [network.tensors[name] for name in ("t6", "t1", "t4")]  # the end, what others read too, a gate
    outputs = tuple(Output(stream.name, (stream,), stream.map.shape) for stream in streams)
    return replace(network, outputs=outputs)


@pytest.mark.slow
@pytest.mark.parametrize("budget", [14, pytest.param(60, marks=pytest.mark.slow)])
def test_several_streams_leave(budget):
    network = leaving()
    agree(network, search(network, multipliers=budget))


@pytest.mark.parametrize("engine", ["compiled", pytest.param("amaranth", marks=pytest.mark.slow)])
def test_both_engines_give_several_streams(engine):
    network = leaving()
    plan = search(network, multipliers=14)
    frames = network.input.quantization.dequantize(random_frames(network.input.map, 2))
    timed = schedule(plan)
    seen = run_engine(replace(network, input_order="flat"), plan, frames, engine)
    assert seen.equal
    assert (seen.timing.latency, seen.timing.interval) == (timed.latency, timed.interval)


def test_several_pixels_in_a_beat_where_one_is_too_slow():
    first = conv(FeatureMap(5, 8, 2, U8), Window((3, 3), (2, 2), pads=(0, 0, 1, 1)), 2)
    second = conv(first.output, Window((3, 3), pads=(1, 1, 1, 1)), 2, group=2, seed=1)
    network = chain(first, second, conv(second.output, Window((1, 1)), 3, seed=2))
    plan = search(network, cycles=18)
    assert {layer.folding.pixels for layer in plan.layers} > {1}
    assert schedule(plan).interval <= 18 < network.input.map.height * network.input.map.width
    assert parse_plan(network, plan.to_json()).to_json() == plan.to_json()
    agree(network, plan)


@pytest.mark.slow
def test_forks_and_sums_of_several_pixels_in_a_beat():
    first = conv(FeatureMap(4, 8, 1, U8), Window((3, 3), pads=(1, 1, 1, 1)), 1)
    second, quantization = conv(first.output, Window((1, 1)), 1, seed=1), Quantization(U8, 0.02, 3)
    added = joint(Add, (first.output.shape,) * 2, (quantization,) * 2, quantization)
    network = graph((first, "t0"), (second, "t1"), (added, "t2", "t1"))
    plan = search(network, cycles=24)
    assert all(layer.unit.lanes_in > layer.op.input.channels for layer in plan.layers)
    agree(network, plan)


@pytest.mark.slow
def test_a_transposed_convolution_between_others():
    first = conv(FeatureMap(5, 6, 3, U8), Window((3, 3), pads=(1, 1, 1, 1)), 4)
    up = transposed(first.output, (4, 4), 3, strides=(2, 2), pads=(1, 1, 1, 1))
    network = chain(first, *up.parts, conv(up.output, Window((3, 3)), 2, seed=5))
    agree(network, search(network, multipliers=60))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 10))])
def test_random_networks(seed):
    network = random_network(seed)
    agree(network, search(network, multipliers=10 + 15 * seed))


@pytest.mark.parametrize(("budget", "widens"), [(20, True), pytest.param(30, False, marks=pytest.mark.slow)])
def test_queues_are_where_beats_are_wide(budget, widens):
    plan = search(small(), multipliers=budget)
    plan = plan.with_queues({(layer.name, 0): 16 for layer in plan.layers[1:]})
    widths = [(before.folding.lanes_out, after.folding.lanes_in) for before, after in pairwise(plan.layers)]
    assert any(given < wanted if widens else given > wanted for given, wanted in widths)
    queues = [stage.unit.lanes_in for stage in plan.stages if isinstance(stage.unit, StreamQueue)]
    assert queues == [max(pair) for pair in widths]
    agree(plan.network, plan)


@pytest.mark.slow
def test_the_contract_holds_at_the_end_of_a_pipeline():
    network = small()
    prove_contract(Pipeline(search(network, multipliers=20)))


@pytest.mark.parametrize(
    ("name", "module"), [("a/b:0", "a_b_0"), ("1st", "layer_1st"), ("conv", "conv"), ("ä", "layer_")]
)
def test_module_names_are_identifiers(name, module):
    assert module_name(name) == module


def test_long_names_lose_their_middle():
    long = "first;" + "middle;" * 40 + "last_fork"
    short = module_name(long)
    assert len(short) == LONGEST_NAME
    assert short.startswith("first_middle_")
    assert short.endswith("_last_fork")
    assert module_names([long, "first;" + "middle;" * 41 + "last_fork"]) == [short, f"{short}_2"]


def test_names_that_become_the_same_are_told_apart():
    assert module_names(["a.b", "a_b", "a/b", "c"]) == ["a_b", "a_b_2", "a_b_3", "c"]
