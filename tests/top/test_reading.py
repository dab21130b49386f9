"""A pipeline that reads from DRAM begins with the image that it was made for, and with no other."""

from types import SimpleNamespace

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hwgen.board.bitstream import implement
from hwgen.dataflow.plan import Plan
from hwgen.device.targets import device
from hwgen.graph import golden
from hwgen.graph.errors import InputError
from hwgen.graph.types import U8, FeatureMap
from hwgen.memory.dram.contract import PAGE
from hwgen.projects import project_files
from hwgen.simulate.bench import from_beats, to_beats
from hwgen.simulate.dram import BROKEN, WORST, Bank, Memory, ReadMemory
from hwgen.testing import Simulated, random_frames
from hwgen.top.axi import axi_top
from hwgen.top.image import header, image, pages
from tests.dataflow.nets import chain
from tests.memory.reading import FAST, shift

FRAMES, BASE = 2, 7


SMALL, LARGE = FeatureMap(5, 4, 4, U8), FeatureMap(33, 32, 4, U8)


def plan(source: FeatureMap = SMALL, seed: int = 0, lanes: int = 4) -> Plan:
    """Two regions over buses that are shorter than the header; the large ones take more than a page."""
    first = shift(source, seed)
    network = chain(first, shift(first.output, 1))
    return Plan.of(network, [next(u for u in layer.op.units() if u.folding.lanes == lanes) for layer in network.layers])


class Flat(wiring.Component):
    """An AXI top with its ports as streams, as those who simulate want them."""

    def __init__(self, planned: Plan):
        self.top, read = axi_top(planned), [unit.read for unit in planned.memories.values()]
        core = self.top.core.signature.members
        ports = {f"memory_{n}": Out(each.port) for n, each in enumerate(read)}
        super().__init__({"i": core["i"], "o": core["o"], **ports})

    def elaborate(self, platform):
        m = Module()
        m.submodules.top = top = self.top
        m.d.comb += [
            top.s_axis_tdata.eq(self.i.payload.as_value()),
            top.s_axis_tvalid.eq(self.i.valid),
            self.i.ready.eq(top.s_axis_tready),
            self.o.payload.as_value().eq(top.m_axis_tdata),
            self.o.valid.eq(top.m_axis_tvalid),
            top.m_axis_tready.eq(self.o.ready),
            top.memory_page.eq(self.memory_0.page),
            top.memory_go.eq(self.memory_0.go),
        ]
        for n, port in enumerate((self.memory_0, self.memory_1)):
            axi = {name.removeprefix(f"m_axi_{n}_"): getattr(top, name) for name in top.channels[n].members}
            m.d.comb += [
                port.ar.valid.eq(axi["arvalid"]),
                port.ar.payload.addr.eq(axi["araddr"]),
                port.ar.payload.len.eq(axi["arlen"]),
                axi["arready"].eq(port.ar.ready),
                axi["rvalid"].eq(port.r.valid),
                *(axi[f"r{name}"].eq(getattr(port.r.payload, name)) for name in ("data", "resp", "last")),
                port.r.ready.eq(axi["rready"]),
                port.error.eq(top.memory_error),
                port.late.eq(getattr(top, f"weights_late_{n}")),
            ]
        return m


class Run:
    """Frames through the top of a plan, from a memory with ``content``; ``flags`` are what the hardware says."""

    def __init__(self, planned: Plan, content: bytes, mode: str = WORST):
        self.planned, self.flat, self.flags = planned, Flat(planned), {}
        banks = [Bank(content, unit.read.region, FAST, Memory(mode), BASE) for unit in planned.memories.values()]
        ports = self.flat.memory_0, self.flat.memory_1
        self.memories = [ReadMemory(port, bank) for port, bank in zip(ports, banks, strict=True)]

    def __call__(self, limit: int = 20_000, faulty: bool = False) -> bool:
        """Whether what leaves is golden's; ``faulty``: all answers behind the header are in error."""
        map_, lanes = self.planned.network.input.map, self.planned.lanes_in
        frames, top = random_frames(map_, FRAMES), self.flat.top

        def watch(ctx, cycle):
            self.flags = {name: ctx.get(getattr(top, name)) for name in top.reading.flags}
            ctx.set(
                self.flat.memory_0.r.payload.resp,
                2 if faulty and self.memories[0].bytes > len(header(self.planned)) else 0,
            )

        beats, count = to_beats(frames, map_.type, lanes), FRAMES * map_.elements // lanes
        _, given = Simulated(self.flat)({"i": beats}, {"o": count}, limit=limit, watch=watch, memories=self.memories)
        got = from_beats(given["o"].payloads, map_.type, lanes).reshape(frames.shape)
        return bool((got == golden.run(self.planned.network, frames)[self.planned.network.output.name]).all())


@pytest.mark.parametrize(("mode", "source", "lanes"), [(WORST, LARGE, 4), (BROKEN, SMALL, 2)])
def test_the_right_image_is_read(mode, source, lanes):
    planned = plan(source, lanes=lanes)
    run = Run(planned, image(planned), mode)
    assert run()
    late = run.flags.pop("weights_late_0") + run.flags.pop("weights_late_1")
    assert run.flags == {"image_error": 0, "memory_error": 0}
    assert (late > 0) == (mode == BROKEN)


def test_the_image_of_another_network_is_refused():
    run = Run(plan(), image(plan(seed=1)))
    with pytest.raises(TimeoutError):
        run(500)
    assert run.flags == {"image_error": 1, "memory_error": 0, "weights_late_0": 0, "weights_late_1": 0}
    assert sum(memory.bytes for memory in run.memories) <= 32  # the header, as far as it is the same


def test_an_answer_in_error_is_told():
    planned = plan()
    run = Run(planned, image(planned))
    assert run(faulty=True)  # the bytes were right all the same
    assert (run.flags["memory_error"], run.flags["image_error"]) == (1, 0)


def test_an_image_has_its_regions_at_pages():
    planned = plan(LARGE)
    assert pages(planned) == [1, 3, 5]
    content = image(planned)
    assert content.startswith(header(planned))
    assert len(content) == 5 * PAGE
    for unit, page in zip(planned.memories.values(), pages(planned), strict=False):
        assert content[page * PAGE :].startswith(unit.image)


def test_nothing_is_made_that_leaves_the_memory_out():
    made = SimpleNamespace(plan=plan(), device=device("xc7z020"))
    with pytest.raises(InputError, match="--project vivado: the design reads weights from DRAM"):
        project_files(["vivado"], made)
    with pytest.raises(InputError, match="no bitstream for ulx3s"):
        implement(made, SimpleNamespace(name="ulx3s"))
