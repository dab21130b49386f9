"""The Verilog: taken by every tool, the same bytes every time, and wrong when a weight is."""

import os
import re
import shutil
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.array.multiplier import Multiplier
from hwgen.blocks.array.tree import DotLane
from hwgen.blocks.mac.conv import Conv
from hwgen.blocks.mac.mac import MacUnit
from hwgen.blocks.mac.mac_folding import MacFolding
from hwgen.blocks.mac.mac_layer import raw_range
from hwgen.cost.timing import run
from hwgen.graph.errors import HwgenError, InputError
from hwgen.graph.exact.requantize import fit, output_scale
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap, IntType
from hwgen.hdl.export import export, rtlil_to_verilog, to_verilog
from hwgen.hdl.rtlil import tidy, to_rtlil
from hwgen.simulate.testbench import vectors, verilog_testbench
from hwgen.testing import random_frames
from hwgen.tools.yosys import YosysError, cache_environment, run_yosys
from hwgen.top.axi import AxiPort, AxiTop
from tests.shared import ROOT

FRAMES = 3


def tool(name):
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")


def dense(inputs=20, outputs=7):
    """A fully connected layer with its weights in a memory of 140 words."""
    random = np.random.default_rng(1)
    weights = random.integers(-7, 8, (outputs, 1, 1, inputs))
    low, high = raw_range(weights, U8)
    bias = random.integers(-100, 100, outputs) - 3 * weights.reshape(outputs, -1).sum(axis=1)
    scale = output_scale(0.02, random.uniform(0.01, 0.02, outputs).astype(np.float32), 0.15)
    requantization = fit(scale, 0, (0, 255), low + bias, high + bias, bias)
    maps = FeatureMap(1, 1, inputs, U8), FeatureMap(1, 1, outputs, U8)
    op = Conv(*maps, Window((1, 1)), weights, 3, requantization)
    return MacUnit(op, MacFolding("ring", 1, 1, lanes_in=1, lanes_out=1))


def top_of(unit):
    layer = unit.layer
    return AxiTop(unit.block(), AxiPort(U8, 1, layer.input.channels), [AxiPort(U8, 1, layer.output.channels)])


@cache
def files():
    """Everything a user gets for the small layer: name -> text."""
    unit = dense()
    top = top_of(unit)
    timing = run(unit.actors, 4)
    x = random_frames(unit.layer.input, FRAMES)
    expect = {"cycles": timing.interval, "latency": timing.latency + AxiTop.LATENCY}
    return {
        "net.v": to_verilog(top, "net"),
        "net_tb.v": verilog_testbench("net", top, FRAMES, timeout=5000, **expect),
        **vectors(top, x, unit.layer.golden(x)),
    }


def in_folder(folder, **changed):
    for name, text in {**files(), **{name.replace("_v", ".v"): text for name, text in changed.items()}}.items():
        (folder / name).write_text(text)
    return folder


def command(*arguments, cwd):
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def icarus(folder, *plusargs, language="2005", **parameters):
    sets = [f"-Pnet_tb.{name.upper()}={value}" for name, value in parameters.items()]
    compiled = command("iverilog", f"-g{language}", "-Wall", *sets, "-o", "net.vvp", "net_tb.v", "net.v", cwd=folder)
    assert compiled == (0, "")
    return command("vvp", "net.vvp", *plusargs, cwd=folder)[1].strip().splitlines()


def test_names_are_plain_and_nothing_of_the_machine_is_in_it():
    verilog = files()["net.v"]
    assert "\\" not in verilog
    assert {"net", "net_core", "net_core_array", "net_s_axis"} <= set(
        re.findall(r"^module (\w+)", verilog, re.MULTILINE)
    )
    assert not re.search(r"/(tmp|home|work|usr)|[-.]py\b|\bgit\b|Yosys", verilog)
    assert "rom_style" in verilog
    assert re.search(r"reg \[3:0\] \w+ \[139:0\];", verilog)


@pytest.mark.slow
def test_the_same_bytes_every_time(tmp_path):
    script = (
        "from tests.hdl.test_export import dense, top_of; from hwgen.hdl.rtlil import to_rtlil; "
        "import hashlib; print(hashlib.sha256(to_rtlil(top_of(dense()), 'net').encode()).hexdigest())"
    )
    sums = set()
    for seed in "01":
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True)
        sums.add(done.stdout)
    assert len(sums) == 1
    assert len(sums.pop()) == 65
    assert rtlil_to_verilog(to_rtlil(top_of(dense()), "net"), "net") == files()["net.v"]


@tool("iverilog")
@pytest.mark.parametrize("language", ["2005", "2012"])
def test_icarus_passes_at_full_speed_and_under_stalls(tmp_path, language):
    """Also as SystemVerilog, which cocotb asks for."""
    folder, says = in_folder(tmp_path), "PASS net: 3 frames, 21 beats"
    full = f"{says}, the first after 61 cycles, 140 cycles from frame to frame"
    assert icarus(folder, language=language) == [full]
    for seed in (1, 2):
        assert icarus(folder, f"+stall={seed}", language=language)[0].startswith(says)
    assert icarus(folder, stall=3, language=language)[0].startswith(says)


@tool("iverilog")
def test_a_flipped_weight_bit_fails(tmp_path):
    verilog = files()["net.v"]
    words = re.findall(r"^ +\w+\[57\] = 4'h[0-9a-f];$", verilog, re.MULTILINE)
    assert len(words) == 1
    flipped = re.sub(r"h([0-9a-f]);$", lambda found: f"h{int(found[1], 16) ^ 4:x};", words[0])
    said = icarus(in_folder(tmp_path, net_v=verilog.replace(words[0], flipped)))
    assert re.fullmatch(r"m_axis: frame 0 beat 2, cycle \d+: wrong data: got .., expected ..", said[0])
    assert re.fullmatch(r"FAIL net: [1-3] errors in 21 beats", said[-1])


@tool("iverilog")
@pytest.mark.parametrize(
    ("port", "said"),
    [
        ("m_axis_tlast", "tlast in the wrong place"),
        ("frame_error", "frame_error is raised"),
        ("m_axis_tvalid", "FAIL net: "),
    ],
)
def test_a_port_that_is_inverted_fails(tmp_path, port, said):
    ports = "s_axis_tvalid s_axis_tready s_axis_tlast m_axis_tvalid m_axis_tready m_axis_tlast frame_error clk rst"
    joined = ", ".join(f".{name}({name})" for name in ports.split() if name != port)
    broken = (
        "module net(input clk, rst, input [7:0] s_axis_tdata, input s_axis_tvalid, s_axis_tlast, m_axis_tready, output "
        "s_axis_tready, m_axis_tvalid, m_axis_tlast, frame_error, output [7:0] m_axis_tdata);\nwire right;\n"
        f"assign {port} = ~right;\n"
        f"inner inner(.s_axis_tdata(s_axis_tdata), .m_axis_tdata(m_axis_tdata), .{port}(right), {joined});\nendmodule\n"
    )
    text = broken + files()["net.v"].replace("module net(", "module inner(")
    lines = icarus(in_folder(tmp_path, net_v=text))
    assert any(said in line for line in lines)
    assert lines[-1].startswith("FAIL net: ")


@tool("iverilog")
def test_wrong_cycles_a_wrong_latency_and_silence_fail(tmp_path):
    folder = in_folder(tmp_path)
    assert icarus(folder, cycles=141) == [
        "140 cycles from frame to frame, expected 141",
        "FAIL net: 1 errors in 21 beats",
    ]
    assert icarus(folder, latency=60)[0] == "latency 61 cycles, expected 60"
    assert icarus(folder, timeout=200)[-1] == "FAIL net: 7 of 21 beats after 200 cycles, 0 errors"


@cache
def with_memory_file():
    """The same with the weights in a file."""
    verilog = export(top_of(dense()), "net", inline=500)
    assert list(verilog.memories) == ["net_core_array_weights.hex"]
    assert 'initial $readmemh("net_core_array_weights.hex", store, 0, 139);' in verilog.text
    assert "hwgen" not in verilog.text.partition("\n")[2]
    return verilog.files("net")


@tool("iverilog")
def test_icarus_reads_weights_from_a_file(tmp_path):
    folder = in_folder(tmp_path)
    for name, text in with_memory_file().items():
        (folder / name).write_text(text)
    assert icarus(folder) == ["PASS net: 3 frames, 21 beats, the first after 61 cycles, 140 cycles from frame to frame"]
    lines = (folder / "net_core_array_weights.hex").read_text().split()
    assert len(lines) == 140
    lines[57] = f"{int(lines[57], 16) ^ 4:x}"
    (folder / "net_core_array_weights.hex").write_text("\n".join(lines))
    assert icarus(folder)[-1].startswith("FAIL net: ")


@tool("verilator")
def test_verilator_reads_weights_from_a_file(tmp_path):
    folder = in_folder(tmp_path)
    for name, text in with_memory_file().items():
        (folder / name).write_text(text)
    assert command("verilator", "--lint-only", "-Wall", "net.v", cwd=folder) == (0, "")


def test_yosys_reads_the_same_weights_from_a_file_and_from_the_text():
    """Both as ROMs with their contents; what is synthesised does not depend on where these come from."""
    script = "read_verilog net.v\nhierarchy -check -top net\nproc\nflatten\nopt_clean\nmemory_collect\nwrite_rtlil o.il"
    inits = []
    for files_ in (with_memory_file(), {"net.v": files()["net.v"]}):
        written = run_yosys(script, inputs=files_, outputs=["o.il"]).files["o.il"]
        inits.append(re.findall(r"parameter \\INIT (560'[01]+)", written))
    assert inits[0] == inits[1]
    assert len(inits[0]) == 1


@tool("verilator")
def test_verilator_has_nothing_to_say(tmp_path):
    folder = in_folder(tmp_path)
    assert command("verilator", "--lint-only", "-Wall", "net.v", cwd=folder) == (0, "")
    assert command("verilator", "--lint-only", "--timing", "--top", "net_tb", "net_tb.v", "net.v", cwd=folder)[0] == 0


def test_yosys_reads_it_back():
    script = "read_verilog net.v\nhierarchy -check -top net\nproc\ncheck -assert\nmemory_collect\nstat"
    log = run_yosys(script, inputs={"net.v": files()["net.v"]}).log
    assert not [line for line in log.splitlines() if line.startswith("Warning") and "at_start" not in line]
    assert "$mem_v2" in log


class Odd(wiring.Component):
    """Three equal children, a port of no bits, and names that Verilog does not like."""

    def __init__(self, level=2):
        self.level = level
        super().__init__({"reg": In(4), "nothing": In(0), "o": Out(4)})

    def elaborate(self, platform):
        m = Module()
        state = Signal(4, name="always")
        results = [self.reg]
        for n in range(3 if self.level else 0):
            m.submodules[f"child.{n}"] = child = Odd(self.level - 1)
            m.d.comb += [child.reg.eq(state), child.nothing.eq(self.nothing)]
            results.append(child.o)
        m.d.sync += state.eq(sum(results))
        m.d.comb += self.o.eq(state)
        return m


@tool("iverilog")
def test_odd_names_empty_ports_and_equal_modules(tmp_path):
    verilog = to_verilog(Odd(), "odd")
    assert re.findall(r"^module (\w+)", verilog, re.MULTILINE) == ["odd", "odd_child_0", "odd_child_0_child_0"]
    assert "nothing" not in verilog
    assert "[-1:0]" not in verilog
    (tmp_path / "odd.v").write_text(verilog)
    assert command("iverilog", "-g2005", "-Wall", "-o", "odd.vvp", "odd.v", cwd=tmp_path) == (0, "")


def test_tidy_keeps_what_is_read():
    text = """
attribute \\generator "Amaranth"
module \\top
  attribute \\src "/somewhere/x.py:1"
  wire width 8 input 0 \\a
  wire width 8 output 1 \\o
  wire width 4 \\a[0]
  wire width 8 \\q$1
  cell $not $3
    parameter \\A_WIDTH 8
    connect \\A \\a [7:0]
    connect \\Y \\q$1
  end
connect \\a[0] \\a [3:0]
connect \\o \\q$1 [7:0]
end
"""
    tidied = tidy(text)
    assert "Amaranth" not in tidied
    assert "somewhere" not in tidied
    assert "a[0]" not in tidied
    assert "connect \\Y \\q_1" in tidied
    assert "connect \\o \\q_1 [7:0]" in tidied


class Twins(wiring.Component):
    """Lanes of two kinds."""

    def __init__(self, count: int):
        self.count = count
        super().__init__({"x": In(8), "o": Out(20)})

    def elaborate(self, platform):
        m = Module()
        for n in range(self.count):
            m.submodules[f"lane_{n}"] = lane = DotLane(Multiplier(U8, IntType(8 - n % 2, True)), 3, IntType(20, True))
            m.d.comb += [lane.x[0].eq(self.x), lane.first.eq(n)]
            m.d.sync += self.o.eq(self.o ^ lane.o[0])
        return m


def test_rams_start_as_they_like_and_constants_stay():
    """Icarus runs them from x: what is read before it is written would show in the results."""
    rams = 0
    for module in files()["net.v"].split("endmodule"):
        for memory_name, behind in re.findall(r"  reg \[\d+:0\] (\w+) \[\d+:0\];\n(.*)", module):
            written = re.search(rf"\b{memory_name}\[\w+\] <= ", module)
            assert ("initial" in behind) == (written is None)
            rams += written is not None
    assert rams


def test_a_memory_of_zeros_that_nothing_writes_keeps_them():
    class Zeros(wiring.Component):
        address: In(4)
        data: Out(8)

        def elaborate(self, platform):
            m = Module()
            m.submodules.store = store = memory.Memory(shape=8, depth=16, init=[], attrs={"rom_block": 1})
            read = store.read_port()
            m.d.comb += [read.addr.eq(self.address), self.data.eq(read.data)]
            return m

    assert re.search(r"store\[15\] = 8'[bdh]0+;", to_verilog(Zeros(), "zeros"))


def test_elements_are_elaborated_once_whatever_their_number():
    small, large = (to_rtlil(Twins(count), "twins") for count in (2, 10))
    modules = ["twins", "product_u8_s8", "sum_of_3_s16", "dot_3_u8_s8_s20", "product_u8_s7", "sum_of_3_s15"]
    for text in (small, large):
        assert sorted(re.findall(r"^module \\(\S+)", text, re.MULTILINE)) == sorted([*modules, "dot_3_u8_s7_s20"])
    assert len(re.findall(r"cell \\dot_3_u8_s[78]_s20", large)) == 10
    assert small.partition("module \\product")[2] == large.partition("module \\product")[2]


def test_a_bad_name_is_refused():
    with pytest.raises(InputError, match="'2-net' cannot name a module: use letters"):
        to_verilog(None, "2-net")


def test_yosys_works_anywhere_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("YOSYS", raising=False)
    lines = []
    done = run_yosys("log hello\nwrite_rtlil x.il", outputs=["x.il"], on_line=lines.append)
    assert "hello" in lines
    assert "hello\n" in done.log
    assert done.files["x.il"].startswith("# Generated by Yosys")
    with pytest.raises(YosysError, match=r"Yosys stopped with status 1: No such command: no_such"):
        run_yosys("no_such")
    with pytest.raises(HwgenError, match=r"Yosys took over 0 s: give it more time"):
        run_yosys("log hello", timeout=0.001)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_is_made_where_home_cannot_be_written(monkeypatch):
    monkeypatch.delenv("YOWASP_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    cache_environment.cache_clear()
    try:
        made = cache_environment()["YOWASP_CACHE_DIR"]
        assert os.access(made, os.W_OK)
        assert cache_environment()["YOWASP_CACHE_DIR"] == made
        monkeypatch.setenv("YOWASP_CACHE_DIR", "/elsewhere")
        cache_environment.cache_clear()
        assert cache_environment() == {}
    finally:
        cache_environment.cache_clear()


class OfNoBits(wiring.Component):
    """A choice between a number that has but one value and itself."""

    o: Out(8)

    def elaborate(self, platform):
        m = Module()
        never, first = Signal(range(1)), Signal()
        m.d.sync += [first.eq(~first), never.eq(Mux(first, 0, never)), self.o.eq(self.o + Mux(first, never, never))]
        return m


def test_a_choice_between_nothing_and_nothing_is_nothing():
    assert "module" in to_verilog(OfNoBits(), "top")
