"""What hardware reads from a memory for every frame, and the port over which it does."""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.actor import Actor
from hwgen.cost.logic import Logic, adder_register, counter
from hwgen.cost.needs import MemoryNeed
from hwgen.memory.queue import queue_logic
from hwgen.memory.ram import ram_need

from .contract import PAGE, Contract, Region
from .master import ADDRESS, OFFSET, ReadMaster, answer_layout, request_layout
from .replay import Replay, ReplayPlan
from .watch import LATE, ContractWatch


@dataclass(frozen=True)
class MemoryRead:
    """``region``, read over and over from a memory that keeps ``contract``, with ``places`` for beats that wait; with
    ``replay`` some of them are given several times."""

    region: Region
    contract: Contract
    places: int
    replay: ReplayPlan | None = None

    @property
    def beats(self) -> int:
        """Beats that are given for a frame."""
        return len(self.replay.order) if self.replay else self.region.beats

    def given(self, image: bytes) -> bytes:
        """What is given for a frame, of what the region holds."""
        if self.replay is None:
            return image
        return np.frombuffer(image, np.uint8).reshape(-1, self.region.bus)[self.replay.order].tobytes()

    @property
    def pages(self) -> int:
        """Pages that the region takes of the memory."""
        return -(-self.region.size // PAGE)

    @property
    def stream(self) -> stream.Signature:
        """The beats in order, as a stream."""
        return stream.Signature(data.ArrayLayout(Shape(8), self.region.bus))

    @property
    def actors(self) -> tuple[Actor, ...]:
        """The slowest memory that keeps the contract, and what reads it."""
        master = ReadMaster.actor(self.region, self.contract, self.places)
        return (master, self.replay.actor) if self.replay else (master,)

    @property
    def memories(self) -> tuple[MemoryNeed, ...]:
        """Those of :class:`ReadPort`."""
        queue = ram_need("queue", 8 * self.region.bus, self.places)
        return (queue, *self.replay.memories) if self.replay else (queue,)

    @property
    def port(self) -> wiring.Signature:
        """Towards the memory: ``page`` says where the region begins, in pages, and must not change; while ``go`` is 1,
        bursts are asked for over ``ar`` and come over ``r``, which are AXI's channels. ``error`` becomes 1, and stays
        so, where an answer is not what was asked for; ``late`` counts the beats that broke the contract."""
        return wiring.Signature(
            {
                "page": In(ADDRESS - OFFSET),
                "go": In(1),
                "ar": Out(stream.Signature(request_layout(self.region))),
                "r": In(stream.Signature(answer_layout(self.region))),
                "error": Out(1),
                "late": Out(LATE),
            }
        )

    @property
    def logic(self) -> Logic:
        """What :class:`ReadPort` takes, without its memories."""
        region, width = self.region, 8 * self.region.bus
        request = adder_register(ADDRESS - OFFSET) + Logic(register=OFFSET + region.burst.bit_length())
        counters = 2 * counter(region.bursts) + counter(region.burst)
        master = request + counters + queue_logic(self.places, width) + Logic(logic=8, register=width + 4)
        replay = self.replay.logic if self.replay else Logic()
        return master + replay + ContractWatch(region, self.contract, self.places).logic


class ReadPort(wiring.Component):
    """Reads what ``read`` says over the port ``memory`` and gives it to the stream ``o``."""

    def __init__(self, read: MemoryRead):
        self.read = read
        super().__init__({"memory": Out(read.port), "o": Out(read.stream)})

    def elaborate(self, platform):
        m = Module()
        read, asked = self.read, Signal()
        m.submodules.master = master = ReadMaster(read.region, read.places)
        m.submodules.watch = watch = ContractWatch(read.region, read.contract, read.places)
        wiring.connect(m, master.ar, wiring.flipped(self.memory.ar))
        wiring.connect(m, wiring.flipped(self.memory.r), master.r)
        given = master.o
        if read.replay:
            m.submodules.replay = replay = Replay(read.replay)
            wiring.connect(m, master.o, replay.i)
            given = replay.o
        wiring.connect(m, given, wiring.flipped(self.o))
        m.d.comb += [
            master.page.eq(self.memory.page),
            master.go.eq(self.memory.go),
            self.memory.error.eq(master.error),
            watch.asks.eq(master.ar.valid & ~asked),
            watch.came.eq(master.r.valid & master.r.ready),
            self.memory.late.eq(watch.late),
        ]
        m.d.sync += asked.eq(master.ar.valid & ~master.ar.ready)
        return m


def memory_names(block: wiring.Component) -> list[str]:
    """The ports of a block towards memories (``memory``, or ``memory_0`` and so on), in order."""
    return [name for name in block.signature.members if name == "memory" or name.startswith("memory_")]
