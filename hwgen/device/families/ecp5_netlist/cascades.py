"""Steps of cascades get places side by side, where an ALU54B reaches the next one without general routing.

The wires from R of an ALU54B lead to CIN of the one to the east in its row of blocks, as far as the row goes without a
gap; nextpnr joins cells by them but does not look for places where it can (places: Project Trellis' database).

A multiplier alone, with which a cascade starts, is joined to the first ALU by general routing, however far away; its
pipeline register moves to the end of that way, into port C.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

#: Bits of R, C and CIN, and of a product.
WIDTH, PRODUCT = 54, 36
#: Columns of a block of four multipliers with two ALUs, and where these are, from its first column.
BLOCK, ALUS = 9, (3, 7)

#: Added to the names of ALUs that have a register at port C.
HELD_C = "_held_c"
#: The register of a multiplier at its operands, or behind it, and that inside.
_ENDS, _INSIDE = ("REG_INPUTA_CLK", "REG_INPUTB_CLK", "REG_OUTPUT_CLK"), "REG_PIPELINE_CLK"

#: A net by its number, a constant, or None where nothing is joined.
Bit = int | str | None


@dataclass(frozen=True)
class Rows:
    """Where blocks are: ``rows``, and in each the runs without a gap, as the column of the first block and their
    number."""

    rows: tuple[int, ...]
    runs: tuple[tuple[int, int], ...]

    @property
    def sites(self) -> list[list[tuple[int, int, int]]]:
        """The places of ALUs in each run, from west to east: column, row, number in its block."""
        return [
            [(first + BLOCK * block + at, row, at) for block in range(count) for at in ALUS]
            for row in self.rows
            for first, count in self.runs
        ]


#: Rows by the number of multipliers of a device.
ROWS = {
    28: Rows((13,), ((4, 3), (33, 4))),
    72: Rows((22, 46), ((4, 4), (42, 5))),
    156: Rows((10, 34, 58), ((4, 7), (69, 6))),
}


def cascades(netlist: dict, multipliers: int) -> dict:
    """``netlist`` for a device with so many ``multipliers``, with places for the cells of as many cascades as there is
    room for, the longest first; C of their steps has become CIN."""
    result = deepcopy(netlist)
    for module in result["modules"].values():
        cells = module["cells"]
        free = ROWS[multipliers].sites
        products = {_bit(cell, "P0"): cell for cell in cells.values() if cell["type"] == "MULT18X18D"}
        for chain in sorted(_chains(cells), key=lambda chain: (-len(chain), chain)):
            run = next((run for run in free if len(run) >= len(chain)), None)
            if run is None:
                continue
            for n, name in enumerate(chain):
                _put(cells[name], products, run.pop(0))
                if n:
                    _wire(cells[name])
        _hold(cells, module["ports"])
    return result


def _hold(cells: dict, ports: dict) -> None:
    """Move the pipeline register of multipliers that only port C of an ALU reads into that port."""
    readers: dict[Bit, set[str]] = defaultdict(set, {bit: {""} for port in ports.values() for bit in port["bits"]})
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                for bit in bits:
                    readers[bit].add(name if re.fullmatch(r"C\d+", port) else "")
    for cell in [cell for cell in cells.values() if cell["type"] == "MULT18X18D"]:
        names = set().union(*(readers[bit] for n in range(PRODUCT) if (bit := _bit(cell, f"P{n}")) is not None))
        if len(names) == 1 and _all_held(cell) and _reads_only(adder := cells.get(*names), cell):
            cell["parameters"][_INSIDE] = "NONE"
            adder["parameters"] |= {f"REG_INPUTC{half}_CLK": "CLK0" for half in (0, 1)}
            cells[f"{min(names)}{HELD_C}"] = cells.pop(min(names))


def _all_held(multiplier: dict) -> bool:
    """Whether it has all registers."""
    return all(multiplier["parameters"].get(name, "NONE").strip() == "CLK0" for name in (*_ENDS, _INSIDE))


def _reads_only(adder: dict | None, multiplier: dict) -> bool:
    """Whether ``adder`` is an ALU whose port C gets nothing but the product, every bit of it a cycle later."""
    if adder is None or adder["type"] != "ALU54B" or adder["connections"]["CLK0"] != multiplier["connections"]["CLK0"]:
        return False
    given = {_bit(multiplier, f"P{n}") for n in range(PRODUCT)}
    return all(_bit(adder, f"C{n}") in {None, "0", *given} for n in range(WIDTH))


def _chains(cells: dict) -> Iterator[list[str]]:
    """Names of ALUs, two or more, each of which adds R of the one before."""
    drivers: dict[Bit, tuple[str, int]] = {}
    for name, cell in cells.items():
        if cell["type"] == "ALU54B":
            drivers |= {_bit(cell, f"R{n}"): (name, n) for n in range(WIDTH) if f"R{n}" in cell["connections"]}
    before = {name: _before(cell, drivers) for name, cell in cells.items() if cell["type"] == "ALU54B"}
    readers = defaultdict(list)
    for name, other in before.items():
        readers[other].append(name)
    after = {other: some[0] for other, some in readers.items() if other is not None and len(some) == 1}
    for name, other in before.items():
        if (other is None or after.get(other) != name) and name in after:
            chain = [name]
            while chain[-1] in after:
                chain.append(after[chain[-1]])
            yield chain


def _before(cell: dict, drivers: dict) -> str | None:
    """The ALU whose R, as far as there are sums in it, ``cell`` adds bit by bit from C."""
    if [_bit(cell, f"OP{n}") for n in (4, 5, 6)] != ["1", "1", "0"]:
        return None
    read = {n: bit for n in range(WIDTH) if (bit := _bit(cell, f"C{n}")) not in (None, "0", "x")}
    names = {drivers[bit][0] if drivers.get(bit, ("", -1))[1] == n else None for n, bit in read.items()}
    return names.pop() if len(names) == 1 else None


def _bit(cell: dict, port: str) -> Bit:
    bits = cell["connections"].get(port)
    return bits[0] if bits else None


def _put(adder: dict, products: dict[Bit, dict], site: tuple[int, int, int]) -> None:
    """Give an ALU and its two multipliers, of those that make ``products``, their places."""
    column, row, at = site
    adder["attributes"]["BEL"] = f"X{column}/Y{row}/ALU54_{at}"
    for port, west in (("MA0", 3), ("MB0", 2)):
        multiplier = products[_bit(adder, port)]
        multiplier["attributes"]["BEL"] = f"X{column - west}/Y{row}/MULT18_{at - west}"


def _wire(cell: dict) -> None:
    """Add CIN where C was added."""
    for n in range(WIDTH):
        if f"C{n}" in cell["connections"]:
            cell["connections"][f"CIN{n}"] = cell["connections"].pop(f"C{n}")
            cell["port_directions"][f"CIN{n}"] = cell["port_directions"].pop(f"C{n}")
    cell["connections"]["OP4"] = ["0"]  # from C to CIN
