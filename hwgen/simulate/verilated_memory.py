"""A memory beside a compiled design: :class:`hwgen.simulate.dram.ReadMemory` in C++."""

import ctypes

import numpy as np

from hwgen.memory.dram.contract import MOST_BEATS, PAGE
from hwgen.simulate.dram import LATE, MODES, POISON, Bank
from hwgen.simulate.feed import Reads

_NUMBERS = (
    "size", "base", "page", "bus", "beats", "most_beats", "latency", "most_wait", "mode", "late", "most", "seed",
)  # fmt: skip


class _Settings(ctypes.Structure):
    """``MemorySettings`` of the driver."""

    _fields_ = [
        ("image", ctypes.c_void_p),
        ("took", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in _NUMBERS),
        ("poison", ctypes.c_uint8),
    ]


class CompiledMemory:
    """``bank`` behind a port of a compiled design; ``reads`` is what came of that in a run.

    In the mode worst it answers in the same cycles as the one in Amaranth's simulator.
    """

    def __init__(self, bank: Bank):
        self.bank, self.reads = bank, Reads()
        self._image = np.frombuffer(bank.image, np.uint8)
        self._took = bank.contract.beats(bank.region.beats, bank.region.bus)

    def attach(self, driver: ctypes.CDLL, simulation: int, number: int) -> None:
        """Put it at the port with this number, before the first cycle."""
        bank, region = self.bank, self.bank.region
        settings = _Settings(
            image=self._image.ctypes.data,
            took=self._took.ctypes.data,
            size=len(bank.image),
            base=bank.page * PAGE,
            page=PAGE,
            bus=region.bus,
            beats=region.beats,
            most_beats=MOST_BEATS[region.axi],
            latency=bank.contract.latency,
            most_wait=bank.most_wait,
            mode=MODES.index(bank.memory.mode),
            late=LATE,
            most=-1 if bank.most is None else bank.most,
            seed=bank.memory.seed,
            poison=POISON[0],
        )
        driver.hwgen_memory(simulation, number, ctypes.byref(settings))

    def look(self, driver: ctypes.CDLL, simulation: int, number: int) -> None:
        """What it did until now."""
        self.reads = Reads(*(driver.hwgen_read(simulation, number, what) for what in range(len(Reads._fields))))
