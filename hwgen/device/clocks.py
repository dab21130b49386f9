"""The clock that speeds are stated at unless one is asked for: that of the device's family."""

from .family import Clock
from .targets import Device


def usual_clock(device: Device) -> Clock:
    """The clock of ``device``, as far as its family tells."""
    return device.family.clock


def clock_origin(device: Device, hz: float) -> str | None:
    """``"ECP5, measured"``: where the clock ``hz`` comes from; None where it is not the family's own."""
    usual = usual_clock(device)
    return f"{device.family.series}, {usual.known}" if hz == usual.hz else None


def clock_text(hz: float, origin: str | None) -> str:
    """``100 MHz (ECP5, measured)``."""
    return f"{hz / 1e6:g} MHz" + (f" ({origin})" if origin else "")
