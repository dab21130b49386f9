"""The example for cocotb, on a small core: this is how the Verilog is tested elsewhere."""

import importlib.util
import shutil
import subprocess
import sys

import pytest

import hwgen
from tests import tiny
from tests.shared import EXAMPLES

RUN = EXAMPLES / "cocotb" / "run.py"


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    missing = [name for name in ("cocotb", "cocotbext", "find_libpython") if not importlib.util.find_spec(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install '.[test]'")
    if not shutil.which("iverilog"):
        pytest.skip("iverilog is not installed (Debian package iverilog)")
    if not importlib.import_module("find_libpython").find_libpython():
        pytest.skip(f"{sys.executable} has no shared libpython, which a simulator loads")
    made = tmp_path_factory.mktemp("cocotb")
    design = hwgen.compile(tiny.save(made / "tiny.onnx"), calibration=tiny.frames())
    design.write(made / "tiny")
    return made / "tiny"


def ran(folder):
    command = [sys.executable, str(RUN), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder.parent)


def test_cocotb_drives_the_core(folder):
    done = ran(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "TESTS=6 PASS=6 FAIL=0 SKIP=0" in done.stdout + done.stderr


def test_a_wrong_result_fails(folder):
    text = (folder / "expected.hex").read_text()
    changed = f"{int(text[0], 16) ^ 1:x}{text[1:]}"
    (folder / "expected.hex").write_text(changed)
    done = ran(folder)
    (folder / "expected.hex").write_text(text)
    assert done.returncode == 1
    assert "AssertionError: frame 0" in done.stdout + done.stderr
