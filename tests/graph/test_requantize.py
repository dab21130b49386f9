"""Requantisation: thresholds against a search, forms against the definition, every form reached."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen.graph.errors import ModelError
from hwgen.graph.exact.requantize import fit, output_scale, requantize_reference, thresholds


def accumulators(form, generator, count=4000):
    """Reachable raw accumulators, most of them where the output is not saturated."""
    low, high = form.low.min(), form.high.max()
    reach = 2 * form.operand_type.max + 1
    spread = np.concatenate([generator.integers(low, high + 1, count), generator.integers(-reach, reach, count)])
    return np.clip(spread[:, None], form.low, form.high) - form.layer_bias


def test_thresholds_are_the_first_accumulators_of_each_output():
    scale = np.array([0.013, 0.25, 3.7], np.float32)
    low, high = np.full(3, -3000), np.full(3, 3000)
    points = thresholds(scale, 2, (-20, 20), low, high)
    every = np.arange(-3000, 3001)
    for channel in range(3):
        got = requantize_reference(every, scale[channel], 2, (-20, 20))
        for k, point in zip(range(-19, 21), points[channel], strict=True):
            reached = every[got >= k]
            assert point == (reached[0] if len(reached) else 3001)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data())
def test_every_form_equals_the_definition(data):
    bits = data.draw(st.sampled_from([1, 2, 4, 8, 8, 8]))
    signed = data.draw(st.booleans())
    low_out = -(1 << bits - 1) if signed else 0
    clamp = (low_out, low_out + (1 << bits) - 1)
    zero = data.draw(st.integers(*clamp))
    channels = data.draw(st.integers(1, 5))
    power = data.draw(st.booleans())
    exponents = st.floats(-14, 1) if not power else st.integers(-14, 1)
    scale = np.array([2.0 ** data.draw(exponents) for _ in range(channels)], np.float32)
    high = np.array([data.draw(st.integers(1, 1 << 22)) for _ in range(channels)])
    low = -np.array([data.draw(st.integers(0, 1 << 22)) for _ in range(channels)])
    bias = np.array([data.draw(st.integers(-5000, 5000)) for _ in range(channels)])
    form = fit(scale, zero, clamp, low, high, bias)
    acc = accumulators(form, np.random.default_rng(data.draw(st.integers(0, 99))))
    np.testing.assert_array_equal(form.apply(acc), form.reference(acc))


@pytest.mark.parametrize("exponent", [-10, -3, 0])
def test_a_power_of_two_needs_no_multiplier(exponent):
    """Ties occur at every odd multiple of half a step; half to even is kept at all of them."""
    form = fit(np.float32([2.0**exponent] * 2), 5, (-128, 127), np.full(2, -(10**6)), np.full(2, 10**6))
    assert form.multiplier.max() == 1
    every = np.arange(-300_000, 300_000)[:, None]
    np.testing.assert_array_equal(form.apply(every), form.reference(every))


def test_a_narrow_output_takes_a_small_line():
    form = fit(np.float32([0.0131]), 0, (0, 15), np.array([-2000]), np.array([3000]))
    assert form.form == "line"
    assert form.multiplier_bits <= 12


def test_a_bent_staircase_falls_back_to_float():
    """At these scales float32 rounding moves thresholds, so that no straight line fits all of them."""
    scale = output_scale(0.02, np.random.default_rng(0).uniform(0.001, 0.004, 64).astype(np.float32), 0.03)
    reach = np.full(64, 150 * 60 * 255)
    form = fit(scale, 0, (0, 255), -reach, reach)
    assert form.form == "float"
    acc = accumulators(form, np.random.default_rng(1), 20_000)
    np.testing.assert_array_equal(form.apply(acc), form.reference(acc))


def test_the_proof_looks_at_both_sides_of_every_threshold():
    """A form with one constant off by one is not equal, so the check can fail."""
    form = fit(np.float32([0.01]), 0, (0, 255), np.array([0]), np.array([30_000]))
    form.offset[0] += 1 << form.shift - 3
    every = np.arange(30_001)[:, None]
    assert (form.apply(every) != form.reference(every)).any()


def test_outputs_of_16_bits_take_the_float_form():
    generator = np.random.default_rng(0)
    scale = generator.uniform(0.001, 0.02, 8).astype(np.float32)
    form = fit(scale, -3596, (-32768, 32767), np.full(8, -(10**7)), np.full(8, 10**7))
    assert (form.form, form.rounds) == ("float", False)
    acc = accumulators(form, generator, 50_000)
    np.testing.assert_array_equal(form.apply(acc), form.reference(acc))


@pytest.mark.slow
@pytest.mark.parametrize("clamp", [(-128, 127), (-32768, 32767)])
def test_sums_beyond_24_bits_are_rounded_as_float32_does(clamp):
    scale = clamp[1] / np.float32([3e7, 1e8, 5e8])
    form = fit(scale, 3, clamp, np.full(3, -(10**9)), np.full(3, 10**9))
    assert form.rounds
    points = thresholds(scale, 3, clamp, form.low, form.high)
    near = np.concatenate([points + step for step in range(-40, 41)], axis=1).T
    np.testing.assert_array_equal(form.apply(near), form.reference(near))
    assert (replace(form, rounds=False).apply(near) != form.reference(near)).any()


def test_a_channel_that_never_changes_needs_no_scale():
    """Quantisers give channels whose weights are next to nothing scales next to nothing."""
    scale = np.float32([1e-11, 0.01, 1e-30, 2.0**-9])
    low, high = np.full(4, -(10**6)), np.full(4, 10**6)
    form = fit(scale, 7, (-128, 127), low, high, np.int64([5, -900, 10**6, 3]))
    assert form.multiplier[[0, 2]].tolist() == [0, 0]
    acc = accumulators(form, np.random.default_rng(0))
    np.testing.assert_array_equal(form.apply(acc), form.reference(acc))
    assert (form.reference(acc)[:, [0, 2]] == 7).all()


@pytest.mark.parametrize("clamp", [(0, 255), (-32768, 32767)])
def test_no_channel_needs_to_change(clamp):
    form = fit(np.float32([1e-11]), 7, clamp, np.array([-5000]), np.array([5000]))
    assert (form.apply(np.arange(-5000, 5001)[:, None]) == 7).all()


def test_scales_too_far_apart_are_refused():
    scale, reach = np.float32([0.013, 1e-12]), np.int64([10**6, 10**16])
    with pytest.raises(ModelError, match=r"scales from 1e-12 to 0.013 .* \(limit 62 bits .*make the scales more alike"):
        fit(scale, 0, (-32768, 32767), -reach, reach)


def test_outputs_of_16_bits_of_a_whole_scale():
    form = fit(np.float32([1, 4]), 0, (-32768, 32767), np.full(2, -(10**5)), np.full(2, 10**5))
    every = np.arange(-(10**5), 10**5)[:, None]
    np.testing.assert_array_equal(form.apply(every), form.reference(every))


def _bits_needed(scale: np.ndarray, zero: int, reach: np.ndarray) -> float:
    """Of the widest number that the form of exact scales needs, give or take two."""
    digits = 24 + np.log2(scale.max() / scale.min())
    return max(digits + np.log2(reach.max()), 24 - np.log2(scale.min()) + np.log2(abs(zero) + 1))


@pytest.mark.parametrize(("scale", "reach"), [([2**-22.5, 2**-7], [2965822, 1]), ([2**-22.5], [2965823])])
def test_a_channel_may_end_at_a_tie(scale, reach):
    """Of 16 bits only three outputs are reached: the shift may be longer than one that leaves room for all."""
    form = fit(np.float32(scale), 0, (-32768, 32767), -np.int64(reach), np.int64(reach))
    near = np.int64([reach]) * np.int64([[-1], [1]]) + np.arange(-1, 2)[:, None, None] * np.int64([[1], [-1]])
    near = near.clip(-np.int64(reach), reach).reshape(-1, len(reach))
    np.testing.assert_array_equal(form.apply(near), form.reference(near))


def test_what_lies_far_beyond_a_narrow_channel_saturates():
    """The operand's type is as wide as the widest channel's; its product with a long multiplier exceeds 64 bits."""
    reach = np.int64([5048298, 17004862, 57789928])
    form = fit(np.float32([6.53144e-07, 0.7830307, 0.03370152]), 103, (-128, 127), -reach, reach)
    acc = np.linspace(-reach, reach, 1001).astype(np.int64)
    np.testing.assert_array_equal(form.apply(acc), form.reference(acc))


@settings(max_examples=60)
@given(st.data())
def test_every_form_of_wide_sums_equals_the_definition(data):
    """Scales and ranges of any size: whatever form is found is exact where float32 rounds, and right beside it."""
    scale = np.float32([2.0 ** data.draw(st.floats(-36, 2)) for _ in range(data.draw(st.integers(1, 3)))])
    reach = np.int64([data.draw(st.integers(1, 1 << 31)) for _ in scale])
    clamp = data.draw(st.sampled_from([(0, 255), (-128, 127), (-32768, 32767), (0, 1)]))
    zero = data.draw(st.integers(*clamp))
    try:
        form = fit(scale, zero, clamp, -reach, reach)
    except ModelError:
        assert _bits_needed(scale, zero, reach) > 60
        return
    acc = accumulators(form, np.random.default_rng(data.draw(st.integers(0, 99))))
    points = thresholds(scale, zero, clamp, form.low, form.high).T[:2000]
    for probes in (acc, *(np.clip(points + step, form.low, form.high) for step in range(-3, 4))):
        np.testing.assert_array_equal(form.apply(probes), form.reference(probes))


@pytest.mark.parametrize("kind", [np.int64, np.float64, np.float32])
@pytest.mark.parametrize("bias", [0, 1000, (1 << 25) + 1])
def test_golden_is_the_definition_for_any_kind_of_sums(kind, bias):
    high = np.full(16, (1 << 22) + bias)
    form = fit(np.full(16, 2e-5, np.float32), -5, (-128, 127), -high, high, np.full(16, bias))
    sums = np.random.default_rng(0).integers(-(1 << 22), 1 << 22, (3, 5, 7, 16))
    np.testing.assert_array_equal(form.golden(sums.astype(kind), np.int8), form.reference(sums))


def test_the_scale_is_formed_in_float32_in_the_reference_order():
    x, w, y = 0.1, np.float32([0.3, 0.7]), 0.9
    np.testing.assert_array_equal(output_scale(x, w, y), np.float32(np.float32(0.1) * w) / np.float32(0.9))
