"""Cases of element-wise functions in every form that hardware has for them."""

import numpy as np

from hwgen.blocks import Elementwise
from hwgen.blocks.operator import LaneFolding
from hwgen.graph.expression import Expression
from hwgen.graph.ir import Node
from hwgen.graph.types import S8, U8, IntType, Quantization

from .stream_cases import PAIRS, WIDE, joint

S13, S17, S18, S30 = (IntType(bits, True) for bits in (13, 17, 18, 30))
U4, U2, S16 = IntType(4, False), IntType(2, False), IntType(16, True)
WHOLE, GATE = (3, 4, 6), (1, 1, 6)


def function(*steps, **constants) -> Expression:
    """Of steps like ``"Add a b"`` or ``("LeakyRelu t", {"alpha": 0.1})``, of which each makes the next ``t``.

    Operands are those of ``a``, ``b`` and ``c`` that occur.
    """
    nodes = []
    for n, step in enumerate(steps):
        text, attributes = step if isinstance(step, tuple) else (step, {})
        op, *names = text.split()
        names = tuple(f"t{n - 1}" if name == "t" else name for name in names)
        nodes.append(Node(f"n{n}", op, names, (f"t{n}",), attributes))
    read = {name for node in nodes for name in node.inputs}
    values = {name: np.asarray(value, np.float32) for name, value in constants.items()}
    return Expression(tuple(nodes), values, tuple(name for name in "abc" if name in read), nodes[-1].outputs[0])


def element(expression, kinds, target, maps=None, clamp=None) -> Elementwise:
    maps = maps or (WHOLE,) * len(kinds)
    return joint(Elementwise, maps, kinds, target, clamp, expression)


def by_channel(seed, low=0.2, high=1.0):
    """A scale for each of six channels."""
    return tuple(np.random.default_rng(seed).uniform(low, high, 6).astype(np.float32).tolist())


def raw(type_, scale, target_range=4.0) -> Quantization:
    """Sums of ``type_`` of which the greatest are about ``target_range`` times ``scale``."""
    factor = target_range / type_.max
    return Quantization(type_, tuple(s * factor for s in scale) if isinstance(scale, tuple) else scale * factor)


#: Functions with quantisations of their operands and of the result.
FORMS = {
    "difference": (function("Sub a b"), *PAIRS["line"]),
    "difference, Relu": (function("Sub a b", "Relu t"), *PAIRS["few"]),
    "difference, ties": (function("Sub b a"), *PAIRS["line with ties"]),
    "difference, Sigmoid": (function("Sub a b", "Sigmoid t"), *PAIRS["line"][:2], Quantization(U8, 1 / 255)),
    "sums and a stream": (
        function("Add a b", "Relu t"),
        raw(S17, 1.0),
        Quantization(U8, 0.0131, 7),
        Quantization(U4, 0.31),
    ),
    "sums of channels and a stream": (
        function("Add a b", "Relu t"),
        raw(S18, by_channel(1)),
        Quantization(S8, 0.0131, -9),
        Quantization(U8, 0.0171),
    ),
    "sums of powers of two": (
        function("Add a b", "Relu t"),
        Quantization(S13, 2**-9),
        Quantization(U4, 2**-2),
        Quantization(U4, 2**-1),
    ),
    "two sums": (function("Add a b"), raw(S17, by_channel(1)), raw(S18, by_channel(2)), Quantization(S8, 0.031, 5)),
    "sums beyond float32": (function("Sub a b"), raw(S30, by_channel(3)), raw(S17, 1.0), Quantization(S8, 0.031, 5)),
    "sums with a bias": (
        function("Add a c0", "Add t b", "Clip t c1 c2"),
        raw(S17, by_channel(4)),
        Quantization(U8, 0.0131, 7),
        Quantization(U4, 0.31),
    ),
    "sums, leaky": (
        function("Add a b", ("LeakyRelu t", {"alpha": 0.1})),
        raw(S17, 1.0),
        Quantization(U8, 0.0131, 7),
        Quantization(S8, 0.031, 5),
    ),
    "sums, sloped": (function("Add a b", "PRelu t c0"), *PAIRS["few"]),
    "sums to 16 bits": (function("Add a b"), raw(S17, by_channel(1)), WIDE["u16"][1], Quantization(S16, 0.00041, 77)),
    "greatest": (function("Max a b"), *PAIRS["line"]),
    "greatest of four, one a number": (
        function("Max a b", "Max c0 t c"),
        *PAIRS["few"][:2],
        PAIRS["line"][0],
        Quantization(U8, 0.03, 7),
    ),
    "least, as they are": (function("Min a b"), *(Quantization(S8, 0.03, 3),) * 3),
    "greatest, falling": (function("Max a b", "Neg t", "Clip t c0 c1"), *PAIRS["few"]),
    "greatest, SiLU": (function("Max a b", "Sigmoid t", "Mul t0 t"), *PAIRS["few"]),
    "greatest of 16 bits": (function("Max a b"), WIDE["u16"][0], WIDE["mixed"][1], Quantization(S16, 0.00041, 77)),
    "greatest of sums and a stream": (
        function("Max a b"),
        raw(S18, by_channel(1)),
        Quantization(S8, 0.0131, -9),
        Quantization(U8, 0.0171),
    ),
    "by a mask": (function("Where c0 a b"), *PAIRS["few"]),
    "by a mask of channels, a number": (function("Where c0 a c1"), PAIRS["few"][0], Quantization(S8, 0.02, 1)),
    "sums by a mask": (function("Where c0 a b", "Relu t"), raw(S17, 1.0), WIDE["u16"][0], Quantization(U8, 0.031, 5)),
    "a map taken off": (function("Sub a c0"), PAIRS["few"][0], Quantization(S8, 0.02, 1)),
    "16 bits by channels": (function("Mul a c0", "Relu t"), WIDE["u16"][0], Quantization(U8, 0.031, 5)),
    "SiLU of 16 bits": (function("Sigmoid a", "Mul a t"), Quantization(S16, 0.0003), Quantization(S8, 0.03, -100)),
    "16 bits to 16": (function("Clip a c0"), WIDE["u16"][0], WIDE["u16"][1]),
    "three": (function("Add a b", "Sub t c"), *PAIRS["few"][:2], PAIRS["line"][0], Quantization(S8, 0.05, 5)),
}
CONSTANTS = {
    "sums with a bias": {"c0": np.linspace(-1, 0.7, 6).reshape(1, 1, 6), "c1": 0, "c2": 3.2},
    "sums, sloped": {"c0": np.linspace(-0.5, 0.9, 6).reshape(1, 1, 6)},
    "greatest of four, one a number": {"c0": 0.3},
    "greatest, falling": {"c0": -1, "c1": 0.7},
    "a map taken off": {"c0": np.random.default_rng(1).normal(0, 2, (3, 4, 6))},
    "16 bits by channels": {"c0": np.linspace(-1, 2, 6).reshape(1, 1, 6)},
    "16 bits to 16": {"c0": -3.0},
    "by a mask": {"c0": np.arange(12).reshape(3, 4, 1) % 5 > 1},
    "by a mask of channels, a number": {"c0": np.arange(6).reshape(1, 1, 6) % 3 > 0, "c1": 0.4},
    "sums by a mask": {"c0": np.arange(4).reshape(1, 4, 1) % 2},
}


def form(name, maps=None) -> Elementwise:
    """The operator of :data:`FORMS` so called."""
    expression, *kinds, target = FORMS[name]
    values = {key: np.asarray(value, np.float32) for key, value in CONSTANTS.get(name, {}).items()}
    expression = Expression(expression.nodes, values, expression.inputs, expression.output)
    return element(expression, kinds, target, maps)


def elements():
    """Operators with foldings."""
    for n, name in enumerate(FORMS):
        count = len(FORMS[name]) - 2
        maps = (GATE, WHOLE, WHOLE)[:count] if n % 3 == 1 else (WHOLE, GATE, WHOLE)[:count] if n % 3 == 2 else None
        yield form(name, maps), LaneFolding((1, 2, 3, 6)[n % 4])
