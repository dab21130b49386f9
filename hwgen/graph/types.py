"""Types of quantised tensors: integer ranges, affine quantisation, feature maps."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, order=True)
class IntType:
    """A two's-complement or unsigned integer of ``width`` bits."""

    width: int
    signed: bool

    def __post_init__(self):
        if not 1 <= self.width <= 64:
            raise ValueError(f"an integer type needs 1 to 64 bits, not {self.width}")

    @property
    def min(self) -> int:
        """The least integer of the type."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """The greatest integer of the type."""
        return (1 << (self.width - self.signed)) - 1

    @property
    def dtype(self) -> np.dtype:
        """The smallest numpy integer type that holds every value."""
        size = next(bits for bits in (8, 16, 32, 64) if bits >= self.width)
        return np.dtype(f"{'int' if self.signed else 'uint'}{size}")

    @property
    def ends(self) -> tuple[int, int]:
        """The least and the greatest integer of the type."""
        return self.min, self.max

    @staticmethod
    def of(dtype: np.dtype) -> "IntType":
        """The integers that a numpy type holds."""
        return IntType(8 * dtype.itemsize, dtype.kind == "i")

    @staticmethod
    def holding(low: int, high: int) -> "IntType":
        """The narrowest type that holds ``low`` to ``high``; signed only where ``low`` is negative."""
        if low >= 0:
            return IntType(max(1, int(high).bit_length()), False)
        return IntType(max((-int(low) - 1).bit_length(), int(high).bit_length() if high > 0 else 0) + 1, True)

    @staticmethod
    def parse(text: str) -> "IntType":
        """What :meth:`__str__` writes. ValueError where it is no type."""
        if text[:1] not in ("s", "u") or not text[1:].isdecimal():
            raise ValueError(f"{text!r} is no integer type; it should be like s8 or u8")
        return IntType(int(text[1:]), text[0] == "s")

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.width}"


U8 = IntType(8, False)
S8 = IntType(8, True)
U16 = IntType(16, False)


@dataclass(frozen=True)
class Quantization:
    """Affine quantisation of a whole tensor: ``real = scale * (integer - zero_point)``.

    ``scale`` is a float32 value; of the sums of a linear layer it may be a tuple, one for each channel of the stream.
    """

    type: IntType
    scale: float | tuple[float, ...]
    zero_point: int = 0

    def __post_init__(self):
        scale = np.asarray(self.scale, np.float32)
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise ValueError(f"a scale must be positive and finite, not {self.scale}")
        object.__setattr__(self, "scale", tuple(scale.tolist()) if scale.ndim else float(scale))
        if not self.type.min <= self.zero_point <= self.type.max:
            raise ValueError(f"zero point {self.zero_point} is outside {self.type}")

    @property
    def per_channel(self) -> bool:
        """Whether each channel has a scale of its own; arrays then are [..., C], channels last."""
        return isinstance(self.scale, tuple)

    @property
    def scales(self) -> np.ndarray:
        """The scale, or that of every channel [C], in float32."""
        return np.asarray(self.scale, np.float32)

    @property
    def step(self) -> float:
        """The scale of the whole tensor; ValueError where each channel has one of its own."""
        if isinstance(self.scale, tuple):
            raise ValueError(f"{self} has a scale for each channel; one for the whole tensor is supported here")
        return self.scale

    def quantize(self, real: np.ndarray | float) -> np.ndarray:
        """ONNX QuantizeLinear: float32 division, round half to even, add the zero point, saturate."""
        steps = np.rint(np.asarray(real, np.float32) / self.scales)
        steps = np.clip(steps, self.type.min - self.zero_point, self.type.max - self.zero_point)
        return (steps.astype(np.int64) + self.zero_point).astype(self.type.dtype)

    def dequantize(self, integer: np.ndarray) -> np.ndarray:
        """ONNX DequantizeLinear, to float32."""
        return (np.asarray(integer, np.int64) - self.zero_point).astype(np.float32) * self.scales

    def holds(self, real: np.ndarray) -> bool:
        """Whether all of ``real`` are numbers that quantising leaves as they are."""
        return bool((self.dequantize(self.quantize(real)) == real).all())

    def __str__(self) -> str:
        scale = f"{self.scales.min():.6g}..{self.scales.max():.6g}" if self.per_channel else f"{self.step:.6g}"
        return f"{self.type} scale={scale} zero={self.zero_point}"


@dataclass(frozen=True)
class FeatureMap:
    """One frame of a quantised tensor: ``height`` x ``width`` pixels of ``channels`` integers.

    Streams carry it in raster order, channels last. A vector is a map of one pixel.
    """

    height: int
    width: int
    channels: int
    type: IntType

    @property
    def shape(self) -> tuple[int, int, int]:
        """[H, W, C], as arrays of one frame have it."""
        return (self.height, self.width, self.channels)

    @property
    def elements(self) -> int:
        """Integers of a frame."""
        return self.height * self.width * self.channels

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels} {self.type}"
