"""What vendors' tools call devices, and which of them a project can be made for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hwgen.device.targets import Device
from hwgen.graph.errors import InputError

#: Processor systems that a block design is built around, by the beginning of the device's name.
SYSTEMS = {"xc7z": "zynq", "xczu": "mpsoc", "xck": "mpsoc"}
_NEAREST = 3

#: Vivado's names of boards, the newest version of each.
BOARD_PARTS = {
    "xc7a35t": "digilentinc.com:arty-a7-35:part0:*",
    "xc7a100t": "digilentinc.com:arty-a7-100:part0:*",
    "xc7a200t": "digilentinc.com:nexys_video:part0:*",
    "xc7z010": "digilentinc.com:zybo-z7-10:part0:*",
    "xc7z020": "tul.com.tw:pynq-z2:part0:*",
    "xc7z045": "xilinx.com:zc706:part0:*",
    "xczu3eg": "avnet.com:ultra96v2:part0:*",
    "xczu7ev": "xilinx.com:zcu104:part0:*",
    "xczu9eg": "xilinx.com:zcu102:part0:*",
    "xck26": "xilinx.com:kv260_som:part0:*",
    "xcku040": "xilinx.com:kcu105:part0:*",
    "xcku115": "xilinx.com:kcu1500:part0:*",
    "xcvu9p": "xilinx.com:vcu118:part0:*",
    "xcu250": "xilinx.com:au250:part0:*",
}


@dataclass(frozen=True)
class Part:
    """``number`` is the maker's full name of the device, ``system`` one of :data:`SYSTEMS` or None, ``board_part`` may
    be empty; ``family`` is what Quartus calls it, None of AMD's."""

    device: str
    number: str
    system: str | None
    board_part: str
    family: str | None

    @staticmethod
    def of(device: Device) -> "Part":
        system = next((system for start, system in SYSTEMS.items() if device.name.startswith(start)), None)
        board = BOARD_PARTS.get(device.name, "")
        return Part(device.name, device.part, system, board, device.family.series if is_intel(device) else None)


def is_amd(device: Device) -> bool:
    return device.family.maker == "AMD"


def is_intel(device: Device) -> bool:
    return device.family.maker == "Intel"


def has_system(device: Device) -> bool:
    return is_amd(device) and Part.of(device).system is not None


def check_device(
    kind: str, device: Device, whose: str, fits: Callable[[Device], bool], known: Iterable[Device]
) -> None:
    """Raise InputError unless the project ``kind``, which is for ``whose``, ``fits`` the device."""
    if fits(device):
        return
    names = [each.name for each in known if fits(each)]
    more = f", or one of {len(names) - _NEAREST} more (`devices` lists them)" if len(names) > _NEAREST else ""
    take = f"take --device {', '.join(names[:_NEAREST])}{more}, or" if names else "no device known has it:"
    raise InputError(f"--project {kind} is for {whose}, not for {device.name}; {take} leave out --project {kind}")
