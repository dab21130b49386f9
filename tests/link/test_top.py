"""The accelerator behind the link: beats of any size, several results, and bit by bit over wires."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.dataflow.pipeline import Pipeline
from hwgen.dataflow.search.search import search
from hwgen.device.clocks import Clock
from hwgen.graph import golden
from hwgen.graph.network import Output
from hwgen.graph.types import U8, IntType
from hwgen.link.endpoint import Buffers
from hwgen.link.host import Session
from hwgen.link.identity import fingerprint
from hwgen.link.runner import Runner, from_bytes
from hwgen.link.top import LinkTop
from hwgen.link.uart import UartReceiver, UartTransmitter
from hwgen.simulate.verilated import CompiledDesign
from hwgen.testing import random_frames
from hwgen.tools.verilator import QUICK
from hwgen.top.axi import AxiPort, AxiTop
from hwgen.top.tdata import tdata_rows
from tests.link.simulated import USUAL_CLOCK, ByteLine, SimulatedLine, running

from ..dataflow.nets import small, squeezed

BUFFERS = Buffers(256, 128)
CLOCK, BAUD = Clock.of_mhz(18), 3_000_000


class Wired(wiring.Component):
    """``top`` behind a UART, and a UART of the host's in front: bytes in and out, bits between."""

    def __init__(self, top):
        self.top = top
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.top = top = self.top
        m.submodules.host_out = host_out = UartTransmitter(CLOCK, BAUD)
        m.submodules.board_in = board_in = UartReceiver(CLOCK, BAUD)
        m.submodules.board_out = board_out = UartTransmitter(CLOCK, BAUD)
        m.submodules.host_in = host_in = UartReceiver(CLOCK, BAUD)
        wiring.connect(m, wiring.flipped(self.i), host_out.i)
        wiring.connect(m, top.line, board_out.i)
        m.d.comb += [
            board_in.rx.eq(host_out.tx),
            top.data.eq(board_in.data),
            top.valid.eq(board_in.valid),
            host_in.rx.eq(board_out.tx),
            self.o.payload.eq(host_in.data),
            self.o.valid.eq(host_in.valid),
        ]
        return m


def link(network, multipliers):
    """The hardware of ``network`` behind the link."""
    core = Pipeline(search(network, multipliers=multipliers))
    ports = [
        AxiPort(each.map.type, lanes, each.map.elements // lanes)
        for each, lanes in zip((network.input, *network.results), (core.lanes_in, *core.lanes_out), strict=True)
    ]
    top = AxiTop(core, ports[0], ports[1:])
    return LinkTop(top, ports[0], ports[1:], BUFFERS, fingerprint(network))


def check(network, hardware, count=4, cycles=2, clock=USUAL_CLOCK):
    """Frames through ``hardware`` are what golden makes of them."""
    integers = random_frames(network.input.map, count)
    frames = network.input.quantization.dequantize(integers)
    with running(CompiledDesign(hardware, QUICK)) as run:
        line = SimulatedLine(run, clock, cycles)
        result = Runner(network, line, Session(line, give_up=0.01)).simulate(frames)
    expected = golden.run(network, golden.network_input(network, frames))
    for each in network.results:
        np.testing.assert_array_equal(result.streams[each.name], expected[each.name])
    assert result.equal


@pytest.mark.slow
def test_bit_by_bit_over_wires():
    network = small()
    check(network, Wired(link(network, 20)), count=2, cycles=60, clock=CLOCK)


@pytest.mark.slow
@pytest.mark.parametrize("multipliers", [14, pytest.param(200, marks=pytest.mark.slow)])
def test_several_results_of_which_each_element_says_whose_it_is(multipliers):
    network = squeezed()
    streams = [network.tensors[name] for name in ("t6", "t4")]
    network = replace(network, outputs=tuple(Output(each.name, (each,), each.map.shape) for each in streams))
    check(network, ByteLine(link(network, multipliers), 2))


@pytest.mark.slow
def test_a_difference_is_told_with_its_place():
    network = small()
    integers = random_frames(network.input.map, 1)
    frames = network.input.quantization.dequantize(integers)
    with running(CompiledDesign(ByteLine(link(network, 20), 2), QUICK)) as run:
        line = SimulatedLine(run, cycles=2)
        runner = Runner(network, line, Session(line, give_up=0.01))
        took = runner.session.run

        def changed(data, expected, progress):
            got = bytearray(took(data, expected, progress))
            got[3] ^= 1
            return bytes(got)

        runner.session.run = changed
        result = runner.simulate(frames)
    assert not result.equal
    (mismatch,) = result.mismatches
    assert (mismatch.layer, mismatch.count) == (network.layers[-1].name, 1)


@pytest.mark.parametrize("kind", [U8, IntType(8, True), IntType(3, True), IntType(12, False), IntType(23, True)])
def test_integers_of_any_type_survive_as_bytes(kind):
    values = np.concatenate([[kind.min, kind.max, 0], random_numbers(kind)])
    content = tdata_rows(values, kind)
    assert content.shape == (len(values), -(-kind.width // 8))
    np.testing.assert_array_equal(from_bytes(content, kind), values)


def random_numbers(kind):
    return np.random.default_rng(0).integers(kind.min, kind.max, 50, np.int64, endpoint=True)
