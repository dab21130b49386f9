"""Steps of cascades of an ECP5: two MULT18X18D and the ALU54B beside them.

What the cells do is told after the simulation model that Lattice ships for ALU54A of its ECP3; how they are joined, and
which of their inputs have routes at all, after nextpnr (``ecp5/pack.cc``) and the database of Project Trellis.

The A and B registers of a multiplier hold the operands, its pipeline register the product, and the output register of
the ALU the sum of both products and what comes from the step before. That comes to port C, from anywhere. What
:mod:`hwgen.device.families.ecp5_netlist.cascades` puts side by side is joined by wires from R to CIN instead. A step of
one position, which starts a cascade, is a multiplier alone with its output register.

Operands are at the top of the multipliers' ports, zeros below: a sign would go to many inputs else, each with a net
of its own. So sums are above zeros too. Inputs of operands and of C that are constant are set by the bitstream, all
others are routed; those that have no route (SRIA, SRIB, CFB, SIGNEDCIN, SOURCEA, C of multipliers) stay open. All
registers start as 0 and are never reset.
"""

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal, Value, signed

#: Bits of operands, products, and the ALU.
_OPERAND, _PRODUCT, _ALU = 18, 36, 54
#: Bits of a sum.
WIDTH = 34
#: What the ALU adds up (OP10 to OP0): both products and port C.
_OPERATION = 0b0100_011_01_01
#: Registers that are used, and nothing that resets.
_MULTIPLIER = {
    **{f"REG_{name}_CLK": "CLK0" for name in ("INPUTA", "INPUTB", "PIPELINE")},
    "REG_INPUTC_CLK": "NONE",
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


def cells(m: Module, x: list[Value], a: list[Value], i: Value, *, first: bool, last: bool) -> Value:
    """What leaves the cells: the sum."""
    shifts = _shifts(max(map(_signed_bits, x)), max(map(_signed_bits, a)))
    sums = slice(sum(shifts), sum(shifts) + WIDTH)
    placed = [
        [_placed(m, value, shift) for value, shift in zip(operands, shifts, strict=True)]
        for operands in zip(x, a, strict=True)
    ]
    if len(x) == 1:
        product = Signal(signed(_PRODUCT))
        _multiplier(m, "alone", placed[0], "CLK0", _pins("o", "P", product))
        return (product[sums.start :].as_signed() + i)[:WIDTH].as_signed()
    r = Signal(_ALU)
    m.submodules.adder = Instance(
        "ALU54B",
        *[("p", name, value) for name, value in _ADDER.items()],
        *[pin for side, operands in zip("AB", placed, strict=True) for pin in _side(m, side, operands)],
        *_pins("i", "C", i, sums.start),
        *_pins("i", "OP", Const(_OPERATION, 11)),
        *_pins("o", "R", r),
        *_always(),
    )
    return r[sums].as_signed()


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


def _side(m: Module, side: str, operands: list[Value]) -> list[tuple[str, str, Value]]:
    """Make the multiplier of one ``side`` of the ALU; gives the pins of the ALU that it drives, which have wires of
    their own: the product, whether it is signed, and the operands, without which the tools know no such pair."""
    product, sign = Signal(_PRODUCT, name=f"product_{side}"), Signal(name=f"sign_{side}")
    held = [Signal(_OPERAND, name=f"held_{side}_{n}") for n in range(2)]
    passed = [pin for name, value in zip(("ROA", "ROB"), held, strict=True) for pin in _pins("o", name, value)]
    _multiplier(m, side, operands, "NONE", [*passed, *_pins("o", "P", product), ("o", "SIGNEDP", sign)])
    return [*_pins("i", side, Cat(held)), *_pins("i", f"M{side}", product), ("i", f"SIGNEDI{side}", sign)]


def _multiplier(m: Module, name: str, operands: list[Value], output: str, pins: list[tuple[str, str, Value]]) -> None:
    """Make a multiplier of ``operands`` whose output register has the clock ``output``."""
    m.submodules[f"multiplier_{name}"] = Instance(
        "MULT18X18D",
        *[("p", name, value) for name, value in _MULTIPLIER.items()],
        ("p", "REG_OUTPUT_CLK", output),
        *[pin for port, value in zip("AB", operands, strict=True) for pin in _pins("i", port, value)],
        ("i", "SIGNEDA", Const(1)),
        ("i", "SIGNEDB", Const(1)),
        *pins,
        *_always(),
    )


def _pins(direction: str, port: str, value: Value, start: int = 0) -> list[tuple[str, str, Value]]:
    """The bits of a port from ``start``, which are ports of their own. Open ones of C are 0."""
    return [(direction, f"{port}{start + n}", value[n]) for n in range(len(value))]


def _always() -> list[tuple[str, str, Value]]:
    """The clock of all registers, always enabled and never reset. Open enables are 1, but open resets too."""
    return [("i", "CLK0", ClockSignal()), ("i", "CE0", Const(1)), ("i", "RST0", Const(0))]
