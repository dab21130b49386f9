"""The hardware of the protocol, a packet at a time."""

import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hwgen.link.endpoint import Buffers, Endpoint
from hwgen.link.protocol import HOST_HEADER, MOST_UP, Hello, Kind, Packet, Reader, on_line

DESIGN = b"\x7e\x7d345678"


class Echo(wiring.Component):
    """An endpoint whose accelerator gives back what it gets, in frames of ``frame`` bytes, while ``go``."""

    def __init__(self, buffers, frame):
        self.buffers, self.frame = buffers, frame
        super().__init__(
            {"data": In(8), "valid": In(1), "go": In(1, init=1), "line": Out(stream.Signature(8)), "reset": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.endpoint = endpoint = Endpoint(self.buffers, DESIGN)
        count = m.submodules.count = _Count(self.frame)
        wiring.connect(m, endpoint.line, wiring.flipped(self.line))
        m.d.comb += [
            endpoint.data.eq(self.data),
            endpoint.valid.eq(self.valid),
            endpoint.up.payload.eq(endpoint.down.payload),
            endpoint.up.valid.eq(endpoint.down.valid & self.go),
            endpoint.down.ready.eq(endpoint.up.ready & self.go),
            count.step.eq(endpoint.up.valid & endpoint.up.ready),
            count.clear.eq(endpoint.reset),
            endpoint.last.eq(count.last),
            self.reset.eq(endpoint.reset),
        ]
        return m


class _Count(wiring.Component):
    def __init__(self, frame):
        self.frame = frame
        super().__init__({"step": In(1), "clear": In(1), "last": Out(1)})

    def elaborate(self, platform):
        m = Module()
        index = Signal(range(self.frame))
        m.d.comb += self.last.eq(index == self.frame - 1)
        with m.If(self.step):
            m.d.sync += index.eq(Mux(self.last, 0, index + 1))
        with m.If(self.clear):
            m.d.sync += index.eq(0)
        return m


def talk(steps, buffers=None, frame=4, pause=0):
    """The packets that come back for ``steps``: packets, raw bytes, cycles to wait, or whether the accelerator works.

    Bytes are given every ``pause`` + 1 cycles.
    """
    buffers = buffers or Buffers(64, 64)
    echo, got, reader = Echo(buffers, frame), [], Reader()

    async def send(ctx):
        ctx.set(echo.line.ready, 1)
        await ctx.tick().repeat(20)
        for step in steps:
            if isinstance(step, bool):
                ctx.set(echo.go, step)
            elif isinstance(step, int):
                await ctx.tick().repeat(step)
            else:
                for byte in on_line(step) if isinstance(step, Packet) else step:
                    ctx.set(echo.data, byte)
                    ctx.set(echo.valid, 1)
                    await ctx.tick()
                    ctx.set(echo.valid, 0)
                    if pause:
                        await ctx.tick().repeat(pause)
        await ctx.tick().repeat(400)

    async def receive(ctx):
        async for _, reset, valid, byte in ctx.tick().sample(echo.line.valid, echo.line.payload):
            if valid and not reset:
                got.extend(reader.feed(bytes((byte,))))

    simulator = Simulator(echo)
    simulator.add_clock(1e-8)
    simulator.add_testbench(send)
    simulator.add_testbench(receive, background=True)
    simulator.run()
    return got


def data(position, content, taken=0, round_=0):
    return Packet(Kind.DATA, round_, position, taken, data=content)


def stream_of(packets):
    """What the host gets of ``packets``, taking them in order as it does."""
    got = b""
    for packet in packets:
        if packet.kind == Kind.DATA and packet.position == len(got):
            got += packet.data
    return got


def test_a_reset_is_answered_with_the_number_the_design_and_the_room():
    (hello,) = talk([Packet(Kind.RESET, 0, 0xBEEF, 0), 200])
    assert hello.kind == Kind.HELLO
    assert Hello.read(hello.data) == Hello(0xBEEF, DESIGN)
    assert (hello.position, hello.taken, hello.limit) == (0, 0, 64)


@pytest.mark.slow
def test_data_passes_and_is_acknowledged():
    for pause in (0, 1, 7):
        got = talk([data(0, b"abcd", round_=5), 200, data(4, b"efgh", 4, 5), 200], pause=pause)
        assert stream_of(got) == b"abcdefgh"
        assert got[-1].taken == 8
        assert {(packet.round, packet.rejected) for packet in got} == {(5, False)}


def test_the_longest_packet_and_every_byte_pass():
    content = bytes(range(255))
    got = talk([data(0, content), 3000], Buffers(256, 512), frame=255)
    assert stream_of(got) == content
    assert max(len(packet.data) for packet in got) == MOST_UP


def test_a_packet_that_does_not_begin_where_the_last_ended_is_refused_and_said_so():
    got = talk([data(0, b"abcd"), 200, data(0, b"abcd", 0, 1), 200, data(8, b"ijkl", 0, 2), 200, data(4, b"efgh"), 300])
    assert stream_of(got) == b"abcdefgh"
    refused = [(packet.round, packet.taken) for packet in got if packet.rejected]
    assert set(refused) == {(1, 4), (2, 4)}


def test_what_does_not_fit_is_refused_and_destroys_nothing():
    held = bytes(range(60))
    got = talk([False, data(0, held), 100, data(60, b"too long"), 100, True, 2000], frame=60)
    assert got[1].rejected
    assert (got[1].taken, got[1].limit) == (60, 65)  # a byte waits outside the buffer, in its register
    assert stream_of(got) == held


def test_damaged_packets_leave_no_trace():
    good, steps = on_line(data(0, b"abcd")), []
    for at in range(1, len(good)):
        steps += [good[:at] + bytes((good[at] ^ 0x11,)) + good[at + 1 :], good[:at]]
    got = talk([*steps, good, 200])
    assert stream_of(got) == b"abcd"
    assert {packet.taken for packet in got} == {4}


def test_results_are_sent_again_when_asked_for_and_kept_until_taken():
    again = Packet(Kind.RESEND, 3, 0, 0)
    got = talk(
        [data(0, b"abcdefgh"), 300, again, 300, Packet(Kind.RESEND, 4, 0, 4), 300, Packet(Kind.POLL, 4, 0, 8), 200]
    )
    assert [(p.position, p.data) for p in got if p.data][-2:] == [(0, b"abcdefgh"), (4, b"efgh")]
    assert got[-1].data == b""


def test_a_full_buffer_of_results_holds_the_accelerator_back_until_the_host_takes_some():
    content = bytes(range(128))
    first = [data(0, content[:64]), 900, data(64, content[64:]), 900]
    got = talk([*first, Packet(Kind.POLL, 0, 0, 64), 900, Packet(Kind.POLL, 0, 0, 128), 200], frame=64)
    held = [packet for packet in got if packet.taken == 128 and packet.limit < 192]
    assert held
    assert stream_of(got) == content


def test_room_that_becomes_free_is_told_without_being_asked():
    got = talk([False, data(0, bytes(64)), 300, True, 1500], frame=64)
    assert next(packet.limit for packet in got if not packet.data) == 65
    assert got[-1].limit == 128


def test_a_reset_begins_both_streams_anew():
    old = [data(0, b"abcdef"), 300]
    got = talk([*old, Packet(Kind.RESET, 0, 7, 0), 300, data(0, b"ghij"), 300])
    hello = next(n for n, packet in enumerate(got) if packet.kind == Kind.HELLO)
    assert stream_of(got[hello + 1 :]) == b"ghij"


def test_the_header_is_what_both_sides_think():
    assert len(Packet(Kind.DATA, 0, 0, 0).packed()) == HOST_HEADER
