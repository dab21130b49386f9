"""Boards that a bitstream can be made for: data on top of ``amaranth-boards``, which knows their pins."""

import importlib
import importlib.util
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from hwgen.device.targets import Device
from hwgen.device.targets import device as find_device
from hwgen.graph.errors import InputError
from hwgen.link.endpoint import Buffers
from hwgen.link.uart import is_rate

#: What installs all that bitstreams need.
INSTALL = "pip install amaranth-boards, or pip install '.[boards]' in hwgen's folder"
#: What the link takes of any device, about, beside the block RAM of its buffers.
LINK_LUTS, LINK_FFS = 1100, 600


@dataclass(frozen=True)
class Board:
    """A board.

    ``device`` is that of :mod:`hwgen.device.targets`, ``platform`` the class in ``amaranth_boards.<module>``, ``flow``
    the tools (see :mod:`hwgen.bitstream`). ``clock`` (Hz) is that of the design unless another is asked for;
    ``oscillator`` is the board's own. ``rates`` are those in baud that its USB chip (``usb``) makes exactly, the
    highest first; ``load`` the command that loads a bitstream.
    """

    name: str
    device: str
    module: str
    platform: str
    flow: str
    oscillator: float
    clock: float
    rates: tuple[int, ...]
    load: str
    usb: str
    buffers: Buffers = field(default=Buffers(), repr=False)

    @property
    def room(self) -> Device:
        """Its device without what the link takes, for the accelerator."""
        whole = find_device(self.device)
        blocks = sum(-(-8 * size // _block_bits(whole)) for size in (self.buffers.down, self.buffers.up))
        return replace(whole, luts=whole.luts - LINK_LUTS, ffs=whole.ffs - LINK_FFS, brams=max(0, whole.brams - blocks))

    def rate(self, clock: float) -> int:
        """The fastest that a design with ``clock`` Hz takes."""
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


def _ulx3s(size: str, suffix: str, device: str, clock: float) -> Board:
    return Board(
        name=f"ulx3s{suffix}",
        device=device,
        module="ulx3s",
        platform=f"ULX3S_{size}_Platform",
        flow="ecp5",
        oscillator=25e6,
        clock=clock,
        rates=(3_000_000, 2_000_000, 1_000_000),
        load="openFPGALoader -b ulx3s",
        usb="FT231X",
        buffers=Buffers(down=4096, up=2048),
    )


#: Every board known. The 12F is sold as a smaller one and has the 25F's die, which the open tools make full use of.
BOARDS = (
    _ulx3s("85F", "", "lfe5u-85f", 80e6),
    _ulx3s("45F", "-45f", "lfe5u-45f", 80e6),
    _ulx3s("25F", "-25f", "lfe5u-25f", 80e6),
    _ulx3s("12F", "-12f", "lfe5u-12f", 80e6),
    Board(
        name="icebreaker",
        device="ice40up5k",
        module="icebreaker",
        platform="ICEBreakerPlatform",
        flow="ice40",
        oscillator=12e6,
        clock=24e6,
        rates=(12_000_000, 8_000_000, 6_000_000, 4_000_000, 3_000_000, 2_000_000, 1_000_000),
        load="iceprog",
        usb="FT2232H",
        buffers=Buffers(down=1024, up=512),
    ),
    Board(
        name="tangnano9k",
        device="gw1nr-9c",
        module="tang_nano_9k",
        platform="TangNano9kPlatform",
        flow="gowin",
        oscillator=27e6,
        clock=27e6,
        rates=(1_000_000,),
        load="openFPGALoader -b tangnano9k",
        usb="BL702",
        buffers=Buffers(down=2048, up=2048),
    ),
)


def board(name: str) -> Board:
    """The board called ``name``, in any case. Raises InputError with the names that come near."""
    known = {known.name: known for known in BOARDS}
    if name.lower() in known:
        return known[name.lower()]
    near = get_close_matches(name.lower(), known, n=3)
    meant = f"did you mean {' or '.join(near)}? Known" if near else "known"
    raise InputError(f"board {name!r} is not known; {meant}: {', '.join(known)}")
