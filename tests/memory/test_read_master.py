"""What is read from a memory comes in order, in time, and by AXI's rules, from every memory that keeps its contract."""

from fractions import Fraction

import numpy as np
import pytest

from hwgen.cost.timing import Web
from hwgen.hdl.formal import ContractError, prove_never_broken
from hwgen.memory.dram.contract import PAGE, Contract, Region
from hwgen.memory.dram.master import ReadMaster
from hwgen.memory.dram.rules import ReadRules
from hwgen.simulate.dram import BROKEN, RANDOM, WORST, Bank, Memory, MemoryFault, ReadMemory, beats_of
from hwgen.testing import Simulated

FRAMES = 3
CASES = [
    (Region(4096, 8, 64), Contract(20, Fraction(8)), 40),
    (Region(8 * 37, 8, 64), Contract(30, Fraction(16, 3)), 16),  # its last burst is shorter
    (Region(16 * 5, 16), Contract(7, Fraction(9)), 64),  # less than a burst
    (Region(4 * 40, 4, 256, 3), Contract(90, Fraction(64)), 100),  # AXI3's 16 beats; faster than the bus
    (Region(64, 64), Contract(1, Fraction(1, 2)), 16),  # one beat
]
PAGES = 5


def image(region: Region) -> bytes:
    return np.random.default_rng(region.size).integers(0, 256, region.size, np.uint8).tobytes()


def read(region, contract, places, mode, seed=None, stall=None):
    """What moved over ``o`` of a master that reads ``region``, and the memory."""
    master = ReadMaster(region, places)
    bank = Bank(image(region), region, contract, Memory(mode, seed or 0), PAGES, FRAMES)
    memory = ReadMemory(master, bank)
    simulated = Simulated(master)

    def watch(ctx, cycle):
        assert not ctx.get(master.error)

    simulated.limit = 100_000
    _, given = simulated({}, {"o": FRAMES * region.beats}, stall, watch=watch, memories=[memory])
    return given["o"], memory


def schedule(region, contract, places) -> np.ndarray:
    web = Web()
    web.add([ReadMaster.actor(region, contract, places)], [])
    return web.run(FRAMES).given


@pytest.mark.parametrize(("region", "contract", "places"), CASES)
def test_every_beat_moves_in_its_cycle_from_the_slowest_memory(region, contract, places):
    given, memory = read(region, contract, places, WORST)
    assert given.payloads == tuple(beats_of(image(region) * FRAMES, region.bus))
    np.testing.assert_array_equal(given.cycles, schedule(region, contract, places))
    assert memory.bytes == FRAMES * region.size


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("region", "contract", "places"), CASES)
def test_no_memory_within_the_contract_is_later(region, contract, places, seed):
    given, _ = read(region, contract, places, RANDOM, seed)
    assert given.payloads == tuple(beats_of(image(region) * FRAMES, region.bus))
    assert (np.array(given.cycles) <= schedule(region, contract, places)).all()


@pytest.mark.parametrize("mode", [WORST, RANDOM, BROKEN])
@pytest.mark.parametrize(("region", "contract", "places"), CASES)
def test_values_are_right_whatever_stalls(region, contract, places, mode):
    given, _ = read(region, contract, places, mode, 3, stall=7)
    assert given.payloads == tuple(beats_of(image(region) * FRAMES, region.bus))


def test_a_rate_is_kept_over_a_frame():
    took = Contract(5, Fraction(16, 3)).beats(99, 8)
    assert set(took.tolist()) == {1, 2}
    assert took.sum() == 99 * 3 // 2


def test_places_keep_the_memory_busy():
    region, contract = Region(1 << 14, 8, 128), Contract(60, Fraction(4))
    places = region.places(contract, ReadMaster.round_trip())
    moved = schedule(region, contract, places)
    assert moved[-1] - moved[-1 - region.beats] == region.beats * 2
    fewer = schedule(region, contract, region.burst)
    assert fewer[-1] - fewer[-1 - region.beats] > region.beats * 2


@pytest.mark.parametrize(
    ("region", "base", "what"),
    [(Region(512, 8, 256), 128, "leaves the image"), (Region(4096, 8, 64), 0, "leaves the image")],
)
def test_the_memory_notices_reads_beside_the_image(region, base, what):
    master = ReadMaster(region, 64)
    memory = ReadMemory(master, Bank(bytes(256), region, Contract(9, Fraction(8)), page=base))
    with pytest.raises(MemoryFault, match=what):
        Simulated(master)({}, {"o": region.beats}, memories=[memory])


def test_an_answer_with_an_error_is_told_and_stays_told():
    region = Region(256, 8, 64)
    master, errors = ReadMaster(region, 64), []
    memory = ReadMemory(master, Bank(image(region), region, Contract(9, Fraction(8))))

    def watch(ctx, cycle):
        ctx.set(master.r.payload.resp, 2 if cycle == 20 else 0)
        errors.append(ctx.get(master.error))

    Simulated(master)({}, {"o": 2 * region.beats}, watch=watch, memories=[memory])
    assert errors == sorted(errors)
    assert 0 < sum(errors) < len(errors)


@pytest.mark.parametrize("size", [12, 0])
def test_a_region_is_whole_beats(size):
    with pytest.raises(ValueError, match="whole beats"):
        Region(size, 8)


def test_bursts_lie_in_pages():
    assert Region(2 * PAGE, 8, 2 * PAGE).burst * 8 <= PAGE
    with pytest.raises(ValueError, match="pages"):
        Region(4096, 32, 8192)


@pytest.mark.parametrize(("region", "contract", "places"), CASES)
def test_no_slave_makes_it_break_a_rule_of_axi(region, contract, places):
    prove_never_broken(ReadRules(ReadMaster(region, places)))


class Faulty(ReadMaster):
    """A master that breaks one rule."""

    def __init__(self, fault: str):
        self.fault = fault
        super().__init__(Region(8 * 37, 8, 64), 16)

    def elaborate(self, platform):
        m = super().elaborate(platform)
        if self.fault == "withdraws":
            with m.If(~self.ar.ready):
                m.d.sync += self.ar.valid.eq(0)
        if self.fault == "asks twice":
            m.d.comb += self.outlet.amount.eq(1)
        if self.fault == "too long":
            m.d.sync += self.ar.payload.len.eq(7)
        if self.fault == "elsewhere":
            m.d.sync += self.ar.payload.addr.eq(8)
        if self.fault == "loses":
            m.d.comb += self.r.ready.eq(self.o.ready)
        return m


@pytest.mark.parametrize("fault", ["withdraws", "asks twice", "too long", "elsewhere", "loses"])
def test_a_broken_master_is_caught(fault):
    with pytest.raises(ContractError):
        prove_never_broken(ReadRules(Faulty(fault)))
