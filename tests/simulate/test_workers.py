"""Frames simulated in parts give what they give in one piece, wherever the parts are simulated."""

from dataclasses import replace

import numpy as np
import pytest
from distributed import LocalCluster

from hwgen.dataflow.search.search import search
from hwgen.graph import golden
from hwgen.graph.errors import InputError
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap
from hwgen.simulate.simulation import Simulation, simulate
from hwgen.simulate.waves import Waves
from hwgen.simulate.workers import Workers, cut
from hwgen.testing import random_frames
from tests.blocks.cases import conv, dense
from tests.dataflow.nets import chain

FRAMES = 5
TWO = Workers(2)


@pytest.fixture(scope="module")
def network():
    """Two layers: how frames are shared out does not depend on what is done with them."""
    first = conv(FeatureMap(4, 5, 1, U8), Window((3, 3)), 3)
    return chain(first, dense(first.output, 4))


@pytest.fixture(scope="module")
def plan(network):
    return search(network, multipliers=6)


@pytest.fixture(scope="module")
def frames(network):
    return network.input.quantization.dequantize(random_frames(network.input.map, FRAMES))


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        yield Workers(dask=cluster.scheduler_address)


def agree(network, result: Simulation, whole: Simulation) -> None:
    assert result.equal
    assert result.results.keys() == whole.results.keys()
    for name, values in whole.results.items():
        np.testing.assert_array_equal(result.results[name], values)
    np.testing.assert_array_equal(result.integers, whole.integers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "stall"),
    [
        ("amaranth", 3),
        ("compiled", None),
        pytest.param("amaranth", None, marks=pytest.mark.slow),
        pytest.param("compiled", 3, marks=pytest.mark.slow),
    ],
)
def test_parts_give_what_the_whole_gives(network, plan, frames, engine, stall):
    shares = []
    result = simulate(network, plan, frames, engine, shares.append, stall, workers=TWO)
    agree(network, result, simulate(network, plan, frames))
    assert result.compared == FRAMES * sum(layer.op.output.elements for layer in network.layers)
    first = frames[: cut(FRAMES, 2)[0][1]]  # whose cycles are told
    assert result.timing == simulate(network, plan, first, engine, stall=stall).timing
    assert shares[-1] == pytest.approx(1.0)
    assert not result.tensors


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["golden", "compiled"])
def test_parts_on_a_cluster(network, plan, frames, engine, cluster):
    agree(network, simulate(network, plan, frames, engine, workers=cluster), simulate(network, plan, frames))


def test_differences_of_all_parts_are_joined(network, plan, frames, monkeypatch):
    """Golden is made wrong in every frame: each part finds its own, and the first counts."""
    right, layer = golden.run, network.layers[1]

    def wrong(*arguments):
        tensors = right(*arguments)
        tensors[layer.output] = tensors[layer.output].copy()
        tensors[layer.output][:, 0, 0, 0] ^= 1
        return tensors

    monkeypatch.setattr(golden, "run", wrong)
    (mismatch,) = simulate(network, plan, frames, "compiled", workers=TWO).mismatches
    (whole,) = simulate(network, plan, frames, "compiled").mismatches
    assert mismatch == replace(whole, frame=0)
    assert mismatch.count == FRAMES


def test_cut_covers_every_frame_once():
    for frames in (1, 2, 5, 31, 100, 10_000):
        for workers in (1, 2, 7):
            parts = cut(frames, workers)
            assert [n for first, end in parts for n in range(first, end)] == list(range(frames))
            assert len(parts) >= min(frames, workers) or frames < 2 * workers


@pytest.mark.parametrize(
    ("engine", "workers", "trace", "said"),
    [
        ("golden", TWO, None, "uses all processors"),
        ("schedule", Workers(dask="tcp://nowhere:1"), None, "follows all frames"),
        ("compiled", TWO, Waves.asked("some.vcd", None, ()), "those of one run"),
        ("golden", Workers(dask="nonsense"), None, "no Dask scheduler answers at 'nonsense'"),
    ],
)
def test_what_cannot_be_done_in_parts_is_said(network, plan, frames, engine, workers, trace, said):
    with pytest.raises(InputError, match=said):
        simulate(network, plan, frames, engine, trace=trace, workers=workers)


def test_jobs_and_a_cluster_exclude_each_other():
    with pytest.raises(InputError, match="leave out one of them"):
        Workers(2, "tcp://host:8786")
    with pytest.raises(InputError, match="0 jobs"):
        Workers(0)


def test_an_error_in_one_part_ends_all(network, plan, frames, monkeypatch):
    monkeypatch.setattr("hwgen.simulate.compiled.CompiledPlan.run", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        simulate(network, plan, frames, "compiled", workers=TWO)
