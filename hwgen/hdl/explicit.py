"""RTLIL in which nothing is implicit that linters ask about: sums have no carries that nobody reads, operands are as
wide as what is made of them, nothing is made twice, comparisons that can only come out one way are constants, and bits
that nobody reads (ports that a setting makes idle) are named as such. What is signed is said at the cells that take it
so, and not at wires: to Verilog, an unsigned sum of wires that are declared signed would be a signed one.

The hardware is the same; the Verilog made of it needs no pragma to pass ``verilator -Wall``.
"""

import re
from typing import NamedTuple

_PART = re.compile(r"([\\$]\S+)(?: \[(\d+)(?::(\d+))?\])?|\d+'([01xz-]+)")
_NAME = re.compile(r"\$\S+")
_WIRE = re.compile(r"^  wire (?:width (\d+) )?(.*?)([\\$]\S+)$")
_SUMS = {"$add", "$sub"}
_BITWISE = {"$and", "$or", "$xor", "$not", "$neg", "$shl"}
#: Cells whose lowest bits are made of the lowest bits of their operands.
_FROM_BELOW = {"$add", "$sub", "$neg", "$and", "$or", "$xor", "$not", "$mux"}
_COMPARISONS = {"$eq", "$ne", "$lt", "$le", "$gt", "$ge"}
#: Cells whose result is made of their operands alone.
_PURE = _FROM_BELOW | _BITWISE | _COMPARISONS | {"$mul", "$shr", "$sshr", "$reduce_or", "$reduce_bool"}
_WIDENED = _SUMS | _BITWISE | _COMPARISONS | {"$mux"}
#: Cells with an output of another name than ``Y``.
_OUTPUTS = {"$dff": "\\Q", "$memrd_v2": "\\DATA"}
#: Cells of which not all operands are as wide as the result.
_OPERANDS = {"$shl": ("\\A",)}
_UNUSED = "\\unused"


class _Part(NamedTuple):
    """Bits ``low`` to ``low + width - 1`` of a wire, or the constant ``bits``."""

    name: str
    low: int
    width: int
    bits: str = ""

    def __str__(self) -> str:
        if self.bits:
            return f"{self.width}'{self.bits}"
        return f"{self.name} [{self.low + self.width - 1}:{self.low}]"

    def top(self) -> "_Part":
        return _Part(self.name, self.low + self.width - 1, 1, self.bits[:1])


class _Cell:
    """The lines of a cell, what it is and what is at its ports."""

    def __init__(self, lines: list[str], outputs: dict[str, set[str]]):
        self.lines = lines
        self.kind = lines[0].split(maxsplit=2)[1]
        self.ports = dict(line[12:].split(" ", 1) for line in lines if line.startswith("    connect "))
        self.written = outputs[self.kind] if self.kind in outputs else {_OUTPUTS.get(self.kind, "\\Y")}
        self.signed = "    parameter \\A_SIGNED 1" in lines

    @property
    def reads(self) -> list[str]:
        return [value for port, value in self.ports.items() if port not in self.written]

    def resize(self, result: int, operands: dict[str, str], width: int) -> None:
        """Make ``result`` bits; of some ports, what is read becomes the ``width`` bits of ``operands``."""
        self.ports |= operands
        now = {f"connect {port}": f"    connect {port} {value}" for port, value in operands.items()}
        now |= {f"parameter {port}_WIDTH": f"    parameter {port}_WIDTH {width}" for port in operands}
        now |= {f"parameter {name}": f"    parameter {name} {result}" for name in ("\\Y_WIDTH", "\\WIDTH")}
        self.lines = [now.get(" ".join(line.split(maxsplit=2)[:2]), line) for line in self.lines]


def explicit(text: str) -> str:
    """``text`` of tidy RTLIL, which stays tidy."""
    modules = re.findall(r"^module .*?^end$", text, re.DOTALL | re.MULTILINE)
    outputs = {module.split()[1]: set(re.findall(r"^  wire .*\boutput .*?(\S+)$", module, re.M)) for module in modules}
    return "\n\n".join(_Explicit(module.splitlines(), outputs).text() for module in modules) + "\n"


class _Explicit:
    """One module."""

    def __init__(self, lines: list[str], outputs: dict[str, set[str]]):
        self.pieces = _pieces(lines, outputs)
        if same := _same(self.pieces):
            self.pieces = [kept for piece in self.pieces for kept in _renamed(piece, same, outputs)]
        wires = [found for piece in self.pieces if isinstance(piece, str) and (found := _WIRE.match(piece))]
        self.widths = {found[3]: int(found[1] or 1) for found in wires}
        self.unread = {name: (1 << width) - 1 for name, width in self.widths.items()}
        self.unread |= {found[3]: 0 for found in wires if "output " in found[2]}
        self.early: set[str] = set()

    def text(self) -> str:
        """First come all cells that read the same whatever is read of them, then the others, from the last to the
        first: those that read a result before those that make it."""
        made: dict[int, list[str]] = {}
        others: list[tuple[int, _Cell]] = []
        asked: set[str] = set()
        for at, piece in enumerate(self.pieces):
            if isinstance(piece, str):
                self.statement(piece)
            elif piece.kind in _FROM_BELOW:
                others.append((at, piece))
                asked.update(_names(piece))
                self.early |= asked & {piece.ports["\\Y"]}
            else:
                made[at] = self.cell(piece)
        for at, cell in reversed(others):
            self.narrow(cell)
            made[at] = self.cell(cell)
        lines = []
        for at, piece in enumerate(self.pieces):
            lines += [self.declared(piece)] if isinstance(piece, str) else made[at]
        return "\n".join([*lines[:-1], *self.sink(), lines[-1]])

    def statement(self, line: str) -> None:
        """A line outside of cells; what it reads is noted."""
        word, _, value = line.strip().partition(" ")
        if word in ("assign", "connect"):
            part = _PART.match(value)
            target = part.end() if part else value.index("}") + 1
            self.read(value[target:])
        elif word == "switch":
            self.read(value)

    def declared(self, line: str) -> str:
        """A line outside of cells; wires are as wide as they are now."""
        found = _WIRE.match(line)
        return f"  wire width {self.widths[found[3]]} {found[2].replace('signed ', '')}{found[3]}" if found else line

    def cell(self, cell: _Cell) -> list[str]:
        result = cell.ports.get("\\Y", "")
        if cell.kind in _COMPARISONS and (settled := self.settled(cell)):
            return [f"connect {result} {settled}"]
        if cell.kind in _WIDENED:
            self.widen(cell)
        for value in cell.reads:
            self.read(value)
        return cell.lines

    def narrow(self, cell: _Cell) -> None:
        """Leave out the highest bits of a result that nobody reads; cells before ``cell`` have not been asked yet."""
        name = cell.ports["\\Y"]
        if not name.startswith("$") or name in self.early:
            return
        used = (((1 << self.widths[name]) - 1) & ~self.unread[name]).bit_length()
        if used:
            self.widths[name] = used
            self.unread[name] &= (1 << used) - 1

    def widen(self, cell: _Cell) -> None:
        """Make operands as wide as the result, or as each other where they are compared."""
        kind, ports = cell.kind, cell.ports
        operands = {port: self.parts(ports[port]) for port in _OPERANDS.get(kind, ("\\A", "\\B")) if port in ports}
        sizes = {port: sum(part.width for part in parts) for port, parts in operands.items()}
        result = self.width(ports["\\Y"])
        wide = max(sizes.values()) if kind in _COMPARISONS else result
        changed = {}
        for port, parts in operands.items():
            carry = kind in _SUMS and sizes[port] == wide - 1 and parts and not parts[0].bits  # linters know of carries
            if sizes[port] != wide and not carry:
                changed[port] = f"{{ {' '.join(map(str, _fitted(parts, wide, cell.signed)))} }}"
        cell.resize(result, changed, wide)

    def settled(self, cell: _Cell) -> str | None:
        """What comes out of a comparison with the end of the range, where that is the same for all values."""
        left, right = self.parts(cell.ports["\\A"]), self.parts(cell.ports["\\B"])
        limit = "".join(part.bits or "?" for part in right)
        if cell.signed or set(limit) - {"0", "1"}:
            return None
        value, greatest = int(limit or "0", 2), (1 << sum(part.width for part in left)) - 1
        if (cell.kind in ("$ge", "$lt") and value == 0) or (cell.kind in ("$le", "$gt") and value >= greatest):
            return "1'1" if cell.kind in ("$ge", "$le") else "1'0"
        return None

    def parts(self, value: str) -> list[_Part]:
        """From the highest to the lowest; those of an operand of no bits, which is 0, are none."""
        return [self.part(*found) for found in _PART.findall(value)]

    def part(self, name: str, high: str, low: str, bits: str) -> _Part:
        """What :data:`_PART` has found."""
        if bits:
            return _Part("", 0, len(bits), bits)
        last = int(low or high or 0)
        return _Part(name, last, int(high) - last + 1 if high else self.widths[name])

    def width(self, value: str) -> int:
        return sum(part.width for part in self.parts(value))

    def read(self, value: str) -> None:
        for name, low, width, _ in self.parts(value):
            if name:
                self.unread[name] &= ~(((1 << width) - 1) << low)

    def sink(self) -> list[str]:
        """What reads all that nothing reads: linters know it by its name, and synthesis takes it away."""
        parts = [str(part) for name, mask in self.unread.items() for part in _runs(name, mask)]
        if not parts:
            return []
        width = sum(self.width(part) for part in parts)
        return [
            f"  wire width 1 {_UNUSED}",
            "  cell $reduce_and $unused",
            "    parameter \\A_SIGNED 0",
            f"    parameter \\A_WIDTH {width}",
            "    parameter \\Y_WIDTH 1",
            f"    connect \\A {{ {' '.join(parts)} }}",
            f"    connect \\Y {_UNUSED}",
            "  end",
        ]


def _pieces(lines: list[str], outputs: dict[str, set[str]]) -> list[str | _Cell]:
    """``lines`` with those of each cell in one piece."""
    pieces: list[str | _Cell] = []
    cell: list[str] = []
    for line in lines:
        if cell or line.startswith("  cell "):
            cell.append(line)
            if line == "  end":
                pieces.append(_Cell(cell, outputs))
                cell = []
        else:
            pieces.append(line)
    return pieces


def _names(cell: _Cell) -> set[str]:
    """The wires that a cell reads."""
    return {name for value in cell.reads for name, *_ in _PART.findall(value) if name}


def _same(pieces: list[str | _Cell]) -> dict[str, str]:
    """Results without a name that are the same as earlier ones, and these: once they differ in width, synthesis would
    not see it any more."""
    same: dict[str, str] = {}
    first: dict[tuple[str, ...], str] = {}
    for cell in pieces:
        if isinstance(cell, str) or cell.kind not in _PURE:
            continue
        result = cell.ports["\\Y"]
        what = (cell.kind, *(line for line in cell.lines[1:] if not line.startswith("    connect \\Y ")))
        if _names(cell) & same.keys():
            what = tuple(_with_first(line, same) for line in what)
        known = first.setdefault(what, result)
        if known != result and result.startswith("$") and " " not in result + known:
            same[result] = known
    return same


def _with_first(line: str, same: dict[str, str]) -> str:
    return _NAME.sub(lambda found: same.get(found[0], found[0]), line)


def _renamed(piece: str | _Cell, same: dict[str, str], outputs: dict[str, set[str]]) -> list[str | _Cell]:
    """``piece`` with the first of results that are the ``same``; none where only those need it."""
    if isinstance(piece, str):
        wire = _WIRE.match(piece)
        return [] if wire and wire[3] in same else [_with_first(piece, same)]
    if piece.ports.get("\\Y") in same:
        return []
    if not _names(piece) & same.keys():
        return [piece]
    return [_Cell([_with_first(line, same) for line in piece.lines], outputs)]


def _fitted(parts: list[_Part], width: int, signed: bool) -> list[_Part]:
    """``parts`` cut or extended to ``width`` bits."""
    parts = parts or [_Part("", 0, 1, "0")]
    missing = width - sum(part.width for part in parts)
    if missing > 0 and parts[0].bits:
        first = parts[0]
        fill = first.bits[0] if signed else "0"
        return [_Part("", 0, first.width + missing, fill * missing + first.bits), *parts[1:]]
    if missing > 0:
        return [*([parts[0].top()] * missing if signed else [_Part("", 0, missing, "0" * missing)]), *parts]
    kept = []
    for part in reversed(parts):
        taken = min(part.width, width)
        if taken:
            kept.append(_Part(part.name, part.low, taken, part.bits[part.width - taken :]))
        width -= taken
    return kept[::-1]


def _runs(name: str, mask: int) -> list[_Part]:
    """The runs of ones in ``mask`` as parts of the wire ``name``."""
    runs = [(found.start(), found.end()) for found in re.finditer("1+", f"{mask:b}"[::-1])]
    return [_Part(name, low, end - low) for low, end in runs]
