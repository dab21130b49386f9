"""The clock that speeds are stated at unless one is asked for: ``clocks.csv`` has one a family, with its source."""

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from hwgen.device.targets import Device


@dataclass(frozen=True)
class Clock:
    """``hz`` that designs have on devices of a family; ``known``: ``"measured"`` by us, or ``"not measured"`` and
    chosen with care: ``source`` says below what, and which document has that."""

    hz: float
    known: str
    source: str


@lru_cache(maxsize=1)
def clocks() -> dict[str, Clock]:
    """Those of all families, by name."""
    lines = files("hwgen.device").joinpath("clocks.csv").read_text(encoding="utf-8").splitlines()
    return {row["family"]: Clock(float(row["mhz"]) * 1e6, row["known"], row["source"]) for row in csv.DictReader(lines)}


def usual_clock(device: Device) -> Clock:
    """The clock of ``device``, as far as its family tells."""
    return clocks()[device.family.name]


def clock_origin(device: Device, hz: float) -> str | None:
    """``"ECP5, measured"``: where the clock ``hz`` comes from; None where it is not the family's own."""
    usual = usual_clock(device)
    return f"{device.family.label.split(maxsplit=1)[-1]}, {usual.known}" if hz == usual.hz else None


def clock_text(hz: float, origin: str | None) -> str:
    """``100 MHz (ECP5, measured)``."""
    return f"{hz / 1e6:g} MHz" + (f" ({origin})" if origin else "")
