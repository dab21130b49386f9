"""A pipeline that reads from DRAM, begun once the image there is the one that it was made for."""

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Member, Out

from hwgen.blocks.stream import numbered
from hwgen.dataflow.pipeline import Pipeline
from hwgen.memory.dram.contract import MOST_BEATS, Region
from hwgen.memory.dram.master import ADDRESS, OFFSET, answer_layout, request_layout
from hwgen.memory.dram.watch import LATE
from hwgen.top.image import header, pages


def axi_channels(region: Region) -> wiring.Signature:
    """AXI's read channels of a port through which ``region`` is read."""
    return wiring.Signature(
        {"ar": Out(stream.Signature(request_layout(region))), "r": In(stream.Signature(answer_layout(region)))}
    )


class ImageCheck(wiring.Component):
    """Once ``start`` is 1, reads the first bytes from ``page`` on and holds them against ``wanted``, a beat at a time:
    then ``same`` or ``error`` is 1, and stays so."""

    def __init__(self, region: Region, wanted: bytes):
        words = [wanted[at : at + region.bus] for at in range(0, len(wanted), region.bus)]
        #: What each beat must be, the first byte lowest, as far as there are bytes.
        self.words, self.region = [int.from_bytes(word, "little") for word in words], region
        self.bits = 8 * min(region.bus, len(wanted))
        members = axi_channels(region).members
        super().__init__({"start": In(1), "page": In(ADDRESS - OFFSET), "same": Out(1), "error": Out(1), **members})

    def elaborate(self, platform):
        m = Module()
        word, waits, ended = Signal(range(len(self.words))), Signal(), Signal()
        shift = (self.region.bus - 1).bit_length()
        wanted = Signal(self.bits)
        with m.Switch(word):
            for n, value in enumerate(self.words):
                with m.Case(n):
                    m.d.comb += wanted.eq(value)
        m.d.comb += [
            ended.eq(self.same | self.error),
            self.ar.valid.eq(self.start & ~waits & ~ended),
            self.ar.payload.addr.eq((self.page << OFFSET) + (word << shift)),
            self.r.ready.eq(1),
        ]
        with m.If(self.ar.valid & self.ar.ready):
            m.d.sync += waits.eq(1)
        with m.If(waits & self.r.valid):
            right = (self.r.payload.data[: self.bits] == wanted) & (self.r.payload.resp == 0)
            last = word == len(self.words) - 1
            m.d.sync += [
                waits.eq(0),
                word.eq(Mux(last, 0, word + 1)),
                self.error.eq(~right),
                self.same.eq(right & last),
            ]
        return m


class ReadingPipeline(wiring.Component):
    """``pipeline`` with its streams, and AXI's channels ``axi``, or ``axi_0`` and so on, of one memory.

    The image begins at page ``page`` of the memory and must be there before ``go`` becomes 1; both must not change
    then. Nothing is read, and no frame leaves, before its header was read and is that of this design:
    ``image_error`` becomes 1 where it is not. ``memory_error`` becomes 1 where the memory gives an error or another
    answer than asked for; integers may be wrong from there on. ``weights_late``, or ``weights_late_0`` and so on,
    count the beats that came later than the memory's contract allows (:class:`hwgen.memory.dram.watch.ContractWatch`),
    which costs time alone. All stay until reset, before which all that was asked for must have come.
    """

    def __init__(self, pipeline: Pipeline):
        self.pipeline, self.plan, self.results = pipeline, pipeline.plan, pipeline.results
        self.lanes_out = pipeline.lanes_out
        #: The regions that are read, in the order of the ports.
        self.regions = [unit.read.region for unit in self.plan.memories.values()]
        count = len(self.regions)
        #: What ports and counts are called.
        self.ports, self.counts = numbered("axi", count), numbered("weights_late", count)
        self._kept = {n: each for n, each in pipeline.signature.members.items() if not n.startswith("memory")}
        channels = {name: Out(axi_channels(region)) for name, region in zip(self.ports, self.regions, strict=True)}
        told = {"image_error": Out(1), "memory_error": Out(1), **dict.fromkeys(self.counts, Out(LATE))}
        #: What it says of the memory.
        self.flags = list(told)
        super().__init__({**self._kept, **channels, "page": In(ADDRESS - OFFSET), "go": In(1), **told})

    def elaborate(self, platform):
        m = Module()
        m.submodules.pipeline = pipeline = self.pipeline
        m.submodules.check = check = ImageCheck(self.regions[0], header(self.plan))
        m.d.comb += [check.start.eq(self.go), check.page.eq(self.page), self.image_error.eq(check.error)]
        for name, member in self._kept.items():
            inside, outside = getattr(pipeline, name), wiring.flipped(getattr(self, name))
            if member.is_signature:
                wiring.connect(m, inside, outside)
            else:
                m.d.comb += outside.eq(inside) if member.flow == Out else inside.eq(outside)
        inside = [getattr(pipeline, name) for name in numbered("memory", len(self.ports))]
        for n, (memory, name, at) in enumerate(zip(inside, self.ports, pages(self.plan)[:-1], strict=True)):
            axi = getattr(self, name)
            m.d.sync += [memory.page.eq(self.page + at), memory.go.eq(self.go & check.same)]
            m.d.comb += getattr(self, self.counts[n]).eq(memory.late)
            if n == 0:
                self._shared(m, check, memory, axi)
            else:
                wiring.connect(m, memory.ar, wiring.flipped(axi.ar))
                wiring.connect(m, wiring.flipped(axi.r), memory.r)
        m.d.comb += self.memory_error.eq(reduce(or_, (memory.error for memory in inside)))
        return m

    @staticmethod
    def _shared(m: Module, check: ImageCheck, memory, axi) -> None:
        """The first port is that of the check until it has ended."""
        same = check.same
        m.d.comb += [
            axi.ar.valid.eq(Mux(same, memory.ar.valid, check.ar.valid)),
            axi.ar.payload.eq(Mux(same, memory.ar.payload.as_value(), check.ar.payload.as_value())),
            check.ar.ready.eq(axi.ar.ready & ~same),
            memory.ar.ready.eq(axi.ar.ready & same),
            check.r.payload.eq(axi.r.payload),
            memory.r.payload.eq(axi.r.payload),
            check.r.valid.eq(axi.r.valid & ~same),
            memory.r.valid.eq(axi.r.valid & same),
            axi.r.ready.eq(1),
        ]


class AxiChannels:
    """The port ``name`` of a top for :func:`axi_channels`, signal by signal, as AXI calls them."""

    def __init__(self, name: str, region: Region):
        self.name, self.region = name, region

    @property
    def members(self) -> dict[str, Member]:
        """The signals."""
        length = (MOST_BEATS[self.region.axi] - 1).bit_length()
        request = {"addr": ADDRESS, "len": length, "size": 3, "burst": 2, "cache": 4, "prot": 3, "valid": 1}
        members = {f"ar{signal}": Out(width) for signal, width in request.items()} | {"arready": In(1)}
        answer = {"data": 8 * self.region.bus, "resp": 2, "last": 1, "valid": 1}
        members |= {f"r{signal}": In(width) for signal, width in answer.items()} | {"rready": Out(1)}
        return {f"{self.name}_{signal}": member for signal, member in members.items()}

    def join(self, m: Module, top: wiring.Component, channels) -> None:
        """Connect the signals of ``top`` to ``channels``: bursts of rising addresses and whole beats, of normal memory
        that others may hold (A4.4, A7.3)."""
        ar, r = channels.ar, channels.r
        outside = {name.removeprefix(f"{self.name}_"): getattr(top, name) for name in self.members}
        fixed = {"arsize": (self.region.bus - 1).bit_length(), "arburst": 1, "arcache": 0b0011, "arprot": 0}
        m.d.comb += [outside[name].eq(value) for name, value in fixed.items()]
        m.d.comb += [
            outside["araddr"].eq(ar.payload.addr),
            outside["arlen"].eq(ar.payload.len),
            outside["arvalid"].eq(ar.valid),
            ar.ready.eq(outside["arready"]),
            *(getattr(r.payload, name).eq(outside[f"r{name}"]) for name in ("data", "resp", "last")),
            r.valid.eq(outside["rvalid"]),
            outside["rready"].eq(r.ready),
        ]
