"""What element-wise operators compute. See :mod:`hwgen.graph.semantics.float_ops`."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

Array = np.ndarray
_ERF = np.vectorize(math.erf, otypes=[np.float64])


def add(x: Array, y: Array) -> Array:
    return x + y


def sub(x: Array, y: Array) -> Array:
    return x - y


def mul(x: Array, y: Array) -> Array:
    return x * y


def div(x: Array, y: Array) -> Array:
    """Of integers: the quotient, rounded towards zero."""
    if x.dtype.kind == "f":
        return x / y
    quotient = np.abs(x.astype(np.int64)) // np.maximum(np.abs(y.astype(np.int64)), 1)
    return (quotient * np.sign(x) * np.sign(y)).astype(x.dtype)


def bit_shift(x: Array, y: Array, *, direction: str) -> Array:
    return x >> y if direction == "RIGHT" else x << y


def power(x: Array, y: Array) -> Array:
    return np.power(x, y.astype(x.dtype) if x.dtype.kind == "f" else y).astype(x.dtype)


def add_all(*operands: Array) -> Array:
    return reduce(np.add, operands)


def mean_all(*operands: Array) -> Array:
    return add_all(*operands) / operands[0].dtype.type(len(operands))


def maximum(*operands: Array) -> Array:
    return reduce(np.maximum, operands)


def minimum(*operands: Array) -> Array:
    return reduce(np.minimum, operands)


def relu(x: Array) -> Array:
    return np.maximum(x, x.dtype.type(0))


def leaky_relu(x: Array, *, alpha: float) -> Array:
    return np.where(x < 0, x * x.dtype.type(alpha), x)


def prelu(x: Array, slope: Array) -> Array:
    return np.where(x < 0, x * slope, x)


def sigmoid(x: Array) -> Array:
    one = x.dtype.type(1)
    return one / (one + np.exp(-x))


def hard_sigmoid(x: Array, *, alpha: float, beta: float) -> Array:
    return np.clip(x * x.dtype.type(alpha) + x.dtype.type(beta), x.dtype.type(0), x.dtype.type(1))


def hard_swish(x: Array) -> Array:
    return x * hard_sigmoid(x, alpha=1 / 6, beta=0.5)


def tanh(x: Array) -> Array:
    return np.tanh(x)


def sin(x: Array) -> Array:
    return np.sin(x)


def cos(x: Array) -> Array:
    return np.cos(x)


def tan(x: Array) -> Array:
    return np.tan(x)


def sinh(x: Array) -> Array:
    return np.sinh(x)


def cosh(x: Array) -> Array:
    return np.cosh(x)


def arcsin(x: Array) -> Array:
    return np.arcsin(x)


def arccos(x: Array) -> Array:
    return np.arccos(x)


def arctan(x: Array) -> Array:
    return np.arctan(x)


def arcsinh(x: Array) -> Array:
    return np.arcsinh(x)


def arccosh(x: Array) -> Array:
    return np.arccosh(x)


def arctanh(x: Array) -> Array:
    return np.arctanh(x)


def elu(x: Array, *, alpha: float) -> Array:
    return np.where(x < 0, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)), x)


def celu(x: Array, *, alpha: float) -> Array:
    alpha = x.dtype.type(alpha)
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0) / alpha), x)


def selu(x: Array, *, alpha: float, gamma: float) -> Array:
    return x.dtype.type(gamma) * elu(x, alpha=alpha)


def gelu(x: Array, *, approximate: str) -> Array:
    """Exact, or with the hyperbolic tangent where ``approximate`` says so."""
    share = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)) if approximate == "tanh" else _ERF(x / np.sqrt(2))
    return (0.5 * x * (1 + share)).astype(x.dtype)


def swish(x: Array, *, alpha: float) -> Array:
    return x * sigmoid(x * x.dtype.type(alpha))


def shrink(x: Array, *, bias: float, lambd: float) -> Array:
    bias, zero = x.dtype.type(bias), x.dtype.type(0)
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, zero))


def softplus(x: Array) -> Array:
    return np.logaddexp(x, x.dtype.type(0))


def softsign(x: Array) -> Array:
    return x / (1 + np.abs(x))


def mish(x: Array) -> Array:
    return x * np.tanh(softplus(x))


def thresholded_relu(x: Array, *, alpha: float) -> Array:
    return np.where(x > alpha, x, x.dtype.type(0))


def sign(x: Array) -> Array:
    return np.sign(x)


def erf(x: Array) -> Array:
    return _ERF(x).astype(x.dtype)


def floor(x: Array) -> Array:
    return np.floor(x)


def ceil(x: Array) -> Array:
    return np.ceil(x)


def round_(x: Array) -> Array:
    return np.rint(x)


def sqrt(x: Array) -> Array:
    return np.sqrt(x)


def exp(x: Array) -> Array:
    return np.exp(x)


def log(x: Array) -> Array:
    return np.log(x)


def negative(x: Array) -> Array:
    return -x


def absolute(x: Array) -> Array:
    return np.abs(x)


def reciprocal(x: Array) -> Array:
    return x.dtype.type(1) / x


def clip(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    x = x if low is None else np.maximum(x, low.reshape(()))
    return x if high is None else np.minimum(x, high.reshape(()))


def lookup(x: Array, *, table: Sequence[float], scale: float, first: int) -> Array:
    """Of ``x`` that is a whole number of ``scale``: the entry of ``table``, which starts at the number ``first``."""
    index = np.rint(x / x.dtype.type(scale)).astype(np.int64) - first
    return np.asarray(table, x.dtype)[np.clip(index, 0, len(table) - 1)]


def identity(x: Array, *_: Array, **__: Any) -> Array:
    return x
