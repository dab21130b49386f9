"""The AXI4-Stream top: what it carries, the contract at its ports, and what a wrong tlast does."""

import gc
import re
from random import Random

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hwgen.blocks.stream import beat_layout, beat_stream
from hwgen.graph.types import S8, U8, IntType
from hwgen.hdl.rtlil import to_rtlil
from hwgen.testing import Simulated
from hwgen.top.axi import AxiPort, AxiTop, RegisterSlice

S5, U12 = IntType(5, True), IntType(12, False)


class Plus(wiring.Component):
    """Adds one to every element; no registers."""

    def __init__(self, type_in, type_out, lanes):
        self.lanes = lanes
        super().__init__({"i": In(beat_stream(type_in, lanes)), "o": Out(beat_stream(type_out, lanes))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
        m.d.comb += [self.o.payload[lane].eq(self.i.payload[lane] + 1) for lane in range(self.lanes)]
        return m


def plus(type_in=S5, type_out=S5, lanes=2, beats=3):
    return AxiTop(Plus(type_in, type_out, lanes), AxiPort(type_in, lanes, beats), [AxiPort(type_out, lanes, beats)])


def drive(top, words, lasts=None, seed=None, idle=20):
    """Send ``words``; returns [(tdata, tlast, cycle)] received and the cycle of the first ``frame_error`` or None."""
    beats, random = top.source.beats, Random(seed)
    lasts = lasts or [at % beats == beats - 1 for at in range(len(words))]
    received, state = [], {"sent": 0, "error": None}

    async def bench(ctx):
        offering, held, cycle, since = False, None, 0, 0
        while since < idle:
            offering = state["sent"] < len(words) and (offering or seed is None or random.random() < 0.6)
            ctx.set(top.s_axis_tvalid, offering)
            if offering:
                ctx.set(top.s_axis_tdata, words[state["sent"]])
                ctx.set(top.s_axis_tlast, lasts[state["sent"]])
            ready = seed is None or random.random() < 0.5
            ctx.set(top.m_axis_tready, ready)
            offer = (ctx.get(top.m_axis_tdata), ctx.get(top.m_axis_tlast)) if ctx.get(top.m_axis_tvalid) else None
            assert held in (None, offer), f"cycle {cycle}: the offer {held} became {offer}"
            held = offer if not ready else None
            if offer and ready:
                received.append((*offer, cycle))
            if offering and ctx.get(top.s_axis_tready):
                state["sent"] += 1
                offering = False
            if ctx.get(top.frame_error) and state["error"] is None:
                state["error"] = cycle
            since = since + 1 if state["sent"] == len(words) else 0
            cycle += 1
            await ctx.tick()
        assert bool(ctx.get(top.frame_error)) == (state["error"] is not None), "frame_error must stay"

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return received, state["error"]


def test_ports_are_axi4_stream():
    text = to_rtlil(plus(U12, U12, 3, 4), "top").partition("\nend")[0]
    found = re.findall(r"wire width (\d+) (input|output) \d+ +\\(\w+)", text)
    assert {name: (direction, int(bits)) for bits, direction, name in found} == {
        "clk": ("input", 1),
        "rst": ("input", 1),
        "s_axis_tdata": ("input", 48),
        "s_axis_tvalid": ("input", 1),
        "s_axis_tready": ("output", 1),
        "s_axis_tlast": ("input", 1),
        "m_axis_tdata": ("output", 48),
        "m_axis_tvalid": ("output", 1),
        "m_axis_tready": ("input", 1),
        "m_axis_tlast": ("output", 1),
        "frame_error": ("output", 1),
    }


def tdata_words(values, type_, lanes):
    return list(AxiPort(type_, lanes, 1).words(values))


def test_elements_are_padded_to_bytes():
    assert AxiPort(S5, 3, 1).bits == 24
    assert tdata_words([-1, 2, 15, -16], S5, 2) == [0x02FF, 0xF00F]
    assert tdata_words([0xABC, 1], U12, 1) == [0x0ABC, 0x0001]


@pytest.mark.parametrize(("type_in", "type_out", "lanes"), [(S5, S5, 2), (U12, U12, 1), (S8, U8, 3), (U8, S5, 2)])
def test_data_arrives_with_the_sign_extended_and_tlast_at_every_frame(type_in, type_out, lanes):
    values = np.random.default_rng(0).integers(type_in.min, type_in.max, 4 * 3 * lanes)
    wrapped = (values + 1) & ((1 << type_out.width) - 1)
    want = np.where(wrapped > type_out.max, wrapped - (1 << type_out.width), wrapped)
    words = tdata_words(values, type_in, lanes)
    for seed in (None, 1, 2):
        received, error = drive(plus(type_in, type_out, lanes), words, seed=seed)
        assert [word for word, _, _ in received] == tdata_words(want, type_out, lanes)
        assert [last for _, last, _ in received] == [0, 0, 1] * 4
        assert error is None


def test_bits_above_an_element_are_ignored():
    received, _ = drive(plus(S5, S5, 1, beats=1), [0xE3, 0x1F])
    assert [word for word, _, _ in received] == [0x04, 0x00]


def test_full_speed_and_latency():
    received, _ = drive(plus(), tdata_words([1] * 24, S5, 2))
    assert [cycle for _, _, cycle in received] == list(range(AxiTop.LATENCY, AxiTop.LATENCY + 12))


@pytest.mark.parametrize(
    ("lasts", "wrong"),
    [
        ([0, 1, 0, 0, 0, 1], 1),  # early
        ([0, 0, 1, 0, 0, 0], 5),  # missing
        ([0, 0, 1, 0, 0, 1], None),
    ],
)
def test_a_wrong_tlast_is_remembered_and_data_flows_by_count(lasts, wrong):
    words = tdata_words(range(12), S5, 2)
    received, error = drive(plus(), words, lasts)
    assert error == (None if wrong is None else wrong + 1)
    assert [word for word, _, _ in received] == tdata_words(range(1, 13), S5, 2)
    assert [last for _, last, _ in received] == [0, 0, 1, 0, 0, 1]


def test_a_frame_of_one_beat_is_always_last():
    received, error = drive(plus(beats=1), tdata_words(range(6), S5, 2), [1, 1, 1])
    assert [last for _, last, _ in received] == [1, 1, 1]
    assert error is None
    _, error = drive(plus(beats=1), tdata_words(range(6), S5, 2), [1, 0, 1])
    assert error == 2


def test_the_register_slice_keeps_the_contract():
    beats = list(range(200))
    for stall in (None, 1, 2, 3):
        _, given = Simulated(RegisterSlice(beat_layout(U8, 1)))({"i": beats}, {"o": 200}, stall=stall)
        assert list(given["o"].payloads) == beats
    _, given = Simulated(RegisterSlice(beat_layout(U8, 1)))({"i": beats}, {"o": 200})
    assert list(given["o"].cycles) == list(range(1, 201))


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_core_that_does_not_fit_is_refused():
    core = Plus(S5, S5, 2)
    to_rtlil(core, "core")  # so that it counts as used
    for port, arguments in {
        "input": (core, AxiPort(U8, 2, 3), [AxiPort(S5, 2, 3)]),
        "output": (core, AxiPort(S5, 2, 3), [AxiPort(S5, 1, 3)]),
    }.items():
        with pytest.raises(TypeError, match=rf"{port} of the core: .* is not [12] x [us][58]"):
            AxiTop(*arguments)
    with pytest.raises(ValueError, match="at least one beat"):
        AxiPort(S5, 2, 0)
    gc.collect()  # the halves of tops that were refused, while the warning about them is off
