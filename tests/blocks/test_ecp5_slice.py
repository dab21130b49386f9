"""Steps of cascades made of an ECP5's cells: what these do, against what their twins are to do."""

import shutil
import subprocess
from itertools import product

import numpy as np
import pytest

from hwgen.blocks.array.slices import SLICES, Slice
from hwgen.graph.types import S8, U8, IntType
from hwgen.hdl.export import rtlil_to_verilog
from hwgen.hdl.rtlil import to_rtlil
from tests.blocks.ecp5_cells import verilog
from tests.blocks.test_slices import expected, stimulus

KIND = SLICES["alu54b"]
PLACES = [(2, True, False), (2, False, True), (1, True, False), (1, True, True)]
SMALL = IntType(2, True)


def packed(values, width):
    return sum((int(value) % (1 << width)) << (width * n) for n, value in enumerate(values))


def made_of_cells(slice_, x, a, i, folder):
    """``o`` in every cycle, of the instances."""
    kind, x_type, operand = slice_.key[:3]
    alike = Slice(kind, x_type, operand, slice_.positions, slice_.first, slice_.last)
    (folder / "step.v").write_text(rtlil_to_verilog(to_rtlil(alike, "step", cells=True), "step") + verilog())
    widths = {"x": slice_.positions * x_type.width, "a": slice_.positions * operand, "i": kind.width}
    cycles = [
        f"x = {widths['x']}'d{packed(values, x_type.width)}; a = {widths['a']}'d{packed(weights, operand)}; "
        f'i = {kind.width}\'d{packed([before], kind.width)}; #1 $display("%0d", o); clk = 1; #1 clk = 0;'
        for values, weights, before in zip(x, a, i, strict=True)
    ]
    (folder / "step_tb.v").write_text(
        "module tb; reg clk = 0;"
        + "".join(f" reg [{width - 1}:0] {name};" for name, width in widths.items())
        + f" wire signed [{kind.width - 1}:0] o; step step(.clk(clk), .x(x), .a(a), .i(i), .o(o));\n"
        + "initial begin\n"
        + "\n".join(cycles)
        + "\nend endmodule\n"
    )
    subprocess.run(["iverilog", "-g2005", "-o", "tb.vvp", "step_tb.v", "step.v"], cwd=folder, check=True)
    run = subprocess.run(["vvp", "tb.vvp"], cwd=folder, check=True, capture_output=True, text=True)
    return [int(value) for value in run.stdout.split()]


@pytest.fixture
def folder(tmp_path):
    if not shutil.which("iverilog"):
        pytest.skip("iverilog is not installed (Debian package iverilog)")
    return tmp_path


@pytest.mark.parametrize("x", [U8, S8, IntType(16, True), SMALL], ids=str)
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_the_cells_do_what_the_twin_does(place, x, folder):
    slice_ = Slice(KIND, x, 8, *place)
    given = stimulus(slice_, 60)
    settled = KIND.latency if slice_.first else 0  # where a constant has come through
    assert made_of_cells(slice_, *given, folder)[settled:] == expected(slice_, *given)[settled:]


def test_all_small_operands(folder):
    slice_ = Slice(KIND, SMALL, 2, 2, False, False)
    operands = np.array(list(product(range(-2, 2), repeat=4))).astype(object)
    x, a = operands[:, :2], operands[:, 2:]
    i = stimulus(slice_, len(operands))[2]
    assert made_of_cells(slice_, x, a, i, folder) == expected(slice_, x, a, i)
