"""Steps of cascades of an ECP5: two MULT18X18D and the ALU54B beside them (Lattice FPGA-TN-02205, sysDSP).

The A and B registers of a multiplier hold the operands, its pipeline register the product, and the output register of
the ALU the sum of both products and what comes from the step before. That comes either by general routing to port C
(:data:`ROUTED`: a step stands anywhere), or by the wires from R to CIN of the ALU to the east (:data:`WIRED`), which
only reach it if the cells are put into places along a row.

Operands are at the top of the multipliers' ports, zeros below: a sign would go to many inputs else, each with a net
of its own. So sums are above zeros too. Inputs of operands and of C that are
constant are set by the bitstream, all others are routed; those that have no route (SRIA, SRIB, CFB, SIGNEDCIN, SOURCEA,
C of multipliers) stay open. All registers start as 0 and are never reset.
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal, Value, signed

#: Bits of operands, products, and the ALU.
_OPERAND, _PRODUCT, _ALU = 18, 36, 54
#: Bits of a sum.
WIDTH = 34
#: What the ALU adds up (OP10 to OP0): A + B + C, where A and B are products and C is port C or CIN.
_FROM_C, _FROM_CIN = 0b0100_011_01_01, 0b0100_010_01_01
#: Registers that are used, and nothing that resets.
_MULTIPLIER = {
    **{f"REG_{name}_CLK": "CLK0" for name in ("INPUTA", "INPUTB", "PIPELINE")},
    **{f"REG_{name}_CLK": "NONE" for name in ("INPUTC", "OUTPUT")},
    "SOURCEB_MODE": "B_SHIFT",
    "MULT_BYPASS": "DISABLED",
    "RESETMODE": "SYNC",
    "GSR": "DISABLED",
}
_ADDER = {
    **{f"REG_{name}_CLK": "CLK0" for name in ("OUTPUT0", "OUTPUT1", "FLAG")},
    **{f"REG_{name}_CLK": "NONE" for name in ("INPUTC0", "INPUTC1", "INPUTCFB", "OPCODEIN_0", "OPCODEIN_1")},
    **{f"REG_OPCODEOP{n}_{stage}_CLK": "NONE" for n in (0, 1) for stage in (0, 1)},
    "MULT9_MODE": "DISABLED",
    "LEGACY": "DISABLED",
    "RESETMODE": "SYNC",
    "GSR": "DISABLED",
}


def twin(m: Module, x: list[Value], a: list[Value], i: Value) -> Value:
    """The registers of the blocks, and what is between them."""
    total = i
    for n, (activation, weight) in enumerate(zip(x, a, strict=True)):
        held = _register(m, activation, f"a{n}"), _register(m, weight, f"b{n}")
        total = total + _register(m, held[0] * held[1], f"m{n}")
    return _register(m, total[:WIDTH].as_signed(), "r")


def _register(m: Module, value: Value, name: str) -> Value:
    held = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += held.eq(value)
    return held


@dataclass(frozen=True)
class Join:
    """How a step reaches the next one: the ``port`` that it comes in by, and the ``operation`` that adds that up."""

    port: str
    operation: int

    def cells(self, m: Module, x: list[Value], a: list[Value], i: Value, *, first: bool, last: bool) -> Value:
        """The sum that leaves the ALU. One always has two multipliers: where there is one position, the other has
        zeros. What the first step starts from is a constant, which only port C takes."""
        join = ROUTED if first else self
        shifts = _shifts(max(map(_signed_bits, x)), max(map(_signed_bits, a)))
        sums = slice(sum(shifts), sum(shifts) + WIDTH)
        r = Signal(_ALU)
        pins: list[tuple[str, str, Value]] = []
        for n, side in enumerate("AB"):
            operands = (x[n], a[n]) if n < len(x) else (Const(0), Const(0))
            placed = [_placed(m, value, shift) for value, shift in zip(operands, shifts, strict=True)]
            pins += _multiplier(m, side, placed)
        m.submodules.adder = Instance(
            "ALU54B",
            *[("p", name, value) for name, value in _ADDER.items()],
            *pins,
            *_pins("i", join.port, i, sums.start),
            *_pins("i", "OP", Const(join.operation, 11)),
            *_pins("o", "R", r),
            *_always(),
        )
        return r[sums].as_signed()


ROUTED, WIRED = Join("C", _FROM_C), Join("CIN", _FROM_CIN)


def _signed_bits(value: Value) -> int:
    return len(value) + (not value.shape().signed)


def _shifts(x: int, a: int) -> tuple[int, int]:
    """Zeros below activations of ``x`` bits and weights of ``a`` bits: they are at the top of their operands as far as
    a sum keeps :data:`WIDTH` bits."""
    return _OPERAND - x, min(_OPERAND - a, _ALU - WIDTH - _OPERAND + x)


def _placed(m: Module, value: Value, shift: int) -> Value:
    """``value`` as an operand, above ``shift`` zeros."""
    wide = Signal(signed(_OPERAND), name="operand")
    m.d.comb += wide.eq(value.shift_left(shift))
    return wide


def _multiplier(m: Module, side: str, operands: list[Value]) -> list[tuple[str, str, Value]]:
    """Make the multiplier of one ``side`` of the ALU; gives the pins of the ALU that it drives, which have wires of
    their own: the product, whether it is signed, and the operands, without which the tools know no such pair."""
    product, sign = Signal(_PRODUCT, name=f"product_{side}"), Signal(name=f"sign_{side}")
    held = [Signal(_OPERAND, name=f"held_{side}_{n}") for n in range(2)]
    m.submodules[f"multiplier_{side}"] = Instance(
        "MULT18X18D",
        *[("p", name, value) for name, value in _MULTIPLIER.items()],
        *[pin for name, value in zip("AB", operands, strict=True) for pin in _pins("i", name, value)],
        *[pin for name, value in zip(("ROA", "ROB"), held, strict=True) for pin in _pins("o", name, value)],
        *_pins("o", "P", product),
        ("o", "SIGNEDP", sign),
        ("i", "SIGNEDA", Const(1)),
        ("i", "SIGNEDB", Const(1)),
        *_always(),
    )
    return [*_pins("i", side, Cat(held)), *_pins("i", f"M{side}", product), ("i", f"SIGNEDI{side}", sign)]


def _pins(direction: str, port: str, value: Value, start: int = 0) -> list[tuple[str, str, Value]]:
    """The bits of a port from ``start``, which are ports of their own. Open ones of C are 0, those of CIN whatever the
    ALU before has there: wires that are always joined."""
    return [(direction, f"{port}{start + n}", value[n]) for n in range(len(value))]


def _always() -> list[tuple[str, str, Value]]:
    """The clock of all registers, always enabled and never reset. Open enables are 1, but open resets too."""
    return [("i", "CLK0", ClockSignal()), ("i", "CE0", Const(1)), ("i", "RST0", Const(0))]
