"""Counting logic: what a structure takes of adders, comparisons, multiplexers and registers, before any technology.

Counts are of bits. What a family of devices makes of each kind is in :class:`hwgen.device.targets.PerBit`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from operator import add, attrgetter

#: Bits up to which an adder is no carry chain.
SHORTEST_CHAIN = 4
#: Cycles from which on a delay may be a shift register in LUTs, and the most that one LUT holds.
SHORTEST_LINE, LONGEST_LINE = 3, 32


@dataclass(frozen=True)
class Logic:
    """Counts of bits, but for ``odd`` and ``lines``.

    ``adder``: of carry chains that add two numbers; ``joining``: of those in front of a multiplier, which may have them
    inside; ``carry``: of those that add a single bit; ``step``: of those that count; ``odd``: how many chains of both
    kinds have an odd number of bits. ``gated``: switched off in front of an adder. ``constant``: compared with a
    constant by less-than. ``mux``: chosen from two; ``quad``: from up to four; ``fixed``: from one and a constant in
    front of a register. ``logic``: other functions of about four inputs. ``register``: flip-flops. ``inside``: those
    next to a multiplier, which may have them inside. ``delay``: flip-flops of delays that may be shift registers
    instead, of ``lines`` LUTs in all. ``apart_adder``, ``apart_register`` and ``apart_inside``: those more where tools
    do not look across modules.
    """

    adder: int = 0
    joining: int = 0
    carry: int = 0
    step: int = 0
    odd: int = 0
    gated: int = 0
    constant: int = 0
    mux: int = 0
    quad: int = 0
    fixed: int = 0
    logic: int = 0
    register: int = 0
    inside: int = 0
    delay: int = 0
    lines: int = 0
    apart_adder: int = 0
    apart_register: int = 0
    apart_inside: int = 0

    def __add__(self, other: "Logic") -> "Logic":
        return Logic(*map(add, _counts(self), _counts(other)))

    def __mul__(self, count: int) -> "Logic":
        return Logic(*(a * count for a in _counts(self)))

    __rmul__ = __mul__

    @property
    def next_to_multiplier(self) -> "Logic":
        """The same with its flip-flops in front of a multiplier, or behind it."""
        inside, apart = self.inside + self.register, self.apart_inside + self.apart_register
        return replace(self, register=0, inside=inside, apart_register=0, apart_inside=apart)

    @property
    def bits(self) -> int:
        """One figure for all, to compare foldings by."""
        adders = self.adder + self.joining + self.carry + self.step
        luts = adders + self.gated + self.constant + self.mux + self.quad + self.fixed + self.logic
        return luts + self.register + self.inside + self.delay


_counts = attrgetter(*(field.name for field in fields(Logic)))


def adder(width: int) -> Logic:
    """An adder or subtractor with a result of ``width`` bits, or a comparison of two such numbers."""
    if width <= SHORTEST_CHAIN:
        return Logic(logic=max(width, 0))
    return Logic(adder=width, odd=width % 2)


def stepper(width: int) -> Logic:
    """A register of ``width`` bits that counts up or down."""
    if width <= SHORTEST_CHAIN:
        return Logic(logic=max(width, 0), register=max(width, 0))
    return Logic(step=width, odd=width % 2, register=width)


def below(width: int, limit: int) -> Logic:
    """Whether a number of ``width`` bits is less than ``limit``; bits under the lowest 1 of ``limit`` do not matter."""
    lowest = (limit & -limit).bit_length() - 1 if limit else width - 1
    bits = max(width - lowest, 1)
    return Logic(constant=bits) if bits > SHORTEST_CHAIN else Logic(logic=bits > 1)


def clipped(width: int, low: int, high: int, out: int) -> Logic:
    """A number of ``width`` bits limited to ``low`` and ``high``, which ``out`` bits hold."""
    return below(width, low) + below(width, high + 1) + Logic(mux=out)


def chosen(count: int, width: int) -> Logic:
    """``width`` bits chosen from ``count`` numbers of as many."""
    quads, rest = divmod(max(count - 1, 0), 3)
    return Logic(quad=(quads + (rest == 2)) * width, mux=(rest == 1) * width)


@lru_cache(1024)
def adder_register(width: int) -> Logic:
    """:func:`adder` and the register behind it."""
    return adder(width) + Logic(register=max(width, 0))


def delayed(width: int, cycles: int, apart: int | None = None) -> Logic:
    """A delay of ``width`` bits that is never reset, of ``apart`` bits where tools do not look across modules.

    Tools that use shift registers are such ones.
    """
    apart = width if apart is None else apart
    if cycles < SHORTEST_LINE:
        return Logic(register=width * cycles, apart_register=(apart - width) * cycles)
    return Logic(delay=width * cycles, lines=apart * -(-cycles // LONGEST_LINE))


def total(parts: Iterable[Logic]) -> Logic:
    """The sum of ``parts``."""
    counts = [_counts(part) for part in parts]
    return Logic(*map(sum, zip(*counts, strict=True)))


def counter(modulus: int) -> Logic:
    """A counter that wraps at ``modulus``."""
    bits = index_bits(modulus)
    return stepper(bits) + Logic(logic=bits if bits <= SHORTEST_CHAIN else 2 * bits)


def loop(count: int) -> Logic:
    """A loop of a :class:`hwgen.memory.loops.LoopNest`: a counter and the register that says where it ends."""
    bits = index_bits(count)
    return stepper(bits) + Logic(logic=3 + bits // 4, register=1) if count > 1 else Logic()


def running(width: int, loops: int, modulus: bool = False) -> Logic:
    """A quantity that a nest of ``loops`` keeps up with an adder, and with another one to wrap it at a modulus."""
    if width <= 0:
        return Logic()
    step = Logic(logic=width * max(loops - 1, 0) // 3)
    return adder_register(width) + step + (adder(width) + Logic(mux=width) if modulus else Logic())


def wrapped(width: int) -> Logic:
    """A sum of ``width`` bits brought back below a modulus."""
    return Logic(constant=width + 1, mux=width) + adder(width)


def index_bits(count: int) -> int:
    """Bits of a number below ``count``."""
    return max(count - 1, 0).bit_length()


@lru_cache(1024)
def adder_tree(width: int, count: int) -> Logic:
    """The sum of ``count`` numbers of ``width`` bits: an adder and a register for each pair at each level. A number
    left over waits for the level at which there is another."""
    widths, logic, waited = [width] * count, Logic(), 0
    while len(widths) > 1:
        pairs = [widths[at : at + 2] for at in range(0, len(widths), 2)]
        logic += total(adder_register(max(pair) + 1) for pair in pairs if len(pair) == 2)
        if len(pairs[-1]) == 1:
            waited += 1
        else:
            logic, waited = logic + delayed(pairs[-1][-1], waited), 0
        widths = [max(pair) + len(pair) - 1 for pair in pairs]
    return logic
