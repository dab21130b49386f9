"""What goes onto a board: the accelerator behind the link, its clock and reset, and the board's pins."""

from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Module, ResetSignal, Signal
from amaranth.lib import io
from amaranth.lib.cdc import FFSynchronizer, ResetSynchronizer

from hwgen.board.boards import Board
from hwgen.device.clocks import Clock
from hwgen.device.pll import Setting
from hwgen.link.top import LinkTop
from hwgen.link.uart import UartReceiver, UartTransmitter

#: Cycles without reset at the start: the block RAM of iCE40 reads as 0 for the first microseconds.
_START_CYCLES = 4096


class BoardTop(Elaboratable):
    """``link`` on ``board``: its first UART, and two LEDs where there are so many: one that says that the clock runs,
    and one for the core's frame error. ``setting`` is the PLL's, None where ``clock`` is the board's own."""

    def __init__(self, board: Board, link: LinkTop, setting: Setting | None, clock: Clock, baud: int):
        self.board, self.link, self.setting, self.clock, self.baud = board, link, setting, clock, baud

    def elaborate(self, platform):
        m = Module()
        self._clock(m, platform)
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx_pin = rx_pin = io.Buffer("i", uart.rx)
        m.submodules.tx_pin = tx_pin = io.Buffer("o", uart.tx)
        m.submodules.receiver = receiver = UartReceiver(self.clock, self.baud)
        m.submodules.transmitter = transmitter = UartTransmitter(self.clock, self.baud)
        m.submodules.link = link = self.link
        m.d.comb += [
            receiver.rx.eq(rx_pin.i),
            link.data.eq(receiver.data),
            link.valid.eq(receiver.valid),
            transmitter.i.payload.eq(link.line.payload),
            transmitter.i.valid.eq(link.line.valid),
            link.line.ready.eq(transmitter.i.ready),
            tx_pin.o.eq(transmitter.tx),
        ]
        for number, value in enumerate((~ResetSignal(), link.frame_error)):
            m.submodules[f"led_{number}"] = led = io.Buffer("o", platform.request("led", number, dir="-"))
            m.d.comb += led.o.eq(value)
        return m

    def _clock(self, m: Module, platform) -> None:
        """The domain ``sync``, in reset until its clock is stable and for a while after."""
        pin = platform.request(platform.default_clk, dir="-")
        clock, locked = Signal(), Signal()
        pll = self.board.pll
        if self.setting is not None and pll.takes_pin:
            m.submodules.pll = pll.cell(self.setting, pin.io, clock, locked)
        else:
            m.submodules.clock_pin = source = io.Buffer("i", pin)
            if self.setting is None:
                m.d.comb += [clock.eq(source.i), locked.eq(1)]
            else:
                m.submodules.pll = pll.cell(self.setting, source.i, clock, locked)
        platform.add_clock_constraint(clock, self.clock.hz)
        m.domains.boot = ClockDomain("boot", reset_less=True, local=True)
        m.domains.sync = ClockDomain("sync")
        m.d.comb += [ClockSignal("boot").eq(clock), ClockSignal("sync").eq(clock)]
        stable, count = Signal(), Signal(range(_START_CYCLES + 1))
        m.submodules.stable = FFSynchronizer(locked, stable, o_domain="boot")
        done = Signal()
        m.d.comb += done.eq(count == _START_CYCLES)
        with m.If(stable & ~done):
            m.d.boot += count.eq(count + 1)
        m.submodules.reset = ResetSynchronizer(~done, domain="sync")
