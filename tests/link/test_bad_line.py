"""The real host code and the simulated hardware, over lines that lose, add and change bytes."""

import numpy as np
import pytest

import hwgen
from hwgen.graph import golden
from hwgen.link.capacity import frame_bytes
from hwgen.link.endpoint import Buffers
from hwgen.link.host import LinkError, Session
from hwgen.link.identity import fingerprint
from hwgen.link.runner import Runner
from hwgen.tools.verilator import QUICK
from hwgen.top.tdata import tdata_rows
from tests.link.simulated import Noisy, SimulatedLine, running, simulated_board

from .. import tiny

FRAMES = 1000
BUFFERS, CYCLES = Buffers(1024, 256), 4  # cycles of the clock for each byte
GIVE_UP = 0.002  # seconds of the simulated board


@pytest.fixture(scope="module")
def design(tmp_path_factory):
    model = tiny.save(tmp_path_factory.mktemp("model") / "tiny.onnx")
    return hwgen.compile(model, calibration=tiny.frames(), multipliers=8)


@pytest.fixture(scope="module")
def hardware(design):
    return simulated_board(design, BUFFERS, CYCLES, QUICK)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).random((FRAMES, 1, 8, 8), np.float32)


def line(running):
    return SimulatedLine(running, cycles=CYCLES)


@pytest.mark.slow
def test_a_thousand_frames_with_a_hundredth_of_all_bytes_corrupted(design, hardware, frames):
    with running(hardware) as run:
        noisy = Noisy(line(run), 0.01, seed=3)
        result = Runner(design.network, noisy, Session(noisy, give_up=GIVE_UP)).simulate(frames)
    expected = golden.run(design.network, golden.network_input(design.network, frames))
    name = design.network.output.name
    np.testing.assert_array_equal(result.streams[name], expected[name])
    assert result.equal
    assert len(result.classes) == FRAMES
    assert 0.008 < noisy.corrupted / noisy.bytes < 0.012
    assert noisy.bytes > 1 << 16  # positions went round


@pytest.mark.slow
def test_on_a_good_line_nothing_is_sent_twice(design, hardware, frames):
    with running(hardware) as run:
        session = Session(line(run), give_up=GIVE_UP)
        Runner(design.network, None, session).simulate(frames[:50])
        again = Runner(design.network, None, session).simulate(frames[:50])
    assert again.equal
    assert (session.counts.again, session.counts.backs, session.counts.silences) == (0, 0, 0)
    data, packet = 100 * frame_bytes(design.component)[0], 255
    assert session.counts.packets < 3 * data / packet + 100  # the window cuts some of them


def test_a_session_begins_anew_wherever_the_last_one_stopped(design, hardware, frames):
    data = tdata_rows(golden.network_input(design.network, frames[:3]), design.network.input.map.type).tobytes()
    with running(hardware) as run:
        for stop in (1, 40, 64, 100, 190):
            Session(line(run), give_up=GIVE_UP).run(data[:stop], 0)
            assert Runner(design.network, None, Session(line(run), give_up=GIVE_UP)).simulate(frames[:2]).equal


def test_garbage_in_front_and_between_is_stepped_over(design, hardware, frames):
    garbage = np.random.default_rng(5).integers(256, size=700, dtype=np.uint8).tobytes()
    with running(hardware) as run:
        link = line(run)
        link.write(garbage)
        session = Session(link, give_up=GIVE_UP)
        runner = Runner(design.network, link, session)
        assert runner.simulate(frames[:3]).equal
        link.write(garbage)
        assert runner.simulate(frames[3:6]).equal


def test_another_design_is_refused_in_one_line(hardware, tmp_path):
    other = tiny.save(tmp_path / "other.onnx", weight=np.ones((4, 1, 3, 3), np.float32))
    network = hwgen.compile(other, calibration=tiny.frames(), multipliers=8).network
    with running(hardware) as run, pytest.raises(LinkError, match="the simulation holds another design") as error:
        Runner(network, None, Session(line(run), give_up=GIVE_UP))
    assert len(error.value.problems) == 1
    assert "load this model's bitstream" in error.value.problems[0]


class Dead:
    """``line`` until so many bytes were written, then nothing."""

    def __init__(self, line, alive):
        self.line, self.alive = line, alive
        self.name, self.byte, self.patience = line.name, line.byte, line.patience

    def now(self):
        return self.line.now()

    def write(self, data):
        self.alive -= len(data)
        if self.alive > 0:
            self.line.write(data)

    def read(self, wait):
        got = self.line.read(wait)
        return got if self.alive > 0 else b""


@pytest.mark.parametrize(("alive", "said"), [(0, "no board answers at"), (300, "has stopped answering after")])
def test_a_board_that_does_not_answer_is_given_up(design, hardware, frames, alive, said):
    def ask(link):
        Runner(design.network, link, Session(link, give_up=GIVE_UP)).simulate(frames[:20])

    with running(hardware) as run, pytest.raises(LinkError, match=said):
        ask(Dead(line(run), alive))


@pytest.mark.slow
def test_the_same_model_in_another_file_and_another_size_is_the_same_design(design, tmp_path):
    design.write(tmp_path / "build")
    again = hwgen.compile(tmp_path / "build" / f"{design.name}_qdq.onnx", multipliers=3)
    assert again.plan.multipliers < design.plan.multipliers
    assert fingerprint(again.network) == fingerprint(design.network)
