"""A clock: a rate with its unit, and where it comes from."""

from dataclasses import dataclass, field

MHZ = 1e6  # Hz


@dataclass(frozen=True, order=True)
class Clock:
    """``hz``; ``origin`` says where it comes from, like ``"ECP5, measured"``: None where somebody asked for it."""

    hz: float
    origin: str | None = field(default=None, compare=False)

    @staticmethod
    def of_mhz(mhz: float) -> "Clock":
        """The clock of a rate in MHz, as the command line has it."""
        return Clock(mhz * MHZ)

    @property
    def mhz(self) -> float:
        """The rate in MHz, for people."""
        return self.hz / MHZ

    def rate(self, cycles: float) -> float:
        """How often in a second there are so many ``cycles``."""
        return self.hz / cycles

    def seconds(self, cycles: float) -> float:
        """What ``cycles`` take."""
        return cycles / self.hz

    def __str__(self) -> str:
        return f"{self.mhz:g} MHz"

    @property
    def stated(self) -> str:
        """``100 MHz (ECP5, measured)``."""
        return f"{self} ({self.origin})" if self.origin else str(self)
