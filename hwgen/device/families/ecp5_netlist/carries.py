"""Carry chains without what nextpnr adds to them.

In front of every chain whose carry in is connected, were it to a constant, nextpnr puts a CCU2C that brings it in, and
behind every carry out that has a net, were it one that nobody reads, another. Each is two LUTs, and Yosys connects
both. Here carries that nobody reads are left open, and where the upper half of a chain's last CCU2C is free, all halves
move up by one, and the first brings the carry in.
"""

from collections import Counter
from collections.abc import Iterator

from .absorb import CONSTANTS

#: What is not connected.
_OPEN = ["x"]
#: Of a half: its inputs, its output and what it computes.
_INPUTS, _OUTPUT, _PARAMETERS = ("A", "B", "C", "D"), "S", ("INIT", "INJECT1_")
#: A half that gives A on as its carry, whatever comes in: its LUT of four inputs is 0, that of A and B is A.
_INIT, _INJECT = f"{10:016b}", "NO"


def carries(netlist: dict) -> dict:
    """``netlist`` with the same sums and carries from fewer LUTs."""
    return netlist | {"modules": {name: _module(module) for name, module in netlist["modules"].items()}}


def _module(module: dict) -> dict:
    cells = {name: _copy(cell) if cell["type"] == "CCU2C" else cell for name, cell in module["cells"].items()}
    read = Counter(bit for port in module["ports"].values() for bit in port["bits"])
    for cell in cells.values():
        for port, bits in cell["connections"].items():
            read.update(bits if cell["port_directions"][port] != "output" else ())
    for chain in _chains(cells):
        last = chain[-1]["connections"]
        if last["COUT"] != _OPEN and not read[last["COUT"][0]]:
            last["COUT"] = _OPEN
            _shift(chain, read)
    return module | {"cells": cells}


def _copy(cell: dict) -> dict:
    return cell | {"connections": dict(cell["connections"]), "parameters": dict(cell["parameters"])}


def _chains(cells: dict) -> Iterator[list[dict]]:
    """The CCU2Cs of each chain, from the lowest bits on."""
    chained = [cell for cell in cells.values() if cell["type"] == "CCU2C"]
    given = {bit for cell in chained for bit in cell["connections"]["COUT"] if bit not in CONSTANTS}
    behind = {bit: cell for cell in chained for bit in cell["connections"]["CIN"] if bit in given}
    for cell in chained:
        if cell["connections"]["CIN"][0] not in given:
            chain = [cell]
            while (carry := chain[-1]["connections"]["COUT"][0]) in behind:
                chain.append(behind[carry])
            yield chain


def _shift(chain: list[dict], read: Counter) -> None:
    """Bring the carry into ``chain`` in a half of its own, if its uppermost is free and no carry between its CCU2Cs is
    read elsewhere."""
    between = [cell["connections"]["COUT"][0] for cell in chain[:-1]]
    if read[chain[-1]["connections"]["S1"][0]] or any(read[bit] > 1 for bit in between):
        return
    below = _half(chain[0]["connections"]["CIN"])
    for cell in chain:
        for at in (0, 1):
            below = _exchange(cell, at, below)
    chain[0]["connections"]["CIN"] = _OPEN


def _half(carry: list) -> dict:
    """A half that brings ``carry`` in."""
    ports = {"A": carry, "B": ["1"], "C": ["1"], "D": ["1"], _OUTPUT: _OPEN}
    return ports | dict(zip(_PARAMETERS, (_INIT, _INJECT), strict=True))


def _exchange(cell: dict, at: int, half: dict) -> dict:
    """Put ``half`` into the lower (0) or upper (1) half of ``cell``; gives what was there."""
    was = {}
    for holder, names in ((cell["connections"], (*_INPUTS, _OUTPUT)), (cell["parameters"], _PARAMETERS)):
        for name in names:
            was[name] = holder.get(f"{name}{at}", _OPEN)
            holder[f"{name}{at}"] = half[name]
    return was
