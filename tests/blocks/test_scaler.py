"""Products by constants in DSP blocks: the formula, the cells, and requantisation on both sides of every threshold."""

import numpy as np
import pytest

from hwgen.blocks.array.dsp48 import DIGIT
from hwgen.blocks.requantize.requantizer import RequantizerPlan, constant_words, lane_form
from hwgen.blocks.requantize.requantizer_lane import RequantizerLane
from hwgen.blocks.requantize.scaler import Scaler, ScalerForm, blocks_to_scale
from hwgen.device.needs import Needs
from hwgen.device.synth import count, synthesise
from hwgen.device.targets import device
from hwgen.graph.exact.requantize import Problem, fit
from hwgen.graph.types import S8, IntType
from hwgen.hdl.rtlil import to_rtlil

from .single_blocks import simulated
from .test_dsp48 import OURS, prove

KINDS = ["dsp48e1", "dsp48e2"]
#: Bits of operand, constant and offset; whether digits come in turn; bits that are dropped.
FORMS = [
    (18, 23, 40), (25, 17, 41), (20, 27, 45), (18, 34, 46, False, 30), (18, 31, 46, True), (20, 34, 46, True, 10),
]  # fmt: skip


def extremes(bits, count, seed, signed=True):
    """Random integers, among which are the ends."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    values = np.random.default_rng(seed).integers(low, high, count, endpoint=True)
    values[::5], values[1::7] = low, high
    return values.tolist()


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_the_twin_does_what_the_formula_says(kind, form):
    form, beats = ScalerForm(kind, *form), 60
    assert form.fits
    scaler, spacing = Scaler(form), 1 + form.serial
    operands, offsets = extremes(form.operand, beats, 0), extremes(form.offset, beats, 1)
    constants = extremes(form.constant, beats, 2, signed=False)

    def drive(ctx, cycle):
        beat, digit = divmod(cycle, spacing)
        constant = constants[beat]
        if form.serial:
            constant = constant >> DIGIT if digit else constant & (1 << DIGIT) - 1
            ctx.set(scaler.first, not digit)
        ctx.set(scaler.operand, operands[beat])
        ctx.set(scaler.constant, constant)
        ctx.set(scaler.offset, offsets[max(cycle - 1, 0) // spacing])

    got = simulated(scaler, drive, beats * spacing, scaler.o)[form.latency :: spacing]
    exact = [a * b + c >> form.dropped for a, b, c in zip(operands, constants, offsets, strict=True)]
    assert got == exact[: len(got)]


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        pytest.param(kind, form, marks=[pytest.mark.slow] * (True in form or kind == "dsp48e1"))
        for kind in KINDS
        for form in FORMS
    ],
    ids=str,
)
def test_cells_and_twins_are_proved_equal(kind, form):
    prove(Scaler(ScalerForm(kind, *form)), OURS.name)


@pytest.mark.slow  # Yosys' synthesis
def test_it_takes_its_blocks_and_nothing_else():
    target = device("xczu3eg")
    text = to_rtlil(Scaler(ScalerForm("dsp48e2", 20, 27, 45, False, 30)), "top", cells=True)
    assert count(synthesise(text, "top", target), target) == Needs(dsps=2)


@pytest.mark.parametrize(
    ("kind", "widths", "blocks"),
    [
        ("dsp48e2", (18, 26, 40), 1), ("dsp48e2", (18, 27, 40), 2), ("dsp48e1", (18, 25, 40), 2),
        ("dsp48e2", (27, 17, 40), 1), ("dsp48e2", (28, 17, 40), None), ("dsp48e1", (26, 17, 40), None),
        ("dsp48e2", (19, 34, 40), 2), ("dsp48e2", (19, 35, 40), None), ("dsp48e2", (18, 43, 40), 2),
        ("dsp48e2", (18, 26, 47), 1), ("dsp48e2", (18, 26, 48), None), ("alu54b", (16, 16, 40), None),
    ],
)  # fmt: skip
def test_how_many_blocks_it_takes(kind, widths, blocks):
    assert blocks_to_scale(kind, *widths) == blocks


def requantizations():
    """Of outputs of 8 bits, a zero point among them: lines, ties, a narrow range, and sums that float32 rounds."""
    ends = np.array([1 - (1 << 16), -9000]), np.array([(1 << 16) - 1, 30000])
    scales = np.array([0.00123, 0.0091], np.float32)
    for name, scale, reach, bias in (
        ("line", scales, 1, None), ("ties", np.array([0.5, 0.0625], np.float32), 1, np.array([77, -300])),
        ("narrow", scales, 1, np.array([5, 5])), ("rounded", scales / 512, 512, None),
    ):  # fmt: skip
        clamp = (0, 6) if name == "narrow" else (S8.min, S8.max)
        yield name, fit(scale, 3, clamp, ends[0] * reach, ends[1] * reach, bias)


@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize(("name", "form"), [pytest.param(*each, id=each[0]) for each in requantizations()])
def test_results_are_exact_on_both_sides_of_every_threshold(name, form, serial):
    plan = RequantizerPlan.of(form, form.channels, 1, serial, blocks="dsp48e2")
    assert plan.by.blocks
    assert plan.by.rounded == (name == "rounded")
    near = np.concatenate([Problem.of(form).points(slice(None)), form.low[:, None], form.high[:, None]], axis=1)
    near = np.concatenate([near - 1, near], axis=1)
    raw = np.clip(near, form.low[:, None], form.high[:, None]) - form.layer_bias[:, None]
    beats = [(int(value), channel) for channel, values in enumerate(raw) for value in values]
    sums = IntType.holding(int(raw.min()), int(raw.max()))
    lane, words = RequantizerLane(lane_form(form, plan, sums, S8)), constant_words(form, 1)
    spacing, latency = plan.by.spacing, plan.by.latency + 1 + plan.by.rounding

    def drive(ctx, cycle):
        beat, digit = divmod(cycle, spacing)
        value, channel = beats[min(beat, len(beats) - 1)]
        ctx.set(lane.sum, value)
        ctx.set(lane.constants.as_value(), words[channel])
        ctx.set(lane.phase, digit)

    got = simulated(lane, drive, len(beats) * spacing + latency, lane.o)[latency::spacing]
    pairs = np.array([form.reference(np.array([[value] * form.channels]))[0, channel] for value, channel in beats])
    assert got[: len(pairs)] == pairs.tolist()
