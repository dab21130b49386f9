"""Whether a memory keeps its contract, seen where its answers come in."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.cost.logic import Logic, adder, counter, delayed, stepper
from hwgen.memory.queue import wrapping_increment

from .contract import Contract, Region

#: Bits of the count of beats that were late.
LATE = 16


class ContractWatch(wiring.Component):
    """Counts the beats that came later than from the slowest memory that keeps ``contract``, up to the most that
    :data:`LATE` bits hold, where the count stays.

    ``asks`` is 1 in the cycle in which a burst of ``region`` is first asked for, ``came`` in that in which a beat is
    taken; ``places`` beats are asked for at once, at the most. It has the contract's server beside it: requests reach
    that as late as the contract allows, and are served at its rate. So nothing is counted from a memory that keeps the
    contract, whatever the units wait for, and every beat that another one brings too late.
    """

    def __init__(self, region: Region, contract: Contract, places: int):
        self.region, self.contract, self.places = region, contract, places
        super().__init__({"asks": In(1), "came": In(1), "late": Out(LATE)})

    @property
    def logic(self) -> Logic:
        """What it takes."""
        region, deep = self.region, self.places.bit_length()
        line = delayed(1, self.contract.latency - 1)
        counters = counter(region.bursts) + counter(region.beats) + 2 * stepper(deep) + stepper(LATE)
        cycles = self.contract.cycles(region.bus)
        return (
            line + counters + adder(deep) + 2 * counter(int(cycles) + 1) + counter(cycles.denominator) + Logic(logic=8)
        )

    def elaborate(self, platform):
        m = Module()
        due, ahead = self._server(m, self._waiting(m)), Signal(range(-self.places, self.places + 1))
        m.d.sync += ahead.eq(ahead + self.came - due)
        with m.If(due & (ahead + self.came <= 0) & ~self.late.all()):
            m.d.sync += self.late.eq(self.late + 1)
        return m

    def _waiting(self, m: Module) -> Signal:
        """Requests a latency late; returns the count of beats in them, which the server counts down."""
        region, arrives = self.region, self.asks
        if self.contract.latency > 1:
            line = Signal(self.contract.latency - 1, reset_less=True)
            m.d.sync += line.eq(Cat(self.asks, line))
            arrives = line[-1]
        waiting, burst = Signal(range(self.places + 1)), Signal(range(region.bursts))
        self._begins = Signal()
        with m.If(arrives):
            m.d.sync += burst.eq(wrapping_increment(burst, region.bursts))
        beats = Mux(burst == region.bursts - 1, region.last, region.burst)
        m.d.sync += waiting.eq(waiting + Mux(arrives, beats, 0) - self._begins)
        return waiting

    def _server(self, m: Module, waiting: Signal) -> Signal:
        """Whether it gives a beat in this cycle."""
        cycles = self.contract.cycles(self.region.bus)
        serving, due, left = Signal(), Signal(), Signal(range(int(cycles) + 1))
        m.d.comb += [due.eq(serving & (left == 0)), self._begins.eq((~serving | due) & (waiting != 0))]
        m.d.sync += serving.eq(self._begins | (serving & ~due))
        with m.If(self._begins):
            m.d.sync += left.eq(int(cycles) - 1 + self._longer(m))
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return due

    def _longer(self, m: Module):
        """Whether a beat takes a cycle more than others, which keeps the rate over a frame."""
        cycles = self.contract.cycles(self.region.bus)
        more, whole = cycles.numerator % cycles.denominator, cycles.denominator
        if not more:
            return 0
        behind, beat, longer = Signal(range(whole)), Signal(range(self.region.beats)), Signal()
        m.d.comb += longer.eq(behind >= whole - more)
        with m.If(self._begins):
            m.d.sync += beat.eq(wrapping_increment(beat, self.region.beats))
            m.d.sync += behind.eq(Mux(longer, behind + more - whole, behind + more))
            with m.If(beat == self.region.beats - 1):
                m.d.sync += behind.eq(0)
        return longer
