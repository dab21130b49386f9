"""What is taken of a device, and of what."""

from dataclasses import dataclass, fields
from operator import add, attrgetter


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
        return Needs(*map(add, _counts(self), _counts(other)))

    def __mul__(self, count: int) -> "Needs":
        return Needs(*(each * count for each in _counts(self)))


_counts = attrgetter(*(field.name for field in fields(Needs)))
