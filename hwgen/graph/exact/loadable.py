"""Hardware for constants that come later: number types chosen with room to spare, and constants found within them.

What is made for weights that are loaded must take those of any network of the same shape. A :class:`LoadForm` says
what is built; :func:`choose` picks it around the network at hand, :func:`fit_within` finds the constants of a network
for it, and proves them as :mod:`hwgen.graph.exact.requantize` does.
"""

from dataclasses import dataclass, replace

import numpy as np

from hwgen.graph.errors import ModelError
from hwgen.graph.exact.requantization import SIGNIFICAND, Requantization
from hwgen.graph.exact.requantize import WIDEST, Problem
from hwgen.graph.types import IntType

#: Binary orders of magnitude by which scales may grow and shrink from one training to the next: equalised channels may
#: grow much. Operands may grow by as many bits as scales may shrink.
LARGER, SMALLER = 4, 2


@dataclass(frozen=True)
class LoadForm:
    """What a layer is built for whose constants are loaded.

    ``weights``: their type, zero points taken off; None for a layer without. The requantiser multiplies ``operand`` by
    ``multiplier`` bits and shifts right by ``shift``; with ``rounds`` it rounds the operand to 24 bits before, as
    float32 does.
    """

    weights: IntType | None
    operand: IntType
    multiplier: int
    shift: int
    rounds: bool

    def to_json(self) -> dict[str, object]:
        """As plan.json has it."""
        weights = None if self.weights is None else str(self.weights)
        return {
            "weights": weights, "operand": self.operand.width, "multiplier": self.multiplier, "shift": self.shift,
            "rounds": self.rounds,
        }  # fmt: skip

    @staticmethod
    def from_json(entry: dict) -> "LoadForm":
        """Raises ValueError, KeyError or TypeError where it is none."""
        weights = None if entry["weights"] is None else IntType.parse(entry["weights"])
        operand = IntType(entry["operand"], True)
        return LoadForm(weights, operand, int(entry["multiplier"]), int(entry["shift"]), bool(entry["rounds"]))


@dataclass(frozen=True)
class TableForm:
    """A table whose entries are loaded: any of the output's type."""

    def to_json(self) -> dict[str, object]:
        """As plan.json has it."""
        return {"table": True}


def read_form(entry: dict) -> LoadForm | TableForm:
    """What ``to_json`` of either wrote. Raises ValueError, KeyError or TypeError where it is none."""
    return TableForm() if "table" in entry else LoadForm.from_json(entry)


def choose(
    requantization: Requantization, sums: IntType, out: IntType, digit: int, weights: IntType | None
) -> LoadForm:
    """The form around ``requantization``, for raw sums of type ``sums`` and results of type ``out``.

    Scales may become 16 times as large as the largest and a quarter of the smallest; what the multiplier's digits of
    ``digit`` bits have beyond that is shared out. The operand gets two bits more than it needs now, and never more
    than the sums have. Where scales are so far apart that the smallest have no exact multiplier in 62 bits, these
    constants at least must be proved; else ModelError.
    """
    whole = (out.min, out.max)  # another network may use more of the results' range
    problem = Problem.of(replace(requantization, clamp=whole))
    _, operand = problem.operand("float")
    width = operand.width + SMALLER
    operand = IntType(width if problem.wide else min(width, max(sums.width, operand.width)), True)
    live = requantization.scale[problem.live].astype(np.float64)
    exponent = np.frexp(live if len(live) else np.ones(1))[1]
    low, high = int(exponent.min()), int(exponent.max())
    deepest = WIDEST - out.width - 2  # the greatest shift with which a result still fits
    found = None
    for digits in range(-(-SIGNIFICAND // digit), (WIDEST - operand.width) // digit + 1):
        spare = digits * digit - (SIGNIFICAND + high - low + LARGER + SMALLER)
        shift = min(digits * digit - high - LARGER - max(spare - spare // 2, 0), deepest)
        if shift < 1:
            continue
        found = LoadForm(weights, operand, digits * digit, shift, problem.wide)
        if shift >= SIGNIFICAND - low + SMALLER:
            return found
    if found is None or not within(found, requantization, sums, out)[1].all():
        raise ModelError(
            f"no requantiser for later weights: its scales reach from {live.min():.3g} to {live.max():.3g}, and sums "
            f"have {operand.width} bits (limit {WIDEST} bits for their product); make the scales more alike"
        )
    return found


def within(
    form: LoadForm, requantization: Requantization, sums: IntType, out: IntType
) -> tuple[Requantization, np.ndarray]:
    """``requantization`` with constants for the hardware of ``form``, and for which channels they are proved, [C]."""
    problem = Problem.of(requantization)
    kind, shift = form.operand, form.shift
    first, last = problem.span
    centre = np.zeros_like(first) if form.rounds else (first + last + 1) >> 1
    ideal = np.where(problem.live, np.ldexp(requantization.scale.astype(np.float64), shift), 0)
    fits = (ideal < 1 << form.multiplier) & (first - centre >= kind.min) & (last - centre <= kind.max)
    factors = np.where(fits, np.rint(np.where(fits, ideal, 0)), 0).astype(np.int64)
    half = (1 << shift) >> 1
    moving = half + (requantization.zero_point << shift) + centre * factors
    # Beyond these ends every sum saturates anyway.
    bias = np.clip(requantization.layer_bias - centre, kind.min - sums.max, kind.max - sums.min)
    widths = (
        IntType.holding(kind.min - sums.max, kind.max - sums.min).width,
        form.multiplier,
        min(shift + out.width + 3, 64),
    )
    found = replace(
        requantization, form="float", ties=True, bias=bias, operand_type=kind, multiplier=factors,
        offset=np.where(problem.live, moving, (problem.ends[0] << shift) + half), shift=shift, rounds=form.rounds,
        widths=widths,
    )  # fmt: skip
    return found, fits & problem.proved(found)


def fit_within(form: LoadForm, requantization: Requantization, sums: IntType, out: IntType) -> Requantization:
    """The constants of ``requantization`` for the hardware of ``form``, proved.

    Raises ModelError with a line for the first channel that has none.
    """
    found, proved = within(form, requantization, sums, out)
    if not proved.all():
        channel = int(np.flatnonzero(~proved)[0])
        low, high = _scales(form)
        raise ModelError(
            f"channel {channel}: its scale {requantization.scale[channel]:.4g} (limit {low:.3g} to {high:.3g} where "
            f"sums have up to {form.operand.width} bits) finds no exact constants in the requantiser; train on, or "
            "build anew for these weights"
        )
    return found


def _scales(form: LoadForm) -> tuple[float, float]:
    """Between which every scale is exact in the multiplier."""
    return 2.0 ** (SIGNIFICAND - form.shift), 2.0 ** (form.multiplier - form.shift)
