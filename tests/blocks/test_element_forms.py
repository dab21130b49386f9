"""Element-wise functions in hardware give what float32 gives, and most of all where it rounds onto steps."""

import numpy as np
import pytest

from hwgen.blocks import Elementwise
from hwgen.blocks.operator import LaneFolding
from hwgen.blocks.pointwise.choice import Chooses
from hwgen.blocks.pointwise.element_forms import Computes, StraightLine, Tabulates
from hwgen.graph.types import S8, U8, IntType, Quantization
from hwgen.simulate.bench import from_beats, to_beats
from hwgen.testing import Simulated
from tests.blocks.unit_of import unit_of

from .element_cases import FORMS, element, form, function
from .stream_cases import SUM, U16, WIDE, joint

OPERATORS = {name: form(name) for name in FORMS} | {
    f"sum, {name}": joint(Elementwise, ((3, 4, 6),) * 2, kinds[:2], kinds[2], function=SUM)
    for name, kinds in WIDE.items()
}
COMPUTED = [name for name, op in OPERATORS.items() if isinstance(op.form, Computes)]


def operands(op, count, seed):
    """Random integers [count, H, W, C] for each stream."""
    generator = np.random.default_rng(seed)
    shape = (count, *op.output.shape)
    return [generator.integers(m.type.min, m.type.max, shape, endpoint=True) for m in op.inputs]


def number(op, integers):
    """The number in fixed point that they make."""
    return op.form.computation.apply(*integers, *(constant.values for constant in op.fixed))


def hardest(op, integers, count):
    """Of ``integers``, at each place those that are nearest to the middle between two results."""
    steps = number(op, integers) * 2.0**op.form.computation.result.exponent / op.target.scale
    middle = np.abs(steps - np.floor(steps) - 0.5) + (np.abs(steps) > 1 << op.target.type.width)
    nearest = np.argsort(middle, axis=0)[:count]
    return [np.take_along_axis(x, nearest, axis=0) for x in integers]


@pytest.mark.parametrize("name", COMPUTED)
def test_fixed_point_is_float32(name):
    op = OPERATORS[name]
    integers = operands(op, 6000, seed=1)
    np.testing.assert_array_equal(op.form.end.apply(number(op, integers)), op.definition(*integers))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if n % 6 else []) for n, name in enumerate(COMPUTED)]
)
def test_the_hardware_is_float32(name):
    op, folding = OPERATORS[name], LaneFolding(6)
    hard = [x.astype(m.type.dtype) for x, m in zip(hardest(op, operands(op, 3000, seed=2), 30), op.inputs, strict=True)]
    names = ["i"] if len(hard) == 1 else [f"i_{n}" for n in range(len(hard))]
    beats = {n: to_beats(x, m.type, 6) for n, x, m in zip(names, hard, op.inputs, strict=True)}
    _, given = Simulated(unit_of(op, folding).block())(beats, {"o": 30 * op.output.elements // 6})
    got = from_beats(given["o"].payloads, op.output.type, 6)
    np.testing.assert_array_equal(got, op.golden(*hard).ravel())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("difference", StraightLine),
        ("difference, Relu", StraightLine),
        ("difference, Sigmoid", Computes),
        ("greatest", Chooses),
        ("greatest of 16 bits", Computes),
        ("by a mask", Chooses),
        ("sums by a mask", Computes),
    ],
)
def test_each_function_has_its_form(name, kind):
    assert type(OPERATORS[name].form) is kind


def test_what_nothing_else_gives_is_a_table_of_all_pairs():
    op = element(
        function("Sigmoid a", "Mul t b"), (Quantization(U8, 0.1), Quantization(S8, 0.1)), Quantization(S8, 0.1)
    )
    assert type(op.form) is Tabulates
    assert op.certificate()["entries"] == 1 << 16


@pytest.mark.parametrize(
    ("expression", "kinds", "why"),
    [
        (function("Div a b"), (Quantization(U16, 0.1), Quantization(U8, 0.1)), "Div in front of it"),
        (function("Mul a b"), (Quantization(U16, 0.3), Quantization(U16, 0.7)), "bits in fixed point (limit 64 bits)"),
        (
            function("Add a b"),
            (Quantization(U16, 0.3), Quantization(U16, 1e-12)),
            "bits in fixed point (limit 64 bits)",
        ),
        (
            function("Add a b", "Sigmoid t"),
            (Quantization(U16, 0.31), Quantization(U16, 0.27)),
            "which may fall and rise",
        ),
        (function("Add a b"), (Quantization(U8, 1e-36), Quantization(U16, 1e-37)), "beyond the range of float32"),
    ],
)
def test_what_cannot_be_says_why(expression, kinds, why):
    assert why in element(expression, kinds, Quantization(IntType(8, True), 0.31)).gap


@pytest.mark.parametrize("name", ["sums and a stream", "sums of channels and a stream", "sums of powers of two"])
def test_every_threshold_of_sums_for_every_value_of_the_stream(name):
    """Found by bisection in the definition, which rises with the sums; the hardware's arithmetic has them, too."""
    op = OPERATORS[name]
    wide, narrow = (map_.type for map_ in op.inputs)
    levels = np.arange(op.target.type.min + 1, op.target.type.max + 1)[:, None, None, None]
    stream = np.arange(narrow.min, narrow.max + 1)[:, None, None]
    shape = np.broadcast_shapes(levels.shape, stream.shape, (op.output.channels,))
    below, above = np.full(shape, wide.min), np.full(shape, wide.max)
    while (above - below > 1).any():
        middle = (below + above) >> 1
        reached = op.definition(middle, stream) >= levels
        above, below = np.where(reached, middle, above), np.where(reached, below, middle)
    for sums in (below, above):
        np.testing.assert_array_equal(op.form.end.apply(number(op, [sums, stream])), op.definition(sums, stream))
