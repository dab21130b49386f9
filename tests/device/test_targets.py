"""Devices, what Yosys maps to them, and whether a design fits: the models against Yosys itself."""

import json
import random
import re
from dataclasses import replace

import pytest

from hwgen.cost.logic import Logic
from hwgen.cost.needs import Cost, MemoryNeed, Products
from hwgen.dataflow.fit import fit_costs, fit_needs
from hwgen.device.families import FAMILIES as FAMILY_TABLE
from hwgen.device.mapping import brams, dsps, large_rams, memory_luts, needs, ram_luts
from hwgen.device.needs import Needs
from hwgen.device.synth import count, synthesise
from hwgen.device.targets import DEVICES, device
from hwgen.graph.errors import FitError, InputError
from hwgen.graph.types import S8
from hwgen.tools.yosys import run_yosys
from tests.blocks.test_multiplier import cheaper

NAMES = ("lfe5u-25f", "xc7a35t", "xczu3eg", "ice40up5k", "gw2a-18c", "5cseba6")
ECP5, XC7, XCUP, ICE40, GOWIN, CYCLONE = FAMILIES = tuple(map(device, NAMES))
#: The same, of which all but one are slow where Yosys has much to do; and those of AMD, for which it reads most.
SOON = [pytest.param(each, marks=[pytest.mark.slow] if each is not ECP5 else []) for each in FAMILIES]
QUICK = [pytest.param(each, marks=[pytest.mark.slow] if each in (XC7, XCUP) else []) for each in FAMILIES]


def memory(kind, width, depth, style="block"):
    return MemoryNeed("m", kind, style, width, depth, width)


def memory_module(need: MemoryNeed, name: str) -> str:
    """A memory as :mod:`hwgen.memory` makes them, in Verilog."""
    bits, words = max(need.depth - 1, 1).bit_length(), random.Random(need.bits)
    style = {"lutram": "distributed"}.get(need.style, need.style)
    write = "if (we) m[wa] <= d;" if need.kind == "ram" else ""
    first = [words.getrandbits(need.width) if need.kind == "rom" else 0 for _ in range(need.depth)]
    return (
        f"module {name}(input clk, we, input [{bits - 1}:0] a, wa, input [{need.width - 1}:0] d, "
        f"output reg [{need.width - 1}:0] q);\n"
        f'(* ram_style = "{style}", rom_style = "{style}", no_rw_check *)\n'
        f"reg [{need.width - 1}:0] m [{need.depth - 1}:0];\nreg [{need.width - 1}:0] r;\ninitial begin\n"
        + "".join(f"m[{at}] = {need.width}'h{word:x};\n" for at, word in enumerate(first))
        + f"end\nalways @(posedge clk) begin r <= m[a]; q <= r; {write} end\nendmodule\n"
    )


def product_module(product: Products, name: str) -> str:
    a, b = product.a, product.b
    return (
        f"module {name}(input clk, input signed [{a - 1}:0] a, input signed [{b - 1}:0] b, "
        f"output reg signed [{a + b - 1}:0] q); always @(posedge clk) q <= a * b; endmodule\n"
    )


def mapped(modules: list[str], target) -> list[dict[str, int]]:
    """Cells that Yosys maps each of the modules ``m0``, ``m1``, ... to, up to where memories are done."""
    top = "module top();" + "".join(f"(* keep *) m{n} u{n}();" for n in range(len(modules))) + "endmodule\n"
    keep = "" if target.family.per_bit.apart else "-noflatten "
    commands = target.family.synth.format(top=f"top {keep}")
    last = "-run map_bram:"  # where it is in several steps
    commands = f"{commands}map_ffram" if commands.endswith(last) else f"{commands} -run begin:map_ffram"
    script = f"read_verilog e.v\n{commands}\ntee -o s.json stat -json"
    run = run_yosys(script, inputs={"e.v": "".join(modules) + top}, outputs=["s.json"])
    stat = json.loads(run.files["s.json"])["modules"]
    return [stat[f"\\m{n}"].get("num_cells_by_type", {}) for n in range(len(modules))]


# Chosen so that every rule of the model matters and Yosys takes little time.
SHAPES = {
    "ecp5": [(8, 100), (10, 1500), (37, 600)],
    "xc7": [(10, 1500), (37, 600)],
    "xcup": [(10, 1500)],
    "ice40": [(10, 600)],
    "gw2a": [(10, 1500), (37, 600)],
    "cyclonev": [(10, 1500), (37, 600), (30, 300), (24, 3200), (16, 2500), (7, 5000)],
}


@pytest.mark.slow
@pytest.mark.parametrize("target", SOON, ids=lambda target: target.family.name)
def test_block_rams_are_as_yosys_maps_them(target):
    cases = [memory(kind, *shape) for kind in ("rom", "ram") for shape in SHAPES[target.family.name]]
    cells = mapped([memory_module(case, f"m{n}") for n, case in enumerate(cases)], target)
    assert [brams(case, target) for case in cases] == [count(found, target).brams for found in cells]


@pytest.mark.slow
def test_ultra_ram_is_as_yosys_maps_it():
    """Bytes of 9 bits, but where rows of narrow words stand beside each other; and words wider and deeper than one."""
    shapes = [(72, 4096), (100, 100), (64, 5000), (10, 9000), (5, 34_000)]
    cases = [memory("ram", *shape, "ultra") for shape in shapes]
    modules = [
        re.sub(r"initial begin.*?\nend\n", "", memory_module(each, f"m{n}"), flags=re.DOTALL)
        for n, each in enumerate(cases)
    ]
    cells = mapped(modules, device("xck26"))
    assert [large_rams(case, device("xck26")) for case in cases] == [1, 2, 2, 1, 1]
    assert [count(found, device("xck26")).large for found in cells] == [1, 2, 2, 1, 1]
    assert all(count(found, device("xck26")).brams == 0 for found in cells)


PRODUCTS = [
    (2, 1),
    (2, 2),
    (4, 4),
    (5, 4),
    (6, 5),
    (9, 8),
    (18, 18),
    (19, 9),
    (20, 20),
    (26, 9),
    (28, 19),
    (36, 36),
    (43, 18),
]


@pytest.mark.parametrize("target", QUICK, ids=lambda target: target.family.name)
def test_dsp_blocks_are_as_yosys_maps_them(target):
    cases = [Products(1, *shape) for shape in PRODUCTS]
    cells = mapped([product_module(case, f"m{n}") for n, case in enumerate(cases)], target)
    assert [dsps(case, target) for case in cases] == [count(found, target).dsps for found in cells]
    assert dsps(Products(7, 8, 9), target) == 7


@pytest.mark.parametrize("target", [SOON[0], SOON[1], GOWIN, CYCLONE], ids=lambda target: target.family.name)
def test_ram_of_luts_is_as_yosys_maps_it(target):
    cases = [memory("ram", width, depth, "lutram") for width, depth in [(8, 16), (7, 32), (9, 64)]]
    cells = mapped([memory_module(case, f"m{n}") for n, case in enumerate(cases)], target)
    assert [ram_luts(case, target) for case in cases] == [count(found, target).ram_luts for found in cells]


@pytest.mark.parametrize("target", DEVICES, ids=lambda target: target.name)
def test_a_memory_of_which_no_bit_changes_takes_nothing(target):
    never = replace(memory("rom", 8, 1000), kept=0)
    assert (brams(never, target), memory_luts(never, target)) == (0, 0)


@pytest.mark.slow
def test_without_lut_ram_small_rams_are_block_ram():
    assert ram_luts(memory("ram", 8, 16, "lutram"), ICE40) == 0
    assert memory_luts(memory("ram", 8, 16, "lutram"), ICE40) == 0
    assert memory_luts(memory("ram", 8, 16, "lutram"), ECP5) == 8
    assert brams(memory("ram", 8, 16, "lutram"), ICE40) == 1
    assert brams(memory("ram", 8, 16, "lutram"), ECP5) == 0
    assert count(synthesise(memory_module(memory("ram", 8, 16, "lutram"), "top"), "top", ICE40), ICE40).brams == 1


def test_the_order_of_operands_does_not_matter():
    for target in (ECP5, XC7, ICE40):
        assert dsps(Products(3, 9, 28), target) == dsps(Products(3, 28, 9), target)


@pytest.mark.slow
def test_synthesis_counts_luts_flipflops_and_ram():
    text = (
        memory_module(memory("ram", 8, 32, "lutram"), "small")
        + memory_module(memory("rom", 18, 600), "large")
        + product_module(Products(1, 9, 8), "product")
        + "module top(input clk, we, input [4:0] a, wa, input [9:0] b, input [7:0] d, input [8:0] e, "
        "output [7:0] p, output [17:0] q, output [16:0] r, output reg [15:0] s);\n"
        "small small(clk, we, a, wa, d, p); large large(clk, 1'b0, b, b, 18'b0, q); product product(clk, e, d, r);\n"
        "always @(posedge clk) s <= s + d;\nendmodule\n"
    )
    cells = synthesise(text, "top", ECP5)
    assert cells["CCU2C"] == 8
    assert count(cells, ECP5) == Needs(16 + cells["LUT4"] + 2 * 8, 16 + 18 + 17 + 16, dsps=1, brams=1, ram_luts=16)


def test_synthesis_that_fails_says_why():
    with pytest.raises(FitError, match=r"synthesis of top for lfe5u-25f: Yosys stopped with status 1: .*lost"):
        synthesise("module top(); lost x(); endmodule", "top", ECP5)
    with pytest.raises(FitError, match="synthesis of top for lfe5u-25f: Yosys took over 0 s"):
        synthesise("module top(); endmodule", "top", ECP5, timeout=0.01)


def test_synthesis_for_a_family_without_any_says_so():
    with pytest.raises(FitError, match=r"Yosys has no synthesis for Intel Arria 10 \(10ax115\): leave out --synth"):
        synthesise("module top(); endmodule", "top", device("10ax115"))


def test_a_multiplier_takes_the_smallest_size_that_holds_it():
    sizes = {"gw2a-18c": (1, 2, 2, 8), "5cseba6": (1, 2, 2, 3), "10ax115": (1, 1, 1, 2), "lfe5u-25f": (1, 1, 1, 4)}
    for name, units in sizes.items():
        target = device(name)
        cases = (Products(1, *shape) for shape in ((9, 8), (10, 9), (18, 18), (26, 26)))
        assert tuple(dsps(case, target) for case in cases) == units


def test_two_products_share_a_multiplier_only_where_that_saves_something():
    at_once = {"xczu3eg": 2, "xc7a35t": 2, "lfe5u-25f": 1, "gw2a-18c": 1, "5cseba6": 1, "1sx280": 1}
    assert {name: cheaper(S8, S8, name) for name in at_once} == at_once


def test_device_names_are_found_in_any_case_or_near_ones_are_named():
    assert device("LFE5U-85F").multipliers == 156
    assert device("K26") is device("xck26")
    assert device("XC7Z020clg400-1") is device("xc7z020")
    with pytest.raises(
        InputError, match=r"device 'lfe5u-85' is not known; did you mean lfe5u-85f or .*Known: ice40up5k,"
    ):
        device("lfe5u-85")
    with pytest.raises(InputError, match=r"device 'stratix' is not known; known: ice40up5k,"):
        device("stratix")


def test_the_table_of_devices_is_sound():
    assert len({known.name for known in DEVICES}) == len(DEVICES)
    for known in DEVICES:
        assert re.fullmatch(r"[a-z0-9-]+", known.name)
        assert min(known.ffs, known.luts) > known.ram_luts >= 0
        assert min(known.dsps, known.brams) > 0
        assert (known.family.lutram is None) == (known.ram_luts == 0)
        assert (known.large_rams > 0) == (known.large_kbit > 0)
        assert known.source.split(" ")[0] in ("AMD", "Gowin", "Intel", "Lattice")
        assert device(known.part) is known
        if known.board:
            assert known.board_source
        dram = known.dram_gbps, known.dram_mb, known.dram_ports
        assert dram == (None, None, None) or min(dram) > 0
    assert {known.family.name for known in DEVICES} == set(FAMILY_TABLE)


def cost(multipliers=2, depth=100):
    logic = Logic(adder=100, logic=50, register=200)
    return Cost((Products(multipliers, 9, 8),), (memory("rom", 18, depth),), logic, lambda: (10, 10))


def test_a_design_that_fits():
    table = fit_costs({"a": cost(), "b": cost(depth=2000)}, ECP5)
    assert table.fits
    assert table.problems == []
    assert table.lacking == []
    assert table.total == needs(cost(), ECP5) + needs(cost(depth=2000), ECP5)
    assert table.data["name"] == "lfe5u-25f"
    row = table.data["resources"][3]
    assert row == {"resource": "18x18 multipliers", "used": 4, "available": 28, "free": 24}
    assert set(table.stages) == {"a", "b"}


def test_a_design_that_does_not_fit_says_by_how_much_and_what_would():
    table = fit_costs({"a": cost(multipliers=30), "b": cost(multipliers=20, depth=200_000)}, ECP5)
    assert not table.fits
    assert {row.resource: -row.free for row in table.lacking} == {"18x18 multipliers": 22, "block RAM (18 kbit)": 141}
    assert table.problems == [
        "lfe5u-25f has 28 18x18 multipliers and the design needs 50, 22 more: use fewer multipliers or fewer frames "
        "per second, or a larger device (lfe5u-85f)",
        "lfe5u-25f has 56 block RAM (18 kbit) and the design needs 197, 141 more: use fewer multipliers or fewer "
        "frames per second, or a larger device (lfe5u-85f)",
    ]
    assert "or a larger device" not in fit_needs(Needs(luts=10**8), ECP5).problems[0]
