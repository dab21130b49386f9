"""`run` against a simulated board behind a pseudo-terminal: the real command, the real serial port, the real host."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

import hwgen
from hwgen.graph.errors import InputError
from hwgen.link import serial_line
from hwgen.link.host import LinkError
from hwgen.link.identity import identity
from hwgen.link.serial_line import RateError, SerialLine
from hwgen.tools.verilator import QUICK
from tests.link.simulated import running, simulated_board

from .. import tiny
from .test_bad_line import BUFFERS, CYCLES

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
tty = pytest.importorskip("tty", reason="needs pseudo-terminals")
serial = pytest.importorskip("serial", reason="needs pyserial")
SECONDS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the model, a build of it and frames."""
    place = tmp_path_factory.mktemp("run")
    tiny.save(place / "tiny.onnx")
    hwgen.compile(place / "tiny.onnx", calibration=tiny.frames(), multipliers=8).write(place / "build" / "tiny")
    np.save(place / "frames.npy", tiny.frames(5))
    return place


@pytest.fixture(scope="module")
def built(folder):
    """The build as a design, and a board with it."""
    design = hwgen.compile(folder / "build" / "tiny" / "tiny_qdq.onnx", multipliers=8)
    return design, simulated_board(design, BUFFERS, CYCLES, QUICK)


@pytest.fixture
def terminal():
    """Both ends of a pseudo-terminal: a file descriptor, and the name of the port."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    fcntl.fcntl(master, fcntl.F_SETFL, fcntl.fcntl(master, fcntl.F_GETFL) | os.O_NONBLOCK)
    yield master, os.ttyname(slave)
    os.close(master)
    os.close(slave)


def command(folder, *arguments):
    """`run` with ``arguments``, begun."""
    line = [sys.executable, "-m", "hwgen", "run", *map(str, arguments), "--quiet"]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def serve(hardware, master, process):
    """Bytes between the terminal and ``hardware`` until ``process`` ends; its status and what it said."""
    end = time.monotonic() + SECONDS
    with running(hardware) as run:
        while process.poll() is None and time.monotonic() < end:
            try:
                run.give("i", np.frombuffer(os.read(master, 4096), np.uint8)[:, None])
            except BlockingIOError:
                time.sleep(0.001)
            run.run(4096)
            if len(got := run.take("o")):
                os.write(master, got[:, 0].tobytes())
    if process.poll() is None:
        process.kill()
    out, err = process.communicate()
    return process.returncode, out, err


class Answers:
    """A line on which a board answers at ``rate`` only; ports that cannot do the ``unknown`` rate."""

    def __init__(self, rate, unknown=None):
        self.rate, self.unknown, self.tried = rate, unknown, []

    def line(self, name, rate):
        if rate == self.unknown:
            raise RateError("cannot")
        self.tried.append(rate)
        return contextlib.nullcontext(rate)

    def session(self, line, greetings):
        if line != self.rate:
            raise LinkError("no board answers")
        return line


@pytest.mark.parametrize("unknown", [None, 12])
def test_the_rate_is_the_one_at_which_the_board_answers(monkeypatch, unknown):
    board = Answers(6, unknown)
    monkeypatch.setattr(serial_line, "SerialLine", board.line)
    monkeypatch.setattr(serial_line, "Session", lambda line, greetings: board.session(line.enter_result, greetings))
    with serial_line.open_session("port", [12, 6, 3]) as session:
        assert session == 6
    assert board.tried == [12, 6][unknown is not None :]
    board.rate = 1
    with pytest.raises(LinkError), serial_line.open_session("port", [6, 3]):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False], ids=["folder named", "folder found"])
def test_frames_come_back_from_the_board(folder, built, terminal, named):
    (master, port), (design, hardware) = terminal, built
    build = folder / "build" / "tiny"
    model = [build] if named else []
    if not named:
        mark_as_built(build, design)
    process = command(folder, *model, "--board", "ulx3s", "--port", port, "--input", "frames.npy", "--save", "o.npz")
    status, out, err = serve(hardware, master, process)
    assert (status, err) == (0, "")
    assert "The board equals golden in all 15 integers." in out
    expected = design.simulate(tiny.frames(5))
    with np.load(folder / "o.npz") as saved:
        np.testing.assert_array_equal(saved["integers"], expected.integers)
        np.testing.assert_array_equal(saved["classes"], expected.classes)


def mark_as_built(build, design):
    """Have the report say what a build with a bitstream says."""
    file = build / "report.json"
    said = json.loads(file.read_text())
    said["board"] = {"design": identity(design.plan).hex()}
    file.write_text(json.dumps(said))


@pytest.fixture(scope="module")
def loadable(folder):
    """A board with a build whose weights are loaded, and a model for it with other weights."""
    build = folder / "build" / "loadable"
    settings = {"calibration": tiny.frames(), "multipliers": 8, "weights": "loadable"}
    design = hwgen.compile(folder / "tiny.onnx", **settings)
    design.write(build)
    mark_as_built(build, design)
    tiny.save(folder / "other.onnx", weight=np.random.default_rng(3).normal(size=(4, 1, 3, 3)).astype(np.float32))
    np.save(folder / "calibration.npy", tiny.frames())
    return simulated_board(design, BUFFERS, CYCLES, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "loads"),
    [
        (["other.onnx", "--calibration", "calibration.npy"], True),
        (["other.onnx", "--calibration", "calibration.npy", "--for", "build/loadable"], True),
        (["build/loadable"], False),
        ([], False),
    ],
    ids=["found", "named", "as built", "nothing named"],
)
def test_weights_are_loaded_where_the_board_has_others(folder, loadable, terminal, model, loads):
    master, port = terminal
    process = command(folder, *model, "--board", "ulx3s", "--port", port, "--input", "frames.npy")
    status, out, err = serve(loadable, master, process)
    assert (status, err) == (0, "")
    assert out.startswith("Loaded 346 bytes of weights.\n") == loads
    assert "The board equals golden in all 15 integers." in out


@pytest.mark.slow
def test_a_folder_with_fixed_weights_is_one_line(folder, loadable, terminal):
    master, port = terminal
    model = ["tiny.onnx", "--for", "build/tiny", "--calibration", "calibration.npy"]
    process = command(folder, *model, "--board", "ulx3s", "--port", port, "--input", "frames.npy")
    status, out, err = serve(loadable, master, process)
    assert (status, out) == (2, "")
    assert err == "error: the hardware in 'build/tiny' has fixed weights; build it with --weights loadable\n"


@pytest.mark.slow
def test_another_design_on_the_board_is_one_line(folder, terminal, tmp_path):
    master, port = terminal
    other = tiny.save(tmp_path / "other.onnx", weight=np.ones((4, 1, 3, 3), np.float32))
    design = hwgen.compile(other, calibration=tiny.frames(), multipliers=8)
    hardware = simulated_board(design, BUFFERS, CYCLES, QUICK)
    process = command(folder, "build/tiny", "--board", "ulx3s", "--port", port, "--input", "frames.npy")
    status, out, err = serve(hardware, master, process)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith(f"error: the board at {port} holds another design (")


def failed(folder, *arguments):
    """What `run` says on stderr when it fails with status 2."""
    process = command(folder, "build/tiny", "--input", "frames.npy", *arguments)
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (2, "")
    return err


@pytest.mark.slow
def test_no_such_board(folder):
    err = failed(folder, "--board", "ulx3", "--port", "/dev/null")
    assert err.startswith("error: board 'ulx3' is not known; did you mean ulx3s")
    assert err.count("\n") == 1


def test_no_such_port():
    with pytest.raises(InputError, match=r"there is no port '/dev/ttyNone': there (is|are) "):
        SerialLine("/dev/ttyNone", 115_200)


def test_a_port_in_use(terminal):
    with (
        SerialLine(terminal[1], 115_200),
        pytest.raises(InputError, match="is used by another program: close that one"),
    ):
        SerialLine(terminal[1], 115_200)


def test_what_is_no_port(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="is no serial port: give the one of the board"):
        SerialLine(str(file), 115_200)


@pytest.mark.slow
def test_a_board_that_is_silent(folder, terminal):
    err = failed(folder, "--board", "ulx3s", "--port", terminal[1])
    assert err.startswith(
        f"error: no board answers at {terminal[1]}: load a bitstream made by `build --bitstream` first"
    )
    assert err.count("\n") == 1


def test_a_cable_that_is_pulled(terminal):
    port = terminal[1]
    line = SerialLine(port, 115_200)
    line._port.close()
    with pytest.raises(LinkError, match=f"the port {port} failed: .*; check the cable, and try again"):
        line.write(b"x")


def test_pyserial_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(InputError, match="a board needs pyserial, which is not installed: pip install pyserial"):
        SerialLine("/dev/null", 115_200)
