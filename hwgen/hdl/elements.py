"""Modules that are elaborated once, however many there are of them.

An :class:`Element` is a component of which a design has many alike: a multiplier, a dot product, a requantising lane.
Where the platform is a :class:`Library`, each becomes an instance of a module that is made for the first of its kind.
Elsewhere (``amaranth.sim`` has no platform) it is elaborated in its place, so the hardware is the same either way.

A :class:`Primitive` is an element that a device has as cells of its own, which are made for synthesis.
"""

import re
from collections.abc import Hashable, Sequence

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Elaboratable, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hwgen.hdl import tracing  # noqa: F401 (names of signals)
from hwgen.hdl.contents import Contents
from hwgen.tools.templates import render

#: How a memory whose contents are kept apart says which they are.
CONTENTS = "hwgen_contents"
#: The attribute of a memory whose first contents matter although it is written.
LOADED = "hwgen_loaded"
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


class Primitive(Element):
    """An element that also can be made of a device's own cells, in ways that synthesis does not find by itself.

    :meth:`inside` is its behavioural twin, which is simulated, proved and read by any tool; :meth:`cells` behaves like
    it in every cycle from the first. Which of the two is taken: :meth:`hwgen.hdl.rtlil.Netlist.with_cells`.
    """

    def cells(self) -> Module:
        """The same ports, made of instances of the device's cells."""
        raise NotImplementedError(f"{type(self).__name__} does not say of which cells it is made")

    def elaborate(self, platform):
        if isinstance(platform, Library) and platform.made_of_cells is self:
            return self.cells()
        return super().elaborate(platform)


class Once(Elaboratable):
    """``block``, elaborated once for all that is made with the same :class:`Library`: a design of it, a proof of it.
    The same ``key`` means the same hardware; its ports are those of ``block``."""

    def __init__(self, block: wiring.Component, key: Hashable):
        self._block, self._key = block, key

    @property
    def signature(self) -> wiring.Signature:
        """That of the block."""
        return self._block.signature

    def __getattr__(self, port: str):
        return getattr(self._block, port)

    def elaborate(self, platform):
        if not isinstance(platform, Library):
            return self._block
        m = Module()
        m.submodules.block = platform.stage(self._block, self._key, "block")
        return m


class Library:
    """A platform that makes a module for every kind of element.

    ``modules`` holds their RTLIL, ``cells`` by name that of those which can be made of a device's cells, ``roms`` what
    is in memories in block RAM: it is kept apart from the text.
    ``whole`` is the component that is being converted. Names of what only one design has begin with ``prefix``.
    """

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.whole: wiring.Component | None = None
        self.made_of_cells: Primitive | None = None
        self.modules: list[str] = []
        self.cells: dict[str, str] = {}
        self.roms: dict[tuple[str, Contents], str] = {}
        self._made: dict[Hashable, tuple[str, frozenset[str]]] = {}
        self._labels: dict[str, int] = {}
        self._large: set[str] = set()

    def instance(self, element: Element) -> Instance:
        """An instance of the module for elements of this kind, joined to the ports of ``element``."""
        return self._instance(element, (type(element), element.key), element.label)

    def stage(self, block: wiring.Component, key: Hashable, name: str) -> Instance:
        """An instance of the module of ``block``, one for the same ``key``: a design is made once, and simulated as it
        is written."""
        return self._instance(block, key, f"{self.prefix}_{name}")

    def _instance(self, component: wiring.Component, kind: Hashable, label: str) -> Instance:
        if kind not in self._made:
            self._made[kind] = self._make(component, label)
        name, ports = self._made[kind]
        joined = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        for path, member, value in component.signature.flatten(component):
            joined[f"{'i' if member.flow == In else 'o'}_{'__'.join(map(str, path))}"] = Value.cast(value)
        return Instance(name, **{port: value for port, value in joined.items() if port[2:] in ports})

    def convert(self, component: wiring.Component, name: str) -> str:
        """RTLIL of ``component``, without that of :attr:`modules`."""
        outer, self.whole = self.whole, component
        text = rtlil.convert(component, name=name, platform=self, emit_src=False)
        if isinstance(component, Primitive):
            self.made_of_cells = component
            self.cells[name] = rtlil.convert(component, name=name, platform=self, emit_src=False)
            self.made_of_cells = None
        self.whole = outer
        return text

    def _make(self, component: wiring.Component, label: str) -> tuple[str, frozenset[str]]:
        """The module's name and ports."""
        count = self._labels[label] = self._labels.get(label, 0) + 1
        name = label if count == 1 else f"{label}_{count}"
        text = _without_idle_reset(self.convert(component, name))
        if name in self.cells:
            self.cells[name] = _without_idle_reset(self.cells[name])
        self.modules.append(text)
        return name, frozenset(_PORT.findall(text.partition("\nend\n")[0]))

    def ram(self, contents: Contents, *, address: Value, data: Value, held: bool = True, **write: Value) -> Instance:
        """As :meth:`rom`, with a port to ``write``: ``given`` at ``place`` where ``enable`` is 1."""
        name = self._memory("ram", contents, len(address), held)
        ports = {f"i_{port}": value for port, value in write.items()}
        return Instance(name, i_clk=ClockSignal(), i_address=address, **ports, o_data=data)

    def rom(self, contents: Contents, address: Value, data: Value, held: bool = True) -> Instance:
        """A memory with two registers, or with one unless data is ``held``; its contents are kept apart."""
        name = self._memory("rom", contents, len(address), held)
        return Instance(name, i_clk=ClockSignal(), i_address=address, o_data=data)

    def large_ram(self, width: int, depth: int, *, address: Value, data: Value, **write: Value) -> Instance:
        """A memory with one port, which writes ``given`` where ``enable`` is 1 and reads elsewhere, and two registers
        behind it. It has no contents: large RAM has none at power-up."""
        name = f"large_ram_{width}x{depth}"
        if name not in self._large:
            self._large.add(name)
            self.modules.append(_module(name, width, depth, len(address), _LARGE, "address"))
        ports = {f"i_{port}": value for port, value in write.items()}
        return Instance(name, i_clk=ClockSignal(), i_address=address, **ports, o_data=data)

    def _memory(self, kind: str, contents: Contents, address_bits: int, held: bool) -> str:
        """The module of a memory, made once for the same contents."""
        key = (kind if held else f"{kind}_open"), contents
        if key not in self.roms:
            number = len(self.roms)
            name = self.roms[key] = f"{key[0]}_{number}"
            which, place = (_ROM, "") if kind == "rom" else (_RAM, "place")
            attributes = (*which, f"{CONTENTS} {number}")
            self.modules.append(_module(name, contents.width, len(contents), address_bits, attributes, place, held))
        return self.roms[key]


def _without_idle_reset(text: str) -> str:
    """A module always gets a reset; most elements need none."""
    top, end, rest = text.partition("\nend\n")
    if len(re.findall(r"\\rst\b", top)) == 1:
        top = re.sub(r"\n  wire width 1 input \d+ +\\rst\n", "\n", top)
    return top + end + rest


#: Where block RAM with constants goes, with constants that are loaded, and where large RAM does.
_ROM = ("rom_block 1", 'ram_style "block"', 'rom_style "block"')
_RAM = (f"{LOADED} 1", 'ram_style "block"', "no_rw_check 1")
_LARGE = ('ram_style "huge"',)


def _module(
    name: str, width: int, depth: int, address_bits: int, attributes: Sequence[str], place: str = "", held: bool = True
) -> str:
    """RTLIL of what :class:`hwgen.memory.rom.Rom`, or a column of a :class:`hwgen.memory.store.Store`, is in RAM, but
    for the contents: a memory and two registers, or one unless ``held``. What is written goes to the port ``place``;
    where that is ``"address"``, nothing is read in a cycle in which something is written."""
    return render(
        "hwgen.hdl",
        "memory.il.j2",
        name=name,
        width=width,
        depth=depth,
        address_bits=address_bits,
        attributes=attributes,
        place=place,
        held=held,
    )
