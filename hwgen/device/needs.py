"""What is taken of a device, and of what."""

from dataclasses import dataclass
from typing import Protocol


class Resources(Protocol):
    """What a device has."""

    @property
    def luts(self) -> int:
        """Look-up tables."""

    @property
    def ffs(self) -> int:
        """Flip-flops."""

    @property
    def dsps(self) -> int:
        """Multipliers."""

    @property
    def brams(self) -> int:
        """Block RAMs, in the family's units."""

    @property
    def large_rams(self) -> int:
        """Memories beside the block RAM."""


@dataclass(frozen=True)
class Needs:
    """What is taken of a device; ``ram_luts`` are those of ``luts`` that are RAM, ``large`` its large RAMs."""

    luts: int = 0
    ffs: int = 0
    dsps: int = 0
    brams: int = 0
    ram_luts: int = 0
    large: int = 0

    def __add__(self, other: "Needs") -> "Needs":
        return Needs(
            self.luts + other.luts,
            self.ffs + other.ffs,
            self.dsps + other.dsps,
            self.brams + other.brams,
            self.ram_luts + other.ram_luts,
            self.large + other.large,
        )

    def share(self, device: Resources) -> float:
        """Of the resource of ``device`` of which it takes the most."""
        both = [(getattr(self, kind), getattr(device, kind)) for kind in ("luts", "ffs", "dsps", "brams")]
        both.append((self.large, device.large_rams))
        return max(used / available for used, available in both if available)
