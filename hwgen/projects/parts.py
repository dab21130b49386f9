"""Which devices a project can be made for."""

from collections.abc import Callable, Iterable

from hwgen.device.targets import Device
from hwgen.graph.errors import InputError

_NEAREST = 3


def is_amd(device: Device) -> bool:
    """Whether Vivado knows it."""
    return device.family.maker == "AMD"


def is_intel(device: Device) -> bool:
    """Whether Quartus knows it."""
    return device.family.maker == "Intel"


def has_system(device: Device) -> bool:
    """Whether there is a processor beside the logic."""
    return device.system is not None


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
