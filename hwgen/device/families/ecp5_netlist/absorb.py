"""Registers that belong into the multipliers and block RAMs of an ECP5.

Both have registers of their own at inputs and outputs, and are slow without them: a product takes 3.9 ns, and a word
of block RAM comes 5.8 ns after the clock. Yosys maps what computes and leaves registers beside it. Here they move in:
a netlist goes in as Yosys writes it in JSON, flattened, and the same circuit comes out, cycle by cycle.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

from hwgen.graph.complete import complete

CONSTANTS = ("0", "1", "x", "z")
#: Cells that only compute; their result is called Z.
GATES = ("LUT4", "PFUMX", "L6MUX21")
#: What a flip-flop must be to move: clocked by a rising edge, 0 at first; and in every cycle, but behind block RAM.
_STORING = {"CLKMUX": "CLK", "REGSET": "RESET", "GSR": "DISABLED"}
PLAIN = {"CEMUX": "1", **_STORING}
OPERANDS = "AB"
BITS, PRODUCT_BITS, HALF_BITS = 18, 36, 18


@dataclass(frozen=True)
class ReadPort:
    """How one port of a block RAM to read from is spelled: its ``data`` buses, the lowest bits first, of
    :data:`HALF_BITS` each, and what goes with its register."""

    data: tuple[str, ...]
    modes: tuple[str, ...]
    clock: str
    enable: str
    reset: str


_HALVES = (
    ReadPort(("DOA",), ("REGMODE_A",), "CLKA", "OCEA", "RSTA"),
    ReadPort(("DOB",), ("REGMODE_B",), "CLKB", "OCEB", "RSTB"),
)
#: A word of 36 bits, with a port to read and another to write, has the registers of both.
_WHOLE = ReadPort(("DOB", "DOA"), ("REGMODE_A", "REGMODE_B"), "CLKB", "OCEB", "RSTB")


def read_ports(cell: dict) -> tuple[ReadPort, ...]:
    """The ports of ``cell`` to read from, if it is a block RAM."""
    if cell["type"] != "DP16KD":
        return ()
    return (_WHOLE,) if int(cell["parameters"]["DATA_WIDTH_A"], 2) == 2 * HALF_BITS else _HALVES


def word_bits(cell: dict, port: ReadPort) -> list[tuple[str, int | str]]:
    """What is connected to a port: names of single outputs with their nets."""
    return [bit for bus in port.data for bit in _port_bits(cell, bus, HALF_BITS)]


def absorb(netlist: dict) -> dict:
    """``netlist`` with flip-flops moved into the blocks that they stand in front of or behind."""
    result = deepcopy(netlist)
    for module in result["modules"].values():
        nets = _Nets(module)
        for cell in list(module["cells"].values()):
            if cell["type"] == "MULT18X18D":
                _absorb_operands(cell, nets)
                _absorb_product(cell, nets)
            for port in read_ports(cell):
                _absorb_word(cell, port, nets)
        nets.drop_unread()
    return result


class _Nets:
    """Who drives and who reads the nets of a module, kept up as registers move."""

    def __init__(self, module: dict):
        self.cells = module["cells"]
        self.readers: Counter = Counter()
        self.loads: dict[int, list[str]] = defaultdict(list)  # flip-flops that store a net, plain or enabled
        self.drivers: dict[int, str] = {}  # plain flip-flops by what they give
        self.computed = {cell["connections"]["Z"][0] for cell in module["cells"].values() if cell["type"] in GATES}
        for port in module["ports"].values():
            self.readers.update(port["bits"] if port["direction"] != "input" else ())
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] != "output":
                    self.readers.update(bits)
            if enable(cell):
                self.loads[cell["connections"]["DI"][0]].append(name)
            if is_plain(cell):
                self.drivers[cell["connections"]["Q"][0]] = name

    def connection(self, name: str, port: str):
        """The net at a port of a flip-flop."""
        return self.cells[name]["connections"][port][0]

    def before(self, bits: Iterable) -> tuple[list, set] | None:
        """What flip-flops that drive ``bits`` store, with their clocks; zeros stay. None if there are others."""
        stored, clocks = [], set()
        for bit in bits:
            if bit != "0":
                if bit not in self.drivers:
                    return None
                clocks.add(self.connection(self.drivers[bit], "CLK"))
                bit = self.connection(self.drivers[bit], "DI")
            stored.append(bit)
        return (stored, clocks) if len(clocks) == 1 else None

    def behind(self, bits: Iterable) -> tuple[dict, set, int | str] | None:
        """By net of ``bits`` the flip-flop that alone reads it, with their clocks and what enables all of them; nets
        that nobody reads are left out. None if there are other readers."""
        read = [bit for bit in bits if bit not in CONSTANTS and self.readers[bit]]
        if not read or any(self.readers[bit] != 1 or not self.loads[bit] for bit in read):
            return None
        found = {bit: self.loads[bit][0] for bit in read}
        clocks = {self.connection(name, "CLK") for name in found.values()}
        first, *others = {enable(self.cells[name]) for name in found.values()}
        return None if others or first is None or len(clocks) > 1 else (found, clocks, first)

    def rewire(self, cell: dict, port: str, bit) -> None:
        """Connect an input of a cell to another net."""
        self.readers[cell["connections"][port][0]] -= 1
        self.readers[bit] += 1
        cell["connections"][port] = [bit]

    def take(self, name: str) -> int:
        """Remove a flip-flop; gives the net that it drove."""
        stored, given = self.connection(name, "DI"), self.connection(name, "Q")
        connections = self.cells.pop(name)["connections"]
        self.readers.subtract(bit for port in ("DI", "CLK", "CE") for bit in connections.get(port, ()))
        self.loads[stored].remove(name)
        self.drivers.pop(given, None)
        return given

    def drop_unread(self) -> None:
        """Remove flip-flops that nobody reads any more, and those that only they read."""
        unread = [name for bit, name in self.drivers.items() if not self.readers[bit]]
        while unread:
            stored = self.connection(unread[-1], "DI")
            self.take(unread.pop())
            if stored in self.drivers and not self.readers[stored]:
                unread.append(self.drivers[stored])


def is_plain(cell: dict) -> bool:
    """Whether ``cell`` is a flip-flop that does nothing but store."""
    return _is_storing(cell, PLAIN)


def _is_storing(cell: dict, parameters: dict[str, str]) -> bool:
    if cell["type"] != "TRELLIS_FF" or cell["connections"].get("LSR", ["0"]) not in (["0"], []):
        return False
    return all(cell["parameters"].get(name, value).strip() == value for name, value in parameters.items())


def enable(cell: dict) -> int | str | None:
    """The net with which ``cell``, a flip-flop that only stores, does so, ``"1"`` if it always does; None for another
    cell."""
    if is_plain(cell):
        return "1"
    if not _is_storing(cell, {"CEMUX": "CE", **_STORING}) or "CEMUX" not in cell["parameters"]:
        return None
    return cell["connections"]["CE"][0]


def _port_bits(cell: dict, name: str, width: int) -> Iterator[tuple[str, int | str]]:
    """Ports ``name`` 0 to ``width - 1`` of ``cell`` with their nets, where they are connected."""
    for n in range(width):
        if cell["connections"].get(f"{name}{n}"):
            yield f"{name}{n}", cell["connections"][f"{name}{n}"][0]


def _has_register(cell: dict, parameter: str) -> bool:
    """Whether one is in use already: each block has one only."""
    return cell["parameters"].get(parameter, "NONE") not in ("NONE", "NOREG")


def _absorb_operands(cell: dict, nets: _Nets) -> None:
    """Both operands or none: the tools know no other multiplier.

    A register right behind gates stays: they and the multiplier may be far apart, each near to what it works with.
    """
    if _has_register(cell, "REG_INPUTA_CLK"):
        return
    ports = [list(_port_bits(cell, operand, BITS)) for operand in OPERANDS]
    found = complete(nets.before(bit for _, bit in each) for each in ports)
    if found is None or found[0][1] != found[1][1]:
        return
    if any(bit in nets.computed for stored, _ in found for bit in stored):
        return
    for each, (stored, _) in zip(ports, found, strict=True):
        for (port, _), bit in zip(each, stored, strict=True):
            nets.rewire(cell, port, bit)
    _clocked(cell, nets, found[0][1], [f"REG_INPUT{operand}" for operand in OPERANDS])


def _absorb_product(cell: dict, nets: _Nets) -> None:
    if _has_register(cell, "REG_OUTPUT_CLK"):
        return
    ports = list(_port_bits(cell, "P", PRODUCT_BITS))
    found = nets.behind(bit for _, bit in ports)
    clock = cell["connections"].get("CLK0")
    if found is None or found[2] != "1" or (clock and {clock[0]} != found[1]):
        return
    _move_out(cell, ports, found[0], nets)
    _clocked(cell, nets, found[1], ["REG_OUTPUT"])


def _move_out(cell: dict, ports: Sequence[tuple[str, int | str]], found: dict, nets: _Nets) -> None:
    """What flip-flops gave now comes from the cell itself."""
    for port, bit in ports:
        if bit in found:
            cell["connections"][port] = [nets.take(found[bit])]


def _clocked(cell: dict, nets: _Nets, clocks: set, registers: Sequence[str]) -> None:
    """Switch registers of a multiplier on: always enabled, never reset."""
    cell["parameters"] |= {f"{register}_CLK": "CLK0" for register in registers} | {"GSR": "DISABLED"}
    for port, bit in (("CLK0", *clocks), ("CE0", "1"), ("RST0", "0")):
        cell["connections"][port], cell["port_directions"][port] = [bit], "input"
        nets.readers[bit] += 1


def _absorb_word(cell: dict, port: ReadPort, nets: _Nets) -> None:
    connections, ports = cell["connections"], word_bits(cell, port)
    found = nets.behind(bit for _, bit in ports)
    if any(_has_register(cell, mode) for mode in port.modes):
        return
    if found is None or set(connections[port.clock]) != found[1]:
        return
    if (connections.get(port.enable), connections.get(port.reset)) != (["1"], ["0"]):
        return
    _move_out(cell, ports, found[0], nets)
    cell["parameters"] |= dict.fromkeys(port.modes, "OUTREG")
    enables = (port.enable, "OCEA") if port is _WHOLE else (port.enable,)
    connections |= {name: [found[2]] for name in enables}
    nets.readers[found[2]] += len(enables)
