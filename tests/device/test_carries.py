"""Carry chains take fewer LUTs and compute the same, whatever comes into a carry that is left open."""

import copy
import json

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.device.families.ecp5_netlist.carries import carries
from hwgen.tools.yosys import run_yosys

from .test_netlist import cells, synthesised

#: Models of the cells, both netlists, and a proof that no input tells them apart: what is open is anything.
PROOF = """read_verilog -overwrite +/lattice/cells_sim_ecp5.v
read_json before.json
rename top before
read_json after.json
rename top after
miter -equiv before after proof
hierarchy -top proof
proc
flatten
setundef -undriven -anyconst
opt -full
sat -verify -prove trigger 0 -show-inputs proof
"""


class Sums(wiring.Component):
    """Sums, differences, comparisons and a negation of ``width`` bits."""

    def __init__(self, width: int):
        super().__init__(
            {name: In(width) for name in ("a", "b")}
            | {"carry": In(1)}
            | {name: Out(width + 1) for name in ("total", "difference", "next", "less", "all")}
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.total.eq(self.a + self.b),
            self.difference.eq(self.a - self.b),
            self.next.eq(self.b + self.carry),
            self.less.eq(self.a.as_signed() < self.b.as_signed()),
            self.all.eq((self.a + self.b)[: len(self.a)] - 3),
        ]
        return m


def added(netlist: dict) -> int:
    """CCU2Cs that nextpnr adds: in front of a carry in and behind a carry out that have nets."""
    chained = [cell["connections"] for cell in netlist["modules"]["top"]["cells"].values() if cell["type"] == "CCU2C"]
    comes, goes = ({cell[port][0] for cell in chained} - {"x"} for port in ("CIN", "COUT"))
    starts = sum(cell["CIN"][0] not in goes | {"x"} for cell in chained)
    return starts + len(goes - comes)


def alone(netlist: dict) -> str:
    """``netlist`` without the library that Yosys writes with it; Yosys reads what is open only where nothing is said
    of it."""
    top = copy.deepcopy(netlist["modules"]["top"])
    for cell in top["cells"].values():
        cell["connections"] = {port: bits for port, bits in cell["connections"].items() if bits != ["x"]}
    return json.dumps({"modules": {"top": top}})


@pytest.mark.parametrize("width", [7, pytest.param(4, marks=pytest.mark.slow)])
def test_chains_without_what_nobody_reads_compute_the_same(width):
    before = synthesised(Sums(width))
    after = carries(before)
    assert cells(after) == cells(before)
    assert added(after) <= added(before) / 2
    assert carries(after) == after
    run_yosys(PROOF, inputs={"before.json": alone(before), "after.json": alone(after)}, outputs=[])
