"""AMD's DSP48E1 (7 series, UG479) and DSP48E2 (UltraScale and UltraScale+, UG579): steps of cascades, and scaled sums.

A position of a step is a block: its A and B registers hold the operands, M the product, P the sum with what came from
the block before. A block passes its sum on a cycle after it took one; so the operands of the second position wait in a
further register, which the block has, and all operands of a step come at once. All registers start as 0 and are never
reset.

A product by a constant of more than a digit of 17 bits takes a block for each digit, the lowest first: the next takes
its sum a digit lower, where its own product belongs. Or one block does so with its own sum.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value, signed

WIDTH = 48
#: Bits of the ports A and B.
_A, _B = 30, 18
#: What X, Y and Z of the adder are (OPMODE): the product, and what comes from the block before or from C; or what comes
#: from the block before, or from the block itself, without its lowest :data:`DIGIT` bits.
_FROM_BEFORE, _FROM_C = 0b001_01_01, 0b011_01_01
_DIGIT_BEFORE, _DIGIT_OWN = 0b101_01_01, 0b110_01_01
DIGIT = 17
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
        total = _register(m, (total + product)[:WIDTH].as_signed(), f"p{n}")
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
            p, to_next = (Signal(signed(WIDTH), name=f"{name}_{n}") for name in ("p", "pcout"))
            m.submodules[f"block_{n}"] = Instance(
                self.cell,
                *self._settings(waits, starts),
                *self._ties(waits, Const(_FROM_C if starts else _FROM_BEFORE, self.opmode)),
                ("i", "A", _wide(m, weight, _A, f"weight_{n}")),
                ("i", "B", _wide(m, activation, _B, f"activation_{n}")),
                ("i", "C", total if starts else Const(0, WIDTH)),
                ("i", "PCIN", Const(0, WIDTH) if starts else total),
                ("o", "P", p),
                *([] if ends else [("o", "PCOUT", to_next)]),
            )
            total = p if ends else to_next
        return total

    def scaled(self, m: Module, digits: list[tuple[Value, Value]], offset: Value, first: Value | None) -> list[Value]:
        """What leaves a block for each of ``digits``, which are operands A and B: their product, and ``offset`` or the
        sum of the block before. With ``first``, a single block adds the offset where that says so, else its own sum."""
        sums: list[Value] = []
        before: Value = Const(0, WIDTH)
        for n, (a, b) in enumerate(digits):
            p, to_next = (Signal(signed(WIDTH), name=f"{name}_{n}") for name in ("p", "pcout"))
            operation = Const(_DIGIT_BEFORE if n else _FROM_C, self.opmode)
            if first is not None:
                operation = Mux(first, Const(_FROM_C, self.opmode), Const(_DIGIT_OWN, self.opmode))
            m.submodules[f"block_{n}"] = Instance(
                self.cell,
                *self._settings(n + 1, False),
                *self._ties(n + 1, operation, added=not n),
                ("i", "A", _wide(m, a, _A, f"a_{n}")),
                ("i", "B", _wide(m, b, _B, f"b_{n}")),
                ("i", "C", Const(0, WIDTH) if n else _wide(m, offset, WIDTH, "offset")),
                ("i", "PCIN", before),
                ("o", "P", p),
                *([] if n == len(digits) - 1 else [("o", "PCOUT", to_next)]),
            )
            sums.append(p)
            before = to_next
        return sums

    def _settings(self, waits: int, starts: bool) -> list[tuple[str, str, int | str]]:
        """Parameters: registers of operands and of C as they are used; the others are the same in every block."""
        operands = dict.fromkeys(("AREG", "BREG", "ACASCREG", "BCASCREG"), waits)
        given = {**self.settings, **_SAME, **operands, "CREG": 0 if starts else 1}
        return [("p", name, value) for name, value in given.items()]

    def _ties(self, waits: int, operation: Value, added: bool = False) -> list[tuple[str, str, Value]]:
        """Ports that are constant, the clock, and the ``operation``. Where one register of A and B is used, it is the
        second; that of C is where that is ``added``."""
        given = {
            "CLK": ClockSignal(),
            **{name: Const(0, width) for name, width in {**_LOW, "D": self.d}.items()},
            **{name: Const(1, 1) for name in ("CEA2", "CEB2", "CEM", "CEP")},
            **{name: Const(waits == 2, 1) for name in ("CEA1", "CEB1")},
            "CEC": Const(added, 1),
            "OPMODE": operation,
        }
        return [("i", name, value) for name, value in given.items()]


DSP48E1 = Block("DSP48E1", 25, 7, {"USE_DPORT": "FALSE"})
DSP48E2 = Block("DSP48E2", 27, 9, {"AMULTSEL": "A", "BMULTSEL": "B", "PREADDINSEL": "A", "USE_WIDEXOR": "FALSE"})


def _wide(m: Module, value: Value, width: int, name: str) -> Value:
    wide = Signal(signed(width), name=name)
    m.d.comb += wide.eq(value)
    return wide
