"""Constants for hardware that is made before they are known."""

import numpy as np
import pytest

from hwgen.graph.errors import ModelError
from hwgen.graph.exact.loadable import LARGER, SMALLER, LoadForm, choose, fit_within
from hwgen.graph.exact.requantize import fit
from hwgen.graph.types import S8, U8, IntType

SUMS = IntType(24, True)


def random_fit(seed: int, factor: float = 1.0, out: IntType = U8):
    """A requantisation with scales around 0.002, ``factor`` times as large, and any zero point and clamp."""
    generator = np.random.default_rng(seed)
    channels = 12
    scale = (generator.uniform(1e-3, 4e-3, channels) * factor).astype(np.float32)
    bias = generator.integers(-5000, 5000, channels)
    reach = generator.integers(1 << 16, 1 << 22, channels)
    zero = int(generator.integers(out.min, out.max + 1))
    low = zero if seed % 2 else out.min
    return fit(scale, zero, (low, out.max), bias - reach, bias + reach, bias)


@pytest.mark.parametrize("seed", range(12))
def test_any_scale_within_the_margin_finds_constants_that_are_proved(seed):
    out = (U8, S8)[seed % 2]
    form = choose(random_fit(seed, out=out), SUMS, out, 17, S8)
    for factor in (1, 0.9 * 2**LARGER / 4, 4 / 2**SMALLER):
        other = random_fit(seed + 100, factor, out)
        found = fit_within(form, other, SUMS, out)
        assert (found.operand_type, found.shift, found.multiplier_bits) == (form.operand, form.shift, form.multiplier)
        for value, width in zip((found.bias, found.multiplier, found.offset), found.widths, strict=True):
            assert np.abs(value).max().item().bit_length() <= width
        low, high = (end - other.layer_bias for end in (other.low, other.high))
        acc = np.random.default_rng(seed).integers(low, high + 1, (4000, 12))
        np.testing.assert_array_equal(found.apply(acc), other.reference(acc))


def test_powers_of_two_and_channels_that_never_change_are_proved_too():
    form = choose(random_fit(1), SUMS, U8, 17, S8)
    scale = np.array([2**-9, 2**-8, 1e-12, 0.0017], np.float32)
    low, high = np.full(4, -200_000), np.full(4, 200_000)
    found = fit_within(form, fit(scale, 3, (0, 255), low, high), SUMS, U8)
    acc = np.arange(-200_000, 200_000)[:, None].repeat(4, axis=1)
    np.testing.assert_array_equal(found.apply(acc), found.reference(acc))


def test_a_scale_beyond_the_margin_is_refused_by_channel():
    form = choose(random_fit(2), SUMS, U8, 17, S8)
    with pytest.raises(ModelError, match=r"channel \d+: its scale 0\.\d+ \(limit .* to .* where sums .* build anew"):
        fit_within(form, random_fit(3, 2.0 ** (LARGER + 4)), SUMS, U8)


def test_the_form_survives_its_json():
    form = choose(random_fit(4), SUMS, U8, 17, S8)
    assert LoadForm.from_json(form.to_json()) == form
    with pytest.raises(ValueError, match="'x8' is no integer type"):
        LoadForm.from_json(form.to_json() | {"weights": "x8"})
