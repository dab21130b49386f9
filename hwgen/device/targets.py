"""Devices: what each has.

They are data, ``devices.csv``, each with the documents that its numbers are from; their families are in
:mod:`hwgen.device.families`. What Yosys makes of products and memories is in :mod:`hwgen.device.mapping`; how it is
called is in :mod:`hwgen.device.synth`.
"""

from dataclasses import dataclass, field, fields
from typing import Any

from hwgen.cost.needs import ULTRA

from .clocks import Clock
from .families import FAMILIES
from .family import Family
from .flow import MOST_LOGIC
from .names import device_name, device_rows
from .needs import Needs


@dataclass(frozen=True)
class Device:
    """A part, most often that of a ``board``.

    ``dsps`` and ``brams`` are counted in the family's units; ``ram_luts``: how many of the ``luts`` can be RAM.
    ``large_rams`` are memories of ``large_kbit`` each beside the block RAM (:class:`Family`). ``part`` is the maker's
    full name, with package and speed grade. ``dram_gbps``: most that the board's memory moves, in 10^9 bytes a second,
    if it has one; ``dram_mb``: what that holds, in 2^20 bytes; ``dram_ports``: how many ports the logic has to it.
    ``system`` is the processor in it, ``"zynq"`` or ``"mpsoc"``; ``board_part`` what Vivado calls the board.
    ``most_logic``: the share of ``luts`` and ``ffs`` that may be taken where products are made of them.
    """

    name: str
    family: Family = field(repr=False)
    part: str
    luts: int
    ffs: int
    dsps: int
    brams: int
    ram_luts: int
    large_rams: int
    large_kbit: int
    board: str | None
    dram_gbps: float | None
    dram_mb: int | None
    dram_ports: int | None
    system: str | None
    board_part: str | None
    source: str = field(repr=False)
    board_source: str | None = field(repr=False)
    most_logic: float = MOST_LOGIC

    def clock(self, asked: Clock | float | None = None) -> Clock:
        """What is ``asked`` for, in Hz where it is a number: the family's own unless given, which says where that comes
        from."""
        usual = Clock(self.family.clock.hz, f"{self.family.series}, {self.family.clock.known}")
        given = asked if isinstance(asked, Clock) else Clock(asked or usual.hz)
        return usual if given == usual else given

    @property
    def ultra_rams(self) -> int:
        """UltraRAMs: memories of its large kind that are written and read in the same cycle."""
        return self.large_rams if self.large_style == ULTRA else 0

    @property
    def large_style(self) -> str | None:
        """The style of memories that are in its large RAM; None where it has none."""
        return self.family.large_style if self.large_rams else None

    @property
    def multipliers(self) -> int:
        """Products that its DSP blocks take at once, one in each."""
        return self.dsps

    def share(self, needs: Needs) -> float:
        """What ``needs`` takes of the resource of which that is the most."""
        has = Needs(self.luts, self.ffs, self.dsps, self.brams, large=self.large_rams)
        return max(getattr(needs, kind) / there for kind, there in vars(has).items() if there)


def _read(row: dict[str, str]) -> Device:
    """A device of a line of the table."""
    whole = ("luts", "ffs", "dsps", "brams", "ram_luts", "large_rams", "large_kbit")
    values: dict[str, Any] = {field.name: row[field.name] or None for field in fields(Device) if field.name in row}
    values |= {name: int(row[name]) for name in whole} | {"family": FAMILIES[row["family"]]}
    if row["dram_gbps"]:
        values |= {"dram_gbps": float(row["dram_gbps"]), **{name: int(row[name]) for name in ("dram_mb", "dram_ports")}}
    return Device(**values)


#: Every device known, by family and size. Xilinx block RAM is counted in halves of 18 kbit.
DEVICES = tuple(map(_read, device_rows()))


def device(name: str) -> Device:
    """The device called ``name``, by its part's full name or without Xilinx' ``xc``, in any case.

    Raises :class:`InputError` with the names that come near.
    """
    return {known.name: known for known in DEVICES}[device_name(name)]
