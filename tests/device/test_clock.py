"""The clock benchmark: what it routes, and how it reads nextpnr's report."""

import re

from benchmarks.clock import Surrounded, read_report, row
from hwgen.blocks import MaxPool
from hwgen.blocks.operator import LaneFolding
from hwgen.blocks.pool.pool import MaxPoolUnit
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap
from hwgen.hdl.rtlil import to_rtlil
from tests.blocks.cases import pool


def test_what_is_routed_has_one_pin_in_and_one_out():
    core = MaxPoolUnit(pool(MaxPool, FeatureMap(4, 4, 3, U8), Window((2, 2), (2, 2))), LaneFolding(3)).block()
    top = re.search(r"^module \\top\n(.*?)^end$", to_rtlil(Surrounded(core), "top"), re.DOTALL | re.MULTILINE)[1]
    ports = re.findall(r"wire width (\d+) (input|output) \d+ +\\(\w+)", top)
    assert sorted((name, kind, int(width)) for width, kind, name in ports) == [
        ("clk", "input", 1),
        ("i", "input", 1),
        ("o", "output", 1),
        ("rst", "input", 1),
    ]


def step(kind, delay, net, begin, end):
    ends = {"from": {"cell": begin, "port": "Q"}, "to": {"cell": end, "port": "DI"}}
    return {"type": kind, "delay": delay, **({"net": net} if net else {}), **ends}


def test_the_report_of_the_router_is_read():
    slow = [
        step("clk-to-q", 0.5, None, "a", "a"),
        step("routing", 3.25, "core.a", "a", "b"),
        step("logic", 0.25, None, "b", "b"),
        step("routing", 1.5, "core.b", "b", "c"),
        step("setup", 0.0, None, "c", "c"),
    ]
    report = {
        "utilization": {
            kind: {"used": used, "available": 1000}
            for kind, used in (("TRELLIS_COMB", 1234), ("TRELLIS_FF", 567), ("MULT18X18D", 8), ("DP16KD", 9))
        },
        "fmax": {"$glbnet$clk": {"achieved": 125.0, "constraint": 150}},
        "critical_paths": [
            {"from": "<async>", "to": "posedge clk", "path": slow[:1]},
            {"from": "posedge clk", "to": "posedge clk", "path": slow},
        ],
    }
    found = read_report(report, 60.0)
    assert (found.mhz, found.luts, found.ffs, found.dsps, found.brams) == (125.0, 1234, 567, 8, 9)
    assert (found.begin, found.end, found.wires) == ("core.a", "c", 4.75)
    assert row(found, 5000) == "125.0 | 25,000 | 1,234 | 567 | 8 | 9 | core.a to c, 4.8 ns of it wires"
    assert read_report(report | {"untimed": 10.0}, 60.0).mhz == 100.0
    assert read_report(report | {"untimed": 5.0}, 60.0).mhz == 125.0
