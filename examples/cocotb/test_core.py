"""A core made by hwgen, driven by cocotb: frames back to back, then with pauses on both sides, then after a reset.

`run.py` starts it in the folder of a build, whose `input.hex` and `expected.hex` hold three frames and the golden
model's results, a word of `tdata` in each line.
"""

import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource

FRAMES = 3


def frames(file):
    """The words of a file as the bytes of each frame, the lowest byte of a word first."""
    words = [bytes.fromhex(line)[::-1] for line in Path(file).read_text().split()]
    size = len(words) // FRAMES
    return [b"".join(words[start : start + size]) for start in range(0, len(words), size)]


async def reset(dut):
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0


async def start(dut):
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
    await reset(dut)
    return source, sink


async def compare(dut, source, sink):
    """Send all frames without a gap between them; the sink takes a frame as ended where `tlast` is."""
    for frame in frames("input.hex"):
        source.send_nowait(frame)
    for number, expected in enumerate(frames("expected.hex")):
        received = await with_timeout(sink.recv(), 10, "ms")
        assert bytes(received.tdata) == expected, f"frame {number}"
    assert sink.empty()
    assert dut.frame_error.value == 0


def pauses(seed, share):
    """Whether to pause, cycle by cycle."""
    generator = random.Random(seed)
    while True:
        yield generator.random() < share


@cocotb.test()
async def frames_back_to_back(dut):
    source, sink = await start(dut)
    await compare(dut, source, sink)


@cocotb.test()
@cocotb.parametrize(sending=[0, 0.5], taking=[0.2, 0.8])
async def under_back_pressure(dut, sending, taking):
    source, sink = await start(dut)
    source.set_pause_generator(pauses(1, sending))
    sink.set_pause_generator(pauses(2, taking))
    await compare(dut, source, sink)


@cocotb.test()
async def after_a_reset_in_a_frame(dut):
    source, sink = await start(dut)
    source.send_nowait(frames("input.hex")[0])
    await ClockCycles(dut.clk, 30)
    source.clear()
    await reset(dut)
    sink.clear()
    await compare(dut, source, sink)
