"""The table of devices as text, with the documents that its numbers are from."""

from collections.abc import Sequence
from typing import Any

import click

from hwgen.cli.as_json import say
from hwgen.cli.commands import text_width
from hwgen.device.families import FAMILIES
from hwgen.device.targets import DEVICES, Device
from hwgen.graph.errors import InputError
from hwgen.report.tables import counts, table, wrapped


def chosen(family: str | None) -> list[Device]:
    """The devices of a family, by the end or the whole of its name; all without one. Raises :class:`InputError`."""
    found = [device for device in DEVICES if family is None or family.lower() in _names(device)]
    if not found:
        raise InputError(f"family {family!r} is not known; known: {', '.join(FAMILIES)}")
    return found


def _names(device: Device) -> set[str]:
    """What a family may be called: its name, its maker and what people call it."""
    family = device.family
    return {family.name, *(name.lower() for name in (family.label, family.maker, family.series))}


def device_lines(devices: Sequence[Device], width: int) -> list[str]:
    """Two tables, what the devices have and where they are found, and the sources that numbers in [] mean."""
    sources = list(dict.fromkeys(s for device in devices for s in (device.source, device.board_source) if s))
    places = {source: place for place, source in enumerate(sources, 1)}
    columns = ("device", "<LUTs", "<of them\nRAM", "<flip-flops", "<multipliers", "<block RAM")
    rows = [
        (
            device.name,
            *counts(vars(device), "luts", "ram_luts", "ffs"),
            f"{device.dsps:,} {multiplier(device)}",
            f"{device.brams:,} x {kilobits(device)} kbit",
        )
        for device in devices
    ]
    lines = table(columns, rows, width)
    parts = [(device.name, device.family.name, device.part, _place(device, places)) for device in devices]
    lines += ["", *table(("device", "family", "part", "board, [sources]"), parts, width), ""]
    notes = [
        "LUTs of Intel devices are halves of ALMs; of larger RAM, designs use SPRAM and UltraRAM",
        *(f"[{place}] {source}" for source, place in places.items()),
    ]
    return lines + wrapped(notes, width)


def _place(device: Device, sources: dict[str, int]) -> str:
    """Board and memories, and the numbers of the sources."""
    words = [device.board] if device.board else []
    words += [f"DRAM {device.dram_mb:,} MB, {device.dram_gbps:g} GB/s"] if device.dram_gbps else []
    words += [f"{device.large_rams:,} x {device.large_kbit} kbit larger RAM"] if device.large_rams else []
    numbers = " ".join(f"[{sources[source]}]" for source in (device.source, device.board_source) if source)
    return f"{', '.join(words)} {numbers}".strip()


def multiplier(device: Device) -> str:
    """The size of one unit of the device's multipliers."""
    smallest = min(device.family.dsp, key=lambda shape: (shape.units, shape.a))
    return f"{smallest.a}x{smallest.b}"


def kilobits(device: Device) -> int:
    """The size of one block RAM."""
    width, depth = device.family.brams[0].shapes[-1]
    return width * depth // 1024


def device_data(device: Device) -> dict[str, Any]:
    """All numbers of a device, and where they are from."""
    sizes = {"multiplier": multiplier(device), "bram_kbit": kilobits(device)}
    told = {name: value for name, value in vars(device).items() if name not in ("system", "board_part", "most_logic")}
    return told | {"family": device.family.name} | sizes


def devices(family: str | None, quiet: bool) -> None:
    """Print the devices of a family, or all."""
    found = chosen(family)
    say(lambda: {"devices": [device_data(device) for device in found]})
    click.echo("\n".join(device_lines(found, text_width())))
