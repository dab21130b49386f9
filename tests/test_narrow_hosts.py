"""Hosts give hardware no integer that the model does not know: frames beyond a narrow input, on every way in.

The drivers for PYNQ and C are in ``tests/projects``.
"""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from hwgen.graph import golden
from hwgen.link.identity import fingerprint
from hwgen.link.runner import Runner
from hwgen.top.tdata import tdata_rows
from tests.projects.common import design, random_frames


@cache
def frames():
    return random_frames(4, "narrow")


def integers():
    """What the model makes of the frames: division, half to even, and no further than 7."""
    return np.clip(np.rint(frames() / np.float32(0.03)), -7, 7).transpose(0, 2, 3, 1)


class Board:
    """A session with a board that answers with the golden model, and keeps what it was given."""

    def __init__(self, network):
        self.network = network
        self.hello = SimpleNamespace(held=b"")

    def require(self, wanted):
        assert wanted == fingerprint(self.network)

    def run(self, data, expected, progress):
        self.data = data
        values = np.frombuffer(data, np.int8).reshape(-1, *self.network.input.map.shape)
        return tdata_rows(golden.output(self.network, values), self.network.output.map.type).tobytes()


def test_frames_over_the_link():
    network = design("narrow").network
    board = Board(network)
    assert Runner(network, None, board).simulate(frames()).equal
    assert board.data == integers().astype(np.int8).tobytes()


def test_vectors_of_the_test_bench():
    given = replace(design("narrow"), samples=frames())
    source = given.component.source
    words = [int(word, 16) for word in given.files()["input.hex"].split()]
    size = source.bits // source.lanes
    elements = np.array([word >> (size * lane) & 0xF for word in words for lane in range(source.lanes)])
    assert np.array_equal(elements, integers().reshape(-1).astype(int) & 0xF)


@pytest.mark.slow
def test_hardware_takes_frames_beyond_the_range():
    result = design("narrow").simulate(frames(), "amaranth")
    assert result.equal
    assert np.array_equal(result.tensors["image"], integers())
