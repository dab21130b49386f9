"""Synthesis with the packaged Yosys: what a design takes, counted and not estimated."""

import json
import re
from collections.abc import Mapping

from hwgen.device.family import Family
from hwgen.device.needs import Needs
from hwgen.device.targets import Device
from hwgen.graph.errors import FitError
from hwgen.hdl.export import MACRO
from hwgen.tools.yosys import YosysError, run_yosys

TIMEOUT = 1800.0  # seconds
#: How Yosys reads Verilog for synthesis: with the device's cells in it.
READ_VERILOG = f"read_verilog -D{MACRO}"


def synthesise(text: str, top: str, device: Device, *, timeout: float = TIMEOUT) -> dict[str, int]:
    """Map Verilog or RTLIL ``text`` with the module ``top`` to ``device``'s family: how many cells of each type there
    are, before place and route.

    Raises :class:`FitError` when Yosys refuses the design or takes more than ``timeout`` seconds.
    """
    check_synthesis(device)
    commands = script(text, top, device)
    try:
        run = run_yosys(commands, inputs={"design": text}, outputs=["stat.json"], timeout=timeout)
    except YosysError as error:
        raise FitError(f"synthesis of {top} for {device.name}: {error}") from error
    stat = json.loads(run.files["stat.json"])
    numbers = stat["design"]["num_cells_by_type"].items()  # of the whole design, instances of modules resolved
    return {cell: number for cell, number in sorted(numbers) if f"\\{cell}" not in stat["modules"]}


def check_synthesis(device: Device) -> None:
    """Raise :class:`FitError` where Yosys has no synthesis for ``device``."""
    if device.family.synth is None:
        raise FitError(
            f"Yosys has no synthesis for {device.family.label} ({device.name}): leave out --synth for the estimate, or "
            "take the vendor's tools"
        )


def count(cells: Mapping[str, int], device: Device) -> Needs:
    """The resources that ``cells`` of ``device``'s family take.

    LUTs are as the router counts them: for ECP5 TRELLIS_COMB, which is LUT4, two for every CCU2C (a carry cell of two
    bits) and four for every 16x4 RAM, while PFUMX and L6MUX21 join LUTs for nothing; for Xilinx, before two small LUTs
    share one; for Intel in halves of an ALM. Those that are RAM may be shift registers, too.
    """
    known, flops = device.family.cells, re.compile(device.family.flops)
    stored = sum(number for cell, number in cells.items() if flops.fullmatch(cell))
    return sum((known[cell] * number for cell, number in cells.items() if cell in known), Needs(ffs=stored))


#: What says in either language that a ROM is made of LUTs (:mod:`hwgen.memory.rom`).
LUT_ROM = '"registers"'


def script(text: str, top: str, device: Device) -> str:
    """What Yosys is told, for ``text`` in the file ``design``; counts go to ``stat.json``."""
    tidy = re.match(r"\s*(#.*\n|attribute .*\n)*module \\", text)
    # Synthesis itself checks the hierarchy again, when it knows the device's cells.
    reader = "read_rtlil" if tidy else READ_VERILOG
    lines = [f"{reader} design", f"hierarchy -top {top}", "proc", *preparation(device.family)]
    if "no_rw_check" in text and tidy:
        # What Yosys' Verilog reader makes of this attribute; without it, it spends logic on what nobody reads.
        unchecked = "t:$mem_v2 a:no_rw_check %i r:RD_PORTS=1 %i r:WR_PORTS=1 %i"
        lines.extend(["memory_collect", f"setparam -set RD_COLLISION_X_MASK 1'1 {unchecked}"])
    if LUT_ROM in text and not all(block.joined for block in device.family.brams):
        # Yosys' older ``memory_bram`` knows no memory that is not to be in block RAM.
        lines.extend(["memory_collect", "memory_map t:$mem_v2 a:ram_style=registers %i"])
    return "\n".join([*lines, device.family.synthesis(top), f"tee -q -o stat.json stat -top {top} -json", ""])


def preparation(family: Family) -> list[str]:
    """Commands between reading a design and synthesis for ``family``."""
    if family.lutram is not None:
        return []
    # Yosys stops at a RAM that is to be of LUTs where there is no such thing.
    return [f"setattr -unset {style} a:{style}=distributed" for style in ("ram_style", "rom_style")]
