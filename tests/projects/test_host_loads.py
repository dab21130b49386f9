"""Weights through the top for hosts: load, use, load others, use; what is wrong with a transfer, and what follows.

The core here is a few registers behind the gate of real ones; tests/projects/test_loads.py has real ones.
"""

from itertools import cycle

import pytest
from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.stream import beat_stream
from hwgen.graph.types import U8
from hwgen.projects.header import FRAMES, WEIGHTS, headed
from hwgen.projects.host import AXI4, HostTop
from hwgen.top.axi import AxiPort, AxiTop
from hwgen.top.loader import LoadedPipeline, LoadGate, LoadPlan

from .test_host import DIALECTS, ONE_SOON, drive, frames

BYTES, FRAME = 10, 12
KEYS = [bytes(range(17 * n, 17 * n + BYTES)) for n in range(3)]
SHAPES = pytest.mark.parametrize(
    ("lanes", "width"),
    [(3, 4), *(pytest.param(*shape, marks=pytest.mark.slow) for shape in ((3, 16), (4, 4), (1, 8), (2, 4)))],
)


class Keyed(LoadedPipeline):
    """Combines the elements of a frame with the loaded bytes in turn, as they leave; these are 0 at first."""

    def __init__(self, lanes):
        self.loads = LoadPlan(U8, lanes, FRAME // lanes, BYTES, stores=1)
        beat = beat_stream(U8, lanes)
        wiring.Component.__init__(self, {"i": In(stream.Signature(self.loads.layout)), "o": Out(beat), "error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        lanes, beats = self.loads.lanes, self.loads.beats
        m.submodules.gate = gate = LoadGate(self.loads, 1)
        m.submodules.inside = inside = fifo.SyncFIFOBuffered(width=8 * lanes, depth=2 * beats)
        wiring.connect(m, wiring.flipped(self.i), gate.i)
        key = Array(Signal(8, name=f"key_{n}") for n in range(BYTES))
        at, index = Signal(range(BYTES + 1)), Signal(range(beats + 1))
        with m.If(gate.load.start):
            m.d.sync += at.eq(0)
        with m.Elif(gate.load.strobe & (at < BYTES)):
            m.d.sync += [key[at].eq(gate.load.data), at.eq(at + 1)]
        moves, last = self.o.valid & self.o.ready, index == beats - 1
        m.d.comb += [
            self.error.eq(gate.error),
            inside.w_data.eq(gate.o.payload.as_value()),
            inside.w_en.eq(gate.o.valid),
            gate.o.ready.eq(inside.w_rdy),
            self.o.valid.eq(inside.r_rdy),
            inside.r_en.eq(self.o.ready),
            gate.left.eq(moves & last),
        ]
        for lane in range(lanes):
            mixed = inside.r_data[8 * lane : 8 * lane + 8] ^ key[(index * lanes + lane) % BYTES]
            m.d.comb += self.o.payload[lane].eq(mixed)
        with m.If(moves):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
        return m


def host(dialect=AXI4, lanes=3, width=4):
    port = AxiPort(U8, lanes, FRAME // lanes)
    top = AxiTop(Keyed(lanes), port, [port])
    return HostTop(top, top, dialect, [width, 4], 3)


def load(top, n):
    """The load of key ``n``: whole beats."""
    return top.of_weights(KEYS[n] + bytes(-BYTES % top.loads.beat_bytes))


def mixed(blob, n=None):
    """What comes of frames with key ``n``, or with none loaded."""
    key = KEYS[n] if n is not None else bytes(BYTES)
    parts = (blob[at : at + FRAME] for at in range(0, len(blob), FRAME))
    return b"".join(bytes(one ^ other for one, other in zip(part, cycle(key), strict=False)) for part in parts)


@pytest.mark.slow
@DIALECTS
@SHAPES
def test_load_use_load_use(dialect, lanes, width):
    blobs = frames(9, U8, FRAME)
    parts = [b"".join(blobs[:2]), blobs[2], b"".join(blobs[3:6]), blobs[6], b"".join(blobs[7:])]
    for stall in (None, 1, 2):
        top = host(dialect, lanes, width)
        transfers = [top.of_frames(part) for part in parts]
        transfers[1:1], transfers[4:4], transfers[6:6] = [load(top, 0)], [load(top, 1)], [load(top, 2), load(top, 0)]
        (received,), failed = drive(top, transfers, stall)
        keys = (None, 0, 0, 1, 0)
        assert received == [*(mixed(part, n) for part, n in zip(parts, keys, strict=True)), b""]
        assert not failed


BAD = {
    "short load": headed(WEIGHTS, bytes(6), 4),
    "long load": headed(WEIGHTS, bytes(18), 4),
    "load that ends within a beat": headed(WEIGHTS, bytes(11), 4),
    "empty load": headed(WEIGHTS, b"", 4),
    "no frames": headed(FRAMES, b"", 4),
    "unknown": headed(b"lead", bytes(FRAME), 4),
    "frames without a first word": bytes(2 * FRAME),
    "one unknown word": b"lead",
}
HARMLESS = ("empty load", "no frames", "unknown", "frames without a first word", "one unknown word")


@ONE_SOON
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if n else []) for n, name in enumerate(BAD)]
)
def test_a_bad_transfer_is_remembered_and_does_no_harm_to_later_ones(dialect, name):
    blobs = frames(5, U8, FRAME)
    first, then, last = b"".join(blobs[:2]), b"".join(blobs[2:4]), blobs[4]
    for stall in (None, 1):
        top = host(dialect)
        transfers = [load(top, 2), top.of_frames(first), BAD[name]]
        transfers += [top.of_frames(then)] if name in HARMLESS else []
        transfers += [load(top, 1), top.of_frames(then), load(top, 0), top.of_frames(last)]
        (received,), failed = drive(top, transfers, stall)
        same = [mixed(then, 2)] if name in HARMLESS else []
        assert received == [mixed(first, 2), *same, mixed(then, 1), mixed(last, 0), b""]
        assert failed


@pytest.mark.slow
@ONE_SOON
def test_a_load_waits_for_a_frame_that_was_cut_off(dialect):
    blobs = frames(3, U8, FRAME)
    for stall in (None, 1):
        top = host(dialect)
        cut = blobs[0] + blobs[1][:7]
        transfers = [load(top, 0), top.of_frames(cut), load(top, 1), top.of_frames(blobs[2])]
        (received,), failed = drive(top, transfers, stall)
        assert received == [mixed(cut + bytes(5), 0), mixed(blobs[2], 1), b""]
        assert failed


def test_the_first_word_is_as_wide_as_the_others():
    top = host(width=8)
    assert top.of_frames(b"abc") == b"data\0\0\0\0abc"
    assert top.of_weights(b"abc") == b"load\0\0\0\0abc"
