"""The command line where something goes wrong around it: full disks, faults of ours, interruptions. They end in one
line, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hwgen.tools import verilator
from tests import tiny
from tests.cli import test_cli
from tests.cli.test_cli import OPTIONS, errors, ok, run

folder = test_cli.folder  # every test works in a folder of its own


def test_a_full_disk_or_a_forbidden_folder_is_one_line(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device", "build/tiny/tiny.v")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert errors("build", "tiny.onnx", *OPTIONS) == [
        "'build/tiny/tiny.v': No space left on device; make room, or name another folder with --output"
    ]


WRITERS = {
    "trace": ("simulate", "--input", "frames.npy", "--frames", "1", "--engine", "amaranth", "--trace", "new/a.vcd"),
    "save": ("simulate", "--input", "frames.npy", "--save", "new/a.npz"),
    "picture": ("explore", "--points", "2", "--picture", "new/a.svg"),
    "verilog": ("verilog", "--output", "new/verilog"),
    "build": ("build", "--output", "new/build"),
    "weights": ("weights", "--for", "built", "--output", "new/weights"),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind == "weights" else []) for kind in WRITERS]
)
def test_a_disk_that_fills_up_ends_in_one_line_and_nothing_is_left(kind):
    resource = pytest.importorskip("resource", reason="no limits to the size of files on this system")
    command, *rest = WRITERS[kind]
    ok("simulate", "tiny.onnx", *OPTIONS, "--input", "frames.npy", "--engine", "schedule")  # what is kept is kept now
    options = OPTIONS
    if command == "weights":
        ok("build", "tiny.onnx", *OPTIONS, "--weights", "loadable", "--output", "built")
        options = OPTIONS[2:]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        (line,) = errors(command, "tiny.onnx", *options, *rest)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large; make room" in line


@pytest.mark.parametrize("command", [("build",), pytest.param(("fit", "--synth"), marks=pytest.mark.slow)])
def test_a_full_disk_for_what_is_remembered_only_means_that_it_is_not(command, tmp_path, monkeypatch):
    """The check of the hardware, its Verilog and what Yosys counted are there for the next run alone."""
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    write, keeping = Path.write_bytes, "cache"

    def refuse(self, *arguments, **options):
        if keeping in self.parts:
            raise OSError(28, "No space left on device", str(self))
        return write(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(Path, "write_text", lambda self, text, *more, **options: refuse(self, text.encode()))
    ok(command[0], "tiny.onnx", *OPTIONS, *command[1:])
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".so"] == []


@pytest.mark.slow
def test_waveforms_of_a_compiled_program_on_a_full_disk_end_in_one_line_and_nothing_is_left():
    """Verilator itself would end the program, or wait for ever for a lock that it has."""
    resource = pytest.importorskip("resource", reason="no limits to the size of files on this system")
    if not verilator.available():
        pytest.skip("there is no Verilator, or no compiler")
    traced = [*OPTIONS, "--input", "frames.npy", "--engine", "compiled", "--trace"]
    ok("simulate", "tiny.onnx", *traced, "whole.vcd")  # what is compiled is kept now
    size = Path("whole.vcd").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (size // 2, size - 1):  # in the middle, and when the file is closed
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            (line,) = errors("simulate", "tiny.onnx", *traced, "new/a.vcd")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert line.endswith("new/a.vcd': File too large; make room, or name another folder with --output")


# Faults and interruptions


def broken(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr("hwgen.accelerator.schedule", fail)


def test_a_fault_of_ours_is_one_line_with_status_1(monkeypatch):
    broken(monkeypatch, ZeroDivisionError("some\nthing"))
    result = run("build", "tiny.onnx", *OPTIONS)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "error: a fault in hwgen, not in your input: ZeroDivisionError: some thing. "
        "Run again with --debug for the traceback, and please report it."
    )
    assert "Traceback" not in result.output


def test_debug_shows_the_traceback(monkeypatch):
    broken(monkeypatch, ZeroDivisionError("something"))
    result = run("build", "tiny.onnx", *OPTIONS, "--debug")
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr


def test_an_interrupted_command_says_so_with_status_130(monkeypatch, folder):
    broken(monkeypatch, KeyboardInterrupt())
    result = run("build", "tiny.onnx", *OPTIONS)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "interrupted"
    assert not (folder / "build").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_leaves_nothing_behind(folder, number):
    temporary = folder / "temporary"
    temporary.mkdir()
    np.save(folder / "many.npy", tiny.frames(3000))
    command = [
        sys.executable,
        "-m",
        "hwgen",
        "simulate",
        "tiny.onnx",
        *OPTIONS,
        "--input",
        "many.npy",
        "--engine",
        "amaranth",
        *("--trace", "waves/all.vcd"),
    ]
    environment = os.environ | {"TMPDIR": str(temporary)}
    # A background job ignores Ctrl-C, and so would everything that it starts.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    finally:
        signal.signal(number, before)
    with process:
        for line in process.stderr:
            if line.startswith("simulating"):
                break
        time.sleep(0.3)
        process.send_signal(number)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert out == ""
    assert list(temporary.iterdir()) == []
    assert not (folder / "waves").exists()
    if number == signal.SIGINT:
        assert err.split() == ["interrupted"]
