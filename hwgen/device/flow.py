"""The tools that make a bitstream of what Yosys has synthesised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hwgen.tools.package_tool import Tool

#: The share of LUTs and flip-flops that may be taken where products are made of them: chosen, to leave routers room.
MOST_LOGIC = 0.75


@dataclass(frozen=True)
class Flow:
    """The tools of a family behind Yosys: ``route`` and ``pack``, what they are given, and what comes out.

    ``constraints``, ``routed`` and ``bitstream`` are the endings of files; ``arguments(platform, top)`` are those of
    ``route`` that name the part and files, ``packing(platform, source, target)`` those of ``pack``. ``resources`` are
    what its cells are called in reports. ``improved(netlist, multipliers)`` is what is done to Yosys'
    netlist on the way to a device with so many multipliers. ``untimed(sdf)`` is the longest path, in ns, that ``route``
    does not time, by the SDF file that it writes; None where it times all. ``most_logic`` is the share of a device's
    LUTs and flip-flops that may be taken where products are made of them.
    """

    route: Tool
    pack: Tool
    constraints: str
    routed: str
    bitstream: str
    arguments: Callable[[Any, str], list[str]]
    packing: Callable[[Any, str, str], list[str]]
    resources: Mapping[str, str]
    improved: Callable[[dict, int], dict] | None = None
    untimed: Callable[[str], float] | None = None
    most_logic: float = MOST_LOGIC


def nextpnr(name: str) -> Tool:
    """nextpnr of the families ``name``, from PyPI."""
    module = name.replace("-", "_")
    return Tool(f"nextpnr-{name}", f"yowasp-nextpnr-{name}", f"yowasp_nextpnr_{module}", f"run_nextpnr_{module}")
