"""What other tools read: Verilog with its memory files.

A module that can be made of a device's cells is there in both forms: that of cells where ``HWGEN_CELLS`` is defined,
and elsewhere its behavioural twin.
"""

import gzip
import importlib.metadata
import json
import re
import sys
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from amaranth.lib import wiring

from hwgen import __version__
from hwgen.hdl.elements import CONTENTS, LOADED, Library
from hwgen.hdl.explicit import explicit
from hwgen.hdl.rtlil import Netlist, to_netlist
from hwgen.tools import cache
from hwgen.tools.fingerprint import fingerprint, program
from hwgen.tools.yosys import release, run_yosys

#: The one rule of Verilator's that a file in which all modules are cannot keep.
_ONE_FILE = "/* verilator lint_off DECLFILENAME */  // modules are not in files of their names: one file holds all"

# Both ends are named: the array counts down, and tools would not agree on where to begin.
_READ = '  initial $readmemh("{file}", {memory}, 0, {last});\n'

#: What Yosys writes for a memory that starts as zeros.
_ZEROS = re.compile(r"  initial begin\n(?:    (\w+)\[\d+\] = \d+'[bdh]0+;\n)(?:    \1\[\d+\] = \d+'[bdh]0+;\n)*  end\n")

# Memories stay arrays and cases stay cases, as synthesis tools know them.
_SCRIPT = """\
read_rtlil top.il
proc -nomux -norom -noopt
memory_collect
write_verilog top.v
"""
_CELLS_SCRIPT = """\
design -reset
read_rtlil cells.il
write_verilog cells.v
"""

#: The macro with which tools take the device's cells.
MACRO = "HWGEN_CELLS"
_BOTH_FORMS = f"\n`ifdef {MACRO}\n{{cells}}`else\n{{twin}}`endif\n"

#: Contents of read-only memories of more bits go to files of their own.
INLINE = 1 << 16
#: Designs whose Verilog is remembered.
KEPT = 64


@dataclass(frozen=True)
class Verilog:
    """Verilog-2005 ``text``, and the files for ``$readmemh`` that it names, to lie beside it."""

    text: str
    memories: Mapping[str, str]

    def files(self, name: str) -> dict[str, str]:
        """All of it by file name; the text is ``name`` with ``.v``."""
        return {f"{name}.v": self.text, **self.memories}


def export(component: wiring.Component, name: str, inline: int = INLINE, made: Library | None = None) -> Verilog:
    """``component`` and all below it with the top module ``name``.

    Memories are arrays with their initial contents, those of more than ``inline`` bits in files, and with attributes
    that say where they go. The text depends on the design alone: no paths, dates or versions of the machine it was made
    on. ``made`` holds what has been made of it already.
    """
    netlist = to_netlist(component, name, made).with_contents(inline)
    files = {f"{module}.hex": contents.hex_lines() for module, contents in netlist.roms.items()}
    return Verilog(with_memories(netlist_to_verilog(netlist, name), netlist), files)


def remembered(written: Callable[[], Verilog], *content: object) -> Verilog:
    """What ``written`` makes out of ``content`` and nothing else; made once a user.

    It is kept under a hash of ``content``, of this program and of all that writes.
    """
    writers = [program(), sys.version_info[:2], importlib.metadata.version("amaranth"), release()]
    key = fingerprint(content, writers)
    file = cache.folder("verilog") / f"{key}.gz"
    if kept := cache.recall(file):
        with suppress(OSError, EOFError, ValueError, zlib.error):
            return Verilog(**json.loads(gzip.decompress(kept)))
    verilog = written()
    written_down = json.dumps({"text": verilog.text, "memories": dict(verilog.memories)}).encode()
    cache.keep(file, gzip.compress(written_down, 1, mtime=0), KEPT)
    return verilog


def to_verilog(component: wiring.Component, name: str) -> str:
    """:func:`export` in one file, all contents in it."""
    return netlist_to_verilog(to_netlist(component, name).with_contents(), name)


def netlist_to_verilog(netlist: Netlist, name: str) -> str:
    """Verilog of ``netlist``, in both forms where it has two. Memories whose contents are kept apart are empty."""
    cells = "\n".join(netlist.cells.values())
    script, inputs = _SCRIPT, {"top.il": explicit(netlist.text)}
    if cells:
        script, inputs = script + _CELLS_SCRIPT, {**inputs, "cells.il": cells}
    files = run_yosys(script, inputs=inputs, outputs=["top.v", *["cells.v"] * bool(cells)]).files
    made = {_name_of(module): module.lstrip("\n") for module in _modules(files.get("cells.v", ""))}
    return _header(name) + "".join(_in_both_forms(module, made) for module in _modules(files["top.v"]))


def rtlil_to_verilog(rtlil: str, name: str) -> str:
    """Verilog of tidy RTLIL, see :func:`hwgen.hdl.rtlil.to_rtlil`."""
    return netlist_to_verilog(Netlist(rtlil, {}), name)


def _in_both_forms(module: str, cells: Mapping[str, str]) -> str:
    """A module, beside it what it is made of where that is among ``cells``."""
    found = cells.get(_name_of(module))
    return _BOTH_FORMS.format(cells=found, twin=module.lstrip("\n")) if found else module


def _modules(verilog: str) -> list[str]:
    """The modules that Yosys wrote, tidied, and what follows them."""
    # The first line names Yosys and the machine that it was built on.
    verilog = verilog.partition("\n")[2].lstrip("\n")
    # What makes simulators run an always block at time 0 gets a name that can be read.
    verilog = re.sub(r"\\\$auto\$verilog_backend\.cc:\d+:\w+\$\d+ ", "_at_start_", verilog)
    modules = re.split(r"(?<=endmodule\n)", _shorter(_with_defaults(verilog)))
    return [_started(_without_zeros(module)) for module in modules]


def _name_of(module: str) -> str:
    found = re.search(r"^module (\w+)", module, re.MULTILINE)
    return found[1] if found else ""


def _shorter(verilog: str) -> str:
    """``verilog`` with ports declared once, registers in one block where they stand together, and signs repeated by
    number."""
    verilog = re.sub(r"^(  (?:input|output) (.*;)\n)  wire \2\n", r"\1", verilog, flags=re.MULTILINE)
    verilog = re.sub(r"^(  always @\(posedge \w+\)\n)    .*;\n(?:\1    .*;\n)+", _together, verilog, flags=re.MULTILINE)
    return re.sub(r"(\b\w+\[\d+\])((?:, \1){2,})(?=,)", _repeated, verilog)


def _together(found: re.Match) -> str:
    return f"{found[1][:-1]} begin\n{found[0].replace(found[1], '')}  end\n"


def _repeated(found: re.Match) -> str:
    return f"{{{1 + found[2].count(',')}{{{found[1]}}}}}"


def _with_defaults(verilog: str) -> str:
    """``verilog`` with a default that does nothing in cases that have none: signals have a value before."""
    lines, has = [], []
    for line in verilog.splitlines():
        word = line.strip().split(" ")[0]
        if word in ("case", "casez"):
            has.append(False)
        elif word == "default:":
            has[-1] = True
        elif word == "endcase" and not has.pop():
            lines.append(line.replace("endcase", "  default: ;"))
        lines.append(line)
    return "\n".join(lines) + "\n"


def _started(module: str) -> str:
    """``module`` with what its variables start from in an initial block: SystemVerilog gives them what they are
    declared with before time 0, where always blocks do not see it."""
    declared = re.compile(r"^  (reg .*?)(\w+) = (\S+;)$", re.MULTILINE)
    starts = "".join(f"    {name} = {value}\n" for _, name, value in declared.findall(module))
    block = f"  initial begin\n{starts}  end\n" if starts else ""
    return declared.sub(r"  \1\2;", module).replace("endmodule\n", block + "endmodule\n")


def _without_zeros(module: str) -> str:
    """``module`` without the zeros that RAMs start from: no word is used before it is written. They would be most of
    the text, and Yosys takes a minute to read those of a RAM of 16,384 words. Weights that can be loaded are used
    before."""
    if LOADED in module:
        return module

    def kept(found: re.Match) -> str:
        written = re.search(rf"\b{found[1]}\[\w+\](\[\d+(:\d+)?\])? <= ", module)
        return "" if written else found[0]

    return _ZEROS.sub(kept, module)


def with_memories(verilog: str, netlist: Netlist, read: str = _READ) -> str:
    """``verilog`` with the memories that ``netlist`` keeps apart reading their files.

    ``read`` is the text that does so, with ``{file}``, ``{memory}`` and ``{last}``, the last address.
    """
    files = [f"{module}.hex" for module in netlist.roms]

    def statement(found: re.Match) -> str:
        index, declared, memory, last = found.groups()
        return declared + read.format(file=files[int(index)], memory=memory, last=last)

    pattern = rf"  \(\* {CONTENTS} = 32'd(\d+) \*\)\n((?:  \(\*.*\n)*  reg .* (\w+) \[(\d+):0\];\n)"
    return re.sub(pattern, statement, verilog)


def _header(name: str) -> str:
    return f"// {name}: written by hwgen {__version__}\n{_ONE_FILE}\n\n"
