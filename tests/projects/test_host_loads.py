"""Weights through the top for hosts: load, infer, load others, infer; what is wrong with a transfer, and after it."""

from functools import cache

import numpy as np
import pytest

from hwgen.axi import AxiPort
from hwgen.flow import axi_top
from hwgen.graph import golden
from hwgen.projects.header import FRAMES, WEIGHTS, headed
from hwgen.projects.host import HostTop, frame_blob
from hwgen.testing import random_frames

from ..dataflow import nets
from ..test_loading import built, tabled
from .test_host import DIALECTS, drive

LIMITS = {"idle": 2000, "limit": 60_000}


@cache
def hardware(make=tabled):
    """Plans of two networks in the same hardware, and its core."""
    _, plan, other = built(make, 30)
    return (plan, other), axi_top(plan)


def host(dialect, make=tabled, width=4, results=4):
    top = axi_top(hardware(make)[0][0])
    return HostTop(top, top, dialect, [width] + [results] * len(top.results), 4)


def image(make=tabled, n=0):
    """The load of a network: whole beats."""
    plans, top = hardware(make)
    load = plans[n].load_image()
    return load + bytes(-len(load) % top.loads.beat_bytes)


def frames(count, make=tabled, seed=0):
    return random_frames(hardware(make)[0][0].network.input.map, count, seed)


def sent(values, make=tabled):
    """Frames as they lie in memory."""
    return frame_blob(values, hardware(make)[1].source)


def answers(values, make=tabled, n=0):
    """What network ``n`` makes of them, for each output."""
    plans, top = hardware(make)
    network = plans[n].network
    found = golden.run(network, values, [stream.name for stream in network.results])
    return [frame_blob(found[s.name], port) for s, port in zip(network.results, top.results, strict=True)]


def two_results():
    """A map of one more result, so that not all frames leave at one place."""
    map_ = nets.FeatureMap(6, 6, 3, nets.U8)
    first = nets.conv(map_, nets.Window((3, 3)), 4)
    return nets.chain(first, nets.conv(first.output, nets.Window((2, 2)), 2, seed=1))


@DIALECTS
@pytest.mark.parametrize("make", [tabled, nets.separable], ids=lambda make: make.__name__)
@pytest.mark.parametrize(("width", "stall"), [(4, None), (4, 1), (8, 2), (16, None)])
def test_load_infer_load_infer(dialect, make, width, stall):
    """The hardware begins with network 0. Loads go out of the way of frames as they come, and the other way round."""
    top, values = host(dialect, make, width), [frames(count, make, count) for count in (2, 3, 1, 2)]
    transfers, wanted = [], []
    for n, x in zip((0, 1, 0, 1), values, strict=True):
        if transfers:
            transfers.append(top.of_weights(image(make, n)))
        transfers += [top.of_frames(sent(x[:1], make)), *([top.of_frames(sent(x[1:], make))] if len(x) > 1 else [])]
        wanted += [answers(part, make, n)[0] for part in (x[:1], x[1:]) if len(part)]
    (received,), failed = drive(top, transfers, stall, **LIMITS)
    assert received == [*wanted, b""]
    assert not failed
    assert answers(values[1], make, 0) != answers(values[1], make, 1)


def bad_transfers():
    load, x = image(n=1), sent(frames(1))
    return {
        "short load": headed(WEIGHTS, load[:-100], 4),
        "long load": headed(WEIGHTS, load + bytes(50), 4),
        "load that ends within a beat": headed(WEIGHTS, load[:-1], 4),
        "empty load": headed(WEIGHTS, b"", 4),
        "no frames": headed(FRAMES, b"", 4),
        "unknown": headed(b"lead", x, 4),
        "frames without a first word": x,
        "one unknown word": b"lead",
    }


@DIALECTS
@pytest.mark.parametrize("name", bad_transfers())
@pytest.mark.parametrize("stall", [None, 3])
def test_a_bad_transfer_is_remembered_and_does_no_harm_to_later_ones(dialect, name, stall):
    top, x = host(dialect), frames(4)
    transfers = [
        top.of_frames(sent(x[:2])),
        bad_transfers()[name],
        top.of_weights(image(n=1)),
        top.of_frames(sent(x[2:])),
        top.of_weights(image(n=0)),
        top.of_frames(sent(x)),
    ]
    (received,), failed = drive(top, transfers, stall, **LIMITS)
    assert received == [*answers(x[:2]), *answers(x[2:], n=1), *answers(x), b""]
    assert failed


@pytest.mark.parametrize("name", ["empty load", "no frames", "unknown", "one unknown word"])
def test_what_loads_nothing_changes_no_weights(name):
    top, x = host(DIALECTS.args[1][0]), frames(2)
    (received,), failed = drive(top, [bad_transfers()[name], top.of_frames(sent(x))], **LIMITS)
    assert received == [*answers(x), b""]
    assert failed


@DIALECTS
def test_a_load_behind_a_frame_that_was_cut_off(dialect):
    top, x = host(dialect), frames(3)
    x[1].reshape(-1)[20:] = 0
    blob = sent(x)
    size = len(blob) // 3
    transfers = [top.of_frames(blob[: size + 20]), top.of_weights(image(n=1)), top.of_frames(blob[2 * size :])]
    for stall in (None, 1):
        (received,), failed = drive(host(dialect), transfers, stall, **LIMITS)
        assert received == [*answers(x[:2]), *answers(x[2:], n=1), b""]
        assert failed


def test_frames_alone_are_as_they_were():
    """A word before each transfer is all that is added."""
    top = host(DIALECTS.args[1][0], width=8)
    assert top.of_frames(b"abc") == b"data\0\0\0\0abc"
    assert AxiPort(nets.U8, 1, 1) and np.frombuffer(top.of_weights(b""), "<u8") == int.from_bytes(b"load", "little")
