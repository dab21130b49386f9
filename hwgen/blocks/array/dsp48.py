"""Steps of cascades of AMD's DSP48E1 (7 series, UG479) and DSP48E2 (UltraScale and UltraScale+, UG579).

A position is a block: its A and B registers hold the operands, M the product, P the sum with what came from the block
before. A block passes its sum on a cycle after it took one; so the operands of the second position wait in a further
register, which the block has, and all operands of a step come at once. All registers start as 0 and are never reset.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal, Value, signed

_WIDTH = 48
#: Bits of the ports A and B.
_A, _B = 30, 18
#: What X, Y and Z of the adder are (OPMODE): the product, and what comes from the block before or from C.
_FROM_BEFORE, _FROM_C = 0b001_01_01, 0b011_01_01
#: The multiplier, an adder of 48 bits, and no pattern detector. What is constant has no register; registers that are
#: not used are enabled by nothing.
_SAME: Mapping[str, int | str] = {
    **dict.fromkeys(("ALUMODEREG", "CARRYINREG", "CARRYINSELREG", "INMODEREG", "OPMODEREG"), 0),
    **dict.fromkeys(("ADREG", "DREG", "MREG", "PREG"), 1),
    "A_INPUT": "DIRECT",
    "B_INPUT": "DIRECT",
    "USE_MULT": "MULTIPLY",
    "USE_SIMD": "ONE48",
    "USE_PATTERN_DETECT": "NO_PATDET",
}
#: Ports that are 0, and their bits: enables and resets, carries, cascades of operands, and what adds and multiplies as
#: they are.
_LOW = {
    **dict.fromkeys(("CEAD", "CEALUMODE", "CEC", "CECARRYIN", "CECTRL", "CED", "CEINMODE"), 1),
    **dict.fromkeys(("RSTA", "RSTALLCARRYIN", "RSTALUMODE", "RSTB", "RSTC", "RSTCTRL", "RSTD", "RSTINMODE"), 1),
    **dict.fromkeys(("RSTM", "RSTP", "CARRYIN", "CARRYCASCIN", "MULTSIGNIN"), 1),
    "ACIN": _A,
    "BCIN": _B,
    "ALUMODE": 4,
    "CARRYINSEL": 3,
    "INMODE": 5,
}


def twin(m: Module, x: list[Value], a: list[Value], i: Value) -> Value:
    """The registers of the blocks, and what is between them."""
    total = i
    for n, (activation, weight) in enumerate(zip(x, a, strict=True)):
        for depth in range(_waits(n, len(x))):
            activation = _register(m, activation, f"b{n}_{depth + 1}")
            weight = _register(m, weight, f"a{n}_{depth + 1}")
        product = _register(m, weight * _signed(activation), f"m{n}")
        total = _register(m, (total + product)[:_WIDTH].as_signed(), f"p{n}")
    return total


def _signed(value: Value) -> Value:
    """The same integer as the blocks take it."""
    return value if value.shape().signed else Cat(value, Const(0, 1)).as_signed()


def _waits(position: int, positions: int) -> int:
    """Registers for the operands of a position: a single one is as late as a second."""
    return 1 + position if positions == 2 else 2


def _register(m: Module, value: Value, name: str) -> Value:
    held = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += held.eq(value)
    return held


@dataclass(frozen=True)
class Block:
    """A kind of block: the primitive ``cell``, the widths of its ports D and OPMODE, and ``settings`` of its own."""

    cell: str
    d: int
    opmode: int
    settings: Mapping[str, str]

    def cascade(self, m: Module, x: list[Value], a: list[Value], i: Value, *, first: bool, last: bool) -> Value:
        """The sum that leaves a block for each position; from ``i`` to it, sums stay on the wires between blocks."""
        total = i
        for n, (activation, weight) in enumerate(zip(x, a, strict=True)):
            waits, starts, ends = _waits(n, len(x)), first and not n, last and n == len(x) - 1
            # To logic and to the next block leads the same register. Yosys wants the first to be named.
            p, to_next = (Signal(signed(_WIDTH), name=f"{name}_{n}") for name in ("p", "pcout"))
            m.submodules[f"block_{n}"] = Instance(
                self.cell,
                *[("p", name, value) for name, value in {**self.settings, **_parameters(waits, starts)}.items()],
                *[("i", name, value) for name, value in _ties(self.d, self.opmode, waits, starts).items()],
                ("i", "A", _wide(m, weight, _A, f"weight_{n}")),
                ("i", "B", _wide(m, activation, _B, f"activation_{n}")),
                ("i", "C", total if starts else Const(0, _WIDTH)),
                ("i", "PCIN", Const(0, _WIDTH) if starts else total),
                ("o", "P", p),
                *([] if ends else [("o", "PCOUT", to_next)]),
            )
            total = p if ends else to_next
        return total


DSP48E1 = Block("DSP48E1", 25, 7, {"USE_DPORT": "FALSE"})
DSP48E2 = Block("DSP48E2", 27, 9, {"AMULTSEL": "A", "BMULTSEL": "B", "PREADDINSEL": "A", "USE_WIDEXOR": "FALSE"})


def _wide(m: Module, value: Value, width: int, name: str) -> Value:
    wide = Signal(signed(width), name=name)
    m.d.comb += wide.eq(value)
    return wide


def _parameters(waits: int, starts: bool) -> dict[str, int | str]:
    """Registers of operands and of C as they are used; the others are the same in every block."""
    operands = dict.fromkeys(("AREG", "BREG", "ACASCREG", "BCASCREG"), waits)
    return {**_SAME, **operands, "CREG": 0 if starts else 1}


def _ties(d: int, opmode: int, waits: int, starts: bool) -> dict[str, Value]:
    """Ports that are constant, and the clock. Where one register of A and B is used, it is the second."""
    return {
        "CLK": ClockSignal(),
        **{name: Const(0, width) for name, width in {**_LOW, "D": d}.items()},
        **{name: Const(1, 1) for name in ("CEA2", "CEB2", "CEM", "CEP")},
        **{name: Const(waits == 2, 1) for name in ("CEA1", "CEB1")},
        "OPMODE": Const(_FROM_C if starts else _FROM_BEFORE, opmode),
    }
