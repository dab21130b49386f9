"""Ctrl-C: one line and status 130; nothing runs on and nothing is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hwgen.cli.main import cli
from hwgen.tools.process import deaf, run_tool, threads
from tests import tiny
from tests.shared import ROOT

OPTIONS = ["tiny.onnx", "--multipliers", "10", "--calibration", "frames.npy"]
#: Commands, and the step in which they are interrupted.
STEPS = {
    "reading": (["check", *OPTIONS[:1]], "reading the model"),
    "quantising": (["explore", *OPTIONS[:1], "--picture", "new/a.svg"], "quantising"),
    "writing": (["build", *OPTIONS, "--output", "new/tiny"], "writing Verilog"),
    "checking": (["build", *OPTIONS, "--output", "new/tiny"], "checking RTL against golden"),
    "synthesising": (["fit", *OPTIONS, "--synth", "--jobs", "2"], "synthesising"),
    "compiling": (
        ["simulate", *OPTIONS, "--input", "many.npy", "--engine", "compiled", "--trace", "new/a.vcd"],
        "simulating",
    ),
    "in parts": (["simulate", *OPTIONS, "--input", "many.npy", "--engine", "amaranth", "--jobs", "2"], "simulating"),
}
SOON = ("writing", "in parts")  # with a tool that runs, and with processes of our own


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no groups of processes on this system")
@pytest.mark.parametrize(
    "moment", [pytest.param(moment, marks=[] if moment in SOON else [pytest.mark.slow]) for moment in STEPS]
)
def test_ctrl_c_at_a_terminal_ends_every_command_with_one_line(moment, tmp_path):
    """It goes to the command and to all that it has started, as from a terminal."""
    work, temporary, cache = (tmp_path / name for name in ("work", "temporary", "cache"))
    for folder in (work, temporary):
        folder.mkdir()
    tiny.save(work / "tiny.onnx")
    np.save(work / "frames.npy", tiny.frames())
    np.save(work / "many.npy", tiny.frames(2000))
    before = sorted(work.rglob("*"))
    arguments, step = STEPS[moment]
    process = subprocess.Popen(
        [sys.executable, "-m", "hwgen", *arguments],
        cwd=work,
        env={**os.environ, "TMPDIR": str(temporary), "HWGEN_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        while not process.stderr.readline().startswith(step):
            assert process.poll() is None
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        try:
            printed, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors
    assert printed == ""
    assert sorted(work.rglob("*")) == before
    assert list(temporary.iterdir()) == []
    assert [path for path in cache.rglob("*") if path.name.startswith(("tmp", "hwgen_"))] == []


def test_an_error_that_was_made_of_ctrl_c_is_ctrl_c(monkeypatch):
    """Python says RuntimeError where a class was being made when it came."""

    def interrupted(*arguments):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("Error calling __set_name__") from error

    monkeypatch.setattr("hwgen.cli.preflight.preflight", interrupted)
    result = CliRunner().invoke(cli, ["check", "tiny.onnx"])
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_ctrl_c_in_code_made_of_text_is_no_death_by_signal(tmp_path):
    code = (
        "import hwgen.cli.main as cli, hwgen.__main__ as program\n"
        "cli.cli.main = lambda **given: exec('raise KeyboardInterrupt')\n"
        "program.main()\n"
    )
    (tmp_path / "interrupted_here.py").write_text(code)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-m", "interrupted_here"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("told", "status"), [("raise KeyboardInterrupt", 130), ("sys.exit(128 + signal.SIGTERM)", 128 + signal.SIGTERM)]
)
def test_being_told_to_stop_while_python_calls_back_is_not_lost(told, status, tmp_path):
    """What a callback raises Python only ignores, as it happened once in an import's lock."""
    code = (
        "import signal, sys, time, weakref, hwgen.cli.main as cli, hwgen.__main__ as program\n"
        "class Lock: pass\n"
        f"def gone(reference): {told}\n"
        "def command(**given):\n"
        "    lock = Lock()\n"
        "    reference = weakref.ref(lock, gone)\n"
        "    del lock\n"
        "    time.sleep(20)\n"
        "cli.cli.main = command\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # one that runs in the background ignores it
        "program.main()\n"
    )
    (tmp_path / "interrupted_there.py").write_text(code)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-m", "interrupted_there"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=15
    )
    assert (done.returncode, done.stderr) == (status, "interrupted\n" if status == 130 else "")


def sleeping(file: Path) -> list[str]:
    """A tool that says in ``file`` which process of its own it has started, and waits for that."""
    code = (
        "import subprocess, sys; child = subprocess.Popen(['sleep', '60']);"
        f"open({str(file)!r}, 'w').write(str(child.pid)); child.wait()"
    )
    return [sys.executable, "-c", code]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked for in /proc")
def test_what_threads_wait_for_is_ended_with_all_that_it_started(tmp_path):
    file = tmp_path / "child"
    waits = []

    def interrupted():
        with threads(2) as pool:
            waits.append(pool.submit(run_tool, sleeping(file)))
            while not (file.exists() and file.read_text()):
                time.sleep(0.01)
            raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - begin < 30
    assert waits[0].result()[0] == -signal.SIGKILL
    state = Path("/proc", file.read_text(), "stat")
    deadline = time.monotonic() + 10
    while state.exists() and ") Z " not in state.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not state.exists() or ") Z " in state.read_text()


@pytest.fixture
def hears_ctrl_c():
    """Where a shell runs the tests in the background, they would not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be held back on this system")
def test_ctrl_c_waits_for_the_end_of_a_deaf_block(hears_ctrl_c):
    reached = []

    def interrupted():
        with deaf():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reached
