"""Weights in SPRAM: what Yosys makes of the memories, which weights go there, and that a load comes first."""

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

import hwgen
from hwgen.blocks.mac.mac import MacUnit
from hwgen.cost.needs import HUGE, ULTRA, MemoryNeed
from hwgen.dataflow.fit import fit_table
from hwgen.dataflow.search.search import Search
from hwgen.device.mapping import brams, large_rams, needs
from hwgen.device.synth import count, synthesise
from hwgen.device.targets import device
from hwgen.flow.planning import choose_plan
from hwgen.flow.retraining import retrained
from hwgen.graph import golden
from hwgen.graph.errors import FitError, InputError, ModelError
from hwgen.hdl.export import to_verilog
from hwgen.hdl.rtlil import to_rtlil
from hwgen.link.host import LinkError, Session
from hwgen.link.runner import Runner
from hwgen.memory.store import Store, StoreShape
from hwgen.simulate.feed import Step
from hwgen.simulate.reloading import simulate_steps
from hwgen.testing import random_frames
from hwgen.tools.verilator import QUICK
from hwgen.top.loading import laid_out, made_loadable, plan_text
from tests import tiny
from tests.cli.test_cli import errors
from tests.dataflow.nets import residual, small
from tests.link.simulated import SimulatedLine, running, simulated_board
from tests.link.test_bad_line import BUFFERS, CYCLES, GIVE_UP
from tests.memory.test_store import Chain, expect, load, random_contents
from tests.top.test_loading import compiled_engine, retrain

UP5K = device("ice40up5k")
TINY = {"calibration": tiny.frames(), "multipliers": 4, "device": "ice40up5k", "weights": "spram"}


@pytest.fixture(scope="module")
def design(tmp_path_factory):
    """A network with its own weights in SPRAM."""
    return hwgen.compile(tiny.save(tmp_path_factory.mktemp("model") / "tiny.onnx"), **TINY)


def stored(width: int, depth: int) -> tuple[MemoryNeed, ...]:
    return StoreShape(width, depth, HUGE).needs("weights")


# The memory


@pytest.mark.parametrize(
    ("width", "depth"),
    [
        (8, 700),
        *(pytest.param(*shape, marks=pytest.mark.slow) for shape in ((32, 700), (20, 20_000), (8, 40_000), (36, 17))),
    ],
)
def test_spram_is_as_yosys_maps_it(width, depth):
    store = Store(random_contents(width, depth, 0), HUGE)
    counted = [
        count(synthesise(text, "top", UP5K), UP5K) for text in (to_rtlil(store, "top"), to_verilog(store, "top"))
    ]
    estimated = sum(large_rams(need, UP5K) for need in stored(width, depth))
    assert [result.large for result in counted] == [estimated] * 2
    assert [result.brams for result in counted] == [0, 0]
    assert sum(brams(need, UP5K) for need in stored(width, depth)) == 0


def test_a_memory_of_spram_has_one_port_and_no_contents():
    text = to_verilog(Store(random_contents(16, 700, 0), HUGE), "top")
    assert text.count('(* ram_style = "huge" *)') == 1
    assert "store[0] =" not in text
    assert "readmemh" not in text


@pytest.mark.slow
def test_stores_of_both_kinds_in_a_chain_take_their_bytes():
    sizes = [(20, 30, HUGE), (100, 40, ULTRA), (72, 40, None), (37, 90, HUGE), (220, 33, ULTRA)]
    contents = [random_contents(width, depth, n) for n, (width, depth, _) in enumerate(sizes)]
    stores = [Store(words, kind) for words, (_, _, kind) in zip(contents, sizes, strict=True)]
    chain, others = Chain(stores), [random_contents(width, depth, 9) for width, depth, _ in sizes]

    async def bench(ctx):
        for words in (contents, others):
            image = b"".join(store.shape.image(each) for store, each in zip(stores, words, strict=True))
            await load(ctx, chain, image, seed=1)
            await expect(ctx, stores, words)

    simulator = Simulator(chain)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


# Which weights go there


def huge(plan) -> list[str]:
    return [layer.name for layer in plan.layers if getattr(layer.folding, "weights", None) == "large"]


def test_the_largest_weights_go_first_and_nothing_that_saves_no_block_ram():
    network = small()
    plan = Search(network, UP5K, 8, bound=False).fastest()
    assert not huge(plan)
    units = {layer.name: layer.unit for layer in plan.layers if isinstance(layer.unit, MacUnit)}
    sizes = {name: sum(each.width * each.depth for each in unit.array.sources) for name, unit in units.items()}
    devices = [replace(UP5K, large_rams=count) for count in range(9)]
    taken = [huge(Search(network, each, 8, bound=False, large=True).fastest()) for each in devices]
    assert taken[0] == []
    assert len(taken[8]) > 1
    largest = max(taken[8], key=sizes.get)
    assert next(some for some in taken if some) == [largest]
    for layer in plan.layers:
        moved = replace(layer.folding, weights="large") if layer.name in taken[8] else layer.folding
        saved = needs(layer.cost, UP5K).brams - needs(replace(layer.unit, folding=moved).cost, UP5K).brams
        assert (saved > 0) == (layer.name in taken[8])


def test_a_network_fits_with_spram_that_does_not_without():
    network = small()
    free = fit_table(Search(network, UP5K, 8, bound=False).fastest(), UP5K).total
    short = replace(UP5K, name="short", brams=free.brams - 6, luts=free.luts)
    with pytest.raises(FitError, match="device short is too small"):
        Search(network, replace(short, brams=8), 8).fastest()
    found = Search(network, replace(short, brams=8), 8, large=True).fastest()
    assert huge(found)
    assert fit_table(found, short).fits


def test_the_plan_says_where_weights_are(design):
    text = plan_text(design.plan)
    assert json.loads(text)["weights"] == "spram"
    again = laid_out(design.network, text, "build")
    assert huge(again) == huge(design.plan)
    assert again.waits_for_load
    with pytest.raises(InputError, match="the plan has weights in SPRAM, which are loaded: give --weights spram"):
        choose_plan(design.network, UP5K, plan=saved(text))
    with pytest.raises(InputError, match="device lfe5u-25f has no SPRAM for weights: take a --device that has"):
        choose_plan(design.network, device("lfe5u-25f"), plan=saved(text), weights="spram")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved(text: str) -> str:
    with open("plan.json", "w") as file:
        file.write(text)
    return "plan.json"


def test_the_table_of_a_device_counts_spram(design):
    row = next(row for row in fit_table(design.plan, UP5K).rows if row.resource == "SPRAM (256 kbit)")
    assert (row.used > 0, row.available) == (True, 4)
    assert all("SPRAM" not in row.resource for row in fit_table(design.plan, device("lfe5u-25f")).rows)


def test_devices_without_spram_are_not_touched():
    network = made_loadable(small())
    ecp5 = device("lfe5u-25f")
    plans = [Search(network, ecp5, 20, large=large).fastest() for large in (False, True)]
    assert plans[0].to_json() == plans[1].to_json()
    assert not huge(plans[1])


def test_spram_on_a_device_without_is_one_line(tmp_path):
    tiny.save(tmp_path / "tiny.onnx")
    np.save(tmp_path / "frames.npy", tiny.frames())
    (line,) = errors("build", "tiny.onnx", "--calibration", "frames.npy", "--weights", "spram", "--device", "lfe5u-25f")
    assert line == (
        "device lfe5u-25f has no SPRAM for weights: take a --device that has (ice40up5k), or --weights fixed or "
        "loadable"
    )


def test_too_few_words_are_refused(design):
    layer = next(layer for layer in design.plan.layers if layer.name == "conv")
    few = replace(layer.folding, window="sliding", portion=9, outputs=4, weights="large")
    assert any(
        "too few for large RAM (weights 'large'): 17 or more" in each
        for each in replace(layer.unit, folding=few).problems()
    )


# Hardware


def sprammed(make, multipliers: int, load: bool):
    """A plan with all weights that can be in SPRAM, and that of another network in the same hardware."""
    network = made_loadable(make()) if load else make()
    plan = Search(network, replace(UP5K, large_rams=50), multipliers, bound=False, large=True).fastest()
    assert huge(plan)
    return plan, laid_out(retrain(make(), 50) if load else network, plan_text(plan), "build")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "make", "load"),
    [("amaranth", small, False), ("compiled", small, True), ("compiled", residual, True)],
    ids=["own weights", "any weights", "with a tap"],
)
def test_hardware_computes_what_golden_does_once_it_is_loaded(engine, make, load):
    if engine == "compiled":
        compiled_engine()
    plan, other = sprammed(make, 12, load)
    frames = random_frames(plan.network.input.map, 2)
    steps = [Step(plan, frames), *([Step(other, frames), Step(plan, frames)] if load else [])]
    first, *rest = simulate_steps(steps, engine)
    assert all(result.equal for result in (first, *rest))
    assert all((result.integers != first.integers).any() for result in rest[:1])
    (unloaded,) = simulate_steps([Step(plan, frames, loads=False)], engine)
    assert not unloaded.equal


@pytest.mark.slow
def test_a_design_is_loaded_before_it_is_simulated(design):
    frames = tiny.frames(2)
    for engine in ("golden", "amaranth"):
        result = design.simulate(frames, engine)
        expected = golden.run(design.network, golden.network_input(design.network, frames))
        np.testing.assert_array_equal(result.integers, expected[design.network.output.name])
        assert result.equal
    assert design.checked().check.equal
    with pytest.raises(InputError, match="leave --trace, --jobs and --dask out, or build with --weights fixed"):
        design.simulate(frames, "amaranth", trace=hwgen.simulate.waves.Waves("waves.vcd"))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("iverilog"), reason="needs Icarus Verilog (Debian package iverilog)")
def test_the_test_bench_loads_the_weights_first(design, tmp_path):
    design.write(tmp_path / "build")
    build = ["iverilog", "-g2005", "-Wall", "-o", "tb.vvp", "tiny_tb.v", "tiny.v"]
    assert not subprocess.run(build, cwd=tmp_path / "build", capture_output=True, text=True, check=True).stderr

    def printed(*options):
        run = ["vvp", "tb.vvp", *options]
        return subprocess.run(run, cwd=tmp_path / "build", capture_output=True, text=True, check=False).stdout

    assert "PASS" in printed()
    assert "PASS" in printed("+stall=3")
    (tmp_path / "build" / "weights.hex").write_text("00\n")
    assert "PASS" not in printed()


# The board


@pytest.mark.slow
def test_a_board_without_weights_is_given_them(design):
    hardware = simulated_board(design, BUFFERS, CYCLES, QUICK)
    frames = tiny.frames(5)
    with running(hardware) as run:
        line = SimulatedLine(run, cycles=CYCLES)
        with pytest.raises(LinkError, match="takes its weights over the link, and frames only after them"):
            Runner(design.network, line, Session(line, give_up=GIVE_UP))
        runner = Runner(design.plan, line, Session(line, give_up=GIVE_UP))
        assert runner.loaded
        assert runner.simulate(frames).equal
        run.run(1000)
        again = Runner(design.plan, line, Session(line, give_up=GIVE_UP))
        assert again.loaded == 0
        assert again.simulate(frames).equal


def test_only_its_own_network_is_taken(design, tmp_path):
    design.write(tmp_path / "build")
    same = retrained(design.front.model, tmp_path / "build", calibration=tiny.frames(), warn=str)
    assert same.plan.load_image() == design.plan.load_image()
    assert (tmp_path / "build" / "weights.bin").read_bytes() == same.image
    other = tiny.save(tmp_path / "other.onnx", weight=np.ones((4, 1, 3, 3), np.float32))
    with pytest.raises(ModelError, match=r"node 'conv': .* keep what .* was built with, or build anew"):
        retrained(other, tmp_path / "build", calibration=tiny.frames(), warn=str)
