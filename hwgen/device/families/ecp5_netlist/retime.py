"""Registers in an ECP5's netlist that move from behind the LUTs which choose between block RAMs to in front of them.

A ROM deeper than a block RAM is several, and LUTs choose between their words; its register stands behind these.
In front of them it can move into the block RAMs (:mod:`.absorb`), whose words are slow without it. What
chooses gets a register more in exchange. From the third cycle on the circuit does what it did before: only what such
a register holds at power-up is another. So only registers move that have no reset, which nothing waits for.
"""

from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice

from .absorb import CONSTANTS, GATES, is_plain, read_ports, word_bits

#: Gates that one register may choose for: with more, it cannot be near all of them.
FAN_OUT = 32


def retime(netlist: dict) -> dict:
    """``netlist``, as Yosys writes it in JSON, flattened, with the registers moved."""
    result = deepcopy(netlist)
    for module in result["modules"].values():
        nets = _Nets(module["cells"], module["ports"])
        done: set[_Word] = set()
        for word in list(nets.words):
            if word not in done:
                region = _region(nets, word)
                done |= region.words if region else {word}
                if region and region.gates:
                    nets.move(region)
    return result


Bit = int | str  # a net, or a constant
_Word = tuple[str, str]  # a block RAM and the first bus of one of its ports


@dataclass
class _Region:
    """What has to move together: ``words`` of block RAMs, all ``gates`` that they go through, the ``registers``
    behind, and ``chosen_by``: nets of other registers that lead into the gates."""

    words: set[_Word] = field(default_factory=set)
    gates: set[str] = field(default_factory=set)
    registers: set[str] = field(default_factory=set)
    chosen_by: set[Bit] = field(default_factory=set)


class _Nets:
    """What drives and reads each net, as (cell, port), and the nets of words from block RAMs."""

    def __init__(self, cells: dict, ports: dict):
        self.cells = cells
        self.drivers: dict[Bit, tuple[str, str]] = {}
        self.readers: dict[Bit, list[tuple[str | None, str]]] = defaultdict(list)
        for name, port in ports.items():
            for bit in port["bits"] if port["direction"] != "input" else ():
                self.readers[bit].append((None, name))
        for name, cell in cells.items():
            for port, bits in cell["connections"].items():
                for bit in bits:
                    if cell["port_directions"][port] == "output":
                        self.drivers[bit] = name, port
                    else:
                        self.readers[bit].append((name, port))
        self.words: dict[_Word, list[Bit]] = {}
        for name, cell in cells.items():
            for port in read_ports(cell):
                self.words[name, port.data[0]] = [bit for _, bit in word_bits(cell, port) if self.readers[bit]]
        self.word_of = {bit: word for word, bits in self.words.items() for bit in bits}
        self.free = 1 + max((bit for bit in [*self.drivers, *self.readers] if isinstance(bit, int)), default=0)

    def kind(self, name: str | None) -> str | None:
        return self.cells[name]["type"] if name else None

    def plain(self, name: str | None) -> bool:
        return name is not None and is_plain(self.cells[name])

    def sources(self, gate: str) -> list[Bit]:
        """Nets that lead into a gate."""
        nets = (bit for port, bits in self.cells[gate]["connections"].items() if port != "Z" for bit in bits)
        return [bit for bit in nets if bit not in CONSTANTS]

    def move(self, region: _Region) -> None:
        """Take the registers behind the gates away, and put some in front of them."""
        pattern = deepcopy(self.cells[min(region.registers)])
        bits = [bit for word in sorted(region.words) for bit in self.words[word]]
        leads_to = self._order(region)
        for net in [*bits, *sorted(region.chosen_by)]:
            readers = [(name, port) for name, port in self.readers[net] if name in region.gates]
            readers.sort(key=lambda reader: leads_to[reader[0]])
            # There are none where a register reads the word itself, and so is where it has to be.
            for some in [readers] if net in self.word_of else _batches(readers):
                if some:
                    self._put(net, list(some), pattern)
        for name in region.registers:
            connections = self.cells[name]["connections"]
            driver, _ = self.drivers[connections["DI"][0]]
            if driver in region.gates:
                self.cells[driver]["connections"]["Z"] = connections["Q"]
                self.drivers[connections["Q"][0]] = driver, "Z"
                del self.cells[name]

    def _order(self, region: _Region) -> dict[str, int]:
        """By gate the net behind the register that it leads to: neighbours are parts of the same number."""
        order: dict[str, int] = {}
        for name in region.registers:
            stored, (given,) = (self.cells[name]["connections"][port] for port in ("DI", "Q"))
            open_ = [self.drivers[stored[0]][0]]
            while open_:
                gate = open_.pop()
                if gate in region.gates and gate not in order:
                    order[gate] = given
                    open_ += [self.drivers[net][0] for net in self.sources(gate)]
        return order

    def _put(self, net: Bit, readers: list[tuple[str, str]], pattern: dict) -> None:
        """Put a register like ``pattern`` between a net and some of its readers."""
        name, fresh = f"retimed_{self.free}", self.free
        self.free += 1
        self.cells[name] = deepcopy(pattern)
        self.cells[name]["connections"] |= {"DI": [net], "Q": [fresh]}
        for gate, port in readers:
            self.cells[gate]["connections"][port] = [fresh]
        self.readers[net] = [reader for reader in self.readers[net] if reader not in readers] + [(name, "DI")]
        self.readers[fresh], self.drivers[fresh] = list(readers), (name, "Q")


def _batches(readers: list) -> Iterator[list]:
    rest = iter(readers)
    while some := list(islice(rest, FAN_OUT)):
        yield some


def _region(nets: _Nets, word: _Word) -> _Region | None:
    """What has to move together with ``word``; None where something stands in the way."""
    region, open_ = _Region({word}), list(nets.words[word])
    while open_:
        net = open_.pop()
        for name, port in nets.readers[net]:
            if name is not None and nets.kind(name) in GATES:
                if name in region.gates:
                    continue
                region.gates.add(name)
                further = _inputs(nets, name, region)
                if further is None:
                    return None
                open_ += [*further, *nets.cells[name]["connections"]["Z"]]
            elif name is not None and nets.plain(name) and port == "DI" and len(nets.readers[net]) == 1:
                region.registers.add(name)
            else:
                return None
    clocks = {nets.cells[name]["connections"]["CLK"][0] for name in region.registers}
    clocks |= {nets.cells[nets.drivers[net][0]]["connections"]["CLK"][0] for net in region.chosen_by}
    return region if len(clocks) == 1 else None


def _inputs(nets: _Nets, gate: str, region: _Region) -> list[Bit] | None:
    """Nets to go on with before a gate: whole words that lead into it, and what other gates before it read.

    Those of registers are noted. None if there are others.
    """
    further: list[Bit] = []
    for net in nets.sources(gate):
        driver = nets.drivers[net][0] if net in nets.drivers else None
        if net in nets.word_of:
            if nets.word_of[net] not in region.words:
                region.words.add(nets.word_of[net])
                further += nets.words[nets.word_of[net]]
        elif driver is not None and nets.kind(driver) in GATES:
            if driver not in region.gates:
                region.gates.add(driver)
                before = _inputs(nets, driver, region)
                if before is None:
                    return None
                further += [*before, net]
        elif nets.plain(driver):
            region.chosen_by.add(net)
        else:
            return None
    return further
