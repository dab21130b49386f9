"""Steps of cascades of DSP blocks: what their twins compute, and that both forms go together through the netlist."""

import re
import shutil
import subprocess
from itertools import product

import numpy as np
import pytest
from amaranth.hdl import Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.array.slices import SLICES, Slice
from hwgen.device.families import FAMILIES
from hwgen.device.needs import Needs
from hwgen.device.synth import count, script, synthesise
from hwgen.device.targets import device
from hwgen.graph.types import S8, U8, IntType
from hwgen.hdl.export import to_verilog
from hwgen.hdl.rtlil import to_netlist, to_rtlil
from hwgen.tools.yosys import run_yosys

from .single_blocks import simulated

#: Positions, first and last of every place in a cascade.
PLACES = [(2, True, False), (2, False, False), (2, False, True), (2, True, True), (1, True, False), (1, True, True)]
TYPES = [U8, S8, IntType(16, True)]
KINDS = [SLICES[name] for name in ("dsp48e1", "dsp48e2", "alu54b")]


def numbers(random, low, high, *shape):
    """Between ``low`` and ``high``, a third of them one of the two: Python's own, of any size."""
    values = random.integers(low, high, shape, endpoint=True)
    extremes = np.array([low, high])[random.integers(0, 2, shape)]
    return np.where(random.random(shape) < 1 / 3, extremes, values).astype(object)


def wrapped(value, bits):
    return (int(value) + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def stimulus(slice_, cycles, seed=0):
    """``x`` and ``a`` [cycles, positions], and ``i`` [cycles], which does not change where it is a constant."""
    random = np.random.default_rng(seed)
    x_type, kind, shape = slice_.key[1], slice_.kind, (cycles, slice_.positions)
    operand = slice_.key[2]
    x = numbers(random, x_type.min, x_type.max, *shape)
    a = numbers(random, -(1 << operand - 1), (1 << operand - 1) - 1, *shape)
    sums = numbers(random, -(1 << kind.width - 1), (1 << kind.width - 1) - 1, cycles)
    return x, a, sums[:1].repeat(cycles) if slice_.first else sums


def expected(slice_, x, a, i):
    """``o`` in every cycle, by the formula; what came before the first cycle is 0, but for a constant."""
    kind = slice_.kind
    products = np.concatenate([np.zeros(kind.latency, object), (x * a).sum(axis=1)])[: len(i)]
    before = i if slice_.first else np.concatenate([np.zeros(kind.skew, object), i])[: len(i)]
    return [wrapped(value, kind.width) for value in products + before]


def responses(component, x, a, i):
    """``o`` in every cycle."""

    def drive(ctx, cycle):
        ctx.set(component.i, int(i[cycle]))
        for n, (value, weight) in enumerate(zip(x[cycle], a[cycle], strict=True)):
            ctx.set(component.x[n], int(value))
            ctx.set(component.a[n], int(weight))

    return simulated(component, drive, len(i), component.o)


@pytest.mark.parametrize("x", TYPES, ids=str)
@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_twin_does_what_the_formula_says(kind, place, x):
    for operand in (kind.operand, 8):
        slice_ = Slice(kind, x, operand, *place)
        given = stimulus(slice_, 60)
        settled = kind.latency if slice_.first else 0  # where a constant has come through
        assert responses(slice_, *given)[settled:] == expected(slice_, *given)[settled:]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_the_blocks_cannot_do_is_refused(kind):
    bits = kind.operand
    with pytest.raises(ValueError, match=f"{kind.name} multiplies signed integers of 18 bits at most: u18 does not"):
        Slice(kind, IntType(18, False), 8, 2, True, True)
    with pytest.raises(ValueError, match=f"{kind.name} takes weights of 1 to {bits} bits, not {bits + 1}"):
        Slice(kind, U8, bits + 1, 2, True, True)
    with pytest.raises(ValueError, match="one position or two, not 3"):
        Slice(kind, U8, 8, 3, True, True)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_step_of_one_position_may_not_stand_in_the_middle(kind):
    with pytest.raises(ValueError, match=f"a step of one position can only be the first of a cascade of {kind.name}"):
        Slice(kind, U8, 8, 1, False, True)


def test_families_name_kinds_that_are_there():
    named = {family.name: family.slices for family in FAMILIES.values()}
    assert {name for slices in named.values() for name in slices} <= set(SLICES)
    assert (named["xc7"], named["xcu"], named["xcup"]) == (("dsp48e1",), ("dsp48e2",), ("dsp48e2",))


class Chain(wiring.Component):
    """A cascade of pairs of ``positions`` products of ``x``; where that is odd, its first step has one."""

    def __init__(self, kind, x, operand, positions, constant=0):
        self.constant = constant
        steps = [1] * (positions % 2) + [2] * (positions // 2)
        ends = [(n == 0, n == len(steps) - 1) for n in range(len(steps))]
        self.slices = [Slice(kind, x, operand, count, *end) for count, end in zip(steps, ends, strict=True)]
        width = {"x": x.width, "a": operand}
        ports = {f"{name}_{n}": In(width[name]) for name, n in product(width, range(positions))}
        super().__init__({**ports, "o": Out(kind.width)})

    def elaborate(self, platform):
        m, total, at = Module(), Const(self.constant, 48), 0
        for n, slice_ in enumerate(self.slices):
            m.submodules[f"step_{n}"] = slice_
            m.d.comb += slice_.i.eq(total)
            for position in range(slice_.positions):
                m.d.comb += slice_.x[position].eq(getattr(self, f"x_{at}"))
                m.d.comb += slice_.a[position].eq(getattr(self, f"a_{at}"))
                at += 1
            total = slice_.o
        m.d.comb += self.o.eq(total)
        return m


def test_both_forms_are_made_once_for_each_place_and_have_the_same_ports():
    netlist = to_netlist(Chain(SLICES["dsp48e2"], U8, 27, 9), "chain")
    names = ["dsp48e2_1_u8_s27_first", "dsp48e2_2_u8_s27", "dsp48e2_2_u8_s27_last"]
    assert sorted(netlist.cells) == names
    assert sorted(re.findall(r"^module \\(\S+)", netlist.text, re.MULTILINE)) == ["chain", *names]
    made = netlist.with_cells()
    assert (made.cells, made.roms) == ({}, netlist.roms)
    assert len(re.findall(r"^  cell \\dsp48e2_2_u8_s27 ", made.text, re.MULTILINE)) == 3
    assert len(re.findall(r"^  cell \\DSP48E2 ", made.text, re.MULTILINE)) == 5
    assert "DSP48E2" not in netlist.text
    assert "$dff" not in made.text
    for name in names:
        texts = (text.partition(f"module \\{name}\n")[2].partition("\nend\n")[0] for text in (netlist.text, made.text))
        ports = [sorted(re.findall(r"wire width (\d+) (?:in|out)put \d+ .*(\\\S+)", text)) for text in texts]
        assert ports[0] == ports[1]
        assert "\\rst" not in str(ports[0])


def test_a_step_alone_also_has_both_forms():
    alone = Slice(SLICES["dsp48e1"], S8, 25, 2, True, True)
    assert "$mul" in to_rtlil(alone, "top")
    assert "cell \\DSP48E1 " in to_rtlil(alone, "top", cells=True)


def test_the_verilog_has_both_forms_and_only_synthesis_takes_cells():
    chain = Chain(SLICES["dsp48e2"], U8, 27, 5)
    text = to_verilog(chain, "chain")
    assert text.count("`ifdef HWGEN_CELLS\nmodule dsp48e2_") == 3
    assert len(re.findall(r"^`else\nmodule dsp48e2_\w+\(", text, re.MULTILINE)) == text.count("`endif\n") == 3
    assert not re.search(r"\\|Yosys|\n\n\n", text)
    commands = script(text, "chain", device("xczu3eg")).splitlines()
    assert commands[0] == "read_verilog -DHWGEN_CELLS design"
    kinds = [
        run_yosys(f"{reader} design\nhierarchy -top chain\nselect -count t:DSP48E2", inputs={"design": text}).log
        for reader in (commands[0].removesuffix(" design"), "read_verilog")
    ]
    assert [re.search(r"(\d+) objects", log)[1] for log in kinds] == ["5", "0"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("verilator") is None, reason="verilator is not installed")
def test_verilator_has_nothing_to_say_about_twins(tmp_path):
    for x, kind in product(TYPES, KINDS):
        (tmp_path / "chain.v").write_text(to_verilog(Chain(kind, x, kind.operand, 5), "chain"))
        call = ["verilator", "--lint-only", "-Wall", "chain.v"]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def texts():
    """Both texts for every family: one is fast, Yosys takes a while for each."""
    for name, form in product(("xczu3eg", "xc7z020", "xcku040"), ("rtlil", "verilog")):
        yield pytest.param(name, form, marks=[pytest.mark.slow] * ((name, form) != ("xczu3eg", "rtlil")))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), list(texts()))
def test_a_chain_takes_its_blocks_and_nothing_else(name, form):
    target = device(name)
    kind = SLICES[target.family.slices[0]]
    chain = Chain(kind, S8, kind.operand, 5, constant=-12345)
    text = to_verilog(chain, "top") if form == "verilog" else to_rtlil(chain, "top", cells=True)
    assert count(synthesise(text, "top", target), target) == Needs(dsps=5)
