"""Copies of registers that many read: one alone cannot be near all of them, and routers make none."""

from collections import defaultdict
from copy import deepcopy

from .absorb import CONSTANTS

#: Readers that a register keeps for itself.
FAN_OUT = 64


def replicate(netlist: dict) -> dict:
    """``netlist`` with copies of flip-flops for each :data:`FAN_OUT` inputs, neighbours by name, that read them."""
    result = deepcopy(netlist)
    for module in result["modules"].values():
        cells = module["cells"]
        readers = _readers(cells)
        kept = {bit for port in module["ports"].values() for bit in port["bits"]}
        fresh = 1 + max((bit for bit in [*readers, *kept] if isinstance(bit, int)), default=0)
        for name in [name for name, cell in cells.items() if cell["type"] == "TRELLIS_FF"]:
            read = sorted(readers[cells[name]["connections"]["Q"][0]])
            for start in range(FAN_OUT, len(read), FAN_OUT):
                copy = deepcopy(cells[name])
                copy["connections"]["Q"] = [fresh]
                cells[f"{name}_copy_{start // FAN_OUT}"] = copy
                for reader, port, at in read[start : start + FAN_OUT]:
                    cells[reader]["connections"][port][at] = fresh
                fresh += 1
    return result


def _readers(cells: dict) -> dict[int, list[tuple[str, str, int]]]:
    """The inputs that read each net: cell, port, and which bit of the port."""
    readers = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            for at, bit in enumerate(bits):
                if cell["port_directions"][port] != "output" and bit not in CONSTANTS:
                    readers[bit].append((name, port, at))
    return readers
