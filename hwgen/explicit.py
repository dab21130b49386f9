"""RTLIL in which nothing is implicit that linters ask about: operands are as wide as what is made of them, comparisons
that can only come out one way are constants, and bits that nobody reads (carries of sums, ports that a setting makes
idle) are named as such.

The hardware is the same; the Verilog made of it needs no pragma to pass ``verilator -Wall``.
"""

import re
from dataclasses import dataclass

_PART = re.compile(r"(?P<name>[\\$]\S+)(?: \[(?P<high>\d+)(?::(?P<low>\d+))?\])?|\d+'(?P<bits>[01xz-]+)")
_WIRE = re.compile(r"^  wire (?:width (\d+) )?(.*?)([\\$]\S+)$")
_SUMS = {"$add", "$sub"}
_BITWISE = {"$and", "$or", "$xor", "$not", "$neg", "$shl"}
_COMPARISONS = {"$eq", "$ne", "$lt", "$le", "$gt", "$ge"}
#: Cells with an output of another name than ``Y``.
_OUTPUTS = {"$dff": "Q", "$memrd_v2": "DATA"}
#: Cells of which not all operands are as wide as the result.
_OPERANDS = {"$shl": ("\\A",)}
_UNUSED = "\\unused"


@dataclass(frozen=True)
class _Part:
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


def explicit(text: str) -> str:
    """``text`` of tidy RTLIL, which stays tidy."""
    modules = re.findall(r"^module .*?^end$", text, re.DOTALL | re.MULTILINE)
    outputs = {module.split()[1]: set(re.findall(r"^  wire .*\boutput .*?(\S+)$", module, re.M)) for module in modules}
    return "\n\n".join(_Explicit(module.splitlines(), outputs).text() for module in modules) + "\n"


class _Explicit:
    """One module."""

    def __init__(self, lines: list[str], outputs: dict[str, set[str]]):
        self.lines, self.outputs = lines, outputs
        self.widths = {found[3]: int(found[1] or 1) for found in map(_WIRE.match, lines) if found}
        self.unread = {name: (1 << width) - 1 for name, width in self.widths.items()}
        for name in (line.split()[-1] for line in lines if re.match(r"  wire .*\boutput ", line)):
            self.unread[name] = 0

    def text(self) -> str:
        made, cell = [], []
        for line in self.lines:
            if line.startswith("  cell ") or cell:
                cell.append(line)
                if line == "  end":
                    made += self.cell(cell)
                    cell = []
            else:
                made += self.statement(line)
        return "\n".join([*made[:-1], *self.sink(), made[-1]])

    def statement(self, line: str) -> list[str]:
        """A line outside of cells; what it reads is noted."""
        words = line.split()
        if words[0] in ("assign", "connect"):
            parts = list(_PART.finditer(line))
            target = line.index("}") if line.split(maxsplit=1)[1].startswith("{") else parts[0].end() - 1
            self.read(line[target + 1 :])
        elif words[0] == "switch":
            self.read(line.split(maxsplit=1)[1])
        return [line]

    def cell(self, lines: list[str]) -> list[str]:
        kind = lines[0].split()[1]
        ports = _connected(lines)
        if kind in _COMPARISONS and (settled := self.settled(kind, lines, ports)):
            return ["connect " + ports["\\Y"] + " " + settled]
        if kind in _SUMS | _BITWISE | _COMPARISONS:
            lines = self.widened(kind, lines, ports)
        written = self.outputs[kind] if kind in self.outputs else {"\\" + _OUTPUTS.get(kind, "Y")}
        for port, value in _connected(lines).items():
            if port not in written:
                self.read(value)
        return lines

    def widened(self, kind: str, lines: list[str], ports: dict[str, str]) -> list[str]:
        """The cell with operands as wide as its result, or as each other where they are compared."""
        operands = {port: self.parts(ports[port]) for port in _OPERANDS.get(kind, ("\\A", "\\B")) if port in ports}
        signed = "    parameter \\A_SIGNED 1" in lines
        sizes = {port: sum(part.width for part in parts) for port, parts in operands.items()}
        wide = max(sizes.values()) if kind in _COMPARISONS else self.width(ports["\\Y"])
        changed = {}
        for port, parts in operands.items():
            carry = kind in _SUMS and sizes[port] == wide - 1 and parts and not parts[0].bits  # linters know of carries
            if sizes[port] != wide and not carry:
                name = port[1:]
                changed[f"connect {port}"] = (
                    f"    connect {port} {{ {' '.join(map(str, _fitted(parts, wide, signed)))} }}"
                )
                changed[f"parameter \\{name}_WIDTH"] = f"    parameter \\{name}_WIDTH {wide}"
        return [changed.get(" ".join(line.split()[:2]), line) for line in lines]

    def settled(self, kind: str, lines: list[str], ports: dict[str, str]) -> str | None:
        """What comes out of a comparison with the end of the range, where that is the same for all values."""
        left, right = self.parts(ports["\\A"]), self.parts(ports["\\B"])
        limit = "".join(part.bits or "?" for part in right)
        if "    parameter \\A_SIGNED 1" in lines or set(limit) - {"0", "1"}:
            return None
        always = kind == "$ge" and not int(limit or "0", 2)
        always |= kind == "$le" and int(limit or "0", 2) >= (1 << sum(part.width for part in left)) - 1
        never = kind == "$lt" and not int(limit or "0", 2)
        never |= kind == "$gt" and int(limit or "0", 2) >= (1 << sum(part.width for part in left)) - 1
        return "1'1" if always else "1'0" if never else None

    def parts(self, value: str) -> list[_Part]:
        """From the highest to the lowest; those of an operand of no bits, which is 0, are none."""
        found = []
        for match in _PART.finditer(value):
            if match["bits"]:
                found.append(_Part("", 0, len(match["bits"]), match["bits"]))
            elif match["high"]:
                high, low = int(match["high"]), int(match["low"] or match["high"])
                found.append(_Part(match["name"], low, high - low + 1))
            else:
                found.append(_Part(match["name"], 0, self.widths[match["name"]]))
        return found

    def width(self, value: str) -> int:
        return sum(part.width for part in self.parts(value))

    def read(self, value: str) -> None:
        for part in self.parts(value):
            if part.name in self.unread:
                self.unread[part.name] &= ~(((1 << part.width) - 1) << part.low)

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


def _connected(cell: list[str]) -> dict[str, str]:
    """What is at the ports of a cell."""
    return {line.split()[1]: line.split(maxsplit=2)[2] for line in cell if line.startswith("    connect ")}


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
