"""The cells of DSP48E1 and DSP48E2 do what their twins do: proved for unbounded time, and random at full width.

The model of the cells is ours (``dsp48.v``); for DSP48E1 Yosys has another.
"""

import importlib.util
import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from hwgen.blocks.array.slices import SLICES, Slice
from hwgen.device.synth import script
from hwgen.device.targets import device
from hwgen.graph.types import S8, U8, IntType
from hwgen.hdl.export import MACRO, to_verilog
from hwgen.hdl.rtlil import to_rtlil
from hwgen.tools.yosys import YosysError, package, run_yosys

from .test_slices import KINDS, PLACES, expected, stimulus

OURS = Path(__file__).with_name("dsp48.v")
YOSYS = "+/xilinx/cells_sim.v"
S18 = IntType(18, True)
CYCLES = 400
#: Kinds whose cells the model has; those of others are beside their own.
DSP48 = [kind for kind in KINDS if kind.name.startswith("dsp48")]

_PROOF = """
read_rtlil twin.il
hierarchy -top twin
proc
flatten
read_verilog {model}
read_rtlil cells.il
read_verilog both.v
hierarchy -check -top both
proc
flatten cells
miter -equiv -flatten twin cells proof
hierarchy -top proof
opt -full
simplemap t:$dff
{same}
opt -full
sat -tempinduct -prove trigger 0 -verify proof
"""
#: What has the same registers in both becomes one: after that not much is left to prove.
_SAME = "opt_expr -fine\nopt_merge\nwreduce\nopt_clean -purge\n" * 8


class Row(wiring.Component):
    """Every place of a cascade, each alone: ports ``x_n``, ``a_n``, ``i_n`` and ``o_n``."""

    def __init__(self, kind, x, operand, places=PLACES):
        self.slices = [Slice(kind, x, operand, *place) for place in places]
        super().__init__(
            {
                f"{name}_{n}": member
                for n, each in enumerate(self.slices)
                for name, member in each.signature.members.items()
            }
        )

    def elaborate(self, platform):
        m = Module()
        for n, each in enumerate(self.slices):
            m.submodules[f"slice_{n}"] = each
            m.d.comb += [getattr(each, name).eq(getattr(self, f"{name}_{n}")) for name in "xai"]
            m.d.comb += getattr(self, f"o_{n}").eq(each.o)
        return m


def prove(row, model, change=lambda cells: cells):
    """YosysError where ``change`` of the cells of ``row`` differ from its twins in some cycle."""
    inputs = {
        "twin.il": to_rtlil(row, "twin"),
        "cells.il": change(to_rtlil(row, "cells", cells=True)),
        "both.v": "module both(); twin twin(); cells cells(); endmodule\n",
        OURS.name: OURS.read_text(encoding="utf-8"),
    }
    run_yosys(_PROOF.format(model=model, same=_SAME), inputs=inputs, timeout=300)


@pytest.mark.parametrize("x", [S18, U8], ids=str)
@pytest.mark.parametrize("kind", DSP48, ids=lambda kind: kind.name)
def test_cells_and_twins_are_proved_equal_at_full_width(kind, x):
    prove(Row(kind, x, kind.operand), OURS.name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("x", "place"), [(S18, PLACES[-1]), *((U8, place) for place in PLACES)], ids=lambda value: str(value)
)
def test_the_model_that_yosys_has_proves_the_same(x, place):
    """Its adder is made of other parts, which takes a solver."""
    prove(Row(SLICES["dsp48e1"], x, 25, [place]), YOSYS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("parameter \\AREG 2", "parameter \\AREG 1"),
        ("parameter \\BREG 1", "parameter \\BREG 2"),
        ("parameter \\CREG 0", "parameter \\CREG 1"),
        ("connect \\CEA1 1'1", "connect \\CEA1 1'0"),
        ("connect \\CEP 1'1", "connect \\CEP 1'0"),
        ("connect \\OPMODE 9'000110101", "connect \\OPMODE 9'000010101"),
        ("connect \\B { \\x [1] ", "connect \\B { 1'0 "),
    ],
)
def test_cells_that_do_something_else_are_found(old, new):
    def change(cells):
        assert old in cells
        return cells.replace(old, new, 1)

    row = Row(SLICES["dsp48e2"], IntType(2, True), 2, [(2, True, True)])
    prove(row, OURS.name)
    with pytest.raises(YosysError, match="proof did fail"):
        prove(row, OURS.name, change)


_BENCH = """
module bench;
  reg clk = 0;
  integer at;
  reg [{inputs}-1:0] given [0:{cycles}-1];
  reg [{inputs}-1:0] now;
{declared}
  row row (.clk(clk), .rst(1'b0), {ports});
  initial begin
    $readmemh("given.hex", given);
    for (at = 0; at < {cycles}; at = at + 1) begin
      now = given[at];
      #1 $display("{shown}", {outputs});
      #1 clk = 1;
      #1 clk = 0;
    end
  end
endmodule
"""


def icarus(folder, row, given, *files, text=""):
    """``o_n`` of every slice in every cycle, as Icarus has it with ``files``; ``text`` may stand for ``row``."""
    words, at, ports, wires = [], 0, [], []
    for n, each in enumerate(row.slices):
        widths = {"x": each.key[1].width, "a": each.key[2], "i": 48}
        for name, width in widths.items():
            bits = width * (1 if name == "i" else each.positions)
            ports.append(f".{name}_{n}(now[{at} +: {bits}])")
            at += bits
        ports.append(f".o_{n}(o_{n})")
        wires.append(f"  wire signed [47:0] o_{n};")
    for cycle in range(CYCLES):
        word, shift = 0, 0
        for each, (x, a, i) in zip(row.slices, given, strict=True):
            values = [
                *((v, each.key[1].width) for v in x[cycle]),
                *((v, each.key[2]) for v in a[cycle]),
                (i[cycle], 48),
            ]
            for value, width in values:
                word |= (int(value) & (1 << width) - 1) << shift
                shift += width
        words.append(f"{word:x}")
    outputs = [f"o_{n}" for n in range(len(row.slices))]
    bench = _BENCH.format(
        inputs=at, cycles=CYCLES, declared="\n".join(wires), ports=", ".join(ports),
        shown=" ".join(["%0d"] * len(outputs)), outputs=", ".join(outputs),
    )  # fmt: skip
    (folder / "given.hex").write_text("\n".join(words))
    (folder / "bench.v").write_text(bench)
    (folder / "row.v").write_text(text or to_verilog(row, "row"))
    defines = [f"-D{MACRO}"] if files else []
    compiled = ["iverilog", "-g2012", *defines, "-o", "row.vvp", "-s", "bench", "bench.v", "row.v", *map(str, files)]
    subprocess.run(compiled, cwd=folder, check=True, timeout=60)
    done = subprocess.run(["vvp", "-n", "row.vvp"], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    rows = [[int(value) for value in line.split()] for line in done.stdout.splitlines()]  # a number that is not is an x
    return list(zip(*rows, strict=True))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
@pytest.mark.parametrize("x", [U8, S8, IntType(16, True)], ids=str)
@pytest.mark.parametrize("kind", DSP48, ids=lambda kind: kind.name)
def test_the_verilog_does_what_the_formula_says_in_both_forms(tmp_path, kind, x):
    row = Row(kind, x, kind.operand)
    given = [stimulus(each, CYCLES, seed) for seed, each in enumerate(row.slices)]
    wanted = [expected(each, *values) for each, values in zip(row.slices, given, strict=True)]
    forms = [(), (OURS,), *([(yosys_model(),)] if kind.name == "dsp48e1" else [])]
    for files in forms:
        found = icarus(tmp_path, row, given, *files)
        for each, got, right in zip(row.slices, found, wanted, strict=True):
            settled = kind.latency if each.first else 0
            assert list(got)[settled:] == right[settled:], (each.label, files)


@pytest.mark.slow  # Yosys' synthesis
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
@pytest.mark.parametrize("name", ["xc7z020", "xcku040", "xczu3eg"])
def test_synthesis_leaves_the_cells_as_they_are(tmp_path, name):
    target = device(name)
    kind = SLICES[target.family.slices[0]]
    row = Row(kind, S8, kind.operand)
    design = to_rtlil(row, "row", cells=True)
    run = run_yosys(
        script(design, "row", target) + "write_verilog row.v\n", inputs={"design": design}, outputs=["row.v"]
    )
    given = [stimulus(each, CYCLES, seed) for seed, each in enumerate(row.slices)]
    found = icarus(tmp_path, row, given, OURS, text=run.files["row.v"])
    for each, got, values in zip(row.slices, found, given, strict=True):
        settled = kind.latency if each.first else 0
        assert list(got)[settled:] == expected(each, *values)[settled:], each.label


def yosys_model():
    """The file that Yosys finds."""
    home = Path(importlib.util.find_spec(package().replace("-", "_")).origin).parent
    return home / YOSYS.replace("+", "share", 1)


_WRONG = {
    "MREG": "no registers behind", "AREG": "AREG and BREG are not", "CREG": "CREG is not", "INMODEREG": "registers of",
    "USE_MULT": "another operation", "A_INPUT": "operands from a cascade", "USE_PATTERN_DETECT": "a pattern detector",
}  # fmt: skip


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")
@pytest.mark.parametrize("cell", ["DSP48E1", "DSP48E2"])
def test_the_model_refuses_what_it_does_not_have(tmp_path, cell):
    slice_ = Slice(SLICES[cell.lower()], U8, 8, 1, True, True)
    text, quoted = to_verilog(slice_, "right"), '"OTHER"'
    changes = [(rf"(\.{name}\()[^)]*", rf"\g<1>{7 if name.endswith('REG') else quoted}") for name in _WRONG]
    changes += [(r"(\.OPMODE\()[^)]*", r"\g<1>0"), (r"(\.RSTM\()[^)]*", r"\g<1>1"), (r"(\.CED\()[^)]*", r"\g<1>1")]
    messages = [*_WRONG.values(), "X and Y are not the product", "reset", "a register that is not there"]
    for (old, new), message in chain([(("^", ""), None)], zip(changes, messages, strict=True)):
        (tmp_path / "right.v").write_text(re.sub(old, new, text, count=1))
        (tmp_path / "bench.v").write_text(
            "module bench; reg clk = 0; initial begin #1 clk = 1; #1 $finish; end\n"
            "right right(.clk(clk), .x(8'd0), .a(8'd0), .i(48'd0), .rst(1'b0)); endmodule\n"
        )
        call = ["iverilog", "-g2012", f"-D{MACRO}", "-o", "r.vvp", "-s", "bench", "bench.v", "right.v", str(OURS)]
        subprocess.run(call, cwd=tmp_path, check=True, timeout=60)
        said = subprocess.run(["vvp", "-n", "r.vvp"], cwd=tmp_path, capture_output=True, text=True, timeout=60).stdout
        assert ("ERROR" in said) == (message is not None)
        assert message is None or message in said
