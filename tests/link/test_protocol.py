"""Packets survive the line or are dropped; what is read is what was written."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen.link.protocol import (
    BOARD_HEADER,
    ESCAPE,
    FLAG,
    HOST_HEADER,
    MOST_DOWN,
    Hello,
    Kind,
    Packet,
    Reader,
    ahead,
    on_line,
)

POSITIONS = st.integers(0, 0xFFFF)


@st.composite
def packets(draw, header=BOARD_HEADER):
    limit = draw(POSITIONS) if header == BOARD_HEADER else None
    kind, round_ = draw(st.sampled_from(Kind)), draw(st.integers(0, 15))
    data = draw(st.binary(max_size=MOST_DOWN))
    return Packet(kind, round_, draw(POSITIONS), draw(POSITIONS), limit, data, draw(st.booleans()))


@pytest.mark.parametrize("header", [HOST_HEADER, BOARD_HEADER])
@settings(max_examples=60)
@given(data=st.data())
def test_packets_are_read_as_they_were_written(header, data):
    sent = data.draw(st.lists(packets(header), max_size=4))
    line = b"".join(map(on_line, sent))
    cut = data.draw(st.integers(0, len(line)))
    reader = Reader(header)
    assert [*reader.feed(line[:cut]), *reader.feed(line[cut:])] == sent


@settings(max_examples=60)
@given(packet=packets(), garbage=st.binary(max_size=400))
def test_a_packet_is_found_after_any_garbage(packet, garbage):
    reader = Reader()
    list(reader.feed(garbage))
    assert list(reader.feed(on_line(packet)))[-1:] == [packet]


@settings(max_examples=100)
@given(packet=packets(), data=st.data())
def test_no_changed_packet_is_taken(packet, data):
    line = bytearray(on_line(packet))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(1, len(line) - 1))
        line[at] ^= data.draw(st.integers(1, 255))
    assert all(read == packet for read in Reader().feed(bytes(line)))


def test_a_flag_never_lies_inside_a_packet():
    data = bytes((FLAG, ESCAPE, FLAG ^ 0x20, ESCAPE ^ 0x20) * 16)
    line = on_line(Packet(Kind.DATA, 0, FLAG, ESCAPE, data=data))
    assert line.count(FLAG) == 1
    assert next(iter(Reader(HOST_HEADER).feed(line))).data == data


def test_a_kind_that_does_not_exist_is_dropped_though_its_crc_is_right():
    body = bytes((7, 0, 0, 0, 0, 0, 0, 0))
    line = bytes((FLAG,)) + body + zlib.crc32(body).to_bytes(4, "little")
    assert ESCAPE not in line[1:]
    assert FLAG not in line[1:]
    assert list(Reader().feed(line)) == []


def test_positions_are_compared_around_their_end():
    ends = np.array([0, 1, 0x7FFF, 0xFFFF, 0x10005])
    assert [ahead(int(end) + 3, int(end)) for end in ends] == [3] * len(ends)
    assert [ahead(int(end) - 3, int(end)) for end in ends] == [-3] * len(ends)


def test_a_greeting_is_read_as_it_was_packed():
    hello = Hello(0x1234, b"designed")
    assert len(hello.packed()) == Hello.SIZE
    assert Hello.read(hello.packed()) == hello
