"""The compiled engine says what Amaranth's simulator says, and notices what goes wrong."""

import re
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen import testing
from hwgen.blocks import Concat
from hwgen.blocks.stream import beat_stream, port_names
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import search
from hwgen.graph import golden
from hwgen.graph.errors import InputError
from hwgen.graph.types import U8, FeatureMap, IntType
from hwgen.simulate.bench import to_beats
from hwgen.simulate.compiled import CompiledPlan
from hwgen.simulate.feed import Feed, packed, unpacked
from hwgen.simulate.simulation import simulate
from hwgen.simulate.verilated import CompiledDesign, CompiledError
from hwgen.simulate.waves import Waves
from hwgen.testing import check_unit, random_frames, simulation
from hwgen.tools import verilator
from hwgen.tools.verilator import FAST, QUICK
from tests.blocks.cases import CASES, kind
from tests.dataflow.nets import small

FRAMES = 4


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def plan(network):
    return search(network, multipliers=20)


@pytest.fixture(scope="module", params=[QUICK, pytest.param(FAST, marks=pytest.mark.slow)])
def compiled(request, plan):
    return CompiledPlan(plan, request.param)


@pytest.mark.slow
@pytest.mark.parametrize("stall", [None, 0, 7])
def test_every_layer_is_golden_and_every_cycle_predicted(network, plan, compiled, stall):
    frames = random_frames(network.input.map, FRAMES)
    want = golden.run(network, frames)
    tensors, taken, (given,), _ = compiled.run(Feed.of(plan, frames), stall=stall)
    assert tensors.keys() == want.keys()
    for name, integers in want.items():
        np.testing.assert_array_equal(tensors[name], integers, err_msg=name)
    if stall is None:
        predicted = schedule(plan, FRAMES).run
        np.testing.assert_array_equal(given, predicted.given)
        np.testing.assert_array_equal(taken, predicted.taken[: len(taken)])
    else:
        assert given[-1] > schedule(plan, FRAMES).run.given[-1]


def test_simulate_compares_every_layer_with_golden(network, plan):
    frames = network.input.quantization.dequantize(random_frames(network.input.map, FRAMES))
    result = simulate(network, plan, frames, "compiled")
    assert result.equal
    assert result.timing.latency == schedule(plan).latency


@pytest.mark.slow
def test_waveforms_hold_the_layers_and_cycles_asked_for(network, plan, tmp_path):
    compiled = CompiledPlan(plan, QUICK)
    frames, layer = random_frames(network.input.map, 1), network.layers[0].name
    waves = Waves(tmp_path / "some.vcd", 5, 9, (layer,))
    feed = Feed.of(compiled.plan, frames)
    tensors = compiled.run(feed, trace=waves).tensors
    assert {name: values.tolist() for name, values in tensors.items()} == {
        name: values.tolist() for name, values in golden.run(network, frames).items()
    }
    text = waves.path.read_text()
    scopes, traced = [], set()
    for words in map(str.split, text.splitlines()):
        match words[:1]:
            case ["$scope"]:
                scopes.append(words[2])
            case ["$upscope"]:
                scopes.pop()
            case ["$var"]:
                traced.add(tuple(scopes[:3]))
    assert traced == {("TOP", "top", layer)}
    assert sorted({int(time) // 2 for time in re.findall(r"^#(\d+)$", text, re.MULTILINE)}) == [5, 6, 7, 8, 9]
    with pytest.raises(InputError, match="there is no layer 'x' to trace; near are "):
        compiled.run(feed, trace=replace(waves, layers=("x",)))


@pytest.mark.slow
def test_the_harness_sees_the_same_beats_in_the_same_cycles_in_both_engines():
    unit = next(unit for _, unit in CASES if kind(unit) == "Concat")
    beats = [to_beats(random_frames(port.map, 2), port.map.type, port.lanes) for port in unit.inputs]
    inputs = dict(zip(port_names(unit.block())[0], beats, strict=True))
    outputs = {"o": 2 * unit.outputs[0].beats}
    seen = [simulation(unit.block, cycles)(inputs, outputs, None) for cycles in (0, 10**9)]
    assert seen[0] == seen[1]


def test_the_harness_finds_a_wrong_integer_in_a_compiled_program(monkeypatch):
    unit = next(unit for _, unit in CASES if kind(unit) == "Concat")
    monkeypatch.setattr(testing, "FEW_CYCLES", 0)
    monkeypatch.setattr(Concat, "golden", lambda op, *x: np.concatenate(x, axis=-1) ^ 1)
    with pytest.raises(AssertionError, match="o, stall None"):
        check_unit(unit)


def test_only_gpp_takes_headers_that_were_compiled(monkeypatch):
    monkeypatch.setattr(verilator, "compiler", lambda: ("clang++",))
    assert verilator._headers() == []


TYPES = (U8, IntType(8, True), IntType(3, True), IntType(5, False), IntType(19, True))


@pytest.mark.parametrize("type_", TYPES, ids=str)
@pytest.mark.parametrize("lanes", [1, 3])
def test_payloads_hold_integers_of_any_width(type_, lanes):
    values = random_frames(FeatureMap(2, 4, 3, type_), 2)
    payloads = packed(values, type_, lanes)
    assert payloads.tolist() == [
        list(beat.to_bytes(payloads.shape[1], "little")) for beat in to_beats(values, type_, lanes)
    ]
    np.testing.assert_array_equal(unpacked(payloads, type_, lanes), values.ravel())


@pytest.mark.slow
def test_the_same_design_is_compiled_once(plan, compiled, monkeypatch):
    compiled.design.load()
    monkeypatch.setattr(verilator, "call", lambda *command: pytest.fail("compiled again"))
    CompiledPlan(replace(plan), compiled.level).design.load()  # of which nothing has been made


class Faulty(wiring.Component):
    """Passes beats on, but takes back or changes one that is not taken at once, or stops."""

    def __init__(self, fault: str):
        self.fault = fault
        super().__init__({"i": In(beat_stream(U8, 1)), "o": Out(beat_stream(U8, 1))})

    def elaborate(self, platform):
        m = Module()
        count = Signal(8)
        m.d.sync += count.eq(count + 1)
        m.d.comb += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload), self.i.ready.eq(self.o.ready)]
        if self.fault == "withdraws":
            m.d.comb += self.o.valid.eq(self.i.valid & count[0])
        if self.fault == "changes":
            m.d.comb += self.o.payload[0].eq(count)
        if self.fault == "stops":
            with m.If(count[5]):
                m.d.comb += [self.o.valid.eq(0), self.i.ready.eq(0)]
                m.d.sync += count.eq(count)
        return m


@pytest.mark.parametrize(
    ("fault", "stall", "message"),
    [
        ("withdraws", 1, "withdrew or changed"),
        ("changes", 1, "withdrew or changed"),
        ("stops", None, "stands still from cycle"),
    ],
)
def test_a_faulty_design_is_caught(fault, stall, message):
    with pytest.raises(CompiledError, match=message):
        CompiledDesign(Faulty(fault), QUICK).run(
            {"i": np.zeros((90, 1), np.uint8)}, {"o": 90}, stall=stall, patience=2000
        )


def test_a_broken_compiler_is_named(monkeypatch, network):
    monkeypatch.setattr(verilator, "compiler", lambda: ("no-such-compiler",))
    with pytest.raises(InputError, match="cannot run 'no-such-compiler'"):
        CompiledDesign(Faulty("none")).load()
