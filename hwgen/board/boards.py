"""Boards that a bitstream can be made for: data in ``boards/*.toml``, beside ``amaranth-boards``, which knows pins."""

import importlib
import importlib.util
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from hwgen.device.clocks import Clock
from hwgen.device.flow import Flow
from hwgen.device.pll import Pll
from hwgen.device.targets import Device
from hwgen.device.targets import device as find_device
from hwgen.graph.errors import InputError, unknown
from hwgen.link.endpoint import Buffers
from hwgen.link.uart import is_rate

#: What installs all that bitstreams need.
INSTALL = "pip install amaranth-boards, or pip install '.[boards]' in hwgen's folder"
#: What the link takes of any device, about, beside the block RAM of its buffers.
LINK_LUTS, LINK_FFS = 1100, 600


What = TypeVar("What")


@dataclass(frozen=True)
class Board:
    """A board.

    ``device`` is that of :mod:`hwgen.device.targets`, ``platform`` the class in ``amaranth_boards.<module>``. ``clock``
    is that of the design unless another is asked for; ``oscillator`` is the board's own. ``rates`` are those in
    baud that its USB chip (``usb``) makes exactly, the highest first; ``load`` the command that loads a bitstream.
    """

    name: str
    device: str
    module: str
    platform: str
    oscillator: Clock
    clock: Clock
    rates: tuple[int, ...]
    load: str
    usb: str
    buffers: Buffers = field(repr=False)

    @property
    def flow(self) -> Flow:
        """The tools behind Yosys."""
        return self._of_family(find_device(self.device).family.flow)

    @property
    def pll(self) -> Pll:
        """What makes clocks."""
        return self._of_family(find_device(self.device).family.pll)

    def _of_family(self, what: What | None) -> What:
        """InputError where its family has no such thing: then no bitstream can be made for it."""
        if what is None:
            raise InputError(f"the board {self.name} has a {self.device}, for which no bitstreams are made")
        return what

    @property
    def room(self) -> Device:
        """Its device without what the link takes, for the accelerator, and with no more products made of LUTs than its
        tools are quick with."""
        whole = find_device(self.device)
        blocks = sum(-(-8 * size // _block_bits(whole)) for size in (self.buffers.down, self.buffers.up))
        most = whole.family.flow.most_logic if whole.family.flow else whole.most_logic
        luts, ffs, brams = whole.luts - LINK_LUTS, whole.ffs - LINK_FFS, max(0, whole.brams - blocks)
        return replace(whole, luts=luts, ffs=ffs, brams=brams, most_logic=most)

    def rate(self, clock: Clock) -> int:
        """The fastest that a design with ``clock`` takes."""
        return next((rate for rate in self.rates if is_rate(clock, rate)), self.rates[-1])

    def make_platform(self):
        """The platform; InputError where amaranth-boards is not installed."""
        if importlib.util.find_spec("amaranth_boards") is None:
            raise InputError(f"the board {self.name} needs amaranth-boards, which is not installed: {INSTALL}")
        return getattr(importlib.import_module(f"amaranth_boards.{self.module}"), self.platform)()


def _block_bits(device: Device) -> int:
    """What the smallest block RAM holds."""
    width, depth = device.family.brams[0].shapes[-1]
    return width * depth


def _folder() -> Path:
    """Where the boards' files are: within the package as it is installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    return next(folder for folder in (package / "boards", package.parent / "boards") if folder.is_dir())


def read_board(file: Path) -> Board:
    """The board that a file tells of. Raises InputError for one that says too little or too much."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    said = tomllib.loads(file.read_text(encoding="utf-8"))
    names = {each.name for each in fields(Board)} - {"name"}
    if said.keys() != names:
        missing, unknown = (", ".join(sorted(keys)) or "none" for keys in (names - said.keys(), said.keys() - names))
        raise InputError(f"{file}: keys that are missing: {missing}; that no board has: {unknown}")
    typed: dict[str, Any] = {name: Clock(said[name]) for name in ("oscillator", "clock")}
    typed |= {"rates": tuple(said["rates"]), "buffers": Buffers(**said["buffers"])}
    return Board(file.stem, **said | typed)


#: Every board known, by name.
BOARDS = tuple(map(read_board, sorted(_folder().glob("*.toml"), key=lambda file: file.stem)))


def board(name: str) -> Board:
    """The board called ``name``, in any case. Raises InputError with the names that come near."""
    known = {known.name: known for known in BOARDS}
    if name.lower() in known:
        return known[name.lower()]
    raise unknown("board", name, known)
