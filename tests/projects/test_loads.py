"""Weights of another network through the projects: the test bench in Icarus with real hardware; what is written."""

import re
import shutil
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hwgen.flow.retraining import retrained
from hwgen.projects import PROJECTS, built_projects
from hwgen.projects.bench import load_vectors
from hwgen.projects.facts import Facts
from hwgen.projects.host import AVALON, AXI4
from hwgen.projects.pynq import driver_spec
from hwgen.top.loading import plan_text

from .. import tiny
from .common import design, facts, other, written

DIALECTS = pytest.mark.parametrize(
    ("kind", "device", "dialect"), [("vivado", "xc7z020", AXI4), ("quartus", "5cseba6", AVALON)]
)


def bench(folder, dialect, *plusargs):
    """What the test bench prints, run in ``folder``, the project, whose vectors may have been replaced."""
    if not shutil.which("iverilog"):
        pytest.skip("iverilog is not installed (Debian package iverilog)")
    top = f"loadable_{dialect.suffix}"
    sources = [f"{top}_tb.v", f"{top}.v", "../loadable.v"]
    compiled = subprocess.run(
        ["iverilog", "-g2005", "-Wall", "-o", "tb.vvp", *sources], cwd=folder, capture_output=True, text=True
    )
    assert (compiled.returncode, compiled.stdout + compiled.stderr) == (0, "")
    done = subprocess.run(["vvp", "tb.vvp", *plusargs], cwd=folder, capture_output=True, text=True, timeout=60)
    return done.stdout.strip().splitlines()[-1]


def vectors(facts, dialect):
    """By what stands behind the name, the lines of files."""
    texts = load_vectors(facts, dialect)
    return {name.removeprefix(f"loadable_{dialect.suffix}_"): text for name, text in texts.items()}


@pytest.mark.slow
@DIALECTS
def test_the_test_bench_loads_weights(tmp_path, kind, device, dialect):
    folder = written(tmp_path, kind, "loadable", device)
    for plusargs in ((), ("+stall=1",)):
        assert bench(folder, dialect, *plusargs).startswith("PASS")
    for name, content in other((kind,)).files().items():
        (folder / name).write_bytes(content)
    for plusargs in (("+load",), ("+load", "+stall=1")):
        assert bench(folder, dialect, *plusargs).startswith("PASS")
    assert bench(folder, dialect).startswith("FAIL")


@pytest.mark.slow
@DIALECTS
def test_load_infer_load_infer(tmp_path, kind, device, dialect):
    """Two networks in turn in one run, every word of every output as golden has it."""
    folder, top = written(tmp_path, kind, "loadable", device), f"loadable_{dialect.suffix}"
    first, second = (vectors(each, dialect) for each in (facts("loadable", device), Facts(other())))
    text = (folder / f"{top}_tb.v").read_text()
    ports = [file for file in first if file != "weights.hex"]
    for n, file in enumerate(ports):
        loads = [each["weights.hex"] if n == 0 else "" for each in (first, second)]
        lines = first[file] + 2 * (loads[1] + second[file] + loads[0] + first[file])
        (folder / f"{top}_{file}").write_text(lines)
        text, found = re.subn(rf"p{n}_WORDS = \d+;", f"p{n}_WORDS = {len(lines.splitlines())};", text)
        assert found == 1
    (folder / f"{top}_tb.v").write_text(re.sub(r"TIMEOUT = \d+;", "TIMEOUT = 200000;", text))
    for plusargs in ((), ("+stall=1",), ("+stall=2",)):
        assert bench(folder, dialect, *plusargs).startswith("PASS")


def test_networks_differ_in_all_that_a_host_must_know():
    """So that a test which mixes them up does not pass."""
    first, second = driver_spec(facts("loadable")), driver_spec(Facts(other()))
    assert first["input"]["scale"] != second["input"]["scale"]
    for one, two in zip(first["streams"], second["streams"], strict=True):
        assert one["scale"] != two["scale"]
    assert first["load"]["crc32"] != second["load"]["crc32"]
    assert first["load"]["bytes"] == second["load"]["bytes"]


def test_weights_writes_for_the_projects_that_were_built_and_in_words_of_their_width(tmp_path):
    (tmp_path / "plan.json").write_text(plan_text(design("loadable").plan))
    tiny.save(tmp_path / "third.onnx")
    settings = {"calibration": tiny.frames(), "outputs": ("p", "scores"), "warn": str}
    assert built_projects(tmp_path) == ()
    plain = set(retrained(tmp_path / "third.onnx", tmp_path, **settings).files())
    for kind in PROJECTS:
        (tmp_path / kind).mkdir()
    made = retrained(tmp_path / "third.onnx", tmp_path, **settings)
    assert (made.name, made.projects) == ("loadable", tuple(PROJECTS))
    assert set(made.files()) - plain == {
        *(f"loadable_host_{port}.hex" for port in ("s_axis", "m_axis_0", "m_axis_1", "weights")),
        *(f"loadable_avalon_{port}.hex" for port in ("sink", "source_0", "source_1", "weights")),
        "accelerator.json",
        "third.h",
    }  # fmt: skip
    assert Facts(made).widths == facts("loadable").widths


def test_loads_are_whole_beats_behind_a_word():
    given = facts("loadable")
    wide = Facts(replace(given.made))
    vars(wide.made)["schedule"] = SimpleNamespace(interval=1, latency=given.made.schedule.latency)
    assert (given.header_bytes, wide.header_bytes) == (4, 16)
    assert facts("two").header_bytes == 0
    top = wide.host(AXI4)
    assert top.of_weights(given.image)[:16] == b"load" + bytes(12)
    assert np.frombuffer(top.of_weights(given.image)[16:], np.uint8).tobytes() == given.image
    assert facts("two").image is None
