"""Operators whose constants can be loaded at run time."""

from dataclasses import fields, is_dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np

from hwgen.blocks.requantize.lane_form import DIGIT_BITS
from hwgen.blocks.requantize.staircase import Staircase
from hwgen.graph.errors import ModelError
from hwgen.graph.exact.loadable import LoadForm, choose, fit_within
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.network import QuantizedConstant
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import IntType

from .operator import Operator

#: Bits that integers of a model are taken to have: those that its file stores, or fewer where so few are used.
_WEIGHT_BITS = (2, 4, 8, 16)


def stored_type(weight: QuantizedConstant) -> IntType:
    """Holds all that weights of this kind could be, zero points taken off."""
    values, zeros = weight.values.astype(np.int64), weight.zero_point.astype(np.int64)
    unsigned = weight.values.dtype.kind == "u"
    used = IntType.holding(min(int(values.min()), 0 if unsigned else -1), int(values.max())).width
    bits = next((n for n in _WEIGHT_BITS if n >= used), 16)
    centred = (zeros == (1 << bits - 1 if unsigned else 0)).all()
    return IntType(bits if centred else bits + 1, True)


class Loadable(Operator):
    """An operator whose ``requantization``, and weights if it has any, can be loaded; ``loading`` says for what its
    hardware is made then."""

    requantization: Requantization | object
    weights: np.ndarray  # where it has any
    loading: LoadForm | None

    @property
    def gap(self) -> str | None:
        """Why its sums cannot be requantised in hardware; None where they can."""
        return self.requantization.gap if isinstance(self.requantization, Staircase) else None

    def load_sums(self, weights: Any) -> IntType:
        """Holds the raw sums of any ``weights`` of this type, None where it has none."""
        raise NotImplementedError(f"{type(self).__name__} does not say how large its sums become")

    def loadable(self, form: LoadForm | None = None) -> "Loadable":
        """The same for constants that are loaded: in hardware of ``form``, or of one with room to spare around these.

        Raises ModelError where these constants have none.
        """
        source = self.requantization
        if not isinstance(source, Requantization):
            raise ModelError(
                "its sums go through a function before they are quantised, which cannot be loaded; quantise them in "
                "front of it, or build with --weights fixed"
            )
        if source.form == "raw":
            raise ModelError("its sums are not quantised, so their width depends on the weights; quantise its result")
        weights, out = getattr(self, "stored", None), self.output.type
        form = form or choose(source, self.load_sums(weights), out, DIGIT_BITS, weights)
        if form.weights is not None:
            values = self.weights
            needed = IntType.holding(min(int(values.min()), -1), int(values.max()))
            if needed.width > form.weights.width:
                raise ModelError(f"weights from {values.min()} to {values.max()} (limit {form.weights}); build anew")
        same: Any = self  # a dataclass, as all operators with fields are
        return replace(same, loading=form, requantization=fit_within(form, source, self.load_sums(form.weights), out))


def window_text(window: Window) -> str:
    """A window in words, for messages."""
    numbers = {name: "x".join(map(str, getattr(window, name))) for name in ("kernel", "strides", "dilations", "pads")}
    return ", ".join(f"{name} {value}" for name, value in numbers.items())


def described(value: Any) -> Any:
    """A form of ``value`` for JSON in which equal hardware is equal, and what is different can be read."""
    if isinstance(value, np.ndarray):
        kind = f"{'x'.join(map(str, value.shape)) or 'one'} {value.dtype}"
        return f"{kind} {sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]}"
    if isinstance(value, IntType) or not is_dataclass(value):
        return [described(item) for item in value] if isinstance(value, tuple | list) else str(value)
    return {field.name: described(getattr(value, field.name)) for field in fields(value) if field.init}
