"""What linters ask about is explicit in the Verilog, which goes on doing the same."""

import re
import subprocess

import pytest
from amaranth.hdl import Cat, ClockDomain, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.graph.errors import InputError
from hwgen.hdl.export import export, rtlil_to_verilog
from hwgen.hdl.rtlil import to_rtlil
from hwgen.tools.verilator import verilator
from hwgen.tools.yosys import run_yosys
from tests.blocks.cases import CASES, kind


def linted(folder, texts, top):
    """What Verilator, that of the package if there is one, says to files."""
    for name, text in texts.items():
        (folder / name).write_text(text)
    try:
        tool = verilator()
    except InputError as missing:
        pytest.skip(str(missing))
    done = subprocess.run(
        [*tool.command, "--lint-only", "-Wall", "--quiet-exit", "--top-module", top, f"{top}.v"],
        cwd=folder,
        env=tool.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


_FIRST = {kind(unit): unit for _, unit in reversed(CASES)}


@pytest.mark.parametrize("name", _FIRST)
def test_no_operator_needs_a_pragma(tmp_path, name):
    verilog = export(_FIRST[name].block(), "top")
    assert re.findall(r"lint_\w+ \w+", verilog.text) == ["lint_off DECLFILENAME"]
    assert linted(tmp_path, verilog.files("top"), "top") == (0, "")


def equal_in_yosys(text, top="top"):
    """That Verilog of RTLIL ``text`` computes the same, proved from any state by induction."""
    script = f"""
        read_rtlil gold.il
        hierarchy -top {top}
        proc
        flatten
        memory_map
        rename {top} gold
        design -stash gold
        read_verilog gate.v
        hierarchy -top {top}
        proc
        flatten
        memory_map
        rename {top} gate
        design -stash gate
        design -copy-from gold -as gold gold
        design -copy-from gate -as gate gate
        equiv_make gold gate both
        hierarchy -top both
        opt_clean
        equiv_simple -undef
        equiv_induct -undef
        equiv_status -assert
    """
    return run_yosys(script, inputs={"gold.il": text, "gate.v": rtlil_to_verilog(text, top)}).log


class Widths(wiring.Component):
    """Every operator on operands of unlike widths and signs, and comparisons that can only come out one way."""

    def __init__(self):
        super().__init__({"a": In(5), "b": In(3), "c": In(signed(6)), "d": In(signed(2)), "o": Out(260)})

    def elaborate(self, platform):
        m = Module()
        a, b, c, d = self.a, self.b, self.c, self.d
        sums = [a + b, a - b, c + d, c - d, a + c, -d, d + 13, c - 40, (a + b)[:3], (c * d)[2:], a * b]
        plain = [
            c.as_unsigned() + d.as_unsigned(),
            c.as_unsigned() * d.as_unsigned(),
            c.as_unsigned() < d.as_unsigned(),
        ]
        bits = [~a & b, c | d, c ^ d, ~d | c, (a << b)[:9], c << 2, c >> d.as_unsigned(), a >> b]
        signs = [a >= 0, b <= 7, a < 0, b > 7, c < d, c >= -2, d == c, b != 3, a == 40, c > 100, a < b, c <= 5]
        m.d.comb += self.o.eq(Cat(*sums, *plain, *bits, *signs))
        return m


def test_the_verilog_is_proved_equal_whatever_the_widths():
    assert "Equivalence successfully proven" in equal_in_yosys(to_rtlil(Widths(), "top"))


class Unread(wiring.Component):
    """A sum of which the low bits are read, made of a sum and a choice that have more; the same sum read whole and in
    part; registers side by side, of two clocks."""

    def __init__(self):
        super().__init__({"a": In(8), "b": In(8), "s": In(1), "o": Out(5), "whole": Out(9), "late": Out(12)})

    def elaborate(self, platform):
        m = Module()
        m.domains += ClockDomain("other")
        a, b = self.a, self.b
        whole, first, second = a + b, Signal(4), Signal(4, init=3)
        m.d.comb += [self.o.eq((Mux(self.s, a | b, a - b) + ((a + b) ^ a))[:5]), self.whole.eq(whole)]
        m.d.sync += [first.eq(a), second.eq(b)]
        m.d.other += self.late[:4].eq(first)
        m.d.comb += self.late[4:].eq(Cat(second, first))
        return m


def test_bits_that_nobody_reads_are_left_out():
    text = to_rtlil(Unread(), "top")
    verilog = rtlil_to_verilog(text, "top")
    assert "Equivalence successfully proven" in equal_in_yosys(text)
    widths = [int(high) for high in re.findall(r"^  wire \[(\d+):0\] _\w+_;$", verilog, re.MULTILINE)]
    assert max(widths) == 4
    assert verilog.count("a + b") == 1
