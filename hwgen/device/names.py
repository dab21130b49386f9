"""The names of devices, as ``devices.csv`` has them: enough to refuse one, without all that a device is."""

import csv
from functools import lru_cache
from importlib.resources import files

from hwgen.graph.errors import unknown

Row = dict[str, str]


@lru_cache(maxsize=1)
def device_rows() -> tuple[Row, ...]:
    """The lines of the table."""
    lines = files("hwgen.device").joinpath("devices.csv").read_text(encoding="utf-8").splitlines()
    return tuple(csv.DictReader(lines))


def device_name(given: str) -> str:
    """What the table calls the device ``given``: by its name or its part's, without Xilinx' ``xc``, in any case.

    Raises :class:`InputError` with the names that come near.
    """
    wanted = given.lower()
    names = [row["name"] for row in device_rows()]
    for name in (wanted, *(row["name"] for row in device_rows() if row["part"].lower() == wanted), f"xc{wanted}"):
        if name in names:
            return name
    raise unknown("device", given, names)
