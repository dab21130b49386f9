"""A sum by its channel's constant, and the channel's offset added, in DSP blocks with all registers that they have.

One block does it where operand and constant are no wider than its operands. A wider constant is cut into a low digit
and the rest: the sum of the low one goes on without its lowest bits, which are those of the result already, to a second
block; or, ``serial``, to the same block a cycle later.
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib.wiring import In, Out

from hwgen.blocks.arith.arithmetic import delay
from hwgen.blocks.array.dsp48 import DIGIT, DSP48E1, DSP48E2, WIDTH, Block
from hwgen.blocks.array.slices import SLICES
from hwgen.cost.logic import Logic
from hwgen.hdl.elements import Primitive

#: Blocks that can do it, by what plans call them.
SCALING: dict[str, Block] = {"dsp48e1": DSP48E1, "dsp48e2": DSP48E2}


@dataclass(frozen=True)
class ScalerForm:
    """Operands of ``operand`` bits, signed, by constants of ``constant`` bits, unsigned, with offsets of ``offset``
    bits, signed, in blocks of ``kind``. Of the result the ``dropped`` lowest bits are left out."""

    kind: str
    operand: int
    constant: int
    offset: int
    serial: bool = False
    dropped: int = 0

    @property
    def narrow(self) -> bool:
        """Whether operands are at the narrower port, and digits at the wider one."""
        return self.operand <= SLICES[self.kind].x

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits of the digits, the lowest first."""
        widest = (SLICES[self.kind].operand if self.narrow else SLICES[self.kind].x) - 1
        return (self.constant,) if self.constant <= widest else (DIGIT, self.constant - DIGIT)

    @property
    def fits(self) -> bool:
        """Whether one block or two can do it."""
        kind = SLICES[self.kind]
        widest = (kind.operand if self.narrow else kind.x) - 1
        room = max(self.operand + self.widths[0], self.offset) < WIDTH and self.operand + self.widths[-1] < WIDTH
        return self.operand <= kind.operand and self.widths[-1] <= widest and room

    @property
    def latency(self) -> int:
        """Cycles from an operand, and the low digit of its constant, to the result."""
        return 2 + len(self.widths)

    @property
    def result(self) -> int:
        """Bits of the result."""
        whole = max(self.operand + self.constant + 1, self.offset) + 1
        return max(whole - self.dropped, 1)

    @property
    def logic(self) -> Logic:
        """Counted bits beside the blocks."""
        kept = max(DIGIT - self.dropped, 0) if len(self.widths) > 1 else 0
        return Logic(register=kept + 2 * self.serial)


def blocks_to_scale(kind: str, operand: int, constant: int, offset: int) -> int | None:
    """How many blocks of a kind it takes; None where that is more than two, or blocks of the kind cannot do it."""
    form = ScalerForm(kind, operand, constant, offset)
    return len(form.widths) if kind in SCALING and form.fits else None


class Scaler(Primitive):
    """``o(t) = operand(t - latency) * constant(t - latency) + offset(t - latency + 1)``, without its lowest bits.

    Where it is serial and there are two digits, ``constant`` is the low one where ``first`` says so, and the high one a
    cycle later, while ``operand`` stays.
    """

    def __init__(self, form: ScalerForm):
        self.form = self.key = form
        self.label = f"scaler_{form.kind}_{form.operand}_{form.constant}{'_serial' * form.serial}"
        ports = {
            "operand": In(signed(form.operand)),
            "constant": In(unsigned(max(form.widths) if form.serial else form.constant)),
            "offset": In(signed(form.offset)),
            "o": Out(signed(form.result)),
        }
        super().__init__(ports | ({"first": In(1)} if form.serial else {}))

    def inside(self, platform):
        m = Module()
        self._result(m, self._twin(m))
        return m

    def cells(self) -> Module:
        m = Module()
        first = self._starts(m) if self.form.serial else None
        self._result(m, SCALING[self.form.kind].scaled(m, self._factors(), self.offset, first))
        return m

    def _twin(self, m: Module) -> list[Value]:
        """The registers of the blocks, and what is between them."""
        total, sums = delay(m, self.offset, 1, "offset"), []
        for n, (a, b) in enumerate(self._factors()):
            product = delay(m, delay(m, a, n + 1, f"a{n}") * delay(m, b, n + 1, f"b{n}"), 1, f"m{n}")
            held = Signal(signed(WIDTH), name=f"p{n}", reset_less=True)
            before = total >> DIGIT if n else total
            if self.form.serial:
                before = Mux(self._starts(m), total, held >> DIGIT)
            m.d.sync += held.eq(before + product)
            total = held
            sums.append(held)
        return sums

    def _factors(self) -> list[tuple[Value, Value]]:
        """Operands A and B of a block for each digit, or of the block that takes one digit after the other; signed."""
        digits = [self.constant]
        if len(self.form.widths) > 1 and not self.form.serial:
            digits = [self.constant[:DIGIT], self.constant[DIGIT:]]
        signed_ = [Cat(digit, 0).as_signed() for digit in digits]
        return [(digit, self.operand) if self.form.narrow else (self.operand, digit) for digit in signed_]

    def _starts(self, m: Module) -> Value:
        """Where a sum starts, when a block adds."""
        return delay(m, self.first, 2, "starts")

    def _result(self, m: Module, sums: list[Value]) -> None:
        """What leaves the last block, above the lowest digit of what left the one before, or itself a cycle ago."""
        value = sums[-1]
        if len(self.form.widths) > 1:
            low = sums[0][min(self.form.dropped, DIGIT) : DIGIT]
            value = Cat(delay(m, low, 1, "low"), value).as_signed()
            value = value[max(self.form.dropped - DIGIT, 0) :].as_signed()
        else:
            value = value[self.form.dropped :].as_signed()
        m.d.comb += self.o.eq(value)
