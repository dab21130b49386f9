"""What is simulated is what is written: a plan's hardware is made once for all that read it."""

import gc
from dataclasses import replace
from weakref import ref

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

import hwgen
from hwgen.blocks.requantize.requantizer import Requantizer
from hwgen.dataflow.pipeline import Pipeline
from hwgen.hdl.contents import Contents
from hwgen.hdl.elements import CONTENTS
from hwgen.hdl.export import export
from hwgen.hdl.rtlil import to_netlist
from hwgen.memory.rom import Rom
from hwgen.simulate.compiled import CompiledPlan
from hwgen.top.axi import axi_top
from hwgen.top.made import library_of
from tests import tiny


@pytest.fixture
def design(tmp_path):
    return hwgen.compile(tiny.save(tmp_path / "tiny.onnx"), calibration=tiny.frames(), multipliers=10)


@pytest.fixture
def elaborated(monkeypatch):
    """Requantisers that were elaborated."""
    seen = []
    elaborate = Requantizer.elaborate
    monkeypatch.setattr(Requantizer, "elaborate", lambda self, platform: seen.append(self) or elaborate(self, platform))
    return seen


@pytest.mark.slow
def test_the_check_elaborates_what_is_written_and_nothing_else(design, elaborated):
    assert CompiledPlan(design.plan).design
    first = len(elaborated)
    assert first == 2  # the tiny network's convolution and its dense layer
    assert export(design.component, design.name, made=library_of(design.plan)).text
    assert len(elaborated) == first


@pytest.mark.slow
def test_the_text_is_the_same_whatever_was_made_before(design):
    alone = export(axi_top(design.plan), design.name)
    assert CompiledPlan(design.plan).design
    assert export(design.component, design.name, made=library_of(design.plan)) == alone


def test_stages_are_the_same_text_in_what_is_written_and_what_is_simulated(design):
    made = library_of(design.plan)
    written, watched = (
        to_netlist(top, "top", made).text.split("\nend\n") for top in (design.component, Pipeline(design.plan, True))
    )
    stages = {text for text in written if text.strip().startswith(f"module \\{design.name}_core_")}
    assert len(stages) > len(design.plan.stages)
    assert stages <= set(watched)


@pytest.mark.slow
def test_what_was_made_goes_with_its_plan(design):
    plan = replace(design.plan)
    assert to_netlist(Pipeline(plan), "top", library_of(plan)).text
    made = ref(library_of(plan))
    assert made() is library_of(plan)
    assert made() is not library_of(design.plan)
    del plan
    gc.collect()
    assert made() is None


class Behind(wiring.Component):
    """A ROM in something else."""

    def __init__(self, words, width):
        self.rom = Rom(words, width)
        super().__init__(dict(self.rom.signature.members))

    def elaborate(self, platform):
        m = Module()
        m.submodules.rom = self.rom
        m.d.comb += [self.rom.address.eq(self.address), self.data.eq(self.rom.data)]
        return m


@pytest.mark.parametrize("width", [1, 7, 8, 65])
def test_contents_in_the_text_are_those_kept_apart(width):
    words = [(n * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << width) for n in range(20)]
    netlist = to_netlist(Behind(words, width), "top")
    assert list(netlist.roms.values()) == [Contents.of(words, width)]
    bits = "".join(f"{word:0{width}b}" for word in reversed(words))
    inside, apart = (netlist.with_contents(most).text for most in (20 * width, 20 * width - 1))
    assert f"connect \\DATA {20 * width}'{bits}\n" in inside
    assert CONTENTS not in inside
    assert CONTENTS in apart
    assert bits not in apart
