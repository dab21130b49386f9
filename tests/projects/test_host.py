"""The top for hosts: transfers in memory order, whatever the core's beats are; wrong lengths; both dialects."""

import shutil
import subprocess

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hwgen.blocks.stream import beat_stream
from hwgen.graph.types import S8, U8, IntType
from hwgen.hdl.export import export
from hwgen.projects.bench import bench_files
from hwgen.projects.host import AVALON, AXI4, HostTop, host_width
from hwgen.top.axi import AxiPort, AxiTop

from .common import facts

U12, S5 = IntType(12, False), IntType(5, True)
DIALECTS = pytest.mark.parametrize("dialect", [AXI4, AVALON], ids=["axi4", "avalon"])
#: The same, of which one is slow where the other tests of it are enough at each change.
ONE_SOON = pytest.mark.parametrize(
    "dialect", [pytest.param(AXI4, id="axi4"), pytest.param(AVALON, id="avalon", marks=pytest.mark.slow)]
)


class Copy(wiring.Component):
    """Gives its input at every output; where ``ends_early``, only the first half of a frame."""

    def __init__(self, type_, lanes, outputs=1, beats=None):
        self.beats = beats
        names = ["o"] if outputs == 1 else [f"o_{n}" for n in range(outputs)]
        self.names = names
        super().__init__(
            {"i": In(beat_stream(type_, lanes))} | {name: Out(beat_stream(type_, lanes)) for name in names}
        )

    def elaborate(self, platform):
        m = Module()
        ports = [getattr(self, name) for name in self.names]
        wanted = Signal(init=1)
        if self.beats:
            given, taken = self.beats
            index = Signal(range(taken))
            m.d.comb += wanted.eq(index < given)
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += index.eq(index + 1)
                with m.If(index == taken - 1):
                    m.d.sync += index.eq(0)
        done = [Signal(name=f"done_{n}") for n in range(len(ports))]
        free = [port.ready | flag | ~wanted for port, flag in zip(ports, done, strict=True)]
        everyone = free[0]
        for each in free[1:]:
            everyone = everyone & each
        m.d.comb += self.i.ready.eq(everyone)
        for port, flag in zip(ports, done, strict=True):
            m.d.comb += [port.payload.eq(self.i.payload), port.valid.eq(self.i.valid & wanted & ~flag)]
            with m.If(self.i.valid):
                m.d.sync += flag.eq(~everyone & (flag | (port.valid & port.ready)))
        return m


def host(dialect=AXI4, type_=U8, lanes=1, beats=5, width=4, outputs=1, given=None, in_flight=3):
    core = Copy(type_, lanes, outputs, given and (given, beats))
    top = AxiTop(core, AxiPort(type_, lanes, beats), [AxiPort(type_, lanes, given or beats)] * outputs)
    return HostTop(top, top, dialect, [width] * (1 + outputs), in_flight)


def drive(top, transfers, stall=None, idle=60, limit=20_000):
    """Send ``transfers`` (bytes); the transfers received at each output, cut at their last words, and frame_error.

    It ends when nothing has moved for ``idle`` cycles, and must within ``limit``."""
    d, random = top.dialect, np.random.default_rng(stall)
    words = [word for blob in transfers for word in top.source.words(blob)]
    received = [[bytearray()] for _ in top.results]
    firsts = [[] for _ in top.results]

    def at(port, name):
        return getattr(top, f"{port.name}_{name}")

    def go(chance):
        return stall is None or random.random() < chance

    failed = []

    async def bench(ctx):
        sent, offering, since = 0, False, 0
        held = [None] * len(top.results)
        while since < idle:
            offering = sent < len(words) and (offering or go(0.6))
            ctx.set(at(top.source, d.valid), offering)
            if offering:
                value, used, last = words[sent]
                ctx.set(at(top.source, d.data), value)
                ctx.set(at(top.source, d.side), d.side_of(used, top.source.width))
                ctx.set(at(top.source, d.last), last)
            moved = False
            for n, port in enumerate(top.results):
                ready = go(0.5)
                ctx.set(at(port, d.ready), ready)
                offer = None
                if ctx.get(at(port, d.valid)):
                    offer = tuple(ctx.get(at(port, name)) for name in (d.data, d.side, d.last))
                assert held[n] in (None, offer)
                held[n] = None if ready else offer
                if offer and ready:
                    moved = True
                    data, side, last = offer
                    used = side.bit_count() if d.first is None else port.width - side
                    assert side == d.side_of(used, port.width)
                    assert last or used == port.width
                    if d.first:
                        firsts[n].append((ctx.get(at(port, d.first)), last))
                    received[n][-1] += data.to_bytes(port.width, "little")[:used]
                    if last:
                        received[n].append(bytearray())
            if offering and ctx.get(at(top.source, d.ready)):
                sent, offering, moved = sent + 1, False, True
            since = 0 if moved or sent < len(words) else since + 1
            await ctx.tick()
        failed.append(bool(ctx.get(top.frame_error)))

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run_until(1e-6 * limit)
    assert failed, "it hangs"
    for marks in firsts:
        assert [first for first, _ in marks] == [1, *(last for _, last in marks)][: len(marks)]
    return [[bytes(blob) for blob in blobs] for blobs in received], failed[0]


def frames(count, type_, elements, seed=0):
    """Blobs of frames."""
    values = np.random.default_rng(seed).integers(type_.min, type_.max, (count, elements), endpoint=True)
    return [AxiPort(type_, 1, elements).words(frame).rows.tobytes() for frame in values]


@ONE_SOON
@pytest.mark.parametrize(
    ("type_", "lanes", "beats", "width"),
    [
        (U8, 3, 7, 4),
        *(
            pytest.param(*shape, marks=pytest.mark.slow)
            for shape in (
                (U8, 1, 5, 4),
                (S5, 4, 2, 4),
                (U12, 3, 5, 8),
                (S8, 16, 2, 4),
                (U8, 25, 3, 16),
                (U8, 1, 1, 4),
            )
        ),
    ],
)
def test_transfers_come_back_in_memory_order(dialect, type_, lanes, beats, width):
    blobs = frames(9, type_, lanes * beats)
    transfers = [b"".join(blobs[:4]), blobs[4], b"".join(blobs[5:7]), blobs[7], blobs[8]]
    for stall in (None, 1, 2):
        (received,), failed = drive(host(dialect, type_, lanes, beats, width), transfers, stall)
        assert received == [*transfers, b""]
        assert not failed


@pytest.mark.slow
@ONE_SOON
def test_every_output_gets_its_transfers(dialect):
    blobs = frames(5, U8, 6)
    transfers = [b"".join(blobs[:3]), b"".join(blobs[3:])]
    for stall in (None, 1):
        received, failed = drive(host(dialect, lanes=2, beats=3, outputs=3), transfers, stall)
        assert received == [[*transfers, b""]] * 3
        assert not failed


@pytest.mark.slow
@ONE_SOON
def test_a_transfer_that_ends_within_a_frame_is_filled_up_and_remembered(dialect):
    blobs = frames(6, U8, 10)
    cut = blobs[2][:6]
    transfers = [b"".join(blobs[:2]) + cut, blobs[3], blobs[4] + blobs[5]]
    for stall in (None, 1):
        (received,), failed = drive(host(dialect, lanes=2, beats=5), transfers, stall)
        assert received == [blobs[0] + blobs[1] + cut + bytes(4), *transfers[1:], b""]
        assert failed


@pytest.mark.slow
def test_a_transfer_that_ends_within_a_beat_is_filled_up_and_remembered():
    blobs = frames(3, U8, 6)
    (received,), failed = drive(host(lanes=3, beats=2), [blobs[0][:4], blobs[1] + blobs[2]])
    assert received == [blobs[0][:4] + bytes(2), blobs[1] + blobs[2], b""]
    assert failed
    (received,), failed = drive(host(lanes=3, beats=2), [blobs[0][:5], blobs[1]])
    assert received == [blobs[0][:5] + bytes(1), blobs[1], b""]
    assert failed


@pytest.mark.slow
def test_results_that_are_complete_before_their_frame_do_not_block_it():
    blobs = frames(7, U8, 30)
    transfers = [b"".join(blobs[:4]), b"".join(blobs[4:])]
    for stall in (None, 1):
        (received,), failed = drive(host(beats=30, given=3, in_flight=2), transfers, stall)
        assert received == [b"".join(blob[:3] for blob in blobs[:4]), b"".join(blob[:3] for blob in blobs[4:]), b""]
        assert not failed


def test_words_are_as_wide_as_the_rate_asks_for():
    assert host_width(784, 3165, 16) == 4
    assert host_width(784, 196, 16) == 4
    assert host_width(784, 195, 16) == 8
    assert host_width(784, 97, 16) == 16
    assert host_width(784, 1, 16) == 16


@DIALECTS
@pytest.mark.parametrize("name", ["two", pytest.param("tiny", marks=pytest.mark.slow)])
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
def test_the_test_bench_passes_and_finds_faults(tmp_path, dialect, name):
    given = facts(name)
    top, module = given.host(dialect), f"{name}_{dialect.suffix}"
    texts = {**given.made.verilog.files(name), f"{module}.v": export(top, module).text, **bench_files(given, top)}
    for file, text in texts.items():
        (tmp_path / file).write_text(text)

    def run(*plusargs):
        sources = [f"{module}_tb.v", f"{module}.v", f"{name}.v"]
        compiled = subprocess.run(
            ["iverilog", "-g2005", "-Wall", "-o", "tb.vvp", *sources], cwd=tmp_path, capture_output=True, text=True
        )
        assert (compiled.returncode, compiled.stdout + compiled.stderr) == (0, "")
        done = subprocess.run(["vvp", "tb.vvp", *plusargs], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done.stdout.strip().splitlines()

    for plusargs in ((), ("+stall=1",), ("+stall=2",)):
        assert run(*plusargs)[-1].startswith(f"PASS {module}: 3 frames in two transfers")
    vectors = tmp_path / f"{module}_{top.results[0].name}.hex"
    good = vectors.read_text()
    vectors.write_text(f"{int(good.splitlines()[0], 16) ^ 1:x}\n" + good.partition("\n")[2])
    assert run()[0].startswith(f"{top.results[0].name}: word 0, cycle")
    assert run()[-1].startswith(f"FAIL {module}: 1 errors")


@pytest.mark.slow
@DIALECTS
@pytest.mark.skipif(shutil.which("verilator") is None, reason="verilator is not installed")
@pytest.mark.parametrize("name", ["two", "loadable"])
def test_verilator_has_nothing_to_say(tmp_path, dialect, name):
    given = facts(name)
    module = f"{name}_{dialect.suffix}"
    (tmp_path / f"{name}.v").write_text(given.made.verilog.text)
    (tmp_path / f"{module}.v").write_text(export(given.host(dialect), module).text)
    done = subprocess.run(
        ["verilator", "--lint-only", "-Wall", "--top-module", module, f"{module}.v", f"{name}.v"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
