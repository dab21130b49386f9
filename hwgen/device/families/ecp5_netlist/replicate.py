"""Copies of registers that many read: one alone cannot be near all of them, and routers make none."""

from collections import defaultdict
from copy import deepcopy

from .absorb import CONSTANTS

#: Readers that a register keeps for itself.
FAN_OUT = 64
#: The same of an operand of cascades, whose blocks are in a few rows of the device, each as long as that.
OPERAND_FAN_OUT = 4


def replicate(netlist: dict) -> dict:
    """``netlist`` with copies of flip-flops for each :data:`FAN_OUT` inputs, neighbours by name, that read them; where
    these are operands of cascades, for each :data:`OPERAND_FAN_OUT`."""
    result = deepcopy(netlist)
    for module in result["modules"].values():
        cells = module["cells"]
        readers = _readers(cells)
        kept = {bit for port in module["ports"].values() for bit in port["bits"]}
        fresh = 1 + max((bit for bit in [*readers, *kept] if isinstance(bit, int)), default=0)
        for name in [name for name, cell in cells.items() if cell["type"] == "TRELLIS_FF"]:
            read = sorted(readers[cells[name]["connections"]["Q"][0]])
            most = OPERAND_FAN_OUT if _operand(cells, read) else FAN_OUT
            for start in range(most, len(read), most):
                copy = deepcopy(cells[name])
                copy["connections"]["Q"] = [fresh]
                cells[f"{name}_copy_{start // most}"] = copy
                for reader, port, at in read[start : start + most]:
                    cells[reader]["connections"][port][at] = fresh
                fresh += 1
    return result


def _operand(cells: dict, read: list[tuple[str, str, int]]) -> bool:
    """Whether only multipliers read it, one of which passes its operands to an ALU54B."""
    readers = [cells[name] for name, _, _ in read]
    multipliers = all(cell["type"] == "MULT18X18D" for cell in readers)
    return multipliers and any("ROA0" in cell["connections"] for cell in readers)


def _readers(cells: dict) -> dict[int, list[tuple[str, str, int]]]:
    """The inputs that read each net: cell, port, and which bit of the port."""
    readers = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            for at, bit in enumerate(bits):
                if cell["port_directions"][port] != "output" and bit not in CONSTANTS:
                    readers[bit].append((name, port, at))
    return readers
