"""Paths through ALU54B, none of which nextpnr times: their delays from the SDF file of what it has routed.

To what is routed between R of an ALU and registers, or between P of a multiplier or R and port C, comes what the ALU
itself takes. No figure of that is public. Its output register is taken to be as fast as a multiplier's in the same
block, and its adder, :data:`ADDER`, slower than any carry chain of as many bits in logic. Paths inside a block, from
multipliers or a register of port C to their ALU, are fixed and not looked at.
"""

import re
from collections import defaultdict

from .cascades import HELD_C

#: ns from the clock's edge to R, as nextpnr has it for P of a multiplier with an output register, speed grade 6.
CLOCK_TO_R = 0.73
#: ns from port C or CIN to the register of R: no public figure, chosen with care.
ADDER = 3.0
#: ns from port C to a register there: no public figure; those of a multiplier's operands have 0.08.
SETUP = 0.3
_LINE = re.compile(
    r"CELLTYPE \"(?P<kind>\w+)\"|INSTANCE (?P<cell>\S*)\)"
    r"|(?P<wire>INTERCONNECT|IOPATH) (?P<begin>\S+) (?P<end>\S+) \([\d.]+:[\d.]+:(?P<delay>[\d.]+)\)"
    r"|SETUPHOLD \(\w+ (?P<pin>\w+)\) \(\w+ \w+\) \([\d.]+:[\d.]+:(?P<setup>[\d.]+)\)"
)


def untimed(sdf: str) -> float:
    """The ns of the longest path that begins or ends at an ALU; 0 where there is none."""
    if "ALU54B" not in sdf:
        return 0.0
    edges, starts, ends = _graph(sdf)
    arrivals = _longest(edges, starts)
    return max((time + ends[pin] for pin, time in arrivals.items() if pin in ends), default=0.0)


def _graph(sdf: str) -> tuple[dict[str, list[tuple[str, float]]], dict[str, float], dict[str, float]]:
    """Delays between pins, when those that paths begin at change, and how long before the next edge those that they
    end at must be there."""
    edges, starts, ends = defaultdict(list), {}, {}
    kind = cell = ""
    for found in _LINE.finditer(sdf):
        if found["kind"]:
            kind = found["kind"]
        elif found["cell"] is not None:
            cell = found["cell"]
        elif found["pin"]:
            ends[f"{cell}/{found['pin']}"] = float(found["setup"]) / 1000
        elif found["wire"] == "INTERCONNECT":
            edges[found["begin"]].append((found["end"], float(found["delay"]) / 1000))
        elif not found["begin"].startswith("CLK"):
            edges[f"{cell}/{found['begin']}"].append((f"{cell}/{found['end']}", float(found["delay"]) / 1000))
        elif kind == "MULT18X18D":
            starts[f"{cell}/{found['end']}"] = float(found["delay"]) / 1000
    adders = set(re.findall(r'CELLTYPE "ALU54B"\)\s*\(INSTANCE (\S+)\)', sdf))
    for begin in list(edges):
        if begin.rpartition("/")[0] in adders:
            starts[begin] = CLOCK_TO_R
        for end, _ in edges[begin]:
            name, _, pin = end.rpartition("/")
            if name in adders and re.fullmatch(r"C(IN)?\d+", pin):
                ends[end] = SETUP if name.endswith(HELD_C) and not pin.startswith("CIN") else ADDER
    return edges, starts, ends


def _longest(edges: dict[str, list[tuple[str, float]]], starts: dict[str, float]) -> dict[str, float]:
    """When each pin that can be reached has changed at the latest."""
    waits: dict[str, int] = defaultdict(int)
    seen, front = set(starts), list(starts)
    while front:
        for end, _ in edges.get(front.pop(), ()):
            waits[end] += 1
            if end not in seen:
                seen.add(end)
                front.append(end)
    arrivals, ready = dict(starts), [pin for pin in starts if not waits[pin]]
    while ready:
        pin = ready.pop()
        for end, delay in edges.get(pin, ()):
            arrivals[end] = max(arrivals.get(end, 0.0), arrivals[pin] + delay)
            waits[end] -= 1
            if not waits[end]:
                ready.append(end)
    return arrivals
