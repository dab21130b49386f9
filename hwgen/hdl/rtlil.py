"""RTLIL from Amaranth, tidied: the same netlist with plain names and without what only debuggers of Amaranth read.

Names become letters, digits and underscores, so that the Verilog needs no escaped identifiers; modules
are named after their place (``top_layer1_weights``). Wires that repeat a part of another one, wires of no
bits and attributes with paths or versions go. Modules that are equal become one; elements are made once to begin with
(:mod:`hwgen.hdl.elements`). Where a module can be made of a device's cells, that form is beside the text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from amaranth.lib import wiring

from hwgen.graph.errors import InputError
from hwgen.hdl.contents import Contents
from hwgen.hdl.elements import CONTENTS, Library

_ID = re.compile(r"\\\S+")
#: What says in a multiplexer, behind its first line, that it has no bits.
_EMPTY = "    parameter \\WIDTH 0"
_DROPPED_ATTRIBUTES = re.compile(r"\s*attribute \\(src|top|generator|amaranth\.\S*|enum_\S*|wiretype) ")


#: What gives a memory of a module its contents.
_INITIAL = """\
  cell $meminit_v2 $contents
    parameter \\MEMID "\\\\store"
    parameter \\ABITS 0
    parameter \\WIDTH {width}
    parameter \\WORDS {depth}
    parameter \\PRIORITY 0
    connect \\ADDR 0'
    connect \\DATA {bits}'{binary}
    connect \\EN {width}'{enable}
  end
"""
_KEPT_APART = re.compile(rf"^  attribute \\{CONTENTS} \d+\n", re.MULTILINE)


@dataclass(frozen=True)
class Netlist:
    """Tidy RTLIL, and by module the contents of memories that are not in it: these have an attribute in their place,
    ``CONTENTS``; after :meth:`with_contents` it says which they are.

    ``cells`` has by name the modules that can be made of a device's cells, in that form; in ``text`` are their twins.
    """

    text: str
    roms: Mapping[str, Contents]
    cells: Mapping[str, str] = field(default_factory=dict)

    def with_cells(self) -> "Netlist":
        """The same with the device's cells in place of their twins: for synthesis."""
        modules = (self.cells.get(_name_of(module), module) for module in _modules(self.text))
        return Netlist("".join(modules), self.roms)

    def with_contents(self, most: int | None = None) -> "Netlist":
        """The same with contents of up to ``most`` bits in the text, or all of them."""
        apart = {name: contents for name, contents in self.roms.items() if most is not None and contents.bits > most}
        numbers = {name: number for number, name in enumerate(apart)}

        def inlined(module: str) -> str:
            name = _name_of(module)
            if name not in self.roms:
                return module
            if name in apart:
                return _KEPT_APART.sub(f"  attribute \\\\{CONTENTS} {numbers[name]}\n", module)
            return _KEPT_APART.sub("", module).removesuffix("end\n") + _initial(self.roms[name]) + "end\n"

        return Netlist("".join(map(inlined, _modules(self.text))), apart, self.cells)


def _modules(text: str) -> list[str]:
    return re.split(r"(?<=^end\n)", text, flags=re.MULTILINE)


def _name_of(module: str) -> str:
    return module.partition("module \\")[2].partition("\n")[0]


def _initial(contents: Contents) -> str:
    return _INITIAL.format(
        width=contents.width,
        depth=len(contents),
        bits=contents.bits,
        binary=contents.binary(),
        enable="1" * contents.width,
    )


def to_netlist(component: wiring.Component, name: str, library: Library | None = None) -> Netlist:
    """``component`` with the top module ``name``, contents of memories in block RAM kept apart; the same bytes every
    time, on every machine. What is in ``library`` already, and is the same, is not made again."""
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise InputError(f"{name!r} cannot name a module: use letters, digits and underscores, no digit first")
    library = library or Library(f"{name}_core")
    top = library.convert(component, name)
    modules, types = _tidied("\n".join((top, *library.modules)), library.cells)
    names = {types.get(f"\\{module}", ""): contents for (_, contents), module in library.roms.items()}
    roms = {name[1:]: contents for name, contents in names.items() if name}
    cells = {module.name[1:]: f"\n{module.cells.text}" for module in modules if module.cells}
    return Netlist(_text(modules), roms, cells)


def to_rtlil(component: wiring.Component, name: str, cells: bool = False, library: Library | None = None) -> str:
    """The text of :func:`to_netlist` with all contents in it; for synthesis with the device's ``cells``."""
    netlist = to_netlist(component, name, library).with_contents()
    return (netlist.with_cells() if cells else netlist).text


def tidy(text: str) -> str:
    """Tidy RTLIL ``text`` as Amaranth writes it. Ports of modules keep their names where these are plain already."""
    return _text(_tidied(text, {})[0])


def _text(modules: "list[_Module]") -> str:
    return "\n".join(module.text for module in modules)


def _tidied(text: str, cells: Mapping[str, str]) -> "tuple[list[_Module], dict[str, str]]":
    """Tidy modules, and their new names. Some can also be made of ``cells``."""
    modules = _used(_split(text))
    for module in modules:
        if made := cells.get(module.name[1:]):
            (module.cells,) = _split(made)
    forms = [form for module in modules for form in module.forms]
    for form in forms:
        form.drop_empty()
        form.drop_needless()
    _drop_empty_ports(forms)
    places = _rom_places(modules)
    plain = _plain(places.get(module.name, module.name) for module in modules)
    types = {module.name: plain[places.get(module.name, module.name)] for module in modules}
    ports = {module.name: module.name_map() for module in modules}
    for form in forms:
        form.rename(form.name_map(), types, ports)
    return _merge_equal(modules), types


@dataclass
class _Module:
    name: str
    lines: list[str] = field(default_factory=list)
    cells: "_Module | None" = None

    @property
    def text(self) -> str:
        return "\n".join((f"module {self.name}", *self.lines, "end\n"))

    @property
    def forms(self) -> "list[_Module]":
        """Itself, and of a device's cells where it can be."""
        return [self, self.cells] if self.cells else [self]

    @property
    def content(self) -> tuple[str, ...]:
        """What equal modules have in common."""
        return tuple("\n".join(form.lines) for form in self.forms)

    def drop_empty(self) -> None:
        """Remove multiplexers of no bits: Amaranth writes no wire for what they give."""
        at = [n for n, line in enumerate(self.lines) if line == _EMPTY]
        for parameter in reversed(at):
            end = self.lines.index("  end", parameter)
            del self.lines[parameter - 1 : end + 1]

    def drop_needless(self) -> None:
        """Remove wires that are assigned and never read: they repeat a field of another signal."""
        uses = Counter(name for line in self.lines for name in _ID.findall(_without_port(line)))
        assigned = {line.split()[1] for line in self.lines if line.startswith("connect ")}
        needless = {
            name
            for words in map(str.split, self.lines)
            if words and words[0] == "wire" and not {"input", "output", "inout"} & set(words)
            for name in words[-1:]
            if uses[name] == 1 + (name in assigned)
        }
        kept: list[str] = []
        for line in self.lines:
            words = line.split()
            if words and words[0] == "wire" and words[-1] in needless:
                while kept and kept[-1].startswith("  attribute "):
                    kept.pop()
            elif not (line.startswith("connect ") and words[1] in needless):
                kept.append(line)
        self.lines = kept

    def name_map(self) -> dict[str, str]:
        """Plain names for wires, memories and cells, which share a name space in Verilog; ports choose first."""
        ports: list[str] = []
        others: list[str] = []
        for words in map(str.split, self.lines):
            if words and words[0] in ("wire", "memory", "cell") and words[-1].startswith("\\"):
                (ports if {"input", "output", "inout"} & set(words) else others).append(words[-1])
        return _plain([*ports, *others])

    def rename(self, names: dict[str, str], types: dict[str, str], ports: dict[str, dict[str, str]]) -> None:
        self.name = types[self.name]
        kind = ""
        for at, line in enumerate(self.lines):
            words = line.split(maxsplit=2)
            match words[0] if words else "":
                case "cell":
                    kind = words[1]
                    self.lines[at] = f"  cell {types.get(kind, kind)} {names.get(words[2], words[2])}"
                case "attribute":
                    pass
                case "parameter":
                    if words[1] == "\\MEMID":
                        memory = words[2].strip('"').replace("\\\\", "\\")
                        self.lines[at] = '    parameter \\MEMID "\\' + names[memory] + '"'
                case "connect" if line.startswith("    "):
                    port = ports.get(kind, {}).get(words[1], words[1])
                    self.lines[at] = f"    connect {port} {_renamed(words[2], names)}"
                case _:
                    self.lines[at] = _renamed(line, names)


def _without_port(line: str) -> str:
    """``line`` without the name of a cell's port, which is not a wire of this module."""
    return line.split(maxsplit=2)[2] if line.startswith("    connect ") else line


def _renamed(text: str, names: dict[str, str]) -> str:
    return _ID.sub(lambda found: names.get(found[0], found[0]), text)


def _split(text: str) -> list[_Module]:
    """The modules of ``text`` without empty lines and dropped attributes."""
    modules, inside = [], False
    for line in text.splitlines():
        if line.startswith("module "):
            modules.append(_Module(line.split()[1]))
            inside = True
        elif line == "end":
            inside = False
        elif inside and line.strip() and not _DROPPED_ATTRIBUTES.match(line):
            modules[-1].lines.append(line)
    return modules


def _used(modules: list[_Module]) -> list[_Module]:
    """The first of ``modules`` and those of which there are instances in it, at any depth."""
    named = {module.name: module for module in modules}
    used, waiting = set(), [modules[0].name]
    while waiting:
        name = waiting.pop()
        if name in named and name not in used:
            used.add(name)
            waiting += [line.split(maxsplit=2)[1] for line in named[name].lines if line.startswith("  cell \\")]
    return [module for module in modules if module.name in used]


def _rom_places(modules: list["_Module"]) -> dict[str, str]:
    """Names after their first place for modules whose contents are kept apart: their files are called so."""
    apart = {module.name for module in modules if any(CONTENTS in line for line in module.lines)}
    places: dict[str, str] = {}
    for module in modules:
        for words in map(str.split, module.lines):
            if words and words[0] == "cell" and words[1] in apart:
                cell = re.sub(r"\$\d+$", "", words[2][1:])
                places.setdefault(words[1], f"{module.name}.{cell}")
    return places


def _drop_empty_ports(modules: list[_Module]) -> None:
    """Ports of no bits have no place in Verilog, where ``[-1:0]`` means two."""
    empty = {}
    for module in modules:
        wires = [line for line in module.lines if line.startswith("  wire width 0 ")]
        empty[module.name] = {line.split()[-1] for line in wires}
        gone = tuple(f"connect {name} " for name in empty[module.name])
        module.lines = [line for line in module.lines if line not in wires and not (gone and line.startswith(gone))]
    for module in modules:
        kind, kept = "", []
        for line in module.lines:
            words = line.split()
            kind = words[1] if words[0] == "cell" else kind
            if not (line.startswith("    connect ") and words[1] in empty.get(kind, ())):
                kept.append(line)
        module.lines = kept


def _plain(names: Iterable[str]) -> dict[str, str]:
    """A plain and unique name for each of ``names``, the first come getting the shortest."""
    chosen, taken = {}, set()
    for name in names:
        body = re.sub(r"\W+", "_", name[1:], flags=re.ASCII).strip("_") or "unnamed"
        body = body if not body[0].isdigit() else f"n{body}"
        unique, count = body, 1
        while unique in taken:
            count += 1
            unique = f"{body}_{count}"
        taken.add(unique)
        chosen[name] = f"\\{unique}"
    return chosen


def _merge_equal(modules: list[_Module]) -> list[_Module]:
    """Keep one of every set of equal modules; merging leaves may make their parents equal, so repeat."""
    while True:
        first: dict[tuple[str, ...], str] = {}
        merged = {}
        for module in modules[1:]:  # all but the top
            kept = first.setdefault(module.content, module.name)
            if kept != module.name:
                merged[module.name] = kept
        if not merged:
            return modules
        modules = [module for module in modules if module.name not in merged]
        for module in modules:
            module.lines = [_retyped(line, merged) for line in module.lines]


def _retyped(line: str, merged: dict[str, str]) -> str:
    if not line.startswith("  cell \\"):
        return line
    _, kind, name = line.split()
    return f"  cell {merged.get(kind, kind)} {name}"
