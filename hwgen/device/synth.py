"""Synthesis with the packaged Yosys: what a design takes, counted and not estimated."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hwgen.device.family import Family
from hwgen.device.needs import Needs
from hwgen.device.targets import Device
from hwgen.graph.errors import FitError
from hwgen.tools.yosys import YosysError, run_yosys

TIMEOUT = 1800.0  # seconds


@dataclass(frozen=True)
class SynthResult:
    """Counts after synthesis, before place and route.

    ``luts``: as the router counts them: for ECP5 TRELLIS_COMB, which is LUT4, two for every CCU2C (a carry cell of two
    bits) and four for every 16x4 RAM, while PFUMX and L6MUX21 join LUTs for nothing; for Xilinx, before two small LUTs
    share one; for Intel in halves of an ALM. ``lutrams``: LUTs that are RAM or shift registers. ``dsps``, ``brams``
    and ``large`` RAM in the device's units. ``cells``: every cell by type.
    """

    luts: int
    ffs: int
    dsps: int
    brams: int
    lutrams: int
    large: int
    cells: dict[str, int]
    seconds: float = field(compare=False)
    log_tail: str = field(repr=False, compare=False)

    @property
    def needs(self) -> Needs:
        """The same numbers as an estimate has them."""
        return Needs(self.luts, self.ffs, self.dsps, self.brams, self.lutrams, self.large)


def synthesise(
    text: str,
    top: str,
    device: Device,
    *,
    files: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
    progress: Callable[[str], None] | None = None,
) -> SynthResult:
    """Map Verilog or RTLIL ``text`` with the module ``top`` to ``device``'s family and count its cells.

    ``files`` are those of memories that the text names.
    ``progress`` is called with the name of every pass as it starts. Raises :class:`FitError` when Yosys refuses the
    design or takes more than ``timeout`` seconds.
    """
    check_synthesis(device)
    commands = script(text, top, device)
    report = None if progress is None else lambda line: _tell(line, progress)
    try:
        run = run_yosys(
            commands, inputs={"design": text, **(files or {})}, outputs=["stat.json"], timeout=timeout, on_line=report
        )
    except YosysError as error:
        raise FitError(f"synthesis of {top} for {device.name}: {error}") from error
    cells = _cells(json.loads(run.files["stat.json"]))
    return count(cells, device, run.seconds, "\n".join(run.log.splitlines()[-40:]))


def check_synthesis(device: Device) -> None:
    """Raise :class:`FitError` where Yosys has no synthesis for ``device``."""
    if device.family.synth is None:
        raise FitError(
            f"Yosys has no synthesis for {device.family.label} ({device.name}): leave out --synth for the estimate, or "
            "take the vendor's tools"
        )


def count(cells: Mapping[str, int], device: Device, seconds: float = 0.0, log_tail: str = "") -> SynthResult:
    """The resources that ``cells`` of ``device``'s family take."""
    known = device.family.cells
    taken = [(number, known[cell]) for cell, number in cells.items() if cell in known]
    return SynthResult(
        luts=sum(number * each.luts for number, each in taken),
        ffs=sum(number for cell, number in cells.items() if re.fullmatch(device.family.flops, cell)),
        dsps=sum(number * each.dsps for number, each in taken),
        brams=sum(number * each.brams for number, each in taken),
        lutrams=sum(number * each.ram_luts for number, each in taken),
        large=sum(number * each.large for number, each in taken),
        cells=dict(sorted(cells.items())),
        seconds=seconds,
        log_tail=log_tail,
    )


def script(text: str, top: str, device: Device) -> str:
    """What Yosys is told, for ``text`` in the file ``design``; counts go to ``stat.json``."""
    reader = "read_rtlil" if re.match(r"\s*(#.*\n|attribute .*\n)*module \\", text) else "read_verilog"
    lines = [f"{reader} design", f"hierarchy -check -top {top}", "proc", *preparation(device.family)]
    if "no_rw_check" in text and reader == "read_rtlil":
        # What Yosys' Verilog reader makes of this attribute; without it, it spends logic on what nobody reads.
        unchecked = "t:$mem_v2 a:no_rw_check %i r:RD_PORTS=1 %i r:WR_PORTS=1 %i"
        lines.extend(["memory_collect", f"setparam -set RD_COLLISION_X_MASK 1'1 {unchecked}"])
    return "\n".join([*lines, device.family.synthesis(top), f"tee -q -o stat.json stat -top {top} -json", ""])


def preparation(family: Family) -> list[str]:
    """Commands between reading a design and synthesis for ``family``."""
    if family.lutram is not None:
        return []
    # Yosys stops at a RAM that is to be of LUTs where there is no such thing.
    return [f"setattr -unset {style} a:{style}=distributed" for style in ("ram_style", "rom_style")]


def _tell(line: str, progress: Callable[[str], None]) -> None:
    """The step that starts with ``line`` of the log, without those inside it."""
    found = re.match(r"\d+\.\d+\. Executing (\w+) pass", line)
    if found:
        progress(found[1].lower())


def _cells(stat: dict) -> dict[str, int]:
    """Cells of the whole design, instances of modules resolved."""
    return {
        cell: number
        for cell, number in stat["design"]["num_cells_by_type"].items()
        if f"\\{cell}" not in stat["modules"]
    }
