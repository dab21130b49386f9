"""Counting logic: how many adder, multiplexer and register bits a structure has, before any technology."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Logic:
    """Bits of adders (with comparators), of other logic (about one LUT each), and of registers."""

    adder: int = 0
    logic: int = 0
    register: int = 0

    def __add__(self, other: "Logic") -> "Logic":
        return Logic(self.adder + other.adder, self.logic + other.logic, self.register + other.register)

    def __mul__(self, count: int) -> "Logic":
        return Logic(self.adder * count, self.logic * count, self.register * count)

    __rmul__ = __mul__


def counter(modulus: int) -> Logic:
    """A counter that wraps at ``modulus``."""
    bits = max(modulus - 1, 1).bit_length()
    return Logic(adder=bits, logic=bits + 2, register=bits) if modulus > 1 else Logic()


def adder_tree(width: int, count: int) -> Logic:
    """``count`` products of ``width`` bits, a register after each product and each sum."""
    total = Logic()
    while count > 1:
        width, pairs = width + 1, count // 2
        total += Logic(adder=pairs * width, register=(count - pairs) * width)
        count -= pairs
    return total
