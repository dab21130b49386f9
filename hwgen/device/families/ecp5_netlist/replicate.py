"""Copies of registers and LUTs that many read: one alone cannot be near all of them, and routers make none."""

from collections import defaultdict
from copy import deepcopy

from .absorb import CONSTANTS

#: Readers that a register or a LUT keeps for itself.
FAN_OUT = 64
#: The same where these are block RAMs, which stand in a few columns of the device.
BLOCK_FAN_OUT = 8
#: The same of an operand of cascades, whose blocks are in a few rows of the device, each as long as that.
OPERAND_FAN_OUT = 4
#: What is copied, with its output.
_OUTPUTS = {"TRELLIS_FF": "Q", "LUT4": "Z"}
_Reader = tuple[str, str, int]  # cell, port, and which bit of the port


def replicate(netlist: dict) -> dict:
    """``netlist`` with copies of flip-flops and LUTs for each :data:`FAN_OUT` inputs, neighbours by name, that read
    them; where these are block RAMs, for each :data:`BLOCK_FAN_OUT`, where they are operands of cascades, for each
    :data:`OPERAND_FAN_OUT`."""
    result = deepcopy(netlist)
    for module in result["modules"].values():
        nets = _Nets(module)
        # A copy is a reader more of what it reads itself.
        while sum(nets.copied(name) for name, cell in list(nets.cells.items()) if cell["type"] in _OUTPUTS):
            pass
    return result


class _Nets:
    """The inputs that read each net of a module, kept up as copies are made."""

    def __init__(self, module: dict):
        self.cells = module["cells"]
        self.readers: dict[int | str, list[_Reader]] = defaultdict(list)
        for name in self.cells:
            self._enter(name)
        kept = {bit for port in module["ports"].values() for bit in port["bits"]}
        self.fresh = 1 + max((bit for bit in [*self.readers, *kept] if isinstance(bit, int)), default=0)

    def _enter(self, name: str) -> None:
        cell = self.cells[name]
        for port, bits in cell["connections"].items():
            for at, bit in enumerate(bits):
                if cell["port_directions"][port] != "output" and bit not in CONSTANTS:
                    self.readers[bit].append((name, port, at))

    def copied(self, name: str) -> bool:
        """Whether the cell ``name`` had so many readers that copies have taken over some of them."""
        cell = self.cells[name]
        output = _OUTPUTS[cell["type"]]
        first, *others = self._groups(self.readers[cell["connections"][output][0]]) or [[]]
        for group in others:
            copy = deepcopy(cell)
            copy["connections"][output] = [self.fresh]
            self.cells[f"{name}_copy_{self.fresh}"] = copy
            self._enter(f"{name}_copy_{self.fresh}")
            for reader, port, at in group:
                self.cells[reader]["connections"][port][at] = self.fresh
            self.readers[self.fresh] = group
            self.fresh += 1
        self.readers[cell["connections"][output][0]] = first
        return bool(others)

    def _groups(self, read: list[_Reader]) -> list[list[_Reader]]:
        """Readers that one cell may have, neighbours by name; a LUT that is half of a wider one has one reader."""
        read = sorted(read)
        kinds = [self.cells[name]["type"] for name, _, _ in read]
        if any(port in ("ALUT", "BLUT") for _, port, _ in read):
            return [read]
        if set(kinds) == {"MULT18X18D"} and any("ROA0" in self.cells[name]["connections"] for name, _, _ in read):
            return _parts(read, OPERAND_FAN_OUT)
        blocks = [reader for reader, kind in zip(read, kinds, strict=True) if kind == "DP16KD"]
        if len(blocks) <= BLOCK_FAN_OUT:
            return _parts(read, FAN_OUT)
        return _parts([reader for reader in read if reader not in blocks], FAN_OUT) + _parts(blocks, BLOCK_FAN_OUT)


def _parts(read: list[_Reader], most: int) -> list[list[_Reader]]:
    """Lists of at most so many."""
    return [read[start : start + most] for start in range(0, len(read), most)]
