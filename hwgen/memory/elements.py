"""Modules that are elaborated once, however many there are of them.

An :class:`Element` is a component of which a design has many alike: a multiplier, a dot product, a requantising lane.
Where the platform is a :class:`Library`, each becomes an instance of a module that is made for the first of its kind.
Elsewhere (``amaranth.sim`` has no platform) it is elaborated in its place, so the hardware is the same either way.
"""

import re
from collections.abc import Hashable

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .contents import Contents

#: How a memory whose contents are kept apart says which they are.
CONTENTS = "hwgen_contents"
_PORT = re.compile(r"^  wire .*\b(?:in|out)put \d+ +(?:signed )?\\(\S+)$", re.MULTILINE)


class Element(wiring.Component):
    """A component that is the same hardware wherever ``key`` is the same.

    ``label`` is what its module is called. A subclass describes the hardware in :meth:`inside`, as in ``elaborate``.
    """

    key: Hashable
    label: str

    def inside(self, platform) -> Module:
        """The hardware."""
        raise NotImplementedError(f"{type(self).__name__} does not say what is inside")

    def elaborate(self, platform):
        alone = not isinstance(platform, Library) or platform.whole is self
        return self.inside(platform) if alone else platform.instance(self)


class Library:
    """A platform that makes a module for every kind of element.

    ``modules`` holds their RTLIL, ``roms`` what is in memories of more than ``inline`` bits; with None every memory has
    its contents in the RTLIL. ``whole`` is the component that is being converted.
    """

    def __init__(self, inline: int | None = None):
        self.inline = inline
        self.whole: wiring.Component | None = None
        self.modules: list[str] = []
        self.roms: dict[Contents, str] = {}
        self._made: dict[Hashable, tuple[str, frozenset[str]]] = {}
        self._labels: dict[str, int] = {}

    def instance(self, element: Element) -> Instance:
        """An instance of the module for elements of this kind, joined to the ports of ``element``."""
        kind = type(element), element.key
        if kind not in self._made:
            self._made[kind] = self._make(element)
        name, ports = self._made[kind]
        joined = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        for path, member, value in element.signature.flatten(element):
            joined[f"{'i' if member.flow == In else 'o'}_{'__'.join(map(str, path))}"] = Value.cast(value)
        return Instance(name, **{port: value for port, value in joined.items() if port[2:] in ports})

    def convert(self, component: wiring.Component, name: str) -> str:
        """RTLIL of ``component``, without that of :attr:`modules`."""
        outer, self.whole = self.whole, component
        text = rtlil.convert(component, name=name, platform=self, emit_src=False)
        self.whole = outer
        return text

    def _make(self, element: Element) -> tuple[str, frozenset[str]]:
        """The module's name and ports."""
        count = self._labels[element.label] = self._labels.get(element.label, 0) + 1
        name = element.label if count == 1 else f"{element.label}_{count}"
        text = _without_idle_reset(self.convert(element, name))
        self.modules.append(text)
        return name, frozenset(_PORT.findall(text.partition("\nend\n")[0]))

    def rom(self, contents: Contents, address: Value, data: Value) -> Instance | None:
        """A memory with two registers, whose contents are kept apart; None where they belong into the text."""
        if self.inline is None or contents.bits <= self.inline:
            return None
        if contents not in self.roms:
            name = self.roms[contents] = f"rom_{len(self.roms)}"
            self.modules.append(_rom_module(name, len(self.roms) - 1, contents, len(address)))
        return Instance(self.roms[contents], i_clk=ClockSignal(), i_address=address, o_data=data)


def _without_idle_reset(text: str) -> str:
    """A module always gets a reset; most elements need none."""
    top, end, rest = text.partition("\nend\n")
    if len(re.findall(r"\\rst\b", top)) == 1:
        top = re.sub(r"\n  wire width 1 input \d+ +\\rst\n", "\n", top)
    return top + end + rest


def _rom_module(name: str, index: int, contents: Contents, address_bits: int) -> str:
    """RTLIL of what :class:`hwgen.memory.rom.Rom` is in block RAM, but for the contents."""
    width = contents.width
    unknown = f"{width}'" + "x" * width
    return f"""\
module \\{name}
  attribute \\rom_block 1
  attribute \\ram_style "block"
  attribute \\rom_style "block"
  attribute \\{CONTENTS} {index}
  memory width {width} size {len(contents)} \\store
  wire width {width} \\read_data
  wire width {address_bits} input 0 \\address
  wire width 1 input 1 \\clk
  wire width {width} output 2 \\data
  cell $memrd_v2 $1
    parameter \\MEMID "\\\\store"
    parameter \\ABITS {address_bits}
    parameter \\WIDTH {width}
    parameter \\TRANSPARENCY_MASK 0'0
    parameter \\COLLISION_X_MASK 0'0
    parameter \\ARST_VALUE {unknown}
    parameter \\SRST_VALUE {unknown}
    parameter \\INIT_VALUE {unknown}
    parameter \\CE_OVER_SRST 0
    parameter \\CLK_ENABLE 1
    parameter \\CLK_POLARITY 1
    connect \\ADDR \\address
    connect \\DATA \\read_data
    connect \\ARST 1'0
    connect \\SRST 1'0
    connect \\EN 1'1
    connect \\CLK \\clk
  end
  cell $dff $2
    parameter \\WIDTH {width}
    parameter \\CLK_POLARITY 1
    connect \\D \\read_data
    connect \\CLK \\clk
    connect \\Q \\data
  end
end
"""
