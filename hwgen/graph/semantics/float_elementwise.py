"""What element-wise operators compute that numpy does not have. See :mod:`hwgen.graph.semantics.float_ops`."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

Array = np.ndarray
_ERF = np.vectorize(math.erf, otypes=[np.float64])


def div(x: Array, y: Array) -> Array:
    """Of integers: the quotient, rounded towards zero."""
    if x.dtype.kind == "f":
        return x / y
    quotient = np.abs(x.astype(np.int64)) // np.maximum(np.abs(y.astype(np.int64)), 1)
    return (quotient * np.sign(x) * np.sign(y)).astype(x.dtype)


def bit_shift(x: Array, y: Array, *, direction: str) -> Array:
    """Whole numbers moved by ``y`` bits, to the ``"RIGHT"`` or to the left."""
    return x >> y if direction == "RIGHT" else x << y


def power(x: Array, y: Array) -> Array:
    """``x`` to the power of ``y``, in the type of ``x``."""
    return np.power(x, y.astype(x.dtype) if x.dtype.kind == "f" else y).astype(x.dtype)


def add_all(*operands: Array) -> Array:
    """The sum of any number of operands, from left to right."""
    return reduce(np.add, operands)


def mean_all(*operands: Array) -> Array:
    """The sum of any number of operands, divided by how many they are."""
    return add_all(*operands) / operands[0].dtype.type(len(operands))


def maximum(*operands: Array) -> Array:
    """The greatest of any number of operands, element by element."""
    return reduce(np.maximum, operands)


def minimum(*operands: Array) -> Array:
    """The least of any number of operands, element by element."""
    return reduce(np.minimum, operands)


def relu(x: Array) -> Array:
    """``max(x, 0)``."""
    return np.maximum(x, x.dtype.type(0))


def leaky_relu(x: Array, *, alpha: float) -> Array:
    """``alpha * x`` below 0, ``x`` elsewhere."""
    return np.where(x < 0, x * x.dtype.type(alpha), x)


def prelu(x: Array, slope: Array) -> Array:
    """``slope * x`` below 0, ``x`` elsewhere; a slope for each channel or for all."""
    return np.where(x < 0, x * slope, x)


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    one = x.dtype.type(1)
    return one / (one + np.exp(-x))


def hard_sigmoid(x: Array, *, alpha: float, beta: float) -> Array:
    """``alpha * x + beta``, clipped to 0 and 1."""
    return np.clip(x * x.dtype.type(alpha) + x.dtype.type(beta), x.dtype.type(0), x.dtype.type(1))


def hard_swish(x: Array) -> Array:
    """``x`` times a :func:`hard_sigmoid` that rises from -3 to 3."""
    return x * hard_sigmoid(x, alpha=1 / 6, beta=0.5)


def elu(x: Array, *, alpha: float) -> Array:
    """``alpha * (exp(x) - 1)`` below 0, ``x`` elsewhere."""
    return np.where(x < 0, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)), x)


def celu(x: Array, *, alpha: float) -> Array:
    """``alpha * (exp(x / alpha) - 1)`` below 0, ``x`` elsewhere."""
    alpha = x.dtype.type(alpha)
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0) / alpha), x)


def selu(x: Array, *, alpha: float, gamma: float) -> Array:
    """``gamma`` times :func:`elu`."""
    return x.dtype.type(gamma) * elu(x, alpha=alpha)


def gelu(x: Array, *, approximate: str) -> Array:
    """Exact, or with the hyperbolic tangent where ``approximate`` says so."""
    share = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)) if approximate == "tanh" else _ERF(x / np.sqrt(2))
    return (0.5 * x * (1 + share)).astype(x.dtype)


def swish(x: Array, *, alpha: float) -> Array:
    """``x * sigmoid(alpha * x)``."""
    return x * sigmoid(x * x.dtype.type(alpha))


def shrink(x: Array, *, bias: float, lambd: float) -> Array:
    """``x`` moved by ``bias`` towards 0; 0 from ``-lambd`` to ``lambd``."""
    bias, zero = x.dtype.type(bias), x.dtype.type(0)
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, zero))


def softplus(x: Array) -> Array:
    """``log(1 + exp(x))``, without overflow."""
    return np.logaddexp(x, x.dtype.type(0))


def softsign(x: Array) -> Array:
    """``x / (1 + |x|)``."""
    return x / (1 + np.abs(x))


def mish(x: Array) -> Array:
    """``x * tanh(softplus(x))``."""
    return x * np.tanh(softplus(x))


def thresholded_relu(x: Array, *, alpha: float) -> Array:
    """``x`` above ``alpha``, 0 elsewhere."""
    return np.where(x > alpha, x, x.dtype.type(0))


def erf(x: Array) -> Array:
    """The error function, computed in float64."""
    return _ERF(x).astype(x.dtype)


def reciprocal(x: Array) -> Array:
    """``1 / x``, in the type of ``x``."""
    return x.dtype.type(1) / x


def clip(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    """``x`` within ``low`` and ``high``, scalars, of which either may be missing."""
    x = x if low is None else np.maximum(x, low.reshape(()))
    return x if high is None else np.minimum(x, high.reshape(()))


def lookup(x: Array, *, table: Sequence[float], scale: float, first: int) -> Array:
    """Of ``x`` that is a whole number of ``scale``: the entry of ``table``, which starts at the number ``first``."""
    index = np.rint(x / x.dtype.type(scale)).astype(np.int64) - first
    return np.asarray(table, x.dtype)[np.clip(index, 0, len(table) - 1)]


def identity(x: Array, *_: Array, **__: Any) -> Array:
    """``x``, whatever else the node has."""
    return x
