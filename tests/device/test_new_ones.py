"""Another family, device or board takes one file or one line, and none of the code: tried in a copy of the package."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.shared import ROOT

FAMILY = """
from dataclasses import replace

from .ecp5 import FAMILIES as ECP5

FAMILIES = (replace(ECP5[0], name="mine", maker="Me", series="One"),)
"""
DEVICE = "mine-9,mine,MINE-9-PKG,9000,9000,20,40,4500,0,0,Mine board,,,,,,Data sheet,Manual\n"


@pytest.fixture
def copy(tmp_path):
    """A function that runs a command of a copy of the package, which is to be changed in ``tmp_path``."""
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "hwgen", tmp_path / "hwgen", ignore=skipped)
    shutil.copytree(ROOT / "boards", tmp_path / "boards", ignore=skipped)

    def run(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, "-m", "hwgen", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_a_family_is_a_file_and_its_devices_are_lines_of_the_table(tmp_path, copy):
    (tmp_path / "hwgen/device/families/mine.py").write_text(FAMILY)
    with (tmp_path / "hwgen/device/devices.csv").open("a") as table:
        table.write(DEVICE)
    (found,) = json.loads(copy("devices", "--family", "One", "--json"))["devices"]
    assert (found["name"], found["family"], found["luts"], found["multiplier"]) == ("mine-9", "mine", 9000, "18x18")


@pytest.mark.slow
def test_a_board_is_a_file(tmp_path, copy):
    text = (ROOT / "boards/ulx3s.toml").read_text(encoding="utf-8")
    (tmp_path / "boards/mine.toml").write_text(text.replace("25e6", "50e6"), encoding="utf-8")
    (line,) = (line for line in copy("boards").splitlines() if line.startswith("mine "))
    assert "lfe5u-85f" in line
    assert "50 MHz" in line
