"""Bytes over two wires, at rates that divide the clock and at others, with clocks that are a little off."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hwgen.device.clocks import Clock
from hwgen.graph.errors import InputError
from hwgen.link.uart import UartReceiver, UartTransmitter, check_rate


class Loop(wiring.Component):
    """A transmitter and, over a wire, a receiver with another clock rate in mind."""

    def __init__(self, clock, baud, off):
        self.clock, self.baud, self.off = clock, baud, off
        super().__init__({"i": In(stream.Signature(8)), "data": Out(8), "valid": Out(1), "broken": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.transmitter = transmitter = UartTransmitter(Clock(self.clock), self.baud)
        m.submodules.receiver = receiver = UartReceiver(Clock(self.clock * self.off), self.baud)
        wiring.connect(m, wiring.flipped(self.i), transmitter.i)
        m.d.comb += receiver.rx.eq(transmitter.tx & ~self.broken)
        m.d.comb += [self.data.eq(receiver.data), self.valid.eq(receiver.valid)]
        return m


def received(loop, sent, cycles_after=40):
    """What comes out of ``loop`` for ``sent``."""
    got = []

    async def send(ctx):
        for byte in sent:
            ctx.set(loop.i.payload, byte)
            ctx.set(loop.i.valid, 1)
            await ctx.tick().until(loop.i.ready)
        ctx.set(loop.i.valid, 0)
        for _ in range(12 * round(loop.clock / loop.baud) + cycles_after):
            await ctx.tick()

    async def receive(ctx):
        async for _, reset, valid, data in ctx.tick().sample(loop.valid, loop.data):
            if valid and not reset:
                got.append(data)

    simulator = Simulator(loop)
    simulator.add_clock(1e-8)
    simulator.add_testbench(send)
    simulator.add_testbench(receive, background=True)
    simulator.run()
    return got


@pytest.mark.parametrize(("clock", "baud"), [(6e6, 1e6), (18e6, 3e6), (27e6, 4e6), (100e6, 3e6), (75e6, 921_600)])
@pytest.mark.parametrize("off", [0.98, 1.0, 1.02])
def test_bytes_arrive(clock, baud, off):
    if clock * off < 6 * baud:
        clock = 6.2 * baud
    sent = [0x00, 0xFF, 0x55, 0xAA, *np.random.default_rng(int(clock)).integers(256, size=12).tolist()]
    assert received(Loop(clock, int(baud), off), sent) == sent


@pytest.mark.parametrize("cycles", [4, 5])
@pytest.mark.parametrize("off", [0.985, 1.0, 1.015])
@pytest.mark.parametrize("phase", [0.0, 0.3, 0.6, 0.9])
def test_bytes_arrive_with_few_cycles_a_bit(cycles, off, phase):
    """Bits of whole cycles, from a transmitter whose clock is another: they begin anywhere in a cycle."""
    sent = [0x00, 0xFF, 0x55, 0xAA, *np.random.default_rng(cycles).integers(256, size=20).tolist()]
    line = [1] * 5 + [bit for byte in sent for bit in (0, *((byte >> n) & 1 for n in range(8)), 1)] + [1] * 5
    receiver, got = UartReceiver(Clock.of_mhz(cycles), 1_000_000), []

    async def bench(ctx):
        for cycle in range(int((len(line) - 1) * cycles * off)):
            ctx.set(receiver.rx, line[int((cycle + phase) / (cycles * off))])
            _, _, valid, data = await ctx.tick().sample(receiver.valid, receiver.data)
            if valid:
                got.append(data)

    simulator = Simulator(receiver)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert got == sent


def test_a_byte_without_its_stop_bit_is_dropped_and_the_next_is_not():
    loop = Loop(16e6, 1_000_000, 1.0)
    got = []

    async def bench(ctx):
        for byte, broken in ((0x12, False), (0x34, True), (0x56, False)):
            ctx.set(loop.i.payload, byte)
            ctx.set(loop.i.valid, 1)
            await ctx.tick().until(loop.i.ready)
            ctx.set(loop.i.valid, 0)
            for bit in range(12):
                ctx.set(loop.broken, broken and bit == 9)
                for _ in range(16):
                    _, _, valid, data = await ctx.tick().sample(loop.valid, loop.data)
                    if valid:
                        got.append(data)

    simulator = Simulator(loop)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert got == [0x12, 0x56]


def test_a_rate_that_the_clock_cannot_make_is_refused_with_the_one_that_it_can():
    with pytest.raises(
        InputError, match=r"3000000 baud need a clock of 18 MHz, the design's is 13 MHz: give --baud 2166666"
    ):
        check_rate(Clock.of_mhz(13), 3_000_000)
    check_rate(Clock.of_mhz(12), 3_000_000)  # four whole cycles a bit
