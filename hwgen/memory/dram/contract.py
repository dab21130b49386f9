"""What a memory promises, and when the bytes of a region come that is read over and over.

A memory that keeps its contract answers no later than a server of ``rate`` bytes a cycle behind a delay of ``latency``
cycles would (a latency-rate server: Stiliadis and Varma, IEEE/ACM Transactions on Networking 6(5), 1998). So it is an
actor of the kind there is: a step for each beat, which starts when there is room for its burst.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hwgen.cost.actor import Actor, Give

#: Bytes that no burst may cross a multiple of (AXI4, A3.4.1).
PAGE = 4096
#: Bytes of the longest burst that is asked for: longer ones gain little and hold others up.
LONGEST = 1024
#: Beats of a burst at most, by the version of AXI.
MOST_BEATS = {4: 256, 3: 16}


@dataclass(frozen=True)
class Contract:
    """``latency``: cycles between a burst being asked for (``arvalid``) and its first beat at most, where nothing is
    ahead of it. ``rate``: bytes a cycle at least, while there is something to bring."""

    latency: int
    rate: Fraction

    def __post_init__(self):
        if self.latency < 1 or self.rate <= 0:
            raise ValueError(f"a memory of latency {self.latency} and {self.rate} bytes a cycle keeps no contract")

    def cycles(self, bus: int) -> Fraction:
        """Cycles that a beat of ``bus`` bytes takes at most, over many."""
        return max(Fraction(bus) / self.rate, Fraction(1))

    def beats(self, count: int, bus: int) -> np.ndarray:
        """Cycles that each of ``count`` beats of ``bus`` bytes takes at most, int64 [count]: one at least, and all of
        them together no more than a cycle beyond what the rate says."""
        cycles = self.cycles(bus)
        ends = np.arange(1, count + 1) * cycles.numerator // cycles.denominator
        return np.diff(ends, prepend=0)


@dataclass(frozen=True)
class Region:
    """What is read from a memory for every frame: ``size`` bytes from a multiple of :data:`PAGE` on, over a bus of
    ``bus`` bytes, in bursts of ``longest`` bytes at most (a power of two, as is ``bus``), which ``axi`` allows."""

    size: int
    bus: int
    longest: int = LONGEST
    axi: int = 4

    def __post_init__(self):
        if self.size < 1 or self.size % self.bus:
            raise ValueError(f"a region of {self.size} bytes is not whole beats of {self.bus} bytes")
        if self.burst * self.bus > PAGE or self.burst & (self.burst - 1):
            raise ValueError(f"bursts of {self.burst} beats of {self.bus} bytes do not lie in pages of {PAGE} bytes")

    @property
    def beats(self) -> int:
        """Beats of a frame."""
        return self.size // self.bus

    @property
    def burst(self) -> int:
        """Beats of a burst, but for the last of a frame, which may be shorter."""
        return max(min(self.longest // self.bus, MOST_BEATS[self.axi]), 1)

    @property
    def bursts(self) -> int:
        """Bursts of a frame."""
        return -(-self.beats // self.burst)

    @property
    def last(self) -> int:
        """Beats of the last burst of a frame."""
        return self.beats - (self.bursts - 1) * self.burst

    def places(self, contract: Contract, round_trip: int) -> int:
        """Places for beats that never let the memory wait for room: what it brings during its latency and
        ``round_trip`` cycles more, and a burst."""
        return self.burst + int((contract.latency + round_trip) * min(contract.rate / self.bus, Fraction(1))) + 1


def source(region: Region, contract: Contract, places: int, latency: int, credit_delay: int) -> Actor:
    """The slowest memory that keeps ``contract``, read by a master with ``places`` for beats.

    ``latency`` are the cycles that the master adds to those of the memory, ``credit_delay`` those between a beat being
    taken from it and the master knowing.
    """
    first = np.arange(region.beats) // region.burst * region.burst
    give = Give(
        np.arange(1, region.beats + 1),
        contract.latency + latency,
        places,
        reserve=first + region.burst,
        credit_delay=credit_delay,
        debit=np.minimum(first + region.burst, region.beats),
    )
    return Actor("dram", contract.beats(region.beats, region.bus), (), (give,))
