"""The checker must fail on blocks that break the contract, each rule in turn."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.blocks.stream import beat_stream
from hwgen.graph.types import U8
from hwgen.hdl.formal import ContractError, prove_contract


class Stage(wiring.Component):
    """A correct register stage, and ways to break it."""

    def __init__(self, fault: str = ""):
        self.fault = fault
        super().__init__({"i": In(beat_stream(U8, 1)), "o": Out(beat_stream(U8, 1))})

    def elaborate(self, platform):
        m = Module()
        full, held = Signal(), Signal(8)
        m.d.comb += [self.i.ready.eq(~full | self.o.ready), self.o.valid.eq(full), self.o.payload[0].eq(held)]
        with m.If(self.i.ready):
            m.d.sync += [full.eq(self.i.valid), held.eq(self.i.payload[0])]
        if self.fault == "withdraws":
            m.d.sync += full.eq(self.i.valid)
        if self.fault == "changes":
            m.d.sync += held.eq(self.i.payload[0])
        if self.fault == "waits":
            m.d.comb += self.o.valid.eq(full & self.o.ready)
        return m


def test_a_correct_stage_passes():
    prove_contract(Stage())


@pytest.mark.parametrize("fault", ["withdraws", "changes", "waits"])
def test_a_broken_stage_is_caught(fault):
    with pytest.raises(ContractError):
        prove_contract(Stage(fault))
